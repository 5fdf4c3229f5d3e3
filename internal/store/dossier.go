package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Dossier is everything of a person that the gate stores or has read, as it is handed out to them: nothing that opens
// anything, and no digest of it.
type Dossier struct {
	MadeAt      time.Time       `json:"made_at"`
	Accounts    json.RawMessage `json:"accounts"`
	Sessions    json.RawMessage `json:"sessions"`
	Devices     json.RawMessage `json:"devices"`
	SecondSteps json.RawMessage `json:"second_steps"`
	Activity    json.RawMessage `json:"activity"`
	HelpDesk    json.RawMessage `json:"help_desk"` // what operators did about them
	Mails       json.RawMessage `json:"mails"`
	Links       json.RawMessage `json:"links"` // that were mailed and can still be here; what they open is not
	Recoveries  json.RawMessage `json:"recoveries"`
	Pauses      json.RawMessage `json:"pauses"` // after wrong passwords or codes
	NoMail      json.RawMessage `json:"no_mail"`
}

// Whoever are the rows of one address, those included that the ERP has deleted: what is stored about somebody is theirs
// to have for as long as it is stored.
func (x *Tx) Whoever(ctx context.Context, e portal.Email) ([]portal.UserID, error) {
	rows, err := x.tx.Query(ctx, `select u.id::text from portalgate.addresses a join public.customer_users u on u.tenant_id = a.tenant_id and u.id = a.user_id
		where a.tenant_id = $1 and a.account = $2 and lower(u.email) = $3 order by u.created_at, u.id`, x.tenant, account(x.tenant, e), string(e))
	if err != nil {
		return nil, fmt.Errorf("looking for %s: %w", e.Masked(), err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[portal.UserID])
}

// Dossier gathers what is stored about these rows of one person.
func (x *Tx) Dossier(ctx context.Context, people []portal.UserID) (d Dossier, err error) {
	d.MadeAt = x.now.UTC()
	rows, err := x.tx.Query(ctx, `select a.account from portalgate.addresses a where a.tenant_id = $1 and a.user_id = any ($2::uuid[])`, x.tenant, people)
	if err != nil {
		return d, fmt.Errorf("gathering what is stored: %w", err)
	}
	accounts, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return d, fmt.Errorf("gathering what is stored: %w", err)
	}
	for _, q := range []struct {
		into *json.RawMessage
		read func() pgx.Row
	}{
		{&d.Accounts, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.created_at, v.id), '[]') from (
				select u.id, t.tenant_name as portal, nullif(c.customer_code, '!portalgate') as company_code, c.customer_name as company, u.email, u.first_name, u.last_name, u.phone, u.role, u.is_active as active,
					u.is_email_verified as address_confirmed, u.preferred_language as language, u.timezone, u.sso_provider as single_sign_on, u.created_at, u.updated_at, u.deleted_at,
					u.last_login_at as last_sign_in_at, u.last_login_ip as last_sign_in_address, u.password_changed_at, k.changed_at as password_here_changed_at, coalesce(k.must_change, false) as password_must_be_changed,
					o.told_at as told_of_second_step_at, o.offered_at as passkey_offered_at, coalesce(u.mfa_enabled, false) as erp_says_second_step,
					u.marketing_consent, u.marketing_consent_date as marketing_consent_at, u.marketing_consent_ip as marketing_consent_address, u.data_retention_consent, u.notification_preferences
				from public.customer_users u join public.customers c on c.id = u.customer_id join public.tenants t on t.id = u.tenant_id
				left join portalgate.credentials k on k.tenant_id = u.tenant_id and k.user_id = u.id
				left join portalgate.second_steps o on o.tenant_id = u.tenant_id and o.user_id = u.id
				where u.tenant_id = $1 and u.id = any ($2::uuid[])) v`, x.tenant, people)
		}},
		{&d.Sessions, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.began_at, v.id), '[]') from (
				select id, created_at as began_at, last_active_at, ends_at, ended_at, end_reason as ended_by, remember as kept_signed_in, amr as shown, mfa_at as second_step_at, agent, host(address) as address
				from portalgate.sessions where tenant_id = $1 and choices && $2::uuid[]) v`, x.tenant, people)
		}},
		{&d.Devices, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.first_seen_at), '[]') from (
				select label as name, agent, first_seen as first_seen_at, last_seen as last_seen_at, trusted_until as not_asked_for_second_step_until
				from portalgate.devices where tenant_id = $1 and user_id = any ($2::uuid[])) v`, x.tenant, people)
		}},
		{&d.SecondSteps, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.added_at), '[]') from (
				select kind, name, facts, created_at as added_at, used_at from portalgate.factors where tenant_id = $1 and user_id = any ($2::uuid[])) v`, x.tenant, people)
		}},
		{&d.Activity, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.at desc, v.id), '[]') from (
				select id, created_at as at, activity_type as what, ip_address as address, user_agent as agent, session_id as session, geolocation as place, metadata as facts, is_suspicious as suspicious, security_notes as note
				from public.customer_activity_log where tenant_id = $1 and customer_user_id = any ($2::uuid[])) v`, x.tenant, people)
		}},
		{&d.HelpDesk, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.at desc), '[]') from (
				select at, verb as what, result, note as reason, facts, host(address) as address, agent, suspicious from portalgate.events where tenant_id = $1 and user_id = any ($2::uuid[])) v`, x.tenant, people)
		}},
		{&d.Mails, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.asked_at), '[]') from (
				select kind, state, language, created_at as asked_at, done_at from portalgate.outbox where tenant_id = $1 and (user_id = any ($2::uuid[]) or recipient = any ($3))) v`, x.tenant, people, accounts)
		}},
		{&d.Links, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.made_at), '[]') from (
				select purpose, email as sent_to, created_at as made_at, expires_at, spent_at as used_at from portalgate.tickets where tenant_id = $1 and user_id = any ($2::uuid[])) v`, x.tenant, people)
		}},
		{&d.Recoveries, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.begun_at), '[]') from (
				select begun_at, due_at, confirmed_at, state, reason, ended_at, why from portalgate.recoveries where tenant_id = $1 and user_id = any ($2::uuid[])) v`, x.tenant, people)
		}},
		{&d.Pauses, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.last_failure_at), '[]') from (
				select failures, last_failure as last_failure_at, rests_until as paused_until from portalgate.lockouts where tenant_id = $1 and account = any ($2)) v`, x.tenant, accounts)
		}},
		{&d.NoMail, func() pgx.Row {
			return x.tx.QueryRow(ctx, `select coalesce(jsonb_agg(v order by v.at), '[]') from (select cause, detail, at from portalgate.suppressions where tenant_id = $1 and account = any ($2)) v`, x.tenant, accounts)
		}},
	} {
		if err := q.read().Scan(q.into); err != nil {
			return d, fmt.Errorf("gathering what is stored: %w", err)
		}
	}
	return d, nil
}

