package mail

import (
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Sample is a note of a kind as it might be, for previews and for trying out an operator's files. Its secrets open
// nothing.
func Sample(kind portal.LetterKind) Note {
	n := Note{
		Kind: kind, To: "ann@buyer.example", Name: "Ann Buyer", Origin: "https://acme.portal.example", Zone: "Europe/Berlin",
		Tenant: portal.Tenant{ID: "0d3e55ad-5a4f-4c8e-9f0e-6a5a3c1d2b10", Slug: "acme", Name: "Acme Packaging", Hosts: []string{"acme.portal.example"},
			Brand: portal.Brand{Accent: "#0b6e4f", Contact: "portal@acme.example"}},
		At: time.Date(2026, 3, 9, 8, 41, 0, 0, time.UTC),
		Facts: map[string]string{
			"device": "Firefox on Windows", "place": "Hamburg, Germany", "address": "203.0.113.7",
		},
	}
	ticket := func(page string) string { return page + "?token=" + strings.Repeat("Sample-token_", 4)[:43] }
	switch kind {
	case portal.LetterVerify:
		n.Link, n.Valid = ticket("/auth/verify-email"), portal.PurposeVerify.Life()
	case portal.LetterKnown:
		n.Link = "/auth/login"
	case portal.LetterInvite:
		n.Link, n.Valid = ticket("/auth/register"), portal.PurposeInvite.Life()
		n.Facts = map[string]string{"company": "Buyer Ltd"}
	case portal.LetterRecover, portal.LetterReopen:
		n.Link, n.Valid = ticket("/auth/reset-password"), portal.PurposeRecover.Life()
	case portal.LetterNewAddress:
		n.Link, n.Valid = ticket("/auth/verify-email"), portal.PurposeNewAddress.Life()
	case portal.LetterOldAddress:
		n.Link, n.Valid = ticket("/auth/undo"), portal.PurposeUndo.Life()
		n.Facts["email"] = "ann.buyer@elsewhere.example"
	case portal.LetterPaused:
		n.Link, n.Valid = ticket("/auth/login"), portal.PurposeTryNow.Life()
		n.Facts["until"] = n.At.Add(30 * time.Minute).Format(time.RFC3339)
	case portal.LetterRecovery:
		n.Link, n.Valid = ticket("/auth/stop-recovery"), portal.PurposeStop.Life()
		n.Facts = map[string]string{"until": n.At.Add(24 * time.Hour).Format(time.RFC3339)}
	case portal.LetterCode, portal.LetterTextCode:
		n.Code, n.Valid = "123456", 10*time.Minute
	case portal.LetterTest, portal.LetterUndone:
		n.Facts = nil
	default:
		n.NotMe, n.Valid = ticket("/auth/not-me"), portal.PurposeNotMe.Life()
		n.Facts["count"] = "7"
		if kind == portal.LetterFactor {
			n.Facts["what"] = "two_step_on"
		}
	}
	return n
}
