package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// hand is somebody who writes by SQL, in a transaction that is taken back, and hears the warnings.
type hand struct {
	pgx.Tx
	warned *[]string
}

func (p *place) hand(t *testing.T, address string) hand {
	t.Helper()
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	var warned []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { warned = append(warned, n.Severity+" "+n.Message) }
	c, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return hand{tx, &warned}
}

// does runs a statement, in which $u, $c and $t stand for Ann, her company and the tenant.
func (h hand) does(t *testing.T, p *place, sql string) error {
	t.Helper()
	for name, value := range map[string]string{"$u": string(p.ann), "$t": string(p.tenant.ID)} {
		sql = strings.ReplaceAll(sql, name, "'"+value+"'")
	}
	sql = strings.ReplaceAll(sql, "$c", "(select customer_id from public.customer_users where id = '"+string(p.ann)+"')")
	_, err := h.Exec(t.Context(), sql)
	return err
}

// noted are the notes of this transaction.
func (h hand) noted(t *testing.T, p *place) string {
	t.Helper()
	names := map[string]string{string(p.ann): "ann", string(p.tenant.ID): "tenant"}
	var out []string
	for _, n := range texts(t, h, `select kind || ' ' || subject from portalgate.revocations where xid = pg_current_xact_id() order by id`) {
		kind, subject, _ := strings.Cut(n, " ")
		if names[subject] == "" {
			names[subject] = "other"
		}
		out = append(out, kind+" "+names[subject])
	}
	return strings.Join(out, ", ")
}

