package mail_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

const letterID = "0b8c1d2e-3f40-4a5b-8c6d-7e8f90a1b2c3@acme.portal.example"

// report writes a delivery report as mail servers do.
func report(kind, status, returned string) string {
	return strings.ReplaceAll(`From: MAILER-DAEMON@mx.example
To: no-reply@acme.example
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b=1"

--b=1
Content-Type: text/plain

Sorry.
--b=1
Content-Type: `+kind+`

Reporting-MTA: dns; mx.example

`+status+`

--b=1
Content-Type: `+returned+`

From: no-reply@acme.example
To: "Ann" <ann@buyer.example>
Message-ID: <`+letterID+`>
Subject: Choose a new password

--b=1--
`, "\n", "\r\n")
}

func TestReportsAreReadAndOnlyADeadMailboxIsDead(t *testing.T) {
	t.Parallel()
	ann := []portal.Email{"ann@buyer.example"}
	failed := func(status string) string {
		return "Original-Recipient: rfc822;Ann@Buyer.example\nFinal-Recipient: rfc822; ann@buyer.example\nAction: failed\nStatus: " + status + " (no such user)\nDiagnostic-Code: smtp; 550"
	}
	three := []portal.Email{"ann@buyer.example", "ann@buyer.example", "ann@buyer.example"}
	for name, c := range map[string]struct {
		in   string
		want mail.Report
	}{
		"no such user":      {report("message/delivery-status", failed("5.1.1"), "message/rfc822"), mail.Report{MessageID: letterID, Recipients: three, Dead: true, Status: "5.1.1"}},
		"the header only":   {report("message/delivery-status", failed("5.1.10"), "text/rfc822-headers"), mail.Report{MessageID: letterID, Recipients: three, Dead: true, Status: "5.1.10"}},
		"a mailbox is full": {report("message/delivery-status", failed("5.2.2"), "message/rfc822"), mail.Report{MessageID: letterID, Recipients: three, Status: "5.2.2"}},
		"a policy":          {report("message/delivery-status", failed("5.7.1"), "message/rfc822"), mail.Report{MessageID: letterID, Recipients: three, Status: "5.7.1"}},
		"it is late":        {report("message/delivery-status", strings.ReplaceAll(failed("4.4.1"), "failed", "delayed"), "message/rfc822"), mail.Report{MessageID: letterID, Recipients: three}},
		"international": {report("message/global-delivery-status", "Final-Recipient: utf-8; ann@buyer.example\nAction: failed\nStatus: 5.1.1", "message/global-headers"),
			mail.Report{MessageID: letterID, Recipients: append(ann, ann...), Dead: true, Status: "5.1.1"}},
		"a complaint": {strings.Replace(report("message/feedback-report", "", "message/rfc822"), "Reporting-MTA: dns; mx.example", "Feedback-Type: abuse\r\nOriginal-Rcpt-To: <ann@buyer.example>", 1),
			mail.Report{MessageID: letterID, Recipients: append(ann, ann...), Complaint: true}},
	} {
		got, err := mail.ReadReport(strings.NewReader(c.in))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, c.want)
		}
	}
	for name, in := range map[string]string{"nothing": "", "an absence notice": "Subject: away\r\n\r\nBack on Monday", "no boundary": "Content-Type: multipart/report\r\n\r\n", "no status in it": report("text/plain", "", "message/rfc822")} {
		if got, err := mail.ReadReport(strings.NewReader(in)); !errors.Is(err, mail.ErrNoReport) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add(report("message/delivery-status", "Final-Recipient: rfc822; ann@buyer.example\nAction: failed\nStatus: 5.1.1", "message/rfc822"))
	f.Add(report("message/feedback-report", "", "message/global"))
	f.Fuzz(func(t *testing.T, s string) {
		r, err := mail.ReadReport(strings.NewReader(s))
		if err != nil && !reflect.DeepEqual(r, mail.Report{}) {
			t.Errorf("%v, and yet %+v", err, r)
		}
		for _, e := range r.Recipients {
			if again, err := portal.ParseEmail(string(e)); err != nil || again != e {
				t.Errorf("recipient %q", e)
			}
		}
		if len(r.Recipients) > 10 || strings.ContainsAny(r.MessageID+r.Status, "\r\n<> ") {
			t.Errorf("%+v", r)
		}
	})
}
