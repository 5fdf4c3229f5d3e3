package caddymodule

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/migrations"
)

// patience is how long the doctor waits for a server that is no database.
const patience = 3 * time.Second

func (d *doctor) examineDatabase(ctx context.Context) {
	if d.database == "" {
		d.found.add("database", wrong, "no address: give --config, --database or PORTALGATE_DATABASE_URL")
		return
	}
	s, err := d.open(ctx)
	if err != nil {
		d.found.add("database", wrong, "%v", err)
		d.examineKeys(ctx, nil)
		return
	}
	defer s.Close()
	operates := false
	if d.config == "" {
		operates, err = s.Operates(ctx)
	}
	if err == nil && !operates {
		err = s.Inspect(ctx, store.Versions{Oldest: migrations.Oldest(), Latest: migrations.Latest(), Server: migrations.LeastServer})
	}
	switch {
	case err != nil:
		d.found.complain("database", unfit("role and tables", err))
	case operates:
		d.found.add("database", note, "this login is an operator's; --config Caddyfile has that of the gateway judged, and the tables with it")
	default:
		d.found.add("database", fine, "version %d, the role cannot cross tenants, row-level security is forced on every table, and no policy opens one", migrations.Latest())
	}
	d.examineClock(ctx, s)
	d.examineTenants(ctx, s)
	d.examineKeys(ctx, s)
}

func (d *doctor) examineClock(ctx context.Context, s *store.Store) {
	before := time.Now()
	at, err := s.Clock(ctx)
	if err != nil {
		d.found.add("clock", wrong, "the database does not say the time: %v", err)
		return
	}
	skew := at.Sub(before.Add(time.Since(before) / 2)).Abs().Round(time.Millisecond)
	if skew > clockTolerance {
		d.found.add("clock", wrong, "%s away from the database's; have both machines keep time by NTP", skew.Round(time.Second))
		return
	}
	d.found.add("clock", fine, "%s away from the database's", skew)
}

func (d *doctor) examineTenants(ctx context.Context, s *store.Store) {
	rows, err := tenants(ctx, s)
	if err != nil {
		d.found.add("tenants", wrong, "%v", err)
		return
	}
	hosts := 0
	for _, r := range rows {
		hosts += len(r.Hosts)
		if len(r.Hosts) == 0 {
			d.found.add("tenants", note, "%s has no host, so nobody can reach it; `portalgate tenant host add %s HOST`", r.Slug, r.Slug)
		}
	}
	if hosts == 0 {
		d.found.add("tenants", wrong, "no tenant has a host, and every request is answered 421; `portalgate tenant add SLUG --name NAME --host HOST`")
		return
	}
	d.found.add("tenants", fine, "%s with %s", count(len(rows), "tenant"), count(hosts, "host"))
	d.examinePeople(ctx, s, rows)
	d.examineSecond(ctx, s, rows)
}

// examinePeople looks for those whom nobody would find at a sign-in.
func (d *doctor) examinePeople(ctx context.Context, s *store.Store, rows []tenantRow) {
	for _, r := range rows {
		n := 0
		err := s.Within(ctx, r.ID, time.Now(), func(x *store.Tx) (err error) {
			n, err = x.Lost(ctx)
			return err
		})
		switch {
		case err != nil:
			d.found.add("people", wrong, "%s: %v", r.Slug, explained(err))
		case n > 0:
			d.found.add("people", wrong, "%s: %s cannot sign in, because the address was written while triggers were off; as the tables' owner: `begin; set local app.current_tenant_id = '%s'; update public.customer_users set email = email; commit`", r.Slug, persons(n), r.ID)
		}
	}
}

// examineKeys looks at the keyring; without a database it cannot say whether the keys are the right ones.
func (d *doctor) examineKeys(ctx context.Context, s *store.Store) {
	if d.keyring == "" {
		d.found.add("keyring", wrong, "no file: give --config, --keyring or PORTALGATE_KEYRING")
		return
	}
	ring, err := secret.Open(d.keyring)
	if err != nil {
		d.found.add("keyring", wrong, "%v", err)
		return
	}
	keys := count(len(ring.Keys()), "key")
	switch {
	case s == nil:
		d.found.add("keyring", note, "%s: %s; whether the database knows them cannot be asked", d.keyring, keys)
	default:
		if err := s.CheckKeys(ctx, prints(ring)); err != nil {
			d.found.add("keyring", wrong, "%s: %v", d.keyring, explained(err))
			return
		}
		d.found.add("keyring", fine, "%s: %s, none of them foreign to this database", d.keyring, keys)
	}
	if info, err := os.Stat(d.keyring); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.found.add("keyring", note, "%s can be read by others than its owner (%s); chmod 600 %s", d.keyring, info.Mode().Perm(), d.keyring)
	}
	if !ring.Has(secret.PurposePassword) {
		d.found.add("keyring", note, "no key for passwords: a dump of the database alone is enough to guess at them")
	}
}

// examineMail shakes hands with each provider: greeting, TLS with a certificate that holds, the password.
func (d *doctor) examineMail(ctx context.Context) {
	for _, s := range d.mail {
		g, ok := s.(interface {
			Greet(context.Context) error
			provider() string
		})
		if !ok {
			continue
		}
		within, cancel := context.WithTimeout(ctx, patience)
		err := g.Greet(within)
		cancel()
		var f *mail.Failure
		switch {
		case err == nil:
			d.found.add("mail", fine, "%s answers and takes our mail", g.provider())
		case errors.As(err, &f) && f.Code == 0 && f.Step == mail.StepConnect:
			d.found.add("mail", wrong, "the SMTP server cannot be reached as it must be: %v", err)
		default:
			d.found.add("mail", wrong, "%v", err)
		}
	}
}
