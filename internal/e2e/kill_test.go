package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// A gateway is killed in the middle of whatever it does, again and again: no deed is half done, and what was
// acknowledged stands.
func TestAKilledGatewayLeavesNoDeedHalfDone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const people = 6
	for i := range people {
		s.house.Person(t, s.tenant, testenv.Visitor{Email: fmt.Sprintf("p%d@buyer.example", i), Name: "Some Body"})
	}
	var acknowledged struct {
		sync.Mutex
		signedIn, signedOut int
	}
	for round := range 3 {
		g := s.start(t)
		var wg sync.WaitGroup
		first := make(chan struct{}, people)
		for i := range people {
			wg.Go(func() {
				for n := range 20 {
					c := client(t)
					if !attempt(c, g.url("/auth/login"), url.Values{"email": {fmt.Sprintf("p%d@buyer.example", i)}, "password": {testenv.Password}}) {
						return
					}
					acknowledged.Lock()
					acknowledged.signedIn++
					acknowledged.Unlock()
					if n == 0 {
						first <- struct{}{}
					}
					if !attempt(c, g.url("/auth/logout"), nil) {
						return
					}
					acknowledged.Lock()
					acknowledged.signedOut++
					acknowledged.Unlock()
				}
			})
		}
		for range 1 + round { // somebody is in, the others are at the door
			select {
			case <-first:
			case <-time.After(20 * time.Second):
				t.Fatal("nobody got in")
			}
		}
		if err := g.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-g.done
		wg.Wait()
	}
	for what, sql := range map[string]string{
		"sessions without their line in the trail": `select count(*) from portalgate.sessions s where not exists (
			select from public.customer_activity_log l where l.session_id = s.id::text and l.activity_type = 'LOGIN')`,
		"lines about sessions that are not there": `select count(*) from public.customer_activity_log l where activity_type = 'LOGIN' and not exists (
			select from portalgate.sessions s where s.id::text = l.session_id)`,
		"sessions without exactly one living leaf": `select count(*) from portalgate.sessions s where 1 <> (
			select count(*) from portalgate.refresh_tokens r where r.session_id = s.id and r.replaced_at is null)`,
		"ends without their announcement": `select count(*) from portalgate.sessions s where ended_at is not null and not exists (
			select from portalgate.revocations r where r.subject = s.id)`,
		"sign-outs without their line": `select count(*) from portalgate.sessions s where end_reason = 'sign_out' and not exists (
			select from public.customer_activity_log l where l.session_id = s.id::text and l.activity_type = 'LOGOUT')`,
	} {
		var n int
		s.house.DB.Row(t, sql, nil, &n)
		if n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	var in, out int
	s.house.DB.Row(t, `select count(*), count(*) filter (where end_reason = 'sign_out') from portalgate.sessions`, nil, &in, &out)
	if in < acknowledged.signedIn || out < acknowledged.signedOut {
		t.Errorf("%d sign-ins and %d sign-outs were acknowledged, %d and %d are there", acknowledged.signedIn, acknowledged.signedOut, in, out)
	}
	t.Logf("%d sign-ins acknowledged, %d stored; %d sign-outs acknowledged, %d stored", acknowledged.signedIn, in, acknowledged.signedOut, out)
}

// attempt posts a form and says whether it was answered as done; a gateway that is gone is no error here.
func attempt(c *http.Client, to string, form url.Values) bool {
	req, err := http.NewRequest(http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := c.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusSeeOther
}
