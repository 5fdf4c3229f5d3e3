package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// browser is one person's browser: its address, and the cookies it holds.
type browser struct {
	house   *testenv.House
	tenant  *portal.Tenant
	addr    string
	agent   string // empty: the house's
	device  portal.DeviceToken
	cookies session.Cookies
	attempt string
}

func open(h *testenv.House, t *portal.Tenant, addr string) *browser {
	return &browser{house: h, tenant: t, addr: addr}
}

func (b *browser) client() portal.Client {
	c := b.house.Client(b.addr)
	c.Device = b.device
	if b.agent != "" {
		c.Agent = b.agent
	}
	return c
}

// signIn sends the form. A grant's cookies stay in the browser.
func (b *browser) signIn(email, password string) (auth.Outcome, error) {
	out, err := b.house.Auth.SignIn(context.Background(), b.tenant, b.client(), b.cookies, auth.Credentials{Email: email, Password: password})
	if err == nil && out.Grant != nil {
		b.take(*out.Grant)
	}
	return out, err
}

func (b *browser) take(g session.Grant) {
	b.cookies = session.Cookies{Access: g.Access, Refresh: g.Refresh}
	if g.Device != nil {
		d := g.Device.Digest(secret.KindDevice, string(b.tenant.ID))
		b.device = portal.DeviceToken(d[:])
	}
}

// in signs in and must get in.
func (b *browser) in(t testing.TB, email, password string) portal.Session {
	t.Helper()
	out, err := b.signIn(email, password)
	if err != nil || out.Grant == nil {
		t.Fatalf("%s does not get in: step %q, %v", email, out.Step, err)
	}
	return out.Grant.Session
}

// session is the session the browser's next request stands in.
func (b *browser) session(t testing.TB) (portal.Session, bool) {
	t.Helper()
	r, err := b.house.Sessions.Resume(context.Background(), b.tenant, b.cookies, b.client(), false)
	if err != nil {
		var p *portal.Problem
		if !errors.As(err, &p) || p.Kind != portal.ProblemSessionExpired && p.Kind != portal.ProblemSessionRequired {
			t.Fatalf("resuming: %v", err)
		}
		return portal.Session{}, false
	}
	return r.Facts.Session, true
}

// said is all of a refusal that anybody outside can tell.
type said struct {
	Kind   portal.ProblemKind
	Public string
	Field  string
	After  time.Duration
	Held   bool
}

func refusal(t testing.TB, err error) said {
	t.Helper()
	var p *portal.Problem
	if !errors.As(err, &p) {
		t.Fatalf("not a problem: %v", err)
	}
	var held *auth.Held
	return said{p.Kind, p.Public + p.Instead, p.Field, p.RetryAfter, errors.As(err, &held)}
}

func kind(t testing.TB, err error) portal.ProblemKind {
	t.Helper()
	if err == nil {
		return ""
	}
	return refusal(t, err).Kind
}

// trail is what the audit trail of a tenant says, one line a row, sorted. Every row must name an address, an agent and
// a result, or the operator who did it, whose rows are left out.
func trail(t testing.TB, h *testenv.House, tenant portal.Tenant) []string {
	t.Helper()
	var raw []byte
	h.DB.Row(t, `select coalesce(jsonb_agg(r), '[]') from (
			select activity_type as verb, coalesce(ip_address, '') as address, coalesce(user_agent, '') as agent, coalesce(metadata ->> 'result', '') as result,
				is_suspicious as suspicious, metadata as facts, true as person
			from public.customer_activity_log where tenant_id = $1
			union all
			select verb, coalesce(host(address), ''), agent, result, suspicious, facts, user_id is not null
			from portalgate.events where tenant_id = $1 and operator = ''
		) r`, []any{tenant.ID}, &raw)
	var rows []struct {
		Verb, Address, Agent, Result string
		Suspicious, Person           bool
		Facts                        map[string]string
	}
	if err := json.Unmarshal(raw, &rows); err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, r := range rows {
		if r.Address == "" || r.Agent == "" || r.Result == "" {
			t.Errorf("a row of the trail leaves out address, agent or result: %+v", r)
		}
		line := r.Verb + " " + r.Result + " " + r.Address
		for _, f := range []string{"unknown_address", "limit", "rest", "codes_sent", "unknown_passkey", "another_tenants"} {
			if n := r.Facts[f]; n != "" {
				line += " " + f + "=" + n
			}
		}
		if r.Suspicious {
			line += " suspicious"
		}
		if !r.Person {
			line += " (nobody)"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// trailed settles what was put off and compares the trail with what it must say; "3 × LINE" stands for three of them.
func trailed(t testing.TB, h *testenv.House, tenant portal.Tenant, want ...string) {
	t.Helper()
	if err := h.Auth.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, line := range want {
		n := 1
		if head, rest, ok := strings.Cut(line, " × "); ok {
			if _, err := fmt.Sscan(head, &n); err != nil {
				t.Fatal(err)
			}
			line = rest
		}
		for range n {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	if got := trail(t, h, tenant); !slices.Equal(got, all) {
		t.Errorf("the trail says\n  %s\nand should say\n  %s", strings.Join(got, "\n  "), strings.Join(all, "\n  "))
	}
}

// mirror is what the ERP's columns say of a person.
func mirror(t testing.TB, h *testenv.House, id portal.UserID) (failures int, until time.Time) {
	t.Helper()
	var at *time.Time
	h.DB.Row(t, `select failed_login_attempts, account_locked_until from public.customer_users where id = $1`, []any{id}, &failures, &at)
	if at != nil {
		until = at.UTC()
	}
	return failures, until
}
