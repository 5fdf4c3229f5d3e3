package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// M22, as operators type it: begun by one, confirmed by another, stopped, and told by why.
func TestOperatorsRecoverAnAccountWithTwoPairsOfEyes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	slug := s.tenant.Slug
	refused := func(want string, args ...string) {
		t.Helper()
		out, err := command(t, []string{"PORTALGATE_DATABASE_URL=" + s.house.DB.OperatorURL, "PORTALGATE_KEYRING=" + s.keyring}, "", args...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, and not %q:\n%s", strings.Join(args, " "), err, want, out)
		}
	}
	begin := []string{"user", "recover", "--tenant", slug, "--email", "ann@buyer.example", "--operator", "olga"}
	to := func(more ...string) []string { return append(append([]string{}, begin...), more...) }
	refused("give --reason", to("--to", "ann@elsewhere.example")...)
	refused("somebody has the address", to("--to", "bob@buyer.example", "--reason", "passport")...)
	refused("is the address already", to("--to", "Ann@Buyer.example", "--reason", "passport")...)
	refused("not one plain e-mail address", to("--to", "", "--reason", "passport")...)
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(s.operate(t, "", to("--to", "ann@elsewhere.example", "--reason", "passport", "--json")...)), &made); err != nil || made.ID == "" {
		t.Fatalf("%+v, %v", made, err)
	}
	refused("waits already", to("--to", "another@elsewhere.example", "--reason", "passport")...)
	if out := s.operate(t, "", "user", "recover", "list", "--tenant", slug); !strings.Contains(out, made.ID) || !strings.Contains(out, "ann@elsewhere.example") || !strings.Contains(out, "olga") {
		t.Errorf("the list: %s", out)
	}
	if out := s.operate(t, "", "why", "ann@buyer.example", "--tenant", slug); !strings.Contains(out, "olga has begun a recovery") {
		t.Errorf("why: %s", out)
	}
	act := func(name, who string) []string {
		return []string{"user", "recover", name, "--tenant", slug, "--id", made.ID, "--operator", who, "--reason", "papers"}
	}
	refused("somebody else has to confirm it", act("confirm", "OLGA")...)
	s.operate(t, "", act("confirm", "otto")...)
	refused("otto has confirmed it already", act("confirm", "otilie")...)
	s.operate(t, "", act("stop", "otilie")...)
	refused("waits no more", act("stop", "otilie")...)
	if out := s.operate(t, "", "user", "recover", "list", "--tenant", slug, "--all"); !strings.Contains(out, "stopped") || strings.Contains(out, "ann@elsewhere.example") {
		t.Errorf("afterwards: %s", out)
	}
}
