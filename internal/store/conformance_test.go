package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// without are our tables that belong to no tenant, and why nobody's secret is in them.
var without = map[string]string{
	"portalgate.keys":               "fingerprints of keys, to know the keyring again",
	"portalgate.schema_version":     "numbers",
	"portalgate.schema_version_erp": "numbers",
}

// sample is a row of each table, in the order in which they refer to each other. $1 is the tenant, which ids are made
// from, so that the same statement is a row of any tenant. A new table fails here until it has a line.
var sample = []struct{ table, insert string }{
	{"public.tenants", `insert into public.tenants (id, tenant_code, tenant_name) values ($1::uuid, $1::uuid::text, 'Sample')`},
	{"public.customers", `insert into public.customers (id, tenant_id, customer_code, customer_name) values (md5($1::uuid || 'customer')::uuid, $1, 'C-1', 'Company')`},
	{"public.customer_users", `insert into public.customer_users (id, tenant_id, customer_id, email, password_hash)
		values (md5($1::uuid || 'user')::uuid, $1, md5($1::uuid || 'customer')::uuid, 'twin@buyer.example', '!portalgate')`},
	{"public.customer_activity_log", `insert into public.customer_activity_log (tenant_id, customer_user_id, activity_type) values ($1::uuid, md5($1::uuid || 'user')::uuid, 'LOGIN')`},
	{"portalgate.hosts", `insert into portalgate.hosts (host, tenant_id) values (md5($1::uuid::text) || '.localhost', $1)`},
	{"portalgate.settings", `insert into portalgate.settings (tenant_id, key, value, changed_at) values ($1::uuid, 'mode', '"on"', now())`},
	{"portalgate.credentials", `insert into portalgate.credentials (user_id, tenant_id, phc, legacy_digest, changed_at) values (md5($1::uuid || 'user')::uuid, $1, 'phc', '\x00', now())`},
	{"portalgate.lockouts", `insert into portalgate.lockouts (tenant_id, account, failures, last_failure) values ($1::uuid, '\x01', 1, now())`},
	{"portalgate.devices", `insert into portalgate.devices (id, tenant_id, user_id, digest, label, agent, first_seen, last_seen)
		values (md5($1::uuid || 'device')::uuid, $1, md5($1::uuid || 'user')::uuid, '\x02', '', '', now(), now())`},
	{"portalgate.sessions", `insert into portalgate.sessions (id, tenant_id, user_id, choices, device_id, remember, amr, auth_time, created_at, last_active_at, idle_end, ends_at, agent)
		values (md5($1::uuid || 'session')::uuid, $1, md5($1::uuid || 'user')::uuid, array[md5($1::uuid || 'user')::uuid], md5($1::uuid || 'device')::uuid, false, '{pwd}', now(), now(), now(), now(), now(), '')`},
	{"portalgate.refresh_tokens", `insert into portalgate.refresh_tokens (digest, tenant_id, session_id, generation, key_id, created_at)
		values (sha256($1::uuid::text::bytea), $1, md5($1::uuid || 'session')::uuid, 0, 'k', now())`},
	{"portalgate.attempts", `insert into portalgate.attempts (id, tenant_id, digest, users, verified, expired, shown, remember, return_to, created_at, expires_at)
		values (md5($1::uuid || 'attempt')::uuid, $1, sha256($1::uuid::text::bytea), '{}', true, false, '{}', false, '/', now(), now())`},
	{"portalgate.outbox", `insert into portalgate.outbox (id, tenant_id, kind, address, key_id, next_try_at, created_at) values (md5($1::uuid || 'letter')::uuid, $1, 'recover', '\x03', 'k', now(), now())`},
	{"portalgate.tickets", `insert into portalgate.tickets (id, tenant_id, digest, purpose, user_id, email, stamp, created_at, expires_at)
		values (md5($1::uuid || 'ticket')::uuid, $1, sha256($1::uuid::text::bytea), 'recover', md5($1::uuid || 'user')::uuid, 'twin@buyer.example', '\x04', now(), now())`},
	{"portalgate.captured", `insert into portalgate.captured (id, tenant_id, kind, message, key_id, created_at) values (md5($1::uuid || 'captured')::uuid, $1, 'recover', 'v1:', 'k', now())`},
	{"portalgate.recoveries", `insert into portalgate.recoveries (id, tenant_id, user_id, addresses, key_id, letter_id, begun_by, reason, begun_at, due_at)
		values (md5($1::uuid || 'recovery')::uuid, $1, md5($1::uuid || 'user')::uuid, '\x05', 'k', md5($1::uuid || 'letter')::uuid, 'olga', 'lost all', now(), now())`},
	{"portalgate.addresses", `insert into portalgate.addresses (tenant_id, user_id, account) values ($1::uuid, md5($1::uuid || 'user')::uuid, sha256($1::uuid::text::bytea))
		on conflict (tenant_id, user_id) do update set account = excluded.account`},
	{"portalgate.suppressions", `insert into portalgate.suppressions (tenant_id, account, address, key_id, cause, letter_id, at) values ($1::uuid, sha256($1::uuid::text::bytea), '\x06', 'k', 'bounce', md5($1::uuid || 'letter')::uuid, now())`},
	{"portalgate.factors", `insert into portalgate.factors (id, tenant_id, user_id, kind, name, state, key_id, lookup, created_at)
		values (md5($1::uuid || 'factor')::uuid, $1, md5($1::uuid || 'user')::uuid, 'webauthn', 'Key', 'v1:', 'k', sha256($1::uuid::text::bytea), now())`},
	{"portalgate.challenges", `insert into portalgate.challenges (id, tenant_id, holder, purpose, kind, state, key_id, tries, created_at, expires_at)
		values (md5($1::uuid || 'challenge')::uuid, $1, sha256($1::uuid::text::bytea), 'sign in', 'webauthn', 'v1:', 'k', 5, now(), now())`},
	{"portalgate.second_steps", `insert into portalgate.second_steps (tenant_id, user_id, told_at, settled) values ($1::uuid, md5($1::uuid || 'user')::uuid, now(), '\x07')`},
	{"portalgate.coarsened", `insert into portalgate.coarsened (tenant_id, log, upto) values ($1::uuid, 'events', now())`},
	{"portalgate.events", `insert into portalgate.events (tenant_id, verb, at, result) values ($1::uuid, 'LOGIN_FAILED', now(), 'refused')`},
	{"portalgate.revocations", `insert into portalgate.revocations (tenant_id, kind, subject, at) values ($1::uuid, 'tenant', $1, now())`},
}

