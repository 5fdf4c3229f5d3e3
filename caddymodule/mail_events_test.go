package caddymodule

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// hooked is a gateway's door for SendGrid's events, and SendGrid.
type hooked struct {
	*MailEvents
	house *testenv.House
	key   *ecdsa.PrivateKey
}

func newHooked(t *testing.T, h *testenv.House, tenants ...portal.Tenant) *hooked {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]*portal.Tenant{}
	for i := range tenants {
		for _, host := range tenants[i].Hosts {
			table[host] = &tenants[i]
		}
	}
	w := &world{store: h.Store, keys: h.Keys, hosts: new(admission.Hosts)}
	w.hosts.Set(table)
	now := h.Clock.Now
	w.clock.Store(&now)
	w.log.Store(zap.NewNop())
	return &hooked{&MailEvents{provider: "sendgrid", events: &mail.SendGridEvents{Key: &key.PublicKey, Now: now}, w: w}, h, key}
}

// post posts events as SendGrid does, and returns the status of the answer, which must have nothing else in it.
func (p *hooked) post(t *testing.T, body string, change func(*http.Request)) int {
	t.Helper()
	stamp := fmt.Sprint(p.house.Clock.Now().Unix())
	sum := sha256.Sum256([]byte(stamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, p.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/mail-events/sendgrid", strings.NewReader(body))
	r.Header.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature))
	r.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", stamp)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	if err := p.ServeHTTP(w, r, nil); err != nil {
		t.Fatal(err)
	}
	if w.Body.Len() > 0 {
		t.Errorf("the answer says %s", w.Body)
	}
	return w.Code
}

func (p *hooked) counted(result string) (n int64) {
	mailEvents.each(func(provider, what string, count int64) {
		if provider == p.provider && what == result {
			n = count
		}
	})
	return n
}

