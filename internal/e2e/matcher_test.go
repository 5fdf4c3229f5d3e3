package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What the gate has found out chooses between the lines that follow it, as in docs/examples/two-tenants.Caddyfile.
func TestTheMatcherChoosesByWhoIsAsking(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// The directive's block is closed and a matcher's left open, which the site's own Caddyfile closes.
	s.block = strings.ReplaceAll(`
	}
	@strong portalgate {
		mfa
	}
	respond @strong "with a second factor"
	@other portalgate {
		tenant another
	}
	respond @other "another company's"
	@here portalgate {
		authenticated
		tenant another SLUG
	}
	respond @here "SLUG, {http.auth.user.email}"
	@nobody portalgate {
		tenant nobody
	`, "SLUG", s.tenant.Slug)
	g := s.start(t)
	said := func(c *http.Client, path string) (int, string) {
		t.Helper()
		res := get(t, c, g.url(path))
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	if code, text := said(g.signedIn(t), "/orders"); code != http.StatusOK || text != s.tenant.Slug+", ann@buyer.example" {
		t.Errorf("somebody signed in: %d %q", code, text)
	}
	if code, text := said(client(t), "/orders"); code != http.StatusUnauthorized || strings.Contains(text, s.tenant.Slug+",") {
		t.Errorf("nobody: %d %q", code, text)
	}
	if _, text := said(client(t), "/assets/app.js"); strings.Contains(text, s.tenant.Slug+",") {
		t.Errorf("nobody, on a public path: %q", text)
	}
}