// tenantColumn is what says whose a row is.
func tenantColumn(table string) string {
	if table == "public.tenants" {
		return "id"
	}
	return "tenant_id"
}

// tables reads from the catalog whatever holds rows of tenants: all there is but the tables that belong to none.
func tables(t *testing.T, q asker) []string {
	t.Helper()
	all := texts(t, q, `select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and n.nspname not like 'pg\_temp%' and c.relkind in ('r', 'p', 'f', 'm', 'v') order by 1`)
	for name := range without {
		if !slices.Contains(all, name) {
			t.Errorf("no longer there, take it off the list: %s", name)
		}
	}
	return slices.DeleteFunc(all, func(name string) bool { return without[name] != "" })
}

// peopled is a database with a row of two tenants in every table.
func peopled(t *testing.T) (db testenv.DB, a, b string) {
	t.Helper()
	db = testenv.FreshDatabase(t)
	a, b = newID[string](), newID[string]()
	root := connect(t, db.RootURL)
	for _, tenant := range []string{a, b} {
		for _, s := range sample {
			if _, err := root.Exec(t.Context(), s.insert, tenant); err != nil {
				t.Fatalf("the sample of %s: %v", s.table, err)
			}
		}
	}
	return db, a, b
}

// probe tries statements in one transaction, each as if it were the only one, and leaves nothing.
type probe struct {
	t   *testing.T
	tx  pgx.Tx
	who string
}

