package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Finding is one line of what a migration would meet.
type Finding struct {
	Check string `json:"check"`
	State string `json:"state"` // ok, note, wrong
	Says  string `json:"says"`
}

// groupRoles are the roles that the first file makes.
var groupRoles = []string{"portalgate_gateway", "portalgate_operator", "portalgate_directory", "portalgate_changes", "portalgate_claim"}

// LeastServer is the oldest line of PostgreSQL that a gateway works with: the older ones are not mended any more.
const LeastServer = 15

// functionOwners are those of them that a function is given to, which takes membership.
var functionOwners = groupRoles[2:]

// leastServer are the minor releases from which on a line of PostgreSQL keeps row-level security shut in the ways that
// we rely on (CVE-2025-8713, CVE-2024-10978).
var leastServer = map[int]int{15: 14, 16: 10, 17: 6}

// Check looks at a database as the role that would migrate it, changes nothing, and says what Up would do and what
// stands in its way.
func Check(ctx context.Context, url string) (found []Finding, err error) {
	db, err := open(ctx, url)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("looking at the database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it has changed nothing
	say := func(check, state, format string, args ...any) {
		found = append(found, Finding{check, state, fmt.Sprintf(format, args...)})
	}

	var (
		version              int
		role                 string
		super, create, inPub bool
		otherSessions        int
	)
	err = tx.QueryRowContext(ctx, `select current_setting('server_version_num')::int, current_user::text, r.rolsuper,
			has_database_privilege(current_database(), 'create'), has_schema_privilege('public', 'create'),
			(select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid())
		from pg_roles r where r.rolname = current_user`).Scan(&version, &role, &super, &create, &inPub, &otherSessions)
	if err != nil {
		return nil, fmt.Errorf("looking at the database: %w", err)
	}
	major, minor := version/10000, version%10000
	switch least, known := leastServer[major]; {
	case major < LeastServer:
		say("server", "wrong", "PostgreSQL %d.%d is too old; %d or newer is needed", major, minor, LeastServer)
	case known && minor < least:
		say("server", "note", "PostgreSQL %d.%d has known holes in row-level security; update it to %d.%d", major, minor, major, least)
	default:
		say("server", "ok", "PostgreSQL %d.%d", major, minor)
	}
	var not unfit
	if err := fit(ctx, tx); errors.As(err, &not) {
		say("database", "wrong", "%v", not)
		return found, nil
	} else if err != nil {
		return nil, err
	}
	at, err := applied(ctx, tx)
	if err != nil {
		return nil, err
	}
	var pending []string
	for _, f := range list("core") {
		if number(f) > at {
			pending = append(pending, f)
		}
	}
	switch {
	case len(pending) == 0:
		say("database", "ok", "it is at version %d: `migrate up` has nothing to do", at)
		return found, nil
	case at == 0:
		say("database", "ok", "it is empty of ours: `migrate up` makes the ERP-shaped tables and schema portalgate, and runs %s", strings.Join(pending, ", "))
	default:
		say("database", "ok", "it is at version %d: `migrate up` runs %s", at, strings.Join(pending, ", "))
	}
	if !create {
		say("role", "wrong", "%s may not create a schema here; have its owner run: grant create on database … to %s", role, role)
	}
	if !inPub && at == 0 {
		say("role", "wrong", "%s may not create tables in schema public; have its owner run: grant create on schema public to %s", role, role)
	}
	missing, demanded, err := roles(ctx, tx)
	switch {
	case err != nil:
		return nil, err
	case len(demanded) > 0:
		say("roles", "wrong", "%s may not make the roles, or may not give functions to them; have an administrator run: %s", role, strings.Join(demanded, " "))
	case len(missing) == 0:
		say("roles", "ok", "the group roles are there")
	default:
		say("roles", "ok", "%s are made", strings.Join(missing, ", "))
	}
	if super {
		say("role", "note", "%s is a superuser; a plain owner of the database is enough, and is what backups should use", role)
	}
	if otherSessions > 0 {
		say("sessions", "note", "%d other connections are open to this database; the tables are new, so none of them waits", otherSessions)
	}
	return found, nil
}

// roles are the group roles that are missing, and the statements that an administrator has to run because this role may
// not: the first file's own rules, asked for without changing anything.
func roles(ctx context.Context, db asker) (missing, demanded []string, err error) {
	var grants []string
	for _, r := range groupRoles {
		var there, make, owns bool
		var who string
		err := db.QueryRowContext(ctx, `select g.oid is not null, me.rolsuper or me.rolcreaterole, quote_ident(me.rolname),
				case when me.rolsuper then true
					when g.oid is null then me.rolcreaterole
					when current_setting('server_version_num')::int >= 160000 then pg_has_role(me.oid, g.oid, 'set') or pg_has_role(me.oid, g.oid, 'member with admin option')
					else me.rolcreaterole or pg_has_role(me.oid, g.oid, 'member') end
			from pg_roles me left join pg_roles g on g.rolname = $1 where me.rolname = current_user`, r).Scan(&there, &make, &who, &owns)
		if err != nil {
			return nil, nil, fmt.Errorf("looking for role %s: %w", r, err)
		}
		if !there {
			missing = append(missing, r)
			if !make {
				demanded = append(demanded, "create role "+r+" nologin;")
			}
		}
		if !owns && slices.Contains(functionOwners, r) {
			grants = append(grants, "grant "+r+" to "+who+";")
		}
	}
	return missing, append(demanded, grants...), nil
}
