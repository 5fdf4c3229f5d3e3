package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/portalgate/portalgate/caddymodule/conformance"
	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/sms"
	"github.com/portalgate/portalgate/internal/testenv"
)

// texted sets up a block `sms` with these lines in it, as a configuration does.
func texted(t *testing.T, lines string) (*texting, error) {
	t.Helper()
	a := new(App)
	if err := a.UnmarshalCaddyfile(caddyfile.NewTestDispenser("portalgate {\n sms {\n" + lines + "\n}\n}")); err != nil {
		t.Fatal(err)
	}
	a = decoded(t, a)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	p, err := a.SMS.texting(ctx, a.LiteralSecrets)
	return p, places(a.Places).at(err)
}

// switchboard is a service for text messages that misbehaves on command.
type switchboard struct {
	*httptest.Server
	mu      sync.Mutex
	arrived []conformance.TextArrival
	now     conformance.Fault
	done    chan struct{} // closed when the test ends
}

// newSwitchboard makes one that reads a message out of a request as its API has it.
func newSwitchboard(t *testing.T, read func(*http.Request) conformance.TextArrival) *switchboard {
	t.Helper()
	s := &switchboard{now: conformance.Works, done: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := read(r)
		s.mu.Lock()
		now := s.now
		if now == conformance.Works {
			s.arrived = append(s.arrived, a)
		}
		s.mu.Unlock()
		switch now {
		case conformance.Refuses:
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"code": 21211, "message": "The 'To' number " + a.To + " with '" + a.Text + "' is not valid."})
		case conformance.Defers:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, a.To+a.Text)
		case conformance.HangsUp:
			panic(http.ErrAbortHandler)
		case conformance.Stalls:
			select {
			case <-s.done:
			case <-r.Context().Done():
			}
		default:
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"sid": "SM1", "status": "queued"}`)
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(s.done) })
	return s
}

func (s *switchboard) subject(p *texting) conformance.TextSubject {
	return conformance.TextSubject{Sender: p, Tenant: portal.Tenant{Slug: "acme"},
		Behave: func(f conformance.Fault) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.now = f
			return true
		},
		Arrived: func(testing.TB) []conformance.TextArrival {
			s.mu.Lock()
			defer s.mu.Unlock()
			return slices.Clone(s.arrived)
		}}
}

const twilioDigits = "0123456789abcdef0123456789abcdef"

func TestEveryProviderOfTextMessagesKeepsToTheContract(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(t *testing.T) conformance.TextSubject{
		"twilio": func(t *testing.T) conformance.TextSubject {
			s := newSwitchboard(t, func(r *http.Request) conformance.TextArrival {
				if user, password, _ := r.BasicAuth(); user != "SK"+twilioDigits || password != "swordfish" || r.URL.Path != "/2010-04-01/Accounts/AC"+twilioDigits+"/Messages.json" {
					t.Errorf("%s as %s", r.URL, user)
				}
				return conformance.TextArrival{To: r.FormValue("To"), Text: r.FormValue("Body")}
			})
			p, err := texted(t, "twilio {\n account AC"+twilioDigits+"\n key "+secretFile(t, "SK"+twilioDigits)+"\n secret "+secretFile(t, "swordfish")+"\n from +15005550006\n }")
			if err != nil {
				t.Fatal(err)
			}
			p.guest.(*SMSTwilio).BaseURL = s.URL
			return s.subject(p)
		},
		"webhook": func(t *testing.T) conformance.TextSubject {
			s := newSwitchboard(t, func(r *http.Request) conformance.TextArrival {
				var m struct{ To, Text string }
				if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.Header.Get(sms.SignatureHeader) == "" {
					t.Errorf("%v, %v", err, r.Header)
				}
				return conformance.TextArrival{To: m.To, Text: m.Text}
			})
			p, err := texted(t, "webhook "+s.URL+" {\n secret "+secretFile(t, shownSecrets[1])+"\n }")
			if err != nil {
				t.Fatal(err)
			}
			return s.subject(p)
		},
		"capture": capturingTexts(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Texter(t, make)
		})
	}
}

// capturingTexts makes providers that keep messages in one database, each in a tenant of its own.
func capturingTexts(t *testing.T) func(t *testing.T) conformance.TextSubject {
	w, house, _, _ := keeping(t)
	return func(t *testing.T) conformance.TextSubject {
		tenant := house.DB.Tenant(t)
		p, err := texted(t, "capture trial")
		if err != nil {
			t.Fatal(err)
		}
		var now atomic.Value
		now.Store(conformance.Works)
		p.keepBy(func(ctx context.Context, m sms.Message) error {
			switch now.Load() {
			case conformance.Defers:
				return errors.New("the database is full")
			case conformance.Stalls:
				<-ctx.Done()
				return ctx.Err()
			}
			return w.keepText(ctx, m)
		})
		return conformance.TextSubject{Sender: p, Tenant: tenant,
			Behave: func(f conformance.Fault) bool {
				now.Store(f)
				return f != conformance.Refuses && f != conformance.HangsUp // nobody is there who could
			},
			Arrived: func(t testing.TB) (out []conformance.TextArrival) {
				list, err := captured(t.Context(), w.store, w.keys, tenant.ID, "", w.now())
				if err != nil {
					t.Fatal(err)
				}
				for _, head := range list {
					one, err := captured(t.Context(), w.store, w.keys, tenant.ID, head.ID, w.now())
					if err != nil || len(one) != 1 || one[0].Problem != "" {
						t.Fatal(one, err)
					}
					out = append(out, conformance.TextArrival{To: one[0].To, Text: one[0].Text})
				}
				return out
			}}
	}
}

func TestACapturedTextMessageIsSealedAndStandsBesideTheMails(t *testing.T) {
	t.Parallel()
	w, house, acme, _ := keeping(t)
	p, err := texted(t, "capture trial")
	if err != nil {
		t.Fatal(err)
	}
	m := sms.Message{ID: "0197f3c2", Tenant: acme.ID, Slug: acme.Slug, To: "+4915112345678", Text: "918273 is your code.\n\n@acme.example #918273"}
	if err := p.Send(t.Context(), m); !errors.Is(err, errNoTextKept) || errors.Is(err, sms.ErrRejected) {
		t.Errorf("before anything runs: %v", err)
	}
	p.keepBy(w.keepText)
	if err := p.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var row string
	house.DB.Row(t, `select c::text from portalgate.captured c`, nil, &row)
	if strings.Contains(row, "918273") || strings.Contains(row, "15112345678") {
		t.Errorf("the row shows it: %s", row)
	}
	list, err := captured(t.Context(), w.store, w.keys, acme.ID, "", w.now())
	if err != nil || len(list) != 1 || list[0].To != m.To || list[0].Text != "" || list[0].From != "" || list[0].title() != "(a text message)" {
		t.Fatalf("%+v, %v", list, err)
	}
	one, err := captured(t.Context(), w.store, w.keys, acme.ID, list[0].ID, w.now())
	if err != nil || len(one) != 1 || one[0].Text != m.Text {
		t.Fatalf("%+v, %v", one, err)
	}
	var shown strings.Builder
	if err := showCaptured(&shown, one[0], false); err != nil || !strings.HasPrefix(shown.String(), "To: +4915112345678\n") || !strings.Contains(shown.String(), m.Text) || strings.Contains(shown.String(), "Subject") {
		t.Errorf("%q, %v", shown.String(), err)
	}
	out := httptest.NewRecorder()
	if err := mailPage(out, httptest.NewRequest("GET", "http://localhost/portalgate/mail?tenant="+acme.Slug, nil), func() []*world { return []*world{w} }); err != nil || !strings.Contains(out.Body.String(), "(a text message)") {
		t.Errorf("%v\n%s", err, out.Body)
	}
}

func TestTextMessagesLeaveByTheNewestConfiguration(t *testing.T) {
	t.Parallel()
	var all texts
	m := sms.Message{ID: "1", To: "+4915112345678", Text: "x"}
	if err := all.Send(t.Context(), m); !errors.Is(err, errNoText) || errors.Is(err, sms.ErrRejected) || all.possible() {
		t.Errorf("without a provider: %v", err)
	}
	var first, second int
	one, two := &texting{Sender: counting{&first}}, &texting{Sender: counting{&second}}
	all.add(nil)
	all.add(one)
	all.add(two)
	_ = all.Send(t.Context(), m)
	all.remove(two)
	_ = all.Send(t.Context(), m)
	if first != 1 || second != 1 || !all.possible() {
		t.Errorf("%d and %d", first, second)
	}
	all.remove(one)
	if all.possible() {
		t.Error("a configuration that has gone still sends")
	}
}

type counting struct{ n *int }

func (c counting) Send(context.Context, sms.Message) error { *c.n++; return nil }

func TestTheDoctorSaysHowTextMessagesLeave(t *testing.T) {
	t.Parallel()
	p, err := texted(t, "capture trial")
	if err != nil {
		t.Fatal(err)
	}
	d := doctor{}
	d.texting(p)
	if len(d.found) != 2 || !strings.Contains(d.found[0].Says, "leave by capture") || !strings.Contains(d.found[0].Says, "NIST") || !strings.Contains(d.found[1].Says, "nobody gets any") {
		t.Errorf("%+v", d.found)
	}
}

func TestTextMessagesAreCountedInTheMetrics(t *testing.T) {
	t.Parallel()
	w, _, acme, _ := keeping(t)
	p, err := texted(t, "capture trial")
	if err != nil {
		t.Fatal(err)
	}
	p.keepBy(w.keepText)
	if err := p.Send(t.Context(), sms.Message{ID: "1", Tenant: acme.ID, To: "+4915112345678", Text: "x", Slug: acme.Slug}); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := measure(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		for _, metric := range f.Metric {
			for _, l := range metric.Label {
				if l.GetName() == "provider" && l.GetValue() == "capture" && strings.HasPrefix(f.GetName(), "portalgate_sms_") {
					found[f.GetName()] = true
				}
			}
		}
	}
	if len(found) != 3 {
		t.Errorf("%v", found)
	}
}

// A code that somebody waits for crosses the whole way: flow's letter, outbox, courier, provider.
func TestALetterBecomesATextMessageOfTheProvider(t *testing.T) {
	t.Parallel()
	p, err := texted(t, "capture trial")
	if err != nil {
		t.Fatal(err)
	}
	w, house, acme, _ := keeping(t)
	p.keepBy(w.keepText)
	house.Text.Fails = func(m sms.Message) error { return p.Send(t.Context(), m) }
	queueText(t, house, acme)
	house.Courier(t, acme.ID)
	list, err := captured(t.Context(), w.store, w.keys, acme.ID, "", w.now())
	if err != nil || len(list) != 1 || list[0].To != "+4915112345678" {
		t.Errorf("%+v, %v", list, err)
	}
}

// queueText posts a code for a telephone, as a flow does.
func queueText(t *testing.T, h *testenv.House, n portal.Tenant) {
	t.Helper()
	now := h.Clock.Now()
	q, err := auth.Seal(h.Keys, n.ID, portal.Letter{Kind: portal.LetterTextCode, To: "+4915112345678", Facts: map[string]string{"code": "918273"}, Expires: now.Add(10 * time.Minute)}, now)
	if err != nil {
		t.Fatal(err)
	}
	h.Queue(t, n.ID, q)
}
