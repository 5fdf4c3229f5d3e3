package graphql

import "github.com/portalgate/portalgate/internal/portal"

// door is where something is done now that the old portal did by an operation.
type door struct{ words, page string }

// doors are the operations of the old portal that are not let through, and where people find what they were for. The
// old browser code shows the sentence in the form from which it asked.
var doors = map[string]door{
	"customerLogin":                   {"Signing in has a page of its own now", "/login"},
	"customerRefreshToken":            {"Please sign in again", "/login"},
	"customerLogout":                  {"Signing out is done on the page of your account now", "/account"},
	"customerMe":                      {"What is known about you is on the page of your account", "/account"},
	"customerRegister":                {"Registration has a page of its own now", "/register"},
	"customerRequestPasswordReset":    {"A new password is asked for on another page now", "/forgot-password"},
	"customerResetPassword":           {"This link is from before. Please ask for a new one", "/forgot-password"},
	"customerChangePassword":          {"The password is changed on another page now", "/account/password"},
	"customerVerifyEmail":             {"This link is from before. Sign in, and you get a new one", "/login"},
	"customerResendVerificationEmail": {"Sign in, and you get a new link", "/login"},
	"customerEnrollMFA":               {"Second steps are set up on another page now", "/account/mfa"},
	"customerVerifyMFA":               {"Second steps are set up on another page now", "/account/mfa"},
	"customerDisableMFA":              {"Second steps are removed on another page now", "/account/mfa"},
	"customerRegenerateBackupCodes":   {"Backup codes are made on another page now", "/account/mfa"},
	"customerActiveSessions":          {"Where you are signed in is shown on another page now", "/account/sessions"},
	"customerRevokeSession":           {"Sessions are ended on another page now", "/account/sessions"},
	"customerRevokeAllSessions":       {"Sessions are ended on another page now", "/account/sessions"},
}

// moved refuses a document that has one of them anywhere: an upstream may hand its queries on below another field.
func (d *document) moved(pages string) error {
	for _, field := range d.fields {
		if at, ok := doors[field]; ok {
			return refuse(portal.ProblemMoved, "%s: %s%s", at.words, pages, at.page)
		}
	}
	return nil
}
