package mail_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/sink"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/testenv"
)

func TestTheNextProviderIsAskedAfterATemporaryFailureOnly(t *testing.T) {
	first, second := testenv.Mailbox(t), testenv.Mailbox(t)
	clock := testenv.NewClock()
	f := mail.NewFailover(clock.Now, first.Sender, second.Sender)
	send := func() error { return f.Send(t.Context(), message("ann@buyer.example")) }
	arrived := func(a, b int) {
		t.Helper()
		if n, m := len(first.Mails()), len(second.Mails()); n != a || m != b {
			t.Fatalf("%d and %d mails arrived, not %d and %d", n, m, a, b)
		}
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	arrived(1, 0)
	first.Behave(sink.Behaviour{Step: sink.AtRecipient, Code: 550, Text: "5.1.1 nobody"})
	if err := send(); !errors.Is(err, mail.ErrRejected) {
		t.Fatal(err)
	}
	arrived(1, 0)
	first.Behave(sink.Behaviour{Step: sink.AtRecipient, Code: 451, Text: "4.7.1 later"})
	if err := send(); err != nil {
		t.Fatal(err)
	}
	arrived(1, 1)
	first.Behave(sink.Behaviour{})
	if err := send(); err != nil { // one address was put off, and the provider goes on
		t.Fatal(err)
	}
	arrived(2, 1)
	first.Behave(sink.Behaviour{Step: sink.AtSender, Cut: true})
	if err := send(); err != nil {
		t.Fatal(err)
	}
	first.Behave(sink.Behaviour{})
	if err := send(); err != nil { // it rests
		t.Fatal(err)
	}
	arrived(2, 3)
	clock.Advance(15 * time.Second)
	if err := send(); err != nil {
		t.Fatal(err)
	}
	arrived(3, 3)
	first.Close()
	second.Behave(sink.Behaviour{Step: sink.AtContent, Code: 452, Text: "4.3.1 full"})
	if err := send(); err == nil || errors.Is(err, mail.ErrRejected) {
		t.Fatalf("both down: %v", err)
	}
}

func TestASplitKeepsItsWeightsAndItsChoice(t *testing.T) {
	var tally mail.Tally
	ok := mail.Capture{Keep: func(context.Context, mail.Message) error { return nil }}
	full := mail.Capture{Keep: func(context.Context, mail.Message) error { return errors.New("full") }}
	s := mail.Split{{Weight: 90, Sender: tally.Of("big", &ok)}, {Weight: 10, Sender: tally.Of("small", &full)}}
	for i := range 2000 {
		m := message("ann@buyer.example")
		m.ID = fmt.Sprintf("%d@acme.example", i)
		if a, b := s.Send(t.Context(), m), s.Send(t.Context(), m); (a == nil) != (b == nil) {
			t.Fatalf("mail %d went two ways", i)
		}
	}
	counts := tally.Counts()
	if len(counts) != 2 || counts[0].Sent+counts[1].Deferred != 4000 || counts[1].Deferred < 300 || counts[1].Deferred > 500 {
		t.Errorf("%+v", counts)
	}
}

func TestATenantsWayIsItsOwnThenItsRegionsThenEverybodys(t *testing.T) {
	var tally mail.Tally
	ok := &mail.Capture{Keep: func(context.Context, mail.Message) error { return nil }}
	r := &mail.Route{Default: tally.Of("default", ok), Tenants: map[string]mail.Sender{"acme": tally.Of("own", ok)}, Regions: map[string]mail.Sender{"eu": tally.Of("region", ok)}}
	for _, slug := range []string{"acme", "globex", "globex", "other", "other", "other"} {
		m := message("ann@buyer.example")
		m.Slug, m.Region = slug, map[string]string{"acme": "eu", "globex": "eu", "other": "us"}[slug]
		if err := r.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	got := ""
	for _, c := range tally.Counts() {
		got += fmt.Sprintf("%s %d ", c.Provider, c.Sent)
	}
	if got != "default 3 own 1 region 2 " {
		t.Error(got)
	}
}

func TestProvidersAreReachedByTheirNames(t *testing.T) {
	s, err := mail.SES("eu-central-1", "AKIA", "p")
	if err != nil || s.Host != "email-smtp.eu-central-1.amazonaws.com" || s.Port != 587 || s.Username != "AKIA" {
		t.Errorf("%v, %v", s, err)
	}
	for _, region := range []string{"", "eu-centrel-1", "eu-central", "EU-CENTRAL-1", "eu-central-1.evil.example", "eu-central-1\n"} {
		if _, err := mail.SES(region, "AKIA", "p"); err == nil {
			t.Errorf("%q is taken for a region", region)
		}
	}
	for region, host := range map[string]string{"": "smtp.sendgrid.net", "global": "smtp.sendgrid.net", "eu": "smtp.eu.sendgrid.net"} {
		if s, err := mail.SendGrid(region, "k"); err != nil || s.Host != host || s.Username != "apikey" {
			t.Errorf("%q: %v, %v", region, s, err)
		}
	}
	if _, err := mail.SendGrid("mars", "k"); err == nil {
		t.Error("mars is taken for a region")
	}
	box := testenv.Mailbox(t)
	g, err := mail.SendGrid("eu", "k")
	if err != nil {
		t.Fatal(err)
	}
	box.Sender.Headers = g.Headers
	if err := box.Sender.Send(t.Context(), message("ann@buyer.example")); err != nil {
		t.Fatal(err)
	}
	if h := box.Await(t, "ann@buyer.example", 1).Header.Get("X-Smtpapi"); h != `{"filters":{"clicktrack":{"settings":{"enable":0}}, "opentrack":{"settings":{"enable":0}}}, "unique_args":{"portalgate_letter":"0197f3c2.1@acme.example"}}` {
		t.Errorf("links would be rewritten: %q", h)
	}
}
