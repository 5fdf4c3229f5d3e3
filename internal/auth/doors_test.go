package auth_test

import (
	"context"
	"crypto/sha1"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// theft is a source of stolen passwords that knows one, or does not answer.
type theft struct {
	sum    [sha1.Size]byte
	silent atomic.Bool
	asked  atomic.Int64
	hurry  atomic.Bool // it was asked with what is left of a request's patience for the database
}

func (s *theft) Breached(ctx context.Context, sum [sha1.Size]byte) (bool, error) {
	s.asked.Add(1)
	if _, hurried := ctx.Deadline(); hurried {
		s.hurry.Store(true)
	}
	if s.silent.Load() {
		return true, errors.New("does not answer")
	}
	return sum == s.sum, nil
}

// PWD-05: the same passwords are refused at every door with the same words, and when the source of stolen ones does not
// answer the same are taken.
func TestEveryDoorRefusesTheSamePasswordsWithTheSameWords(t *testing.T) {
	t.Parallel()
	const stolen = "Wagons of lids in the yard"
	source := &theft{sum: sha1.Sum([]byte(stolen))}
	h := testenv.NewHouse(t, testenv.Plan{Breaches: source})
	tenant := openDoor(t, h)
	tenant.Name = "Acme Packaging"
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "temporary@buyer.example", MustChange: true})
	h.Person(t, tenant, testenv.Visitor{Email: "forgot@buyer.example"})
	invited := h.Person(t, tenant, testenv.Visitor{Email: "invited@buyer.example", Unverified: true})
	h.DB.Exec(t, `delete from portalgate.credentials where user_id = $1`, invited)

	inside := open(h, &tenant, "203.0.113.7")
	ses := inside.in(t, "ann@buyer.example", testenv.Password)
	temporary := open(h, &tenant, "203.0.113.8")
	waiting, err := temporary.signIn("temporary@buyer.example", testenv.Password)
	if err != nil || waiting.Attempt == nil {
		t.Fatalf("%+v, %v", waiting, err)
	}
	outside := open(h, &tenant, "203.0.113.9")
	if _, err := h.Auth.AskReset(t.Context(), &tenant, outside.client(), "forgot@buyer.example"); err != nil {
		t.Fatal(err)
	}
	reset := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterRecover), "/auth/reset-password")
	q, err := auth.Seal(h.Keys, tenant.ID, portal.Letter{Kind: portal.LetterInvite, User: invited, To: "invited@buyer.example"}, h.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.Queue(t, tenant.ID, q)
	invitation := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterInvite), "/auth/register")

	doors := map[string]func(string) error{
		"change": func(text string) error {
			_, err := h.Auth.ChangePassword(t.Context(), &tenant, inside.client(), ses, testenv.Password, text)
			return err
		},
		"temporary": func(text string) error {
			_, err := h.Auth.FinishPassword(t.Context(), &tenant, temporary.client(), waiting.Attempt.Reveal(), text)
			return err
		},
		"reset": func(text string) error {
			ctx, cancel := auth.Patient(t.Context())
			defer cancel()
			return h.Auth.Reset(ctx, &tenant, outside.client(), reset, text)
		},
		"invitation": func(text string) error {
			return h.Auth.Accept(t.Context(), &tenant, outside.client(), invitation, text)
		},
		"registration": func(text string) error {
			_, err := h.Auth.Register(t.Context(), &tenant, outside.client(), auth.Registration{Email: "new@buyer.example", Name: "Noor van Dyk", Password: text})
			return err
		},
	}
	const (
		common  = "This is a common password. Choose something longer that only you would think of."
		weak    = "This is easy to guess. Add a few words that only you would put together."
		context = "This is mostly your name, your address or the company's. Use a phrase that only you know."
	)
	refused := []struct{ text, words string }{
		{"", "Enter a new password."},
		{"Sunset7", "Use at least 8 characters."},
		{"passwordpassword", common},
		{"P@ssw0rdP@ssw0rd", common},
		{"123456789012345", weak},
		{"correct horse", weak},
		{"acmeacmeacmeacme", context},
		{"Acme Packaging 2026", context},
		{"buyer.example", context},
		{"CustomerPortal1", context},
		{"aaaaaaaaaaaaaaaa", "This is one character over and over. Use a phrase that only you know."},
		{string(make([]byte, 1<<20)), "Use at most 128 characters."},
		{"pallets \xff at dawn", "Some characters of this password cannot be read. Type it again."},
		{stolen, "This password is in a list of passwords stolen from other sites. Choose one that you use nowhere else."},
	}
	for name, door := range doors {
		for _, c := range refused {
			if got := refusal(t, door(c.text)); got.Kind != portal.ProblemInput || got.Field != "password" || got.Public != c.words {
				t.Errorf("%s, %.20q: %+v", name, c.text, got)
			}
		}
	}
	if n := source.asked.Load(); n != int64(len(doors)) {
		t.Errorf("the source was asked %d times: it is asked last, of what the other rules let through", n)
	}
	if source.hurry.Load() {
		t.Error("the source's own bound is not the only one")
	}
	source.silent.Store(true)
	for name, door := range doors {
		if err := door(stolen); err != nil {
			t.Errorf("%s, while the source does not answer: %v", name, err)
		}
	}
}

// Everything that stands in this repository as somebody's password is one that could be set here.
func TestThePasswordsOfTheTestsCouldBeSet(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := openDoor(t, h)
	b := open(h, &tenant, "203.0.113.9")
	if _, err := b.registers(auth.Registration{Email: "new@buyer.example", Name: "Noor van Dyk", Password: testenv.Password}); err != nil {
		t.Error(err)
	}
}
