package store_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/testenv"
)

// granted is what each role can do on each table, whatever way it came to it: by its group, by PUBLIC, by the table or by
// the column. A star is every column. What is not said is refused, and truncating always is: no policy holds for it.
//
// Of the ERP's people the gateway reads no token, and their consents only to hand them out, and writes what legacy.md allows; an operator reads no
// hash, no digest, nothing that checks a second proof, and nothing that waits for the courier. Both read what the ERP's
// rows claim about a second step and the text that they keep for it, and neither writes it: the gateway, because a real
// secret there goes on working once a code of it was right, and anything else never was one; an operator, because
// whoever takes away a person's second steps settles that claim by the digest of that text, or the person would be asked
// for the old one again.
var granted = map[string]map[string]string{
	"app": {
		"public.tenants":   "select id tenant_code tenant_name status default_language default_timezone created_at deleted_at",
		"public.customers": "select id tenant_id customer_code customer_name is_active portal_enabled deleted_at",
		"public.customer_users": "select id customer_id tenant_id email password_hash sso_provider first_name last_name phone mfa_enabled mfa_secret role is_active is_email_verified failed_login_attempts" +
			" account_locked_until last_login_at last_login_ip password_changed_at preferred_language timezone notification_preferences marketing_consent marketing_consent_date marketing_consent_ip data_retention_consent created_at updated_at deleted_at;" +
			" insert id customer_id tenant_id email password_hash first_name last_name role is_active is_email_verified password_changed_at preferred_language created_at updated_at;" +
			" update email is_email_verified failed_login_attempts account_locked_until last_login_at last_login_ip password_changed_at updated_at",
		"public.customer_activity_log": "select *; insert *",
		"portalgate.addresses":         "select *",
		"portalgate.attempts":          "select *; insert *; update *; delete",
		"portalgate.captured":          "select *; insert *; delete",
		"portalgate.challenges":        "select *; insert *; update *; delete",
		"portalgate.coarsened":         "select *",
		"portalgate.credentials":       "select *; insert *; update *",
		"portalgate.devices":           "select *; insert *; update *; delete",
		"portalgate.events":            "select *; insert *",
		"portalgate.factors":           "select *; insert *; update *; delete",
		"portalgate.hosts":             "select *",
		"portalgate.keys":              "select *; insert *",
		"portalgate.lockouts":          "select *; insert *; update *; delete",
		"portalgate.outbox":            "select *; insert *; update *; delete",
		"portalgate.recoveries":        "select *; update addresses due_at confirmed_by confirmed_at state ended_by ended_at why",
		"portalgate.refresh_tokens":    "select *; insert *; update *",
		"portalgate.revocations":       "select *; insert *",
		"portalgate.schema_version":    "select *",
		"portalgate.second_steps":      "select *; insert *; update *; delete",
		"portalgate.sessions":          "select *; insert *; update *",
		"portalgate.settings":          "select *",
		"portalgate.suppressions":      "select *; insert *",
		"portalgate.tickets":           "select *; insert *; update *; delete",
	},
	"operator": {
		"public.tenants":   "select *; insert *; update *",
		"public.customers": "select *; insert *; update *",
		"public.customer_users": "select id customer_id tenant_id email sso_provider first_name last_name phone mfa_enabled mfa_secret role is_active is_email_verified failed_login_attempts" +
			" account_locked_until last_login_at last_login_ip password_changed_at preferred_language timezone notification_preferences marketing_consent marketing_consent_date marketing_consent_ip data_retention_consent created_at updated_at deleted_at;" +
			" insert *;" +
			" update customer_id email first_name last_name phone role is_active is_email_verified email_verification_token email_verification_expires" +
			" failed_login_attempts account_locked_until password_changed_at preferred_language timezone updated_at deleted_at",
		"public.customer_activity_log": "select *; insert *",
		"portalgate.addresses":         "select *",
		"portalgate.captured":          "select *",
		"portalgate.credentials":       "select user_id tenant_id key_id version must_change changed_at by_mail; insert *; update *",
		"portalgate.devices":           "select id tenant_id user_id label agent first_seen last_seen trusted_until; update trusted_until; delete",
		"portalgate.events":            "select *; insert *",
		"portalgate.factors":           "select id tenant_id user_id kind name key_id facts created_at used_at; delete",
		"portalgate.hosts":             "select *; insert *; update *; delete",
		"portalgate.keys":              "select *; insert *",
		"portalgate.lockouts":          "select *; delete",
		"portalgate.outbox": "select id tenant_id kind user_id address key_id language once state tries next_try_at claimed_until last_error created_at done_at more expires_at recipient;" +
			" insert *; update state tries next_try_at claimed_until done_at more",
		"portalgate.recoveries":     "select *; insert *; update addresses due_at confirmed_by confirmed_at state ended_by ended_at why",
		"portalgate.revocations":    "select *; insert *",
		"portalgate.schema_version": "select *",
		"portalgate.second_steps":   "select *; insert *; update *",
		"portalgate.sessions":       "select *; update ended_at end_reason",
		"portalgate.settings":       "select *; insert *; update *; delete",
		"portalgate.suppressions":   "select *; insert *; delete",
		"portalgate.tickets":        "select tenant_id purpose user_id email created_at expires_at spent_at",
	},
	"portalgate_directory": {
		"public.tenants":      "select id tenant_code deleted_at",
		"portalgate.hosts":    "select *",
		"portalgate.settings": "select tenant_id key value version",
	},
	"portalgate_changes": {"portalgate.revocations": "select *"},
	"portalgate_claim":   {"portalgate.outbox": "select id tenant_id state tries next_try_at claimed_until; update tries claimed_until"},
}

