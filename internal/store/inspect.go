package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Versions are the versions of the schema that a program can work with.
type Versions struct {
	Oldest, Latest int64
	Server         int // the oldest line of PostgreSQL
}

// The group that the gateway's login is in, and no other; and that of the logins with which commands run.
const (
	gatewayRole  = "portalgate_gateway"
	operatorRole = "portalgate_operator"
)

// Operates says whether this login is one with which commands run.
func (s *Store) Operates(ctx context.Context) (yes bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	err = s.pool.QueryRow(ctx, `select exists (select from pg_auth_members am join pg_roles g on g.oid = am.roleid join pg_roles m on m.oid = am.member
		where g.rolname = $1 and m.rolname = current_user and not m.rolsuper)`, operatorRole).Scan(&yes)
	return yes, said(err)
}

// Unfit is a complaint about the database: what is wrong, and what to do.
type Unfit struct{ Problem, Fix string }

// Error joins the two.
func (u *Unfit) Error() string { return "database: " + u.Problem + "; " + u.Fix }

// Inspect judges whether the gateway may serve with this database: its role, row-level security, its version. Every
// complaint is in the error, each with its mend; nil means fit (CFG-02, TEN-05).
func (s *Store) Inspect(ctx context.Context, v Versions) error {
	ctx, cancel := context.WithTimeout(ctx, 3*s.wait)
	defer cancel()
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	q := conn.Conn()
	var all []error
	unfit := func(fix, problem string, args ...any) {
		all = append(all, &Unfit{fmt.Sprintf(problem, args...), fix})
	}

	var server int
	if err := q.QueryRow(ctx, `select current_setting('server_version_num')::int / 10000`).Scan(&server); err != nil {
		return said(fmt.Errorf("asking for the server's version: %w", err))
	}
	if server < v.Server { // nobody mends the holes in its row-level security any more
		unfit(fmt.Sprintf("move it to PostgreSQL %d or newer", v.Server), "PostgreSQL %d is too old", server)
	}
	var role string
	var super, bypass, createRole, createDB bool
	var owned int
	var groups []string
	err = q.QueryRow(ctx, `select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,
			(select count(*) from pg_class c where c.relowner = r.oid),
			coalesce((select array_agg(m.rolname order by m.rolname) from pg_auth_members am join pg_roles m on m.oid = am.roleid where am.member = r.oid), '{}')
		from pg_roles r where rolname = current_user`).Scan(&role, &super, &bypass, &createRole, &createDB, &owned, &groups)
	if err != nil {
		return said(fmt.Errorf("looking at the role: %w", err))
	}
	const own = "connect as a role made with `create role app login password '…' in role portalgate_gateway`"
	switch {
	case super:
		unfit(own, "role %s is a superuser and would see every tenant", role)
	case bypass:
		unfit(own, "role %s bypasses row-level security and would see every tenant", role)
	}
	if createRole || createDB {
		unfit(own, "role %s may create roles or databases, which the gateway never needs", role)
	}
	if owned > 0 {
		unfit(own, "role %s owns %d tables or indexes, and an owner can lift row-level security", role, owned)
	}
	member, operator := false, false
	for _, g := range groups {
		switch g {
		case gatewayRole:
			member = true
		case operatorRole:
			operator = true
			unfit(own, "role %s is an operator's, for commands, and may do what the gateway never should", role)
		default:
			unfit("take it out of that role: `revoke "+g+" from "+role+"`", "role %s is a member of %s and could become it", role, g)
		}
	}

	var schema bool
	if err := q.QueryRow(ctx, `select to_regnamespace('portalgate') is not null and to_regclass('portalgate.schema_version') is not null`).Scan(&schema); err != nil {
		return said(fmt.Errorf("looking for the schema: %w", err))
	}
	if !schema {
		unfit("run `portalgate migrate up --database \"$OWNER_URL\"`", "it has no schema portalgate")
		return errors.Join(all...)
	}
	if !member {
		if !super && !operator {
			unfit("`grant portalgate_gateway to "+role+"`", "role %s is not a member of portalgate_gateway", role)
		}
		return errors.Join(all...)
	}
	var version int64
	if err := q.QueryRow(ctx, `select coalesce(max(version_id), 0) from portalgate.schema_version where is_applied`).Scan(&version); err != nil {
		return said(fmt.Errorf("reading the version: %w", err))
	}
	switch {
	case version < v.Oldest:
		unfit("run `portalgate migrate up --database \"$OWNER_URL\"`", "its schema is at version %d and this program needs %d", version, v.Oldest)
	case version > v.Latest:
		// A neighbouring release is being rolled out, or one was rolled back.
		var oldest int64
		if err := q.QueryRow(ctx, `select portalgate.oldest_program()`).Scan(&oldest); err != nil {
			return said(fmt.Errorf("asking which programs may run: %w", err))
		}
		if oldest > v.Latest {
			unfit("run the program of that release, or a newer one", "its schema is at version %d, which needs a program that knows %d, and this one knows only up to %d", version, oldest, v.Latest)
		}
	}

	rows, err := q.Query(ctx, `select n.nspname || '.' || c.relname from pg_class c
			join pg_namespace n on n.oid = c.relnamespace
			join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
			where c.relkind in ('r', 'p') and n.nspname in ('portalgate', 'public') and not (c.relrowsecurity and c.relforcerowsecurity)
				and (n.nspname = 'portalgate' or c.relname in ('customers', 'customer_users', 'customer_activity_log'))
		union all
		select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
			where n.nspname = 'public' and c.relname = 'tenants' and not (c.relrowsecurity and c.relforcerowsecurity)
		order by 1`)
	if err != nil {
		return said(fmt.Errorf("looking at row-level security: %w", err))
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return said(fmt.Errorf("looking at row-level security: %w", err))
	}
	if len(open) > 0 {
		unfit("run `portalgate migrate up --database \"$OWNER_URL\"`, and find out who lifted it", "row-level security is not forced on %s", strings.Join(open, ", "))
	}
	if super { // every policy holds for it, and none
		return errors.Join(all...)
	}
	doors, err := foreignDoors(ctx, q)
	if err != nil {
		return err
	}
	for _, d := range doors {
		unfit(fmt.Sprintf("`drop policy %s on %s`, and find out who made it", pgx.Identifier{d.Policy}.Sanitize(), d.Table), "policy %s on %s opens rows of other tenants to role %s", d.Policy, d.Table, role)
	}
	return errors.Join(all...)
}