func TestWhatTheERPWritesIsNotedInItsTransaction(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	for sql, want := range map[string]string{
		`update public.customer_users set last_login_at = now(), failed_login_attempts = 1, notification_preferences = '{}', updated_at = now() where id = $u`:       "",
		`update public.customer_users set role = role, email = email where id = $u`:                                                                                  "",
		`update public.customer_users set role = 'CUSTOMER_ADMIN' where id = $u`:                                                                                     "user ann",
		`update public.customer_users set email = 'other@buyer.example' where id = $u`:                                                                               "user ann",
		`update public.customer_users set first_name = null where id = $u`:                                                                                           "user ann",
		`update public.customer_users set preferred_language = 'de-DE' where id = $u`:                                                                                "user ann",
		`update public.customer_users set password_hash = null, sso_provider = 'azure' where id = $u`:                                                                "user ann",
		`delete from public.customer_users where id = $u`:                                                                                                            "user ann",
		`insert into public.customer_users (tenant_id, customer_id, email, password_hash) values ($t, $c, 'new@buyer.example', '!')`:                                 "user other",
		`update public.customers set portal_disabled_at = now() where id = $c`:                                                                                       "",
		`update public.customers set portal_enabled = false where id = $c`:                                                                                           "tenant tenant",
		`update public.customers set customer_name = 'Other' where id = $c`:                                                                                          "tenant tenant",
		`insert into public.customers (tenant_id, customer_code, customer_name) values ($t, 'N-1', 'New')`:                                                           "",
		`insert into public.customers (tenant_id, customer_code, customer_name) values ($t, 'N-2', 'New'); delete from public.customers where customer_code = 'N-2'`: "tenant tenant",
		`update public.tenants set default_language = 'de-DE', is_current = false where id = $t`:                                                                     "",
		`update public.tenants set status = 'SUSPENDED' where id = $t`:                                                                                               "tenant tenant",
		`update public.tenants set tenant_code = 'renamed' where id = $t`:                                                                                            "tenant tenant",
		`update public.tenants set deleted_at = now() where id = $t`:                                                                                                 "tenant tenant",
		`insert into public.tenants (tenant_code, tenant_name) values ('another', 'Another')`:                                                                        "tenant other",
	} {
		h := p.hand(t, db.RootURL)
		if err := h.does(t, p, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if got := h.noted(t, p); got != want {
			t.Errorf("%s: noted %q, want %q", sql, got, want)
		}
		if len(*h.warned) > 0 {
			t.Errorf("%s: %q", sql, *h.warned)
		}
		_ = h.Rollback(t.Context())
	}
}

// What somebody else has set stays set, and where nothing was, there is the tenant of nobody: a policy of the ERP's that
// casts the setting would fail on an empty text.
func TestTheERPsOwnTenantStaysSet(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	other := newID[string]()
	for _, sql := range []string{
		`update public.customer_users set role = 'APPROVER' where id = $u`,
		`update public.customer_users set failed_login_attempts = 5 where id = $u`,
		`update public.customer_users set failed_login_attempts = 0, account_locked_until = now() where id = $u`,
		`update public.customers set portal_enabled = false where id = $c`,
		`update public.tenants set status = 'SUSPENDED' where id = $t`,
	} {
		for set, want := range map[string]string{"unset": string(portal.NilTenant), "": string(portal.NilTenant), string(p.tenant.ID): string(p.tenant.ID), other: other} {
			h := p.hand(t, db.RootURL)
			if set != "unset" {
				if _, err := h.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, true)`, set); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.does(t, p, sql); err != nil {
				t.Fatal(err)
			}
			if now := texts(t, h, `select current_setting('app.current_tenant_id', true)`); now[0] != want {
				t.Errorf("%s, with %q set: %q is set afterwards", sql, set, now[0])
			}
			_ = h.Rollback(t.Context())
		}
	}
	// The transaction's end leaves no empty text either, whether our part went well or not.
	bare := testenv.FreshDatabase(t)
	p = newPlace(t, bare)
	for _, broken := range []string{"", `alter table portalgate.revocations rename to gone; alter table portalgate.lockouts rename to gone_too`} {
		if broken != "" {
			bare.Exec(t, broken)
		}
		for i, sql := range []string{`update public.customer_users set first_name = first_name || 'a' where id = $1`, `update public.customer_users set failed_login_attempts = failed_login_attempts + 1 where id = $1`} {
			c := connect(t, bare.RootURL)
			if _, err := c.Exec(t.Context(), sql, p.ann); err != nil {
				t.Fatal(err)
			}
			if now := texts(t, c, `select coalesce(current_setting('app.current_tenant_id', true), 'unset')`); now[0] != string(portal.NilTenant) {
				t.Errorf("%s, broken %t: %q is set after the commit", sql, broken != "", now[0])
			}
			// What a connection has set for itself it keeps.
			if _, err := c.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, false)`, other); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Exec(t.Context(), sql, p.ann); err != nil {
				t.Fatal(err)
			}
			if now := texts(t, c, `select current_setting('app.current_tenant_id', true)`); now[0] != other {
				t.Errorf("%d: %q is set after the commit, and the connection had set %s", i, now[0], other)
			}
		}
	}
	p = newPlace(t, db)
	// The owner of the tables, for whom security is forced, writes in its tenant like anybody.
	h := p.hand(t, db.OwnerURL)
	if _, err := h.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, true)`, string(p.tenant.ID)); err != nil {
		t.Fatal(err)
	}
	if err := h.does(t, p, `update public.customer_users set is_active = false where id = $u`); err != nil {
		t.Fatal(err)
	}
	if got := h.noted(t, p); got != "user ann" || len(*h.warned) > 0 {
		t.Errorf("as the owner: noted %q, %q", got, *h.warned)
	}
}

// An ERP's write never fails because of us: with our tables gone it warns.
func TestAnERPsWriteNeverFailsBecauseOfUs(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	p := newPlace(t, db)
	db.Exec(t, `alter table portalgate.revocations rename to gone; alter table portalgate.lockouts rename to gone_too`)
	for _, sql := range []string{
		`update public.customer_users set is_active = false where id = $u`,
		`update public.customer_users set failed_login_attempts = 5 where id = $u`,
		`update public.customers set portal_enabled = false where id = $c`,
		`update public.tenants set status = 'SUSPENDED' where id = $t`,
		`insert into public.tenants (tenant_code, tenant_name) values ('another', 'Another')`,
		`delete from public.customer_users where id = $u`,
	} {
		h := p.hand(t, db.RootURL)
		if _, err := h.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, true)`, string(p.tenant.ID)); err != nil {
			t.Fatal(err)
		}
		if err := h.does(t, p, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if len(*h.warned) == 0 || !strings.HasPrefix((*h.warned)[0], "WARNING portalgate could not") {
			t.Errorf("%s: it says %q", sql, *h.warned)
		}
		if now := texts(t, h, `select current_setting('app.current_tenant_id', true)`); now[0] != string(p.tenant.ID) {
			t.Errorf("%s: %q is set afterwards", sql, now[0])
		}
		_ = h.Rollback(t.Context())
	}
	// No tenant of nobody can be made, but an ERP may have one from before. What it writes there goes by.
	db.Exec(t, `alter table portalgate.gone rename to revocations; alter table public.tenants drop constraint tenants_somebody`)
	h := p.hand(t, db.RootURL)
	if err := h.does(t, p, `insert into public.tenants (id, tenant_code, tenant_name) values ('00000000-0000-0000-0000-000000000000', 'nobody', 'Nobody')`); err != nil || len(*h.warned) != 1 {
		t.Errorf("a tenant of nobody: %v, %q", err, *h.warned)
	}
}

