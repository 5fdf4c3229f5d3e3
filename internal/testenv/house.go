package testenv

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/revocation"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// House is one gateway without its HTTP: the floors up to the flows, put together as the app does it, on real servers,
// with a clock moved by hand. Nothing runs behind a test's back: Hear is the feed, Sessions.Settle is what was put off.
type House struct {
	DB       DB
	Clock    *Clock
	Keys     *secret.Keyring
	Policy   portal.Policy
	Store    *store.Store
	Hasher   *password.Hasher
	Limits   *ratelimit.Limiter
	Ended    *revocation.Set
	Sessions *session.Keeper
	Auth     *auth.Service
	Mail     *Outgoing
	Text     *OutgoingTexts

	watermark uint64
	redis     string
	exempt    []netip.Prefix
}

// Plan says what a house is built from; zero values take what most tests want.
type Plan struct {
	DB          *DB               // default: the shared database
	DatabaseURL string            // default: the database's, as the gateway's role; a proxy's address for faults
	Redis       string            // default: no Redis, limits in process
	Policy      *portal.Policy    // default: the decisions
	Hashing     *password.Config  // default: parameters that cost next to nothing
	AnswerAfter time.Duration     // default: answers are released at once
	Clock       *Clock            // default: a new one
	Keys        *secret.Keyring   // default: a new one
	Mail        *Outgoing         // default: a new one
	Text        *OutgoingTexts    // default: a new one
	Breaches    password.Breaches // default: none is asked
	Exempt      []netip.Prefix    // offices in which the limits by network do not hold; default: none
}

// NewHouse builds a house that is gone when the test ends.
func NewHouse(t testing.TB, p Plan) *House {
	t.Helper()
	h := &House{Clock: p.Clock, Keys: p.Keys, Policy: portal.DefaultPolicy(), redis: p.Redis, exempt: p.Exempt}
	if p.DB != nil {
		h.DB = *p.DB
	} else {
		h.DB = Database(t)
	}
	if h.Clock == nil {
		h.Clock = NewClock()
	}
	if p.Policy != nil {
		h.Policy = *p.Policy
	}
	if h.Keys == nil {
		h.Keys = Keyring(t)
	}
	address := p.DatabaseURL
	if address == "" {
		address = h.DB.AppURL
	}
	var err error
	if h.Store, err = store.Open(address, store.Options{}); err != nil {
		t.Fatal("opening the store: ", err)
	}
	t.Cleanup(h.Store.Close)
	h.Store = h.Store.WithLockout(h.Policy.Lockout)
	hashing := password.Config{Memory: 64, Passes: 1}
	if p.Hashing != nil {
		hashing = *p.Hashing
	}
	hashing.Pepper = h.Keys.Pepper(h.Clock.Now)
	if h.Hasher, err = password.New(hashing); err != nil {
		t.Fatal("making a hasher: ", err)
	}
	var client redis.UniversalClient
	if p.Redis != "" {
		o, err := redis.ParseURL(p.Redis)
		if err != nil {
			t.Fatal("reading the address of Redis: ", err)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = time.Second, time.Second, time.Second
		o.MaxRetries, o.ContextTimeoutEnabled = -1, true
		client = redis.NewClient(o)
		t.Cleanup(func() { _ = client.Close() })
	}
	h.Limits = ratelimit.New(client, h.Policy.Limits)
	h.Ended = revocation.NewSet(2 * session.FactsLife)
	h.Sessions = session.New(session.Options{Store: h.Store, Keys: h.Keys, Ended: h.Ended, Policy: h.Policy, Realm: "customers", Now: h.Clock.Now})
	if h.Mail = p.Mail; h.Mail == nil {
		h.Mail = &Outgoing{}
	}
	if h.Text = p.Text; h.Text == nil {
		h.Text = &OutgoingTexts{}
	}
	h.Auth = auth.New(auth.Deps{Keys: h.Keys, Prefix: "/auth", Tenant: h.tenant(t), Origin: func(n *portal.Tenant) string { return "https://" + n.Canonical() },
		Methods: factor.All(h.Keys.Codes(h.Clock.Now)), Print: press(t).Print, Mail: auth.Post{Sender: h.Mail, From: func(n *portal.Tenant) (from, replyTo mail.Address) {
			return mail.Address{Name: n.Name, Email: "no-reply@" + n.Slug + ".example"}, mail.Address{}
		}},
		Text:  auth.Texts{Sender: h.Text, Print: press(t).PrintText, Possible: func() bool { return !h.Text.None }},
		Store: h.Store, Hasher: h.Hasher, Breaches: p.Breaches, Sessions: h.Sessions, Limits: h.Limits, Policy: h.Policy, AnswerAfter: p.AnswerAfter, Now: h.Clock.Now,
		Exempt: func(c portal.Client) bool {
			return slices.ContainsFunc(p.Exempt, func(n netip.Prefix) bool { return n.Contains(c.Addr) })
		}})
	h.Hear(t)
	return h
}

// Neighbour is another gateway beside this one: the same database, Redis, keys and clock, and a memory of its own. It is
// also this gateway after a restart.
func (h *House) Neighbour(t testing.TB) *House {
	t.Helper()
	return NewHouse(t, Plan{DB: &h.DB, Redis: h.redis, Policy: &h.Policy, Clock: h.Clock, Keys: h.Keys, Exempt: h.exempt, Mail: h.Mail, Text: h.Text})
}

// Hear reads the changes since the last time, as the feed does when it is woken.
func (h *House) Hear(t testing.TB) {
	t.Helper()
	rows, mark, err := h.Store.Changes(t.Context(), h.watermark)
	if err != nil {
		t.Fatal("reading changes: ", err)
	}
	h.watermark = mark
	for _, c := range rows {
		h.Ended.Apply(revocation.Kind(c.Kind), c.Subject, h.Clock.Now())
	}
}

// Keyring makes a keyring whose keys are in use from an hour ago.
func Keyring(t testing.TB) *secret.Keyring {
	t.Helper()
	b, err := secret.Generate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal("making a keyring: ", err)
	}
	k, err := secret.Parse(b)
	if err != nil {
		t.Fatal("reading a keyring: ", err)
	}
	return k
}

