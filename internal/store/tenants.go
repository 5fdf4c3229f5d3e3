package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// HostEntry is a row of the directory: a host of a tenant, or a tenant without one (Host empty).
type HostEntry struct {
	Host         string
	Tenant       portal.TenantID
	Slug         string
	Mode         portal.Mode
	BrandVersion int64
}

// Directory reads the hosts of all tenants.
func (s *Store) Directory(ctx context.Context) ([]HostEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	rows, err := s.pool.Query(ctx, `select coalesce(host, ''), tenant_id::text, slug, mode, brand_version from portalgate.directory() order by slug, host`)
	if err != nil {
		return nil, said(fmt.Errorf("reading the directory: %w", err))
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e HostEntry, err error) {
		err = row.Scan(&e.Host, &e.Tenant, &e.Slug, &e.Mode, &e.BrandVersion)
		return e, err
	})
	return out, said(err)
}

// Tenant reads a tenant's name, state and brand.
func (s *Store) Tenant(ctx context.Context, id portal.TenantID, now time.Time) (t portal.Tenant, err error) {
	t.ID = id
	err = s.single(ctx, id, now, func(rows pgx.Rows) error {
		var (
			brand, offices, mfa    []byte
			registration, language *string
			zone, home, region     *string
		)
		_, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) {
			return struct{}{}, row.Scan(&t.Slug, &t.Name, &t.Suspended, &t.Mode, &brand, &t.Brand.Version, &offices, &registration, &home, &region, &language, &zone, &mfa)
		})
		if err != nil {
			return err
		}
		version := t.Brand.Version
		if len(brand) > 0 {
			if err := json.Unmarshal(brand, &t.Brand); err != nil {
				return fmt.Errorf("reading the brand of %s: %w", t.Slug, err)
			}
		}
		t.Brand.Version = version
		if t.Offices, err = readNetworks(offices); err != nil {
			return fmt.Errorf("reading the networks of %s: %w", t.Slug, err)
		}
		if len(mfa) > 0 {
			if err := json.Unmarshal(mfa, &t.MFA); err != nil {
				return fmt.Errorf("reading the second-step policy of %s: %w", t.Slug, err)
			}
		}
		t.Registration = portal.RegistrationInvite
		if registration != nil {
			t.Registration = portal.Registration(*registration)
		}
		for to, from := range map[*string]*string{&t.Home: home, &t.Region: region, &t.Language: language, &t.Zone: zone} {
			if from != nil {
				*to = *from
			}
		}
		return nil
	}, `select t.tenant_code, t.tenant_name, t.status not in ('ACTIVE', 'TRIAL') or t.deleted_at is not null, coalesce(m.value #>> '{}', 'off'), b.value, coalesce(b.version, 0), o.value,
			r.value #>> '{}', h.value #>> '{}', g.value #>> '{}', t.default_language, t.default_timezone, a.value
		from public.tenants t
		left join portalgate.settings m on m.tenant_id = t.id and m.key = 'mode'
		left join portalgate.settings b on b.tenant_id = t.id and b.key = 'brand'
		left join portalgate.settings o on o.tenant_id = t.id and o.key = 'limit_exempt'
		left join portalgate.settings r on r.tenant_id = t.id and r.key = 'registration'
		left join portalgate.settings h on h.tenant_id = t.id and h.key = 'home'
		left join portalgate.settings g on g.tenant_id = t.id and g.key = 'mail_region'
		left join portalgate.settings a on a.tenant_id = t.id and a.key = 'mfa'
		where t.id = $1`, id)
	return t, said(err)
}

// Change is one row of portalgate.revocations.
type Change struct {
	ID      int64
	Tenant  portal.TenantID
	Kind    string
	Subject string
	At      time.Time
}

// Changes are the changes committed since a watermark, and the watermark for the next reading.
func (s *Store) Changes(ctx context.Context, since uint64) (out []Change, watermark uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	rows, err := s.pool.Query(ctx, `select id, tenant_id::text, kind, subject::text, at, watermark::text::int8 from portalgate.changes($1::text::xid8)`, fmt.Sprint(since))
	if err != nil {
		return nil, 0, said(fmt.Errorf("reading changes: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id                    *int64
			tenant, kind, subject *string
			at                    *time.Time
			mark                  int64
		)
		if err := rows.Scan(&id, &tenant, &kind, &subject, &at, &mark); err != nil {
			return nil, 0, said(fmt.Errorf("reading changes: %w", err))
		}
		watermark = uint64(mark)
		if id != nil {
			out = append(out, Change{*id, portal.TenantID(*tenant), *kind, *subject, *at})
		}
	}
	return out, watermark, said(rows.Err())
}

// KeyPrint identifies a key of the keyring without revealing it.
type KeyPrint struct {
	ID, Purpose string
	Fingerprint []byte
}

// KeysError means that the keyring is not the one that this database was written with.
type KeysError struct{ Key, Problem string }

// Error names the key.
func (e *KeysError) Error() string { return "key " + e.Key + " " + e.Problem }

// CheckKeys compares a keyring with the keys that the database was written with.
func (s *Store) CheckKeys(ctx context.Context, have []KeyPrint) error {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	rows, err := s.pool.Query(ctx, `select id, purpose, fingerprint from portalgate.keys order by first_seen, id`)
	if err != nil {
		return said(fmt.Errorf("reading the known keys: %w", err))
	}
	known, err := pgx.CollectRows(rows, pgx.RowToStructByPos[KeyPrint])
	if err != nil {
		return said(fmt.Errorf("reading the known keys: %w", err))
	}
	mine := map[string][]byte{}
	for _, k := range have {
		mine[k.ID] = k.Fingerprint
	}
	var missing, other []string
	for _, k := range known {
		print, ok := mine[k.ID]
		switch {
		case !ok:
			missing = append(missing, k.ID)
		case string(print) != string(k.Fingerprint):
			other = append(other, k.ID)
		}
	}
	var all []error
	if n := len(missing); n == 1 {
		all = append(all, &KeysError{missing[0], "is missing from the keyring, and this database was written with it; use the keyring that belongs to this database"})
	} else if n > 1 {
		all = append(all, &KeysError{missing[0], fmt.Sprintf("is missing from the keyring, and this database was written with it; so are %d of the %d keys that it knows; use the keyring that belongs to this database", n, len(known))})
	}
	for _, id := range other {
		all = append(all, &KeysError{id, "in the keyring is another key than the one of that name that this database was written with"})
	}
	return errors.Join(all...)
}

// RegisterKeys checks the keyring and notes keys that are new to the database.
func (s *Store) RegisterKeys(ctx context.Context, have []KeyPrint, now time.Time) error {
	if err := s.CheckKeys(ctx, have); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	for _, k := range have {
		if _, err := s.pool.Exec(ctx, `insert into portalgate.keys (id, purpose, fingerprint, first_seen) values ($1, $2, $3, $4) on conflict (id) do nothing`,
			k.ID, k.Purpose, k.Fingerprint, now); err != nil {
			return said(fmt.Errorf("noting key %s: %w", k.ID, err))
		}
	}
	return nil
}
