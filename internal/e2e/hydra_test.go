package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/testenv"
)

// hydra guesses with a list of passwords, a program that others have written for nothing else, and returns what it says.
func hydra(t testing.TB, program string, g *gateway, email string, passwords []string) string {
	t.Helper()
	list := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(list, []byte(strings.Join(passwords, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// A sign-in that succeeds is a redirection away from the form; one that fails answers with the form, or a pause.
	form := fmt.Sprintf(`/auth/login:email=^USER^&password=^PASS^:H=Host\: %s\:%s:S=portalgate-refresh`, g.site.tenant.Hosts[0], g.port)
	cmd := exec.CommandContext(ctx, program, "-l", email, "-P", list, "-s", g.port, "-t", "4", "-f", "-I", "-w", "10", "127.0.0.1", "http-post-form", form)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("hydra ended with %v", err)
	}
	return string(out)
}

// M06: hydra, with the right password as the 40th of its list, does not get in; with the right password among the first
// it would, so it knows what it does. The owner's known browser works all the time.
func TestHydraWithTheRightPasswordAsItsFortiethDoesNotGetIn(t *testing.T) {
	program, found := servers.Find(servers.Hydra)
	if !found {
		testenv.Missing(t, "hydra is not installed; this installs it: "+servers.Advice(servers.Hydra))
	}
	s := newSite(t)
	s.redis = testenv.Redis(t)
	g := s.start(t)
	owner := g.signedIn(t)
	wrong := make([]string, 60)
	for i := range wrong {
		wrong[i] = fmt.Sprintf("Password-%d", i)
	}
	control := append([]string{wrong[0], wrong[1], testenv.Password}, wrong[2:20]...)
	if said := hydra(t, program, g, "bob@buyer.example", control); !strings.Contains(said, "1 valid password found") {
		t.Fatalf("hydra does not find a password that is the third of its list; nothing is shown:\n%s", said)
	}
	guesses := append(append(append([]string{}, wrong[:39]...), testenv.Password), wrong[39:]...)
	for range 2 {
		if said := hydra(t, program, g, "ann@buyer.example", guesses); strings.Contains(said, "valid password found") && !strings.Contains(said, "0 valid password") {
			t.Errorf("hydra got in:\n%s", said)
		}
	}
	if res := post(t, client(t), g.url("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("a stranger with the right password is answered %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	if res := post(t, owner, g.url("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the owner's known browser is answered %s", res.Status)
	}
}