// A signed bounce stops mail to the address at the tenant whose letter it is about, and nowhere else; `why` says so, and
// whoever asks at the page hears the same as before.
func TestASignedBounceStopsMailToTheAddressAtItsTenantOnly(t *testing.T) {
	h := testenv.NewHouse(t, testenv.Plan{})
	acme, globex := testenv.Tenant(t), testenv.Tenant(t)
	client := h.Client("203.0.113.7")
	ask := func(n *portal.Tenant, email string) any {
		client.At = h.Clock.Now()
		out, err := h.Auth.AskReset(t.Context(), n, client, email)
		return []any{out.Step, out.Grant, out.Attempt, out.Release.Sub(client.At), err}
	}
	ids := map[string]string{}
	for _, n := range []portal.Tenant{acme, globex} {
		for _, email := range []string{"ann@buyer.example", "bob@buyer.example"} {
			h.Person(t, n, testenv.Visitor{Email: email})
			ask(&n, email)
		}
		for _, m := range h.Courier(t, n.ID) {
			ids[n.Slug+" "+string(m.To)] = m.ID
		}
	}
	p := newHooked(t, h, acme, globex)
	h.Clock.Advance(time.Hour)
	before := ask(&acme, "ann@buyer.example")
	event := func(id, to, more string) string {
		return fmt.Sprintf(`[{"event":"delivered"},{"email":"%s","smtp-id":"<%s>",%s}]`, to, id, more)
	}
	const dead = `"event":"bounce","type":"bounce","status":"5.1.1"`
	id := ids[acme.Slug+" ann@buyer.example"]
	suppressed := func(n portal.Tenant) (out []string) {
		h.AsOperator(t, n.ID, func(x *store.Tx) error {
			list, err := x.Suppressions(t.Context(), 10)
			for _, s := range list {
				out = append(out, s.Cause+" "+s.Detail)
			}
			return err
		})
		return out
	}
	letter, _, _ := strings.Cut(id, "@")
	for name, c := range map[string]struct{ body, result string }{
		"a full mailbox":             {event(id, "ann@buyer.example", `"event":"bounce","type":"bounce","status":"5.2.2"`), "noted"},
		"blocked":                    {event(id, "ann@buyer.example", `"event":"bounce","type":"blocked","status":"5.7.1"`), "noted"},
		"another's address":          {event(id, "bob@buyer.example", dead), "not_ours"},
		"a letter nobody knows":      {event("0b8c1d2e-3f40-4a5b-8c6d-000000000000@"+acme.Hosts[0], "ann@buyer.example", dead), "not_ours"},
		"at a host nobody has":       {event(letter+"@evil.example", "ann@buyer.example", dead), "not_ours"},
		"at the other tenant's host": {event(letter+"@"+globex.Hosts[0], "ann@buyer.example", dead), "not_ours"},
		"no id":                      {event("", "ann@buyer.example", dead), "not_ours"},
	} {
		was := p.counted(c.result)
		if code := p.post(t, c.body, nil); code != http.StatusNoContent || p.counted(c.result) != was+1 {
			t.Errorf("%s: %d, and %q is counted %d times", name, code, c.result, p.counted(c.result)-was)
		}
	}
	for name, change := range map[string]func(*http.Request){
		"unsigned":    func(r *http.Request) { r.Header.Del("X-Twilio-Email-Event-Webhook-Signature") },
		"another day": func(r *http.Request) { r.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", "1") },
	} {
		was := p.counted("refused")
		if code := p.post(t, event(id, "ann@buyer.example", dead), change); code != http.StatusForbidden || p.counted("refused") != was+1 {
			t.Errorf("%s: %d", name, code)
		}
	}
	if list := suppressed(acme); len(list) != 0 {
		t.Fatalf("on the list already: %q", list)
	}
	for _, want := range []string{"suppressed", "known"} { // a replay changes nothing
		was := p.counted(want)
		if code := p.post(t, event(id, "Ann@buyer.example", dead), nil); code != http.StatusNoContent || p.counted(want) != was+1 {
			t.Errorf("%d, and it is not %q", code, want)
		}
	}
	if a, g := suppressed(acme), suppressed(globex); !reflect.DeepEqual(a, []string{"bounce 5.1.1"}) || len(g) != 0 {
		t.Errorf("at the tenant %q, at the other %q", a, g)
	}
	k := &clerk{store: h.Store, now: h.Clock.Now}
	found, err := k.why(t.Context(), "ann@buyer.example", acme.Slug)
	says := fmt.Sprintf("%+v", found)
	if err != nil || !strings.Contains(says, "5.1.1") || !strings.Contains(says, "mail suppressed remove --tenant "+acme.Slug) {
		t.Errorf("why: %s, %v", says, err)
	}
	if found, err := k.why(t.Context(), "ann@buyer.example", globex.Slug); err != nil || strings.Contains(fmt.Sprintf("%+v", found), "mail_suppressed") {
		t.Errorf("why, at the other: %+v, %v", found, err)
	}
	var operator string
	h.DB.Row(t, `select operator from portalgate.events where tenant_id = $1 and verb = $2`, []any{acme.ID, portal.VerbMailSuppressed}, &operator)
	if operator != "webhook of sendgrid" {
		t.Errorf("the trail says it was %q", operator)
	}
	h.Clock.Advance(time.Hour)
	if after := ask(&acme, "ann@buyer.example"); !reflect.DeepEqual(before, after) {
		t.Errorf("the page says %+v, and said %+v", after, before)
	}
	for _, m := range h.Courier(t, acme.ID) {
		if m.To == "ann@buyer.example" {
			t.Error("a mail leaves for the dead address")
		}
	}
	if code := p.post(t, event(ids[globex.Slug+" bob@buyer.example"], "bob@buyer.example", `"event":"spamreport"`), nil); code != http.StatusNoContent || !reflect.DeepEqual(suppressed(globex), []string{"complaint "}) {
		t.Errorf("a complaint: %d, %q", code, suppressed(globex))
	}
}

// A provider may say that a mailbox is dead before the courier has noted that it took the mail, or where its yes was lost
// on the way. About a letter that nobody was given yet nothing is believed.
func TestABounceThatComesBeforeTheProvidersYesIsBelieved(t *testing.T) {
	const dead = `[{"event":"bounce","type":"bounce","status":"5.1.1","email":"%s","smtp-id":"<%s>"}]`
	for name, yes := range map[string]error{"the yes comes after it": nil, "the yes is lost": errors.New("the connection was cut")} {
		t.Run(name, func(t *testing.T) {
			var during func(mail.Message)
			out := &testenv.Outgoing{Fails: func(m mail.Message) error {
				during(m)
				return yes
			}}
			h := testenv.NewHouse(t, testenv.Plan{Mail: out})
			acme := testenv.Tenant(t)
			h.Person(t, acme, testenv.Visitor{Email: "ann@buyer.example"})
			p := newHooked(t, h, acme)
			post := func(to, id, want string) {
				t.Helper()
				was := p.counted(want)
				if code := p.post(t, fmt.Sprintf(dead, to, id), nil); code != http.StatusNoContent || p.counted(want) != was+1 {
					t.Errorf("%d, and %q is counted %d times", code, want, p.counted(want)-was)
				}
			}
			ask := func() {
				t.Helper()
				client := h.Client("203.0.113.7")
				client.At = h.Clock.Now()
				if _, err := h.Auth.AskReset(t.Context(), &acme, client, "ann@buyer.example"); err != nil {
					t.Fatal(err)
				}
			}
			ask()
			var waits string
			h.DB.Row(t, `select id::text from portalgate.outbox where tenant_id = $1`, []any{acme.ID}, &waits)
			post("ann@buyer.example", waits+"@"+acme.Hosts[0], "not_ours")
			sent := 0
			during = func(m mail.Message) {
				sent++
				post("bob@buyer.example", m.ID, "not_ours")
				post("ann@buyer.example", m.ID, "suppressed")
			}
			h.Courier(t, acme.ID)
			h.Clock.Advance(2 * time.Hour)
			ask()
			if h.Courier(t, acme.ID); sent != 1 {
				t.Errorf("%d mails have left for the dead address", sent)
			}
		})
	}
}

func TestWhatIsNoEventIsAnsweredAtOnceAndWithoutAWord(t *testing.T) {
	h := testenv.NewHouse(t, testenv.Plan{})
	p := newHooked(t, h)
	for name, c := range map[string]struct {
		body   string
		change func(*http.Request)
		want   int
	}{
		"a GET":            {"[]", func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
		"a megabyte":       {"[" + strings.Repeat(" ", 1<<20) + "]", nil, http.StatusRequestEntityTooLarge},
		"signed nonsense":  {"{", nil, http.StatusNoContent},
		"signed emptiness": {"[]", nil, http.StatusNoContent},
		"nonsense":         {"{", func(r *http.Request) { r.Header = http.Header{} }, http.StatusForbidden},
	} {
		if code := p.post(t, c.body, c.change); code != c.want {
			t.Errorf("%s: %d, want %d", name, code, c.want)
		}
	}
	h.Store.Close() // the database is gone: the provider shall send it again
	tenant := testenv.Tenant(t)
	p.w.hosts.Set(map[string]*portal.Tenant{"acme.example": &tenant})
	body := `[{"event":"spamreport","email":"ann@buyer.example","smtp-id":"<0b8c1d2e-3f40-4a5b-8c6d-7e8f90a1b2c3@acme.example>"}]`
	if code := p.post(t, body, nil); code != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d", code)
	}
	p.events = notNow{}
	if code := p.post(t, body, nil); code != http.StatusServiceUnavailable {
		t.Errorf("while it cannot be seen who has signed: %d", code)
	}
}

type notNow struct{ mail.Events }

func (notNow) Read(_ context.Context, _ func(string) string, _ []byte) ([]mail.Report, error) {
	return nil, errors.Join(mail.ErrNotNow)
}