// executed are the functions of ours that each role can call.
var executed = map[string][]string{
	"app":                  {"account(uuid, text)", "changes(xid8)", "claim(integer)", "coarsen(text, timestamp with time zone, text[], text[])", "directory()", "forget(text, timestamp with time zone, integer)", "oldest_program()"},
	"operator":             {"account(uuid, text)", "changes(xid8)", "directory()", "erase(uuid[])", "oldest_program()"},
	"portalgate_directory": {"directory()"},
	"portalgate_changes":   {"changes(xid8)"},
	"portalgate_claim":     {"claim(integer)", "gateway_time()"},
}

// columns are those on which a role has a verb; all of them are a star.
func columns(role, table, verb string) []string {
	for _, part := range strings.Split(granted[role][table], ";") {
		if f := strings.Fields(part); len(f) > 0 && f[0] == verb {
			return f[1:]
		}
	}
	return nil
}

// can says whether a role has a verb on a table at all.
func can(role, table, verb string) bool {
	return slices.ContainsFunc(strings.Split(granted[role][table], ";"), func(part string) bool {
		f := strings.Fields(part)
		return len(f) > 0 && f[0] == verb
	})
}

// asker is a connection or a transaction on it.
type asker interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func texts(t *testing.T, q asker, sql string, args ...any) []string {
	t.Helper()
	rows, err := q.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// strayed lists where what the roles can do differs from what is declared.
func strayed(t *testing.T, q asker) (out []string) {
	t.Helper()
	for _, role := range slices.Sorted(maps.Keys(granted)) {
		has := map[string]string{}
		for _, line := range texts(t, q, `select c.oid::regclass || ' ' || string_agg(v.line, '; ' order by v.n, v.line) from pg_class c join pg_namespace n on n.oid = c.relnamespace,
			lateral (
				select 0 as n, verb || ' ' || case when bool_and(ok) then '*' else string_agg(attname, ' ' order by attnum) filter (where ok) end as line
				from pg_attribute a, unnest(array['select', 'insert', 'update', 'references']) verb, lateral (select has_column_privilege($1, c.oid, a.attnum, verb) as ok) o
				where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped group by verb having bool_or(ok)
				union all
				select 1, verb from unnest(array['delete', 'truncate', 'trigger']) verb where has_table_privilege($1, c.oid, verb)
			) v
			where n.nspname in ('public', 'portalgate') and c.relkind in ('r', 'p', 'v', 'm', 'f') group by c.oid`, role) {
			table, verbs, _ := strings.Cut(line, " ")
			if !strings.Contains(table, ".") {
				table = "public." + table
			}
			has[table] = verbs
		}
		for _, table := range slices.Sorted(maps.Keys(has)) {
			if normal(has[table]) != normal(granted[role][table]) {
				out = append(out, fmt.Sprintf("%s on %s: %s", role, table, has[table]))
			}
			delete(has, table)
		}
		for _, table := range texts(t, q, `select x from unnest($1::text[]) x where to_regclass(x) is null order by 1`, slices.Collect(maps.Keys(granted[role]))) {
			out = append(out, fmt.Sprintf("%s has rights on %s, which does not exist", role, table))
		}
		may := texts(t, q, `select p.proname || '(' || oidvectortypes(p.proargtypes) || ')' from pg_proc p join pg_namespace n on n.oid = p.pronamespace
			where n.nspname in ('public', 'portalgate') and has_function_privilege($1, p.oid, 'execute') order by 1`, role)
		if !slices.Equal(may, executed[role]) {
			out = append(out, fmt.Sprintf("%s executes %v", role, may))
		}
		for _, more := range texts(t, q, `select 'create in schema ' || nspname from pg_namespace where nspname in ('public', 'portalgate') and has_schema_privilege($1, oid, 'create')
			union all select 'create in the database' where has_database_privilege($1, current_database(), 'create')
			union all select 'sequence ' || c.oid::regclass from pg_class c where case when relkind = 'S' then has_sequence_privilege($1, c.oid, 'usage, select, update') end
			order by 1`, role) {
			out = append(out, role+": "+more)
		}
	}
	// Whoever else has anything: another role, everybody, what is to come, and what may be passed on.
	return append(out, texts(t, q, `select distinct kind || ' ' || name || ' to ' || case when grantee = 0 then 'everybody' else grantee::regrole::text end || case when is_grantable then ' to pass on' else '' end
		from (
			select 'table' as kind, c.oid::regclass::text as name, c.relowner as owner, x.* from pg_class c, aclexplode(c.relacl) x where relnamespace in ('public'::regnamespace, 'portalgate'::regnamespace)
			union all select 'column', a.attrelid::regclass || '.' || a.attname, c.relowner, x.* from pg_attribute a join pg_class c on c.oid = a.attrelid, aclexplode(a.attacl) x where relnamespace in ('public'::regnamespace, 'portalgate'::regnamespace)
			union all select 'function', p.oid::regprocedure::text, p.proowner, x.* from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x where pronamespace in ('public'::regnamespace, 'portalgate'::regnamespace)
			union all select 'whatever comes', defaclobjtype::text, defaclrole, x.* from pg_default_acl, aclexplode(defaclacl) x
		) held
		where grantee <> owner and (is_grantable or grantee = 0 or kind = 'whatever comes'
			or grantee::regrole::text not in ('portalgate_gateway', 'portalgate_operator', 'portalgate_directory', 'portalgate_changes', 'portalgate_claim'))
		order by 1`)...)
}

// normal is a list of rights whose order does not matter.
func normal(rights string) string {
	var parts []string
	for _, part := range strings.Split(rights, ";") {
		if f := strings.Fields(part); len(f) > 0 {
			slices.Sort(f[1:])
			parts = append(parts, strings.Join(f, " "))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// try makes a change as the superuser that nobody else sees, looks, and takes it back.
func try(t *testing.T, db testenv.DB, change string, look func(q asker)) {
	t.Helper()
	tx, err := connect(t, db.RootURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), change); err != nil {
		t.Fatalf("%s: %v", change, err)
	}
	look(tx)
}

func TestEveryRoleHasTheRightsThatAreDeclaredAndNoOthers(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	if found := strayed(t, connect(t, db.RootURL)); len(found) > 0 {
		t.Errorf("not as declared:\n%s", strings.Join(found, "\n"))
	}
	for change, want := range map[string]string{
		`grant select (mfa_backup_codes) on public.customer_users to portalgate_gateway`:                                                         "app on public.customer_users",
		`grant update (mfa_secret) on public.customer_users to portalgate_gateway`:                                                               "app on public.customer_users",
		`grant select (state) on portalgate.factors to portalgate_operator`:                                                                      "operator on portalgate.factors",
		`grant update (password_hash) on public.customer_users to portalgate_gateway`:                                                            "app on public.customer_users",
		`grant select (phc) on portalgate.credentials to portalgate_operator`:                                                                    "operator on portalgate.credentials",
		`grant delete on portalgate.events to portalgate_operator`:                                                                               "operator on portalgate.events",
		`grant truncate on portalgate.outbox to portalgate_gateway`:                                                                              "delete; truncate",
		`grant select on public.customers to public`:                                                                                             "to everybody",
		`grant execute on function portalgate.claim(integer) to portalgate_operator`:                                                             "operator executes [account(uuid, text) changes(xid8) claim(integer) directory() erase(uuid[]) oldest_program()]",
		`grant execute on function portalgate.gateway_time() to public`:                                                                          "function portalgate.gateway_time() to everybody",
		`create function public.mine() returns int language sql as 'select 1'`:                                                                   "function mine() to everybody",
		`grant create on schema portalgate to portalgate_claim`:                                                                                  "portalgate_claim: create in schema portalgate",
		`alter default privileges in schema portalgate grant select on tables to portalgate_gateway`:                                             "whatever comes r to portalgate_gateway",
		`grant select on portalgate.hosts to portalgate_gateway with grant option`:                                                               "to pass on",
		`create view portalgate.all_of_them as select * from portalgate.sessions; grant select on portalgate.all_of_them to portalgate_operator`: "operator on portalgate.all_of_them",
		`alter table portalgate.lockouts rename to purses`:                                                                                       "app on portalgate.purses",
	} {
		try(t, db, change, func(q asker) {
			if found := strings.Join(strayed(t, q), "\n"); !strings.Contains(found, want) {
				t.Errorf("%s is not noticed: %q", change, found)
			}
		})
	}
}

// AUD-04: what is a trail can only grow, for the gateway and for operators; forget takes from it what is old, nothing
// younger than a month, and erase, which is for operators alone, whom it names.
func TestTheTrailsCanOnlyGrow(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	for who, address := range map[string]string{"the gateway": db.AppURL, "an operator": db.OperatorURL} {
		c := connect(t, address)
		for table, insert := range map[string]string{
			"public.customer_activity_log": `insert into public.customer_activity_log (tenant_id, customer_user_id, activity_type) values ($1, $2, 'LOGIN')`,
			"portalgate.events":            `insert into portalgate.events (tenant_id, verb, at, user_id, result) values ($1, 'LOGIN_FAILED', now(), $2, 'refused')`,
			"portalgate.revocations":       `insert into portalgate.revocations (tenant_id, kind, subject, at) values ($1, 'user', $2, now())`,
		} {
			for _, verb := range []string{`update %s set tenant_id = tenant_id`, `delete from %s`, `truncate %s`, `select from %s for update`} {
				tx, err := c.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, true)`, string(p.tenant.ID)); err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(t.Context(), insert, p.tenant.ID, p.ann); err != nil {
					t.Fatalf("%s cannot write into %s: %v", who, table, err)
				}
				if _, err := tx.Exec(t.Context(), fmt.Sprintf(verb, table)); code(err) != denied {
					t.Errorf("%s: "+verb+": %v", who, table, err)
				}
				_ = tx.Rollback(t.Context())
			}
		}
	}
}
