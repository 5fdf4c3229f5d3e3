package caddymodule

import (
	"context"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// bare is DNS in which nothing stands but one text.
type bare map[string]string

func (b bare) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, ok := b[name]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}
func (b bare) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	_, err := b.LookupTXT(ctx, "mx "+name)
	return nil, err
}
func (b bare) LookupHost(ctx context.Context, name string) ([]string, error) {
	return b.LookupTXT(ctx, "host "+name)
}

func TestTheMailDoctorLooksAtTheSenderOfEverybody(t *testing.T) {
	t.Parallel()
	box := testenv.Mailbox(t)
	p, err := posted(t, `
		from hello@portal.example
		failover {
			smtp `+box.Addr()+`
			smtp mail.example:587
		}
		tenant acme {
			from hello@acme.example
			smtp smtp.sendgrid.net:587
		}
		tenant initech {
			capture trial
		}
		region eu {
			from hello@eu.example
		}`)
	if err != nil {
		t.Fatal(err)
	}
	here := []string{"127.0.0.1", "mail.example"}
	want := map[string][]string{"portal.example": {"127.0.0.1", "capture", "mail.example"}, "acme.example": {"smtp.sendgrid.net"}, "eu.example": here}
	domains := p.domains()
	if !reflect.DeepEqual(domains, want) {
		t.Errorf("%v", domains)
	}
	found := examineSenders(t.Context(), bare{"acme.example.": "v=spf1 -all"}, domains, nil)
	add := map[string]string{}
	for _, f := range found {
		add[f.Domain+" "+f.Check+" "+string(f.State)] = f.Add
	}
	for what, record := range map[string]string{
		"acme.example spf wrong": `acme.example. TXT "v=spf1 include:sendgrid.net -all"`, "eu.example spf wrong": `eu.example. TXT "v=spf1 a:127.0.0.1 a:mail.example ~all"`,
		"portal.example dmarc wrong": `_dmarc.portal.example. TXT "v=DMARC1; p=none; rua=mailto:postmaster@portal.example"`, "acme.example mx wrong": "acme.example. MX 10 mail.acme.example.",
	} {
		if got, ok := add[what]; !ok || got != record {
			t.Errorf("%s: %q, of %q", what, got, slices.Sorted(maps.Keys(add)))
		}
	}
	if s := roundTrip(t.Context(), p, portal.Tenant{}, "me@portal.example"); s.State != mail.StandsWell || s.Domain != "portal.example" || !strings.Contains(s.Says, "took a mail to me@portal.example") || len(box.To("me@portal.example")) != 1 {
		t.Errorf("%+v", s)
	}
}
