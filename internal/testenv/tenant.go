package testenv

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Tenant makes a tenant of its own in the shared database, with one host, gate on: what keeps tests apart that run at
// the same time.
func Tenant(t testing.TB) portal.Tenant {
	t.Helper()
	return Database(t).Tenant(t)
}

// Tenant makes a tenant with one host in this database.
func (d DB) Tenant(t testing.TB) portal.Tenant {
	t.Helper()
	slug := "t" + random(5)
	n := portal.Tenant{Slug: slug, Name: "Tenant " + slug, Mode: portal.ModeOn, Hosts: []string{slug + ".localhost"}}
	d.asRoot(t, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if err := tx.QueryRow(ctx, `select set_config('app.current_tenant_id', gen_random_uuid()::text, true)`).Scan(&n.ID); err != nil {
				return err
			}
			at := time.Now()
			for _, s := range []struct {
				sql  string
				args []any
			}{
				{`insert into public.tenants (id, tenant_code, tenant_name, created_at) values ($1, $2, $3, $4)`, []any{n.ID, n.Slug, n.Name, at}},
				{`insert into portalgate.settings (tenant_id, key, value, changed_at) values ($1, 'mode', '"on"', $2)`, []any{n.ID, at}},
				{`insert into portalgate.hosts (host, tenant_id) values ($1, $2)`, []any{n.Hosts[0], n.ID}},
				{`insert into portalgate.revocations (tenant_id, kind, subject, at) values ($1, 'directory', $1, $2)`, []any{n.ID, at}},
			} {
				if _, err := tx.Exec(ctx, s.sql, s.args...); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return n
}
