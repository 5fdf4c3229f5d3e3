package pages_test

import (
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// ux 48: how long ago the password was set, in words, with the moment for machines; and nothing where nobody knows.
func TestTheAccountSaysWhenThePasswordWasChanged(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	id := f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	for _, c := range []struct {
		ago  time.Duration
		want string
	}{
		{10 * time.Second, "just now"}, {90 * time.Minute, "1 hour ago"}, {13 * 24 * time.Hour, "13 days ago"}, {14 * 24 * time.Hour, "2 weeks ago"}, {59 * 24 * time.Hour, "8 weeks ago"},
		{61 * 24 * time.Hour, "2 months ago"}, {92 * 24 * time.Hour, "3 months ago"}, {370 * 24 * time.Hour, "12 months ago"}, {3*365*24*time.Hour + time.Hour, "3 years ago"},
	} {
		at := f.Clock.Now().Add(-c.ago)
		f.DB.Exec(t, `update public.customer_users set password_changed_at = $2 where id = $1`, id, at)
		told := find(g.get("/auth/account").sees(t, 200).doc(t), "main time")[0]
		if text(told) != c.want || attr(told, "datetime") != at.UTC().Format(time.RFC3339) || attr(told, "title") == "" {
			t.Errorf("%s ago: %q, at %q", c.ago, text(told), attr(told, "datetime"))
		}
	}
	known := len(find(g.get("/auth/account").doc(t), "main time"))
	f.DB.Exec(t, `update public.customer_users set password_changed_at = null where id = $1`, id)
	if n := len(find(g.get("/auth/account").sees(t, 200).doc(t), "main time")); n != known-1 {
		t.Errorf("where nobody knows there are %d times on the page, of %d", n, known)
	}
}