// Exported notes that what is stored about a person was handed to an operator.
func (x *Tx) Exported(ctx context.Context, people []portal.UserID, d Deed) error {
	for _, id := range people {
		if err := x.did(ctx, d, portal.VerbExported, id, nil); err != nil {
			return err
		}
	}
	return nil
}

// Erased is what an erasure has found.
type Erased struct {
	Sessions int64 `json:"sessions_ended"`
	Activity int64 `json:"activity_anonymised"`
}

// Erase takes away what names these rows of one person (core/0016). What was done to them is noted after that, or it would
// be erased too.
func (x *Tx) Erase(ctx context.Context, people []portal.UserID, d Deed) (e Erased, err error) {
	if err = x.TakeTurns(ctx, people); err != nil {
		return e, err
	}
	if err = x.tx.QueryRow(ctx, `select sessions, activity from portalgate.erase($1::uuid[])`, people).Scan(&e.Sessions, &e.Activity); err != nil {
		return e, fmt.Errorf("erasing a person: %w", err)
	}
	for _, id := range people {
		if err := x.did(ctx, d, portal.VerbErased, id, nil); err != nil {
			return e, err
		}
	}
	return e, nil
}

// ErasureAsked is when one of these rows of a person asked to be erased; zero: never, or it was taken back since.
func (x *Tx) ErasureAsked(ctx context.Context, people []portal.UserID) (time.Time, error) {
	var at *time.Time
	err := x.tx.QueryRow(ctx, `select (array_agg(case activity_type when $3 then created_at end order by created_at desc))[1]
		from public.customer_activity_log where tenant_id = $1 and customer_user_id = any ($2::uuid[]) and activity_type in ($3, $4)`,
		x.tenant, people, portal.VerbErasureAsked, portal.VerbErasureTakenBack).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("looking for a wish to be erased: %w", err)
	}
	if at == nil {
		return time.Time{}, nil
	}
	return *at, nil
}

// Asker is somebody who wants to be erased, and since when.
type Asker struct {
	User  portal.User
	Since time.Time
}

// ErasuresAsked lists who wants to be erased and is not yet, whoever has waited longest first.
func (x *Tx) ErasuresAsked(ctx context.Context) ([]Asker, error) {
	rows, err := x.tx.Query(ctx, `select `+personColumns+`, l.created_at from (
			select distinct on (customer_user_id) customer_user_id, activity_type, created_at from public.customer_activity_log
			where tenant_id = $1 and activity_type in ($2, $3) order by customer_user_id, created_at desc
		) l join public.customer_users u on u.id = l.customer_user_id join public.customers c on c.id = u.customer_id join public.tenants t on t.id = u.tenant_id
		where l.activity_type = $2 and u.tenant_id = $1 and u.email not like 'erased-%@erased.invalid' order by l.created_at, u.id`,
		x.tenant, portal.VerbErasureAsked, portal.VerbErasureTakenBack)
	if err != nil {
		return nil, fmt.Errorf("listing who wants to be erased: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Asker, err error) {
		err = row.Scan(append(userFields(&a.User), &a.Since)...)
		a.User = completed(a.User)
		return a, err
	})
}