func (p probe) rows(sql string, args ...any) (int64, string) {
	p.t.Helper()
	sp, err := p.tx.Begin(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = sp.Rollback(p.t.Context()) }()
	tag, err := sp.Exec(p.t.Context(), sql, args...)
	if err != nil && code(err) == "" {
		p.t.Fatalf("%s: %s: %v", p.who, sql, err)
	}
	if code(err) == denied && strings.Contains(err.Error(), "row-level security") {
		return 0, closed
	}
	return tag.RowsAffected(), code(err)
}

// closed stands for a refusal by a policy, to tell it from one for want of a right.
const closed = "row-level security"

// TEN-05, TEN-06: every table, every verb, in every state in which a connection can be; as the gateway, as an operator,
// and as the owner, who has every right that can be granted, so that for each verb it is the policy that is seen at work.
func TestNoVerbOnAnyTableReachesAnotherTenant(t *testing.T) {
	t.Parallel()
	db, a, b := peopled(t)
	all := tables(t, connect(t, db.RootURL))
	samples := map[string]string{}
	for _, s := range sample {
		samples[s.table] = s.insert
	}
	const unset = "unset"
	nil0 := string(portal.NilTenant)
	for role, address := range map[string]string{"app": db.AppURL, "operator": db.OperatorURL, "owner": db.OwnerURL} {
		for state, setting := range map[string]string{"no tenant": unset, "an empty tenant": "", "the tenant of nobody": nil0, "an unknown tenant": newID[string](), "another tenant": b, "its own tenant": a} {
			t.Run(role+" with "+state, func(t *testing.T) {
				t.Parallel()
				c := connect(t, address)
				tx, err := c.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback(t.Context()) }()
				alone := "pg_advisory_xact_lock_shared"
				if role == "owner" { // it empties tables, which would take locks the other way round than a row of them does
					alone = "pg_advisory_xact_lock"
				}
				if _, err := tx.Exec(t.Context(), `select `+alone+`(1)`); err != nil {
					t.Fatal(err)
				}
				if setting != unset {
					if _, err := tx.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, true)`, setting); err != nil {
						t.Fatal(err)
					}
				}
				for _, table := range all {
					insert, ok := samples[table]
					if !ok {
						t.Fatalf("%s has no row in the sample of this test", table)
					}
					p := probe{t, tx, role + " with " + state}
					p.each(role, table, insert, a, setting)
					if role != "owner" {
						continue
					}
					if _, said := p.rows(insert, nil0); said == "" {
						t.Errorf("%s writes a row of nobody into %s", p.who, table)
					}
				}
			})
		}
	}
}

// each tries every verb on rows of a tenant. It is refused where the role has no right, finds nothing where the setting
// is not that tenant, and reaches the row where it is: a check that cannot fail is none.
func (p probe) each(role, table, insert, whose, setting string) {
	p.t.Helper()
	own, has := whose == setting, func(verb string) bool { return role == "owner" || can(role, table, verb) }
	column := tenantColumn(table)
	// What is read in a condition must be readable, or the verb is refused for that.
	reads := func(c string) bool {
		cols := columns(role, table, "select")
		return role == "owner" || slices.Contains(cols, "*") || slices.Contains(cols, c)
	}
	changed := column
	if cols := columns(role, table, "update"); role != "owner" && len(cols) > 0 && cols[0] != "*" {
		changed = cols[0]
	}
	for verb, sql := range map[string]string{
		"select": fmt.Sprintf(`select %[2]s from %[1]s where %[2]s = $1`, table, column),
		"update": fmt.Sprintf(`update %s set %[3]s = %[3]s where %[2]s = $1`, table, column, changed),
		"delete": fmt.Sprintf(`delete from %s where %s = $1`, table, column),
	} {
		n, said := p.rows(sql, whose)
		switch allowed := has(verb) && reads(column) && (verb != "update" || reads(changed)); {
		case !allowed && said != denied:
			p.t.Errorf("%s: %s on %s is not refused: %d rows, %s", p.who, verb, table, n, said)
		case allowed && own && (n == 0 || said != "") && said != dangling:
			p.t.Errorf("%s: %s on %s does not reach its own row: %d rows, %s", p.who, verb, table, n, said)
		case allowed && !own && (n != 0 || said != ""):
			p.t.Errorf("%s: %s on %s: %d rows, %s", p.who, verb, table, n, said)
		}
	}
	for verb, sql := range map[string]string{
		"select": fmt.Sprintf(`select from %s where %s is distinct from $1::uuid`, table, column),
		"update": fmt.Sprintf(`update %s set %[3]s = %[3]s where %[2]s is distinct from $1::uuid`, table, column, changed),
		"delete": fmt.Sprintf(`delete from %s where %s is distinct from $1::uuid`, table, column),
	} {
		mine := setting
		if len(setting) != len(whose) {
			mine = string(portal.NilTenant)
		}
		if n, said := p.rows(sql, mine); n != 0 || said != "" && said != denied {
			p.t.Errorf("%s: %s without a condition on %s reaches %d rows that are not its own, %s", p.who, verb, table, n, said)
		}
	}
	_, said := p.rows(insert, whose)
	switch {
	case !has("insert") && said != denied:
		p.t.Errorf("%s: insert into %s is not refused: %s", p.who, table, said)
	case has("insert") && own && said != "" && said != taken:
		p.t.Errorf("%s: its own row cannot be written into %s: %s", p.who, table, said)
	case has("insert") && !own && said != closed:
		p.t.Errorf("%s: a row of another tenant is not refused by the policy of %s: %s", p.who, table, said)
	}
	// A row cannot be given away, nor taken.
	if n, said := p.rows(fmt.Sprintf(`update %s set %[2]s = $2 where %[2]s = $1`, table, column), whose, newID[string]()); n != 0 || own && said != denied && said != closed {
		p.t.Errorf("%s: rows of %s are given away: %d, %s", p.who, table, n, said)
	}
	if _, said := p.rows(`truncate ` + table + ` cascade`); role != "owner" && said != denied {
		p.t.Errorf("%s: truncating %s: %s", p.who, table, said)
	}
	if _, said := p.rows(insert, string(portal.NilTenant)); said == "" {
		p.t.Errorf("%s: a row of nobody is written into %s", p.who, table)
	}
}

// beside are the policies that stand beside the one of the tenant, each for the owner of one function.
var beside = map[string][]string{
	"portalgate.hosts":       {"portalgate_directory r portalgate_directory (CURRENT_USER = 'portalgate_directory'::name) -"},
	"portalgate.settings":    {"portalgate_directory r portalgate_directory ((key = ANY (ARRAY['mode'::text, 'brand'::text])) AND (CURRENT_USER = 'portalgate_directory'::name)) -"},
	"public.tenants":         {"portalgate_directory r portalgate_directory (CURRENT_USER = 'portalgate_directory'::name) -"},
	"portalgate.revocations": {"portalgate_changes r portalgate_changes (CURRENT_USER = 'portalgate_changes'::name) -"},
	"portalgate.outbox": {
		"portalgate_claim w portalgate_claim ((CURRENT_USER = 'portalgate_claim'::name) AND (state = 'waiting'::text)) ((CURRENT_USER = 'portalgate_claim'::name) AND (state = 'waiting'::text))",
		"portalgate_claim_look r portalgate_claim (CURRENT_USER = 'portalgate_claim'::name) -",
	},
}

// unguarded lists the tables that row-level security does not guard as it should.
func unguarded(t *testing.T, q asker) (out []string) {
	t.Helper()
	for _, table := range tables(t, q) {
		out = append(out, texts(t, q, `select $1 || what from pg_class c, lateral (values
				(' is not forced', c.relrowsecurity and c.relforcerowsecurity),
				(' is no table', c.relkind in ('r', 'p')),
				(' takes rows of nobody', $2 or exists (select from pg_constraint k where k.conrelid = c.oid and k.convalidated and k.contype = 'c'
					and pg_get_constraintdef(k.oid) like 'CHECK ((%id <> ''00000000-0000-0000-0000-000000000000''::uuid))'))
			) v (what, well) where c.oid = $1::regclass and not well`, table, strings.HasPrefix(table, "public.") && table != "public.tenants")...)
		own := fmt.Sprintf(`(%s = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)`, tenantColumn(table))
		want := append([]string{"portalgate_tenant * everybody " + own + " " + own}, beside[table]...)
		slices.Sort(want)
		if has := texts(t, q, `select p.polname || ' ' || p.polcmd::text || case when p.polpermissive then '' else ' restrictive' end
				|| ' ' || (select string_agg(case when g = 0 then 'everybody' else pg_get_userbyid(g)::text end, ' ') from unnest(p.polroles) g)
				|| ' ' || coalesce(pg_get_expr(p.polqual, p.polrelid), '-') || ' ' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '-')
			from pg_policy p where p.polrelid = $1::regclass order by p.polname collate "C"`, table); !slices.Equal(has, want) {
			out = append(out, fmt.Sprintf("%s has policies %q", table, has))
		}
	}
	return out
}

// The tables that refer to a tenant need no check of their own against nobody's: there is no such tenant.
func TestEveryTableIsForcedAndANewOneFailsByExisting(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	if found := unguarded(t, connect(t, db.RootURL)); len(found) > 0 {
		t.Error(strings.Join(found, "\n"))
	}
	for change, want := range map[string]string{
		`create table portalgate.leak (tenant_id uuid)`:                                                                                  "portalgate.leak is not forced",
		`create table public.leak (tenant_id uuid)`:                                                                                      "public.leak is not forced",
		`create schema other create table leak ()`:                                                                                       "other.leak is not forced",
		`create table portalgate.leak (tenant_id uuid); alter table portalgate.leak enable row level security`:                           "portalgate.leak is not forced",
		`create table portalgate.leak (tenant_id uuid); alter table portalgate.leak enable row level security, force row level security`: "portalgate.leak has policies []",
		`create view portalgate.leak as select * from portalgate.sessions`:                                                               "portalgate.leak is no table",
		`create materialized view portalgate.leak as select * from portalgate.sessions`:                                                  "portalgate.leak is no table",
		`alter table portalgate.sessions no force row level security`:                                                                    "portalgate.sessions is not forced",
		`alter table public.tenants disable row level security`:                                                                          "public.tenants is not forced",
		`drop policy portalgate_tenant on portalgate.outbox`:                                                                             "portalgate.outbox has policies",
		`create policy reports on portalgate.events for select using (true)`:                                                             "portalgate.events has policies",
		`alter policy portalgate_tenant on portalgate.events with check (true)`:                                                          "portalgate.events has policies",
		`alter policy portalgate_changes on portalgate.revocations to public`:                                                            "portalgate.revocations has policies",
		`alter policy portalgate_directory on portalgate.settings using (true)`:                                                          "portalgate.settings has policies",
		`alter table portalgate.revocations drop constraint somebodys`:                                                                   "portalgate.revocations takes rows of nobody",
		`alter table public.tenants drop constraint tenants_somebody`:                                                                    "public.tenants takes rows of nobody",
	} {
		try(t, db, change, func(q asker) {
			if found := strings.Join(unguarded(t, q), "\n"); !strings.Contains(found, want) {
				t.Errorf("%s is not noticed: %q", change, found)
			}
		})
	}
}

// A foreign key's check sees the rows of all tenants. A row must not point at another tenant's all the same, or the
// check would tell who exists there (TEN-09).
func TestNoReferenceLeadsIntoAnotherTenant(t *testing.T) {
	t.Parallel()
	db, a, b := peopled(t)
	if found := texts(t, connect(t, db.RootURL), `select conrelid::regclass || ' ' || pg_get_constraintdef(k.oid) from pg_constraint k
		where contype = 'f' and confrelid <> 'public.tenants'::regclass
			and not exists (select from unnest(conkey, confkey) pair (mine, yours)
				join pg_attribute m on m.attrelid = conrelid and m.attnum = mine and m.attname = 'tenant_id'
				join pg_attribute y on y.attrelid = confrelid and y.attnum = yours and y.attname = 'tenant_id')`); len(found) > 0 {
		t.Errorf("references that do not name the tenant: %q", found)
	}
	tx, err := connect(t, db.AppURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, true)`, a); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`insert into portalgate.credentials (user_id, tenant_id, phc, legacy_digest, changed_at) values (md5($2::uuid || 'user')::uuid, $1, 'phc', '\x00', now())`,
		`insert into portalgate.credentials (user_id, tenant_id, phc, changed_at) values (md5($2::uuid || 'user')::uuid, $1, 'phc', now())`,
		`insert into portalgate.devices (tenant_id, user_id, digest, label, agent, first_seen, last_seen) values ($1, md5($2::uuid || 'user')::uuid, '\x02', '', '', now(), now())`,
		`insert into portalgate.sessions (id, tenant_id, user_id, choices, remember, amr, auth_time, created_at, last_active_at, idle_end, ends_at, agent)
			values (gen_random_uuid(), $1, md5($2::uuid || 'user')::uuid, array[md5($2::uuid || 'user')::uuid], false, '{pwd}', now(), now(), now(), now(), now(), '')`,
		`insert into portalgate.refresh_tokens (digest, tenant_id, session_id, generation, key_id, created_at) values ('\x05', $1, md5($2::uuid || 'session')::uuid, 7, 'k', now())`,
		`insert into public.customer_activity_log (tenant_id, customer_user_id, activity_type) values ($1, md5($2::uuid || 'user')::uuid, 'LOGIN')`,
		`insert into portalgate.outbox (id, tenant_id, kind, user_id, address, key_id, next_try_at, created_at) values (gen_random_uuid(), $1, 'note', md5($2::uuid || 'user')::uuid, '\x03', 'k', now(), now())`,
		`insert into portalgate.tickets (id, tenant_id, digest, purpose, user_id, email, stamp, created_at, expires_at)
			values (gen_random_uuid(), $1, sha256('x'), 'recover', md5($2::uuid || 'user')::uuid, 'twin@buyer.example', '\x04', now(), now())`,
		`insert into portalgate.factors (id, tenant_id, user_id, kind, name, state, key_id, created_at) values (gen_random_uuid(), $1, md5($2::uuid || 'user')::uuid, 'totp', 'App', 'v1:', 'k', now())`,
		`insert into portalgate.second_steps (tenant_id, user_id, told_at) values ($1, md5($2::uuid || 'user')::uuid, now())`,
		`update portalgate.sessions set device_id = md5($2::uuid || 'device')::uuid where tenant_id = $1`,
	} {
		answers := map[string]string{}
		for who, id := range map[string]string{"somebody of another tenant": b, "nobody at all": newID[string]()} {
			sp, err := tx.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, err = sp.Exec(t.Context(), sql, a, id)
			answers[who] = code(err)
			_ = sp.Rollback(t.Context())
		}
		if s := answers["nobody at all"]; s == "" || s != answers["somebody of another tenant"] {
			t.Errorf("%s: %v", sql, answers)
		}
	}
}
