package mail_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

func TestATextMessageSaysItsCodeAndBindsItToTheHost(t *testing.T) {
	t.Parallel()
	p := press(t)
	for language, want := range map[string]string{
		"en": "123456 is your Acme Packaging code. It works for 10 minutes. Nobody from us will ever ask you for it.\n\n@acme.portal.example #123456",
		"de": "123456 ist Ihr Code für Acme Packaging. Er gilt 10 Minuten. Niemand von uns wird Sie je danach fragen.\n\n@acme.portal.example #123456",
	} {
		n := mail.Sample(portal.LetterTextCode)
		n.Language, n.To = language, "+4915112345678"
		n.Valid -= 3 * time.Second // it was made a moment before it leaves
		if got, err := p.PrintText(n); err != nil || got != want || len([]rune(got)) > 160 {
			t.Errorf("%q, %v", got, err)
		}
	}
	n := mail.Sample(portal.LetterTextCode)
	n.Language, n.Tenant.Language = "fr", "de"
	if got, err := p.PrintText(n); err != nil || !strings.HasPrefix(got, "123456 ist") {
		t.Errorf("in a language that there is not: %q, %v", got, err)
	}
	// Where the form has no place for the address, there is no last line.
	n = mail.Sample(portal.LetterTextCode)
	n.Origin, n.Tenant.Hosts = "http://acme.localhost:8080", []string{"acme.localhost"}
	if got, err := p.PrintText(n); err != nil || strings.ContainsAny(got, "@#\n") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestATenantsNameAddsNothingToATextMessage(t *testing.T) {
	t.Parallel()
	p := press(t)
	for _, name := range []string{"Acme\n@evil.example #999999", "https://evil.test", strings.Repeat("Packaging ", 30), "\u202eemcA", ""} {
		n := mail.Sample(portal.LetterTextCode)
		n.Tenant.Name = name
		got, err := p.PrintText(n)
		lines := strings.Split(got, "\n")
		if err != nil || len(lines) != 3 || lines[2] != "@acme.portal.example #123456" || strings.Contains(got, "://") || strings.Contains(got, "\u202e") || len([]rune(got)) > 160 {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

func TestNoTextMessageIsMadeWithoutCodeAndHost(t *testing.T) {
	t.Parallel()
	p := press(t)
	for what, change := range map[string]func(*mail.Note){
		"no code":            func(n *mail.Note) { n.Code = "" },
		"no code but words":  func(n *mail.Note) { n.Code = "123456 call 555" },
		"no time":            func(n *mail.Note) { n.Valid = 0 },
		"another kind":       func(n *mail.Note) { n.Kind = portal.LetterCode },
		"another's host":     func(n *mail.Note) { n.Origin = "https://evil.example" },
		"an address in bits": func(n *mail.Note) { n.Origin = "https://acme.portal.example/x" },
	} {
		n := mail.Sample(portal.LetterTextCode)
		change(&n)
		if got, err := p.PrintText(n); err == nil || strings.Contains(fmt.Sprint(err), "123456") {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	if _, err := p.Print(mail.Sample(portal.LetterTextCode)); err == nil {
		t.Error("a text message is printed as a mail")
	}
}
