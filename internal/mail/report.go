package mail

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/portalgate/portalgate/internal/portal"
)

// Report is what another mail server says of a mail of ours: a delivery report (RFC 3464, RFC 6533) or a complaint
// (RFC 5965). Anybody can write one; it is believed only where its Message-ID and one of its recipients are ours.
type Report struct {
	MessageID  string         // of our mail, without brackets; empty: it does not say
	Recipients []portal.Email // that it names, in any of its places
	Complaint  bool           // somebody called our mail unwanted
	Dead       bool           // the mailbox does not exist, and no further mail will arrive there
	Status     string         // like 5.1.1, or a provider's word in its place; empty for complaints
}

// ErrNoReport means that a mail is no report: an absence notice, an answer, or anything else.
var ErrNoReport = errors.New("this mail is no delivery report and no complaint")

// Bounds of a report. A mail that was returned whole may be long; nothing of it behind its header is looked at.
const (
	maxReport      = 1 << 20
	maxReportParts = 10
	maxRecipients  = 10
)

// ReadReport reads a report, of which it takes the first megabyte.
func ReadReport(r io.Reader) (Report, error) {
	m, err := mail.ReadMessage(bufio.NewReader(io.LimitReader(r, maxReport)))
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrNoReport, err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["boundary"] == "" {
		return Report{}, ErrNoReport
	}
	var (
		out  Report
		said bool
	)
	parts := multipart.NewReader(m.Body, params["boundary"])
	for range maxReportParts {
		p, err := parts.NextPart()
		if err != nil {
			break // a report that was cut off says what it says
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			continue
		}
		body := io.Reader(p)
		if strings.EqualFold(strings.TrimSpace(p.Header.Get("Content-Transfer-Encoding")), "base64") {
			body = base64.NewDecoder(base64.StdEncoding, p)
		}
		switch kind {
		case "message/delivery-status", "message/global-delivery-status":
			said = true
			out.status(body)
		case "message/feedback-report":
			said = true
			h := fieldsOf(body)
			out.Complaint = strings.EqualFold(strings.TrimSpace(h.Get("Feedback-Type")), "abuse")
			for _, a := range h.Values("Original-Rcpt-To") {
				out.names(a)
			}
		case "message/rfc822", "message/rfc822-headers", "text/rfc822-headers", "message/global", "message/global-headers":
			h := fieldsOf(body)
			if id := ourID(h.Get("Message-Id")); id != "" {
				out.MessageID = id
			}
			out.names(h.Get("To"))
		}
	}
	if !said {
		return Report{}, ErrNoReport
	}
	return out, nil
}

var statusForm = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}`)

// status reads the groups of fields of a delivery status: one about the mail, and one for each recipient.
func (out *Report) status(body io.Reader) {
	r := textproto.NewReader(bufio.NewReader(body))
	for range maxRecipients + 1 {
		h, err := r.ReadMIMEHeader()
		status := statusForm.FindString(strings.TrimSpace(h.Get("Status")))
		if strings.EqualFold(strings.TrimSpace(h.Get("Action")), "failed") && status != "" {
			out.Status = status
			out.Dead = out.Dead || dead(status)
		}
		for _, name := range []string{"Original-Recipient", "Final-Recipient"} {
			_, address, ok := strings.Cut(h.Get(name), ";")
			if ok {
				out.names(address)
			}
		}
		if err != nil {
			return
		}
	}
}

// dead says of which failures no further mail will arrive (RFC 3463): there is no such mailbox or no such domain, it has
// moved, or it is shut. A full mailbox, a policy and a filter are permanent for one mail only.
func dead(status string) bool {
	switch status {
	case "5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1":
		return true
	}
	return false
}

// names notes an address that a report names.
func (out *Report) names(s string) {
	s = strings.TrimSpace(s)
	if a, err := mail.ParseAddress(s); err == nil {
		s = a.Address
	}
	if e, err := portal.ParseEmail(strings.Trim(s, "<>")); err == nil && len(out.Recipients) < maxRecipients {
		out.Recipients = append(out.Recipients, e)
	}
}

// fieldsOf reads the fields at the head of a part; what is wrong in the middle ends them.
func fieldsOf(body io.Reader) textproto.MIMEHeader {
	b, _ := io.ReadAll(io.LimitReader(body, maxReport)) // what could be read is read
	b = append(bytes.TrimLeft(b, "\r\n"), "\r\n\r\n"...)
	h, _ := textproto.NewReader(bufio.NewReader(bytes.NewReader(b))).ReadMIMEHeader()
	return h
}
