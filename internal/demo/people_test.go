package demo

import (
	"context"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
)

// Whoever tries the demo changes a password and gets it back: what the demo gives away could be set at its own doors.
func TestThePasswordsOfTheDemoCouldBeSetThere(t *testing.T) {
	t.Parallel()
	h, err := password.New(password.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range People {
		first, last, _ := strings.Cut(p.Name, " ")
		tenant := portal.Tenant{Slug: p.Tenant, Name: p.Tenant, Hosts: []string{p.Tenant + ".localhost", p.Tenant + ".portal.localhost"}}
		typed, err := password.Prepare(p.Password)
		if err == nil {
			err = h.Judge(context.Background(), auth.Rules(portal.DefaultPolicy(), &tenant, portal.User{Email: p.Email, FirstName: first, LastName: last}), typed)
		}
		if err != nil {
			t.Errorf("%s, %q: %v", p.Email, p.Password, err)
		}
	}
}