// door is a policy of a table.
type door struct{ Table, Policy string }

// What policies say, as PostgreSQL writes it out.
const (
	ourPolicy     = `(tenant_id = (NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid)`
	asksForTenant = `current_setting('app.current_tenant_id'`
)

// foreignDoors are the policies that let this role see or write what is not the tenant's: policies add up, so that one
// `using (true)` beside ours, made for a report or by somebody who wants to read along, lifts it without a trace. On our
// own tables any other than ours counts; on those that the ERP has as well it may say what it likes, as long as it asks
// for the tenant.
func foreignDoors(ctx context.Context, q *pgx.Conn) ([]door, error) {
	rows, err := q.Query(ctx, `select n.nspname || '.' || c.relname, p.polname::text from pg_policy p
			join pg_class c on c.oid = p.polrelid
			join pg_namespace n on n.oid = c.relnamespace
			cross join lateral (values (pg_get_expr(p.polqual, p.polrelid)), (pg_get_expr(p.polwithcheck, p.polrelid))) v (says)
		where p.polpermissive and says is not null
			and (n.nspname = 'portalgate' or n.nspname = 'public' and c.relname in ('tenants', 'customers', 'customer_users', 'customer_activity_log'))
			and exists (select from unnest(p.polroles) r where r = 0 or pg_has_role(current_user, r, 'usage'))
			and case n.nspname
				when 'portalgate' then says <> $1
				else position($2::text in says) = 0 end
		group by 1, 2 order by 1, 2`, ourPolicy, asksForTenant)
	if err != nil {
		return nil, said(fmt.Errorf("looking at policies: %w", err))
	}
	doors, err := pgx.CollectRows(rows, pgx.RowToStructByPos[door])
	if err != nil {
		return nil, said(fmt.Errorf("looking at policies: %w", err))
	}
	return doors, nil
}