// Visitor is a person to be added to a tenant; zero values take what most tests want.
type Visitor struct {
	Email      string      // default: ann@buyer.example
	Password   string      // default: Password
	Name       string      // default: Ann Buyer
	Role       portal.Role // default: CUSTOMER_USER
	Customer   string      // customer code; the company is made when there is none; default: the tenant's own
	Unverified bool
	MustChange bool
	Legacy     string // a bcrypt hash in the ERP's column, in place of ours
}

// Password is everybody's, unless a test says otherwise.
const Password = "Blue pallet trucks at dawn"

// Person adds a person to a tenant.
func (h *House) Person(t testing.TB, tenant portal.Tenant, v Visitor) portal.UserID {
	t.Helper()
	or := func(s, def string) string {
		if s == "" {
			return def
		}
		return s
	}
	typed, err := password.Prepare(or(v.Password, Password))
	if err != nil {
		t.Fatal("preparing a password: ", err)
	}
	made, err := h.Hasher.Hash(t.Context(), typed)
	if err != nil {
		t.Fatal("hashing a password: ", err)
	}
	s, err := store.Open(h.DB.OperatorURL, store.Options{MaxConns: 2, Wait: 30 * time.Second}) // a busy machine is no reason to fail
	if err != nil {
		t.Fatal("opening the store as an operator: ", err)
	}
	defer s.Close()
	first, last, _ := strings.Cut(or(v.Name, "Ann Buyer"), " ")
	var id portal.UserID
	err = s.Within(t.Context(), tenant.ID, h.Clock.Now(), func(x *store.Tx) (err error) {
		n := store.NewUser{Email: portal.Email(or(v.Email, "ann@buyer.example")), FirstName: first, LastName: last, Role: portal.Role(or(string(v.Role), string(portal.RoleUser))),
			Customer: v.Customer, Verified: !v.Unverified, PHC: made.PHC, KeyID: made.KeyID, MustChange: v.MustChange}
		id, err = x.AddUser(t.Context(), n, store.Deed{Operator: "test"})
		if err == store.ErrCustomer {
			if err = x.AddCustomer(t.Context(), v.Customer, "Company "+v.Customer); err == nil {
				id, err = x.AddUser(t.Context(), n, store.Deed{Operator: "test"})
			}
		}
		return err
	})
	if err != nil {
		t.Fatal("adding a person: ", err)
	}
	if v.Legacy != "" {
		h.DB.Exec(t, `update public.customer_users set password_hash = $2 where id = $1`, id, v.Legacy)
		h.DB.Exec(t, `delete from portalgate.credentials where user_id = $1`, id)
	}
	return id
}

// Client is somebody at an address now, with an agent and no device that is known.
func (h *House) Client(addr string) portal.Client {
	return portal.Client{Addr: netip.MustParseAddr(addr), Agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", At: h.Clock.Now()}
}
