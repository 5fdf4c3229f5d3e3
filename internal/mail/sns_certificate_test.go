package mail_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
)

// Where a certificate lies is not enough: Amazon's authority must have given it to SNS, and the machine must trust that.
func TestACertificateMustBeSNSsByAmazonsWordWhenTheMessageWasPublished(t *testing.T) {
	t.Parallel()
	published := time.Date(2026, 3, 2, 8, 59, 58, 0, time.UTC) // what notification says
	from, until := published.Add(-time.Hour), published.Add(time.Hour)
	of := func(name string, change func(*x509.Certificate)) *amazon {
		c := snsCert(name, from, until)
		if change != nil {
			change(c)
		}
		return newAmazonOf(t, "Amazon", c)
	}
	self := of("sns.amazonaws.com", nil)
	own, key := issue(t, snsCert("sns.amazonaws.com", from, until), nil, nil)
	self.key, self.cert = key, pemOf(own)
	unknown := of("sns.amazonaws.com", nil)
	unknown.roots = of("sns.amazonaws.com", nil).roots // another root of the same name
	machine := of("sns.amazonaws.com", nil)
	machine.roots = nil // what the machine trusts
	for name, c := range map[string]struct {
		a    *amazon
		want error
	}{
		"of SNS":                         {of("sns.amazonaws.com", nil), nil},
		"of SNS in the region":           {of("sns-signing.eu-central-1.amazonaws.com", nil), nil},
		"its host's":                     {of("sns.eu-central-1.amazonaws.com", nil), nil},
		"of its last minute":             {newAmazon(t, "sns.amazonaws.com", from, published.Add(time.Second)), nil}, // over when the message comes
		"over":                           {newAmazon(t, "sns.amazonaws.com", from.Add(-time.Hour), published.Add(-time.Second)), mail.ErrUnsigned},
		"not yet":                        {newAmazon(t, "sns.amazonaws.com", published.Add(time.Second), until), mail.ErrUnsigned}, // when it comes, it holds
		"another's":                      {of("s3.amazonaws.com", nil), mail.ErrUnsigned},
		"another region's":               {of("sns-signing.eu-west-1.amazonaws.com", nil), mail.ErrUnsigned},
		"like theirs":                    {of("sns.amazonaws.com.evil.example", nil), mail.ErrUnsigned},
		"a star's":                       {of("*.amazonaws.com", nil), mail.ErrUnsigned},
		"theirs by its common name only": {of("sns.amazonaws.com", func(c *x509.Certificate) { c.DNSNames = []string{"buyer.example"} }), mail.ErrUnsigned},
		"an authority's":                 {of("sns.amazonaws.com", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), mail.ErrUnsigned},
		"for people":                     {of("sns.amazonaws.com", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }), mail.ErrUnsigned},
		"its own":                        {self, mail.ErrNotNow}, // what is published has not signed it
		"its own, and says no authority": {selfSigned(t, from, until), mail.ErrUnsigned},
		"of a root nobody trusts":        {unknown, mail.ErrUnsigned},
		"of a root the machine does not": {machine, mail.ErrUnsigned},
		"of another organisation's root": {newAmazonOf(t, "Evil", snsCert("sns.amazonaws.com", from, until)), mail.ErrUnsigned},
		"with an authority elsewhere":    {of("sns.amazonaws.com", func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://crt.evil.example/r2m01.cer"} }), mail.ErrUnsigned},
	} {
		got, err := c.a.reader(t).Read(t.Context(), nil, posted(t, c.a.sign(t, notification("2", ses("Bounce", gone)))))
		if !errors.Is(err, c.want) || (err == nil) != (len(got) == 1) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if slices.ContainsFunc(c.a.fetched, func(address string) bool { return address != certURL && address != authorityURL }) {
			t.Errorf("%s: fetched %q", name, c.a.fetched)
		}
	}
	a := of("sns.amazonaws.com", nil)
	a.cert = []byte("<html>")
	if _, err := a.reader(t).Read(t.Context(), nil, posted(t, a.sign(t, notification("2", "x")))); !errors.Is(err, mail.ErrUnsigned) {
		t.Errorf("no certificate: %v", err)
	}
}

// The authority's certificate comes without TLS. Who stands in the way can delay an event, and no more: neither is
// another certificate believed, nor is it remembered.
func TestAnAuthoritysCertificateThatSomebodyHasExchangedIsNotRemembered(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	events, right := a.reader(t), a.above
	body := posted(t, a.sign(t, notification("2", ses("Bounce", gone))))
	for _, wrong := range [][]byte{nil, []byte("<html>"), newAmazon(t, "sns.amazonaws.com", hookTime, hookTime).above} {
		a.above = wrong
		if got, err := events.Read(t.Context(), nil, body); !errors.Is(err, mail.ErrNotNow) || got != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	a.mu.Lock()
	a.above, a.now = right, a.now.Add(time.Minute) // so many are fetched in a minute and no more
	a.mu.Unlock()
	if got, err := events.Read(t.Context(), nil, body); err != nil || len(got) != 1 {
		t.Errorf("the right one: %+v, %v", got, err)
	}
	before := fmt.Sprint(a.fetched)
	if _, err := events.Read(t.Context(), nil, body); err != nil || fmt.Sprint(a.fetched) != before {
		t.Errorf("fetched again: %q, %v", a.fetched, err)
	}
}