// When a sign-in or a renewal holds the session, the ERP's write does not fail with it: the note stands, and every
// gateway asks again.
func TestASessionThatIsHeldDoesNotStopTheERP(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	s := p.begin(t, p.ann)
	holder := p.hand(t, db.RootURL)
	if _, err := holder.Exec(t.Context(), `select from portalgate.sessions where id = $1 for update`, s.ID); err != nil {
		t.Fatal(err)
	}
	h := p.hand(t, db.RootURL)
	if err := h.does(t, p, `set local lock_timeout = '20ms'; update public.customer_users set is_active = false where id = $u`); err != nil {
		t.Fatal(err)
	}
	if got := h.noted(t, p); got != "user ann" || len(*h.warned) != 1 || !strings.Contains((*h.warned)[0], "could not end the sessions") {
		t.Errorf("noted %q; it says %q", got, *h.warned)
	}
}

// A person whom the ERP moves to another tenant takes the rows along, and no session.
func TestAPersonWhoIsMovedIsSignedOut(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p, there := newPlace(t, db), newPlace(t, db)
	p.begin(t, p.ann)
	h := p.hand(t, db.RootURL)
	if _, err := h.Exec(t.Context(), `update public.customer_users set (tenant_id, customer_id, email) = (select tenant_id, customer_id, 'moved@buyer.example' from public.customer_users where id = $2) where id = $1`, p.ann, there.ann); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, h, `select 'session ' || (tenant_id = $1) || ' ' || coalesce(end_reason, 'goes on') from portalgate.sessions where user_id = $2
		union all select 'credential ' || (tenant_id = $1) from portalgate.credentials where user_id = $2
		union all select 'note ' || (tenant_id = $1) || ' ' || kind from portalgate.revocations where subject = $2 and xid = pg_current_xact_id() order by 1`, there.tenant.ID, p.ann); !slices.Equal(got, []string{"credential true", "note true user", "session true user_blocked"}) {
		t.Errorf("%q, %q", got, *h.warned)
	}
}

// What somebody else than the gateway writes into the columns about failures goes into the strangers' purse.
func TestALockOutThatTheERPWritesIsBelieved(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	// The address is stored in capitals; the purse is of its canonical form.
	db.Exec(t, `update public.customer_users set email = 'Ann@Buyer.Example' where id = $1`, p.ann)
	for _, c := range []struct {
		what, sql string
		failures  int
		rest      time.Duration // -1: until then something is there, 0: none
		shown     time.Duration // what the column shows
	}{
		{"three failures", `failed_login_attempts = 3`, 3, 0, 0},
		{"the fifth", `failed_login_attempts = 5`, 5, 30 * time.Minute, 30 * time.Minute},
		{"one more of them, which prolongs nothing", `failed_login_attempts = 6`, 6, 30 * time.Minute, 30 * time.Minute},
		{"a rest of its own", `failed_login_attempts = 7, account_locked_until = now() + interval '2 hours'`, 7, 2 * time.Hour, 2 * time.Hour},
		{"unlocked by staff", `failed_login_attempts = 0, account_locked_until = null`, -1, 0, 0},
		{"a rest without failures", `account_locked_until = now() + interval '1 hour'`, 0, time.Hour, time.Hour},
		{"a rest that is over", `account_locked_until = now() - interval '1 hour'`, -1, 0, -time.Hour},
		{"five at once, and a rest said", `failed_login_attempts = 5, account_locked_until = now() + interval '10 minutes'`, 5, 10 * time.Minute, 10 * time.Minute},
	} {
		db.Exec(t, `update public.customer_users set `+c.sql+` where id = $1`, p.ann)
		purses := p.purses(t)
		l, there := purses[""]
		if there != (c.failures >= 0) || there && l.Failures != c.failures || len(purses) > 1 {
			t.Errorf("%s: %+v", c.what, purses)
		}
		if rest := time.Until(l.RestsUntil); there && (c.rest == 0) != l.RestsUntil.IsZero() || c.rest != 0 && (rest > c.rest || rest < c.rest-5*time.Minute) {
			t.Errorf("%s: rests for %s", c.what, rest)
		}
		var active bool
		var until *time.Time
		db.Row(t, `select is_active, account_locked_until from public.customer_users where id = $1`, []any{p.ann}, &active, &until)
		if !active || (until == nil) != (c.shown == 0) || until != nil && (time.Until(*until) > c.shown || time.Until(*until) < c.shown-5*time.Minute) {
			t.Errorf("%s: active %t, locked until %v", c.what, active, until)
		}
	}
	var try store.Try
	p.in(t, func(x *store.Tx) (err error) { try, err = x.SpendTry(t.Context(), annsAddress, ""); return err })
	if !try.Resting {
		t.Errorf("a try during the ERP's rest is paid: %+v", try)
	}
	// The gateway's own mirror is not taken for somebody else's hand.
	p.asOperator(t, func(x *store.Tx) error { _, err := x.Unlock(t.Context(), annsAddress); return err })
	for range 3 {
		p.in(t, func(x *store.Tx) error {
			_, err := x.SpendTry(t.Context(), annsAddress, "")
			if err == nil {
				err = x.Mirror(t.Context(), annsAddress)
			}
			return err
		})
	}
	var mirrored int
	db.Row(t, `select failed_login_attempts from public.customer_users where id = $1`, []any{p.ann}, &mirrored)
	if l := p.purses(t)[""]; mirrored != 3 || l.Failures != 3 || !l.LastFailure.Equal(p.clock.Now()) {
		t.Errorf("mirrored %d of %+v", mirrored, l)
	}
}

