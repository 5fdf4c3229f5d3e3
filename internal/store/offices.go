package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// officesKey is the setting with a tenant's networks that the limits by network leave alone: a list of texts.
const officesKey = "limit_exempt"

// readNetworks reads the setting; nothing is no networks.
func readNetworks(raw []byte) ([]netip.Prefix, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var out []netip.Prefix
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("setting %s: %w", officesKey, err)
	}
	return out, nil
}

// Offices are a tenant's networks that the limits by network leave alone.
func (x *Tx) Offices(ctx context.Context) ([]netip.Prefix, error) {
	var raw []byte
	err := x.tx.QueryRow(ctx, `select value from portalgate.settings where tenant_id = $1 and key = $2`, x.tenant, officesKey).Scan(&raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading setting %s: %w", officesKey, err)
	}
	return readNetworks(raw)
}

// AllowOffice puts a network on a tenant's list, or takes it off; false when the list was so already. Every gateway
// goes by it within two seconds.
func (x *Tx) AllowOffice(ctx context.Context, network netip.Prefix, allow bool, d Deed) (bool, error) {
	// Two commands at once must not lose one of their networks.
	if _, err := x.tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('portalgate ' || $2 || ' ' || $1::text, 0))`, x.tenant, officesKey); err != nil {
		return false, fmt.Errorf("locking setting %s: %w", officesKey, err)
	}
	now, err := x.Offices(ctx)
	if err != nil {
		return false, err
	}
	i := slices.Index(now, network)
	if (i >= 0) == allow {
		return false, nil
	}
	fact := "limits_network_added"
	if allow {
		now = append(now, network)
	} else {
		now, fact = slices.Delete(now, i, i+1), "limits_network_removed"
	}
	if err := x.put(ctx, officesKey, now); err != nil {
		return false, err
	}
	return true, errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{fact: network.String()}), x.changed(ctx))
}

// LimitsCleared notes that an operator has what was counted for a network forgotten, and tells every gateway so; first is
// the first address in it.
func (x *Tx) LimitsCleared(ctx context.Context, network string, first netip.Addr, d Deed) error {
	_, err := x.tx.Exec(ctx, `insert into portalgate.revocations (tenant_id, kind, subject, at) values ($1, 'limits', $2, $3)`, x.tenant, portal.FormatID(first.As16()), x.now)
	if err != nil {
		return fmt.Errorf("announcing that limits are cleared: %w", err)
	}
	return x.did(ctx, d, portal.VerbLimitsCleared, "", map[string]string{"network": network})
}
