package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// place is a tenant of its own with one person in it, seen by the gateway and by an operator.
type place struct {
	db       testenv.DB
	tenant   portal.Tenant
	gateway  *store.Store
	operator *store.Store
	clock    *testenv.Clock
	ann      portal.UserID
}

const annsAddress portal.Email = "ann@buyer.example"

func newPlace(t *testing.T, db testenv.DB) *place {
	t.Helper()
	p := &place{db: db, tenant: db.Tenant(t), gateway: open(t, db.AppURL), operator: open(t, db.OperatorURL), clock: testenv.NewClock()}
	p.ann = p.person(t, annsAddress)
	return p
}

// patient is how long a store of these tests waits: they ask what happens, never how fast.
const patient = time.Minute

func open(t *testing.T, address string) *store.Store {
	t.Helper()
	s, err := store.Open(address, store.Options{MaxConns: 10, Wait: patient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (p *place) person(t *testing.T, e portal.Email) (id portal.UserID) {
	t.Helper()
	p.asOperator(t, func(x *store.Tx) (err error) {
		id, err = x.AddUser(t.Context(), store.NewUser{Email: e, FirstName: "Ann", LastName: "Buyer", Role: portal.RoleUser, Verified: true, PHC: "$argon2id$made", KeyID: "k1"}, store.Deed{Operator: "test"})
		return err
	})
	return id
}

// in runs an act as the gateway, and fails when it fails.
func (p *place) in(t *testing.T, act func(*store.Tx) error) {
	t.Helper()
	if err := p.gateway.Within(t.Context(), p.tenant.ID, p.clock.Now(), act); err != nil {
		t.Fatal(err)
	}
}

func (p *place) asOperator(t *testing.T, act func(*store.Tx) error) {
	t.Helper()
	if err := p.operator.Within(t.Context(), p.tenant.ID, p.clock.Now(), act); err != nil {
		t.Fatal("as an operator: ", err)
	}
}

// begin begins a session of these rows, the first one chosen.
func (p *place) begin(t *testing.T, users ...portal.UserID) portal.Session {
	t.Helper()
	now := p.clock.Now()
	s := portal.Session{ID: newID[portal.SessionID](), Tenant: p.tenant.ID, User: users[0], Choices: users, AMR: []portal.AMR{portal.AMRPassword}, AuthTime: now,
		CreatedAt: now, LastActive: now, IdleEnd: now.Add(10 * time.Hour), End: now.Add(14 * time.Hour), Agent: "Firefox"}
	p.in(t, func(x *store.Tx) error {
		_, err := x.BeginSession(t.Context(), s, digestOf(s.ID), "k1", 5)
		return err
	})
	return s
}

func newID[T ~string]() T { return T(portal.FormatID(secret.NewID())) }

// digestOf is a digest that stands for a token of that name.
func digestOf[T ~string](name T) secret.Digest { return sha256.Sum256([]byte(name)) }

// connect opens a bare connection, on which nothing is set.
func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

const (
	denied    = "42501" // insufficient_privilege: a verb that is not granted, and a policy that refuses a row
	dangling  = "23503" // foreign_key_violation
	nobodys   = "23514" // check_violation: a row of the tenant of nobody
	taken     = "23505" // unique_violation
	unsayable = "22021" // character_not_in_repertoire
)