func (p *place) purses(t *testing.T) (out map[string]portal.Lockout) {
	t.Helper()
	p.asOperator(t, func(x *store.Tx) (err error) { out, err = x.Purses(t.Context(), annsAddress); return err })
	return out
}

// The database counts an address by the same digest as we do.
func TestTheDatabaseNamesAPurseAsWeDo(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	for _, e := range []portal.Email{annsAddress, "o'hara@buyer.example", `"a\000b"@buyer.example`, "jörg@bücher.example", "", "a@b\\c"} {
		var theirs []byte
		p.in(t, func(x *store.Tx) error {
			return x.QueryRow(t.Context(), `select portalgate.account($1, $2)`, p.tenant.ID, string(e)).Scan(&theirs)
		})
		if string(theirs) != string(store.AccountDigest(p.tenant.ID, e)) {
			t.Errorf("%q: %x", e, theirs)
		}
	}
}

// Beside our hash stands which value of the ERP's it was made beside: the one that was judged, or else the present one.
// The ERP's word wins whenever it is spoken after that.
func TestOurHashKnowsWhichOfTheERPsItStandsBeside(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	erp := func(hash string) {
		t.Helper()
		db.Exec(t, `update public.customer_users set password_hash = $2 where id = $1`, p.ann, "$2b$10$"+hash)
	}
	account := func() (a store.Account) {
		t.Helper()
		p.in(t, func(x *store.Tx) (err error) { a, err = x.Account(t.Context(), p.ann); return err })
		return a
	}
	counts := func(what, want string) {
		t.Helper()
		if s := account().Secret; s.PHC+s.Legacy != want || s.Missing {
			t.Errorf("%s: what counts is %q%q", what, s.PHC, s.Legacy)
		}
	}
	counts("a new person", "$argon2id$made")
	erp("first")
	counts("the ERP has set a password", "$2b$10$first")
	put := func(s *store.Store, phc string, meanwhile string) {
		t.Helper()
		version := account().Secret.Version
		if err := s.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
			if s == p.gateway {
				if _, err := x.Account(t.Context(), p.ann); err != nil {
					return err
				}
			}
			if meanwhile != "" {
				erp(meanwhile)
			}
			ok, err := x.PutSecret(t.Context(), p.ann, phc, "k1", version, false)
			if err == nil && !ok {
				err = fmt.Errorf("version %d is not the present one", version)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(p.operator, "set by a command", "")
	counts("a command replaces what it cannot see", "set by a command")
	erp("second")
	counts("the ERP again", "$2b$10$second")
	put(p.gateway, "upgraded", "")
	counts("upgraded at a sign-in", "upgraded")
	put(p.gateway, "upgraded too late", "third")
	counts("the ERP, while a sign-in judged the value before", "$2b$10$third")
}
