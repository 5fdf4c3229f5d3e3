package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// What a mailbox pipes in stops mail to an address that is dead, and nothing else does.
func TestAReportThatAMailboxPipesInStopsMailToADeadAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	slug, letter := s.tenant.Slug, "0b8c1d2e-3f40-4a5b-8c6d-7e8f90a1b2c3"
	s.house.DB.Exec(t, `insert into portalgate.outbox (id, tenant_id, kind, address, key_id, state, recipient, next_try_at, created_at, done_at) values ($1, $2, 'recover', '', 'k', 'sent', $3, now(), now(), now())`,
		letter, s.tenant.ID, store.AddressDigest(s.tenant.ID, portal.Email("ann@buyer.example")))
	report := func(id, to, status string) string {
		return fmt.Sprintf("Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"+
			"Final-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: %s\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <%s@acme.example>\r\n\r\n--b--\r\n", to, status, id)
	}
	pipe := func(in string) string { t.Helper(); return s.operate(t, in, "mail", "bounce", "--tenant", slug) }
	for name, in := range map[string]string{
		"somebody's holiday": "Subject: away\r\n\r\nuntil Monday", "a letter that is not ours": report("0b8c1d2e-3f40-4a5b-8c6d-000000000000", "ann@buyer.example", "5.1.1"), "another's address": report(letter, "bob@buyer.example", "5.1.1"),
	} {
		if out := pipe(in); !strings.Contains(out, "passed over") {
			t.Errorf("%s: %s", name, out)
		}
	}
	if out := pipe(report(letter, "ann@buyer.example", "5.2.2")); !strings.Contains(out, "says nothing about the next one") {
		t.Errorf("a full mailbox: %s", out)
	}
	if out := s.operate(t, "", "mail", "suppressed", "list", "--tenant", slug); !strings.Contains(out, "mail is sent to every address") {
		t.Errorf("the list: %s", out)
	}
	for _, want := range []string{"no more mail is sent to ann@buyer.example", "known already"} {
		if out := pipe(report(letter, "Ann@buyer.example", "5.1.1")); !strings.Contains(out, want) {
			t.Errorf("it says %s", out)
		}
	}
	if out := s.operate(t, "", "why", "ann@buyer.example", "--tenant", slug); !strings.Contains(out, "5.1.1") || !strings.Contains(out, "mail suppressed remove") {
		t.Errorf("why: %s", out)
	}
	s.operate(t, "", "mail", "suppressed", "remove", "--tenant", slug, "--email", "ann@buyer.example", "--reason", "mailbox is back")
	if out := s.operate(t, "", "mail", "suppressed", "list", "--tenant", slug, "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("the list: %s", out)
	}
}
