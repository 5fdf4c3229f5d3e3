package mail

import (
	"fmt"
	"regexp"
	"strings"
)

// A region's name at Amazon: a part of the world, a direction, a number. A list would be old within a year.
var sesRegion = regexp.MustCompile(`^(us|us-gov|ca|mx|sa|eu|af|me|il|ap)-(north|south|east|west|central|northeast|northwest|southeast|southwest)-[1-9]$`)

// SES is Amazon's service in a region, by its SMTP endpoint. User name and password are its SMTP credentials, which
// are not those of an IAM user.
func SES(region, username string, password Password) (*SMTP, error) {
	if !sesRegion.MatchString(region) {
		return nil, fmt.Errorf("%q is no region such as eu-central-1", region)
	}
	return &SMTP{Name: "ses " + region, Host: "email-smtp." + region + ".amazonaws.com", Port: 587, Username: username, Password: password}, nil
}

// SendGrid is Twilio's service, by its SMTP endpoint: in the region "global" (or "") or "eu". Its link and open tracking
// is switched off for each mail: a sign-in link leads where it says, and nobody else learns it (EML-03). The mail's
// Message-ID comes back with every event about it.
func SendGrid(region string, key Password) (*SMTP, error) {
	host := "smtp.sendgrid.net"
	switch strings.ToLower(region) {
	case "", "global":
		region = "global"
	case "eu":
		host, region = "smtp.eu.sendgrid.net", "eu"
	default:
		return nil, fmt.Errorf("%q is neither global nor eu", region)
	}
	return &SMTP{Name: "sendgrid " + region, Host: host, Port: 587, Username: "apikey", Password: key,
		Headers: map[string]string{"X-SMTPAPI": `{"filters":{"clicktrack":{"settings":{"enable":0}},` + "\r\n " + `"opentrack":{"settings":{"enable":0}}},` + "\r\n " + `"unique_args":{"` + sendGridLetter + `":"` + itsID + `"}}`}}, nil
}
