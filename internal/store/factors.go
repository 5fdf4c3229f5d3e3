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

// Factor is a confirmed second proof with the sealed state that checks it.
type Factor struct {
	portal.Factor
	State   string // sealed
	KeyID   string
	Lookup  []byte // nil: it is found by its person alone
	Version int64
}

const factorColumns = `f.id::text, f.user_id::text, f.kind, f.name, f.facts, f.created_at, f.used_at, f.state, f.key_id, f.lookup, f.version`

func scanFactor(row pgx.CollectableRow) (f Factor, err error) {
	var (
		used  *time.Time
		facts []byte
	)
	if err = row.Scan(&f.ID, &f.User, &f.Kind, &f.Name, &facts, &f.CreatedAt, &used, &f.State, &f.KeyID, &f.Lookup, &f.Version); err != nil {
		return f, err
	}
	if used != nil {
		f.UsedAt = *used
	}
	if err = json.Unmarshal(facts, &f.Facts); err != nil {
		return f, fmt.Errorf("reading the facts of a factor: %w", err)
	}
	return f, nil
}

// person is every row of the address that a row has: one address is one person, and a proof that was added from one
// company's row guards the others too.
const person = `(select p.id from portalgate.addresses me join portalgate.addresses a on a.tenant_id = me.tenant_id and a.account = me.account
	join public.customer_users p on p.tenant_id = a.tenant_id and p.id = a.user_id
	where me.user_id = $1 and me.tenant_id = $2 and p.deleted_at is null)`

// Factors are the second proofs of a person, the oldest first.
func (x *Tx) Factors(ctx context.Context, user portal.UserID) ([]Factor, error) {
	rows, err := x.tx.Query(ctx, `select `+factorColumns+` from portalgate.factors f where f.tenant_id = $2 and f.user_id in `+person+` order by f.created_at, f.id`, user, x.tenant)
	if err != nil {
		return nil, fmt.Errorf("reading factors: %w", err)
	}
	return pgx.CollectRows(rows, scanFactor)
}

// FactorAt finds a passkey by the digest of its id.
func (x *Tx) FactorAt(ctx context.Context, lookup []byte) (Factor, error) {
	rows, err := x.tx.Query(ctx, `select `+factorColumns+` from portalgate.factors f where f.tenant_id = $1 and f.lookup = $2`, x.tenant, lookup)
	if err != nil {
		return Factor{}, fmt.Errorf("looking for a factor: %w", err)
	}
	f, err := pgx.CollectExactlyOneRow(rows, scanFactor)
	return f, said(err)
}

// PutFactor adds a confirmed factor. It returns false where somebody in the tenant has it already (WA-06).
func (x *Tx) PutFactor(ctx context.Context, f Factor) (bool, error) {
	facts, err := json.Marshal(f.Facts)
	if err != nil {
		return false, fmt.Errorf("encoding the facts of a factor: %w", err)
	}
	tag, err := x.tx.Exec(ctx, `insert into portalgate.factors (id, tenant_id, user_id, kind, name, state, key_id, lookup, facts, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9::jsonb, '{}'), $10) on conflict (tenant_id, lookup) do nothing`,
		f.ID, x.tenant, f.User, f.Kind, f.Name, f.State, f.KeyID, f.Lookup, facts, x.now)
	if err != nil {
		return false, fmt.Errorf("storing a factor: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// StepFactor stores the state that an answer has led to, if the factor still has the one that the answer was checked
// against: of two that come at the same moment one is too late, whatever the kind (TOTP-02).
func (x *Tx) StepFactor(ctx context.Context, f Factor) (bool, error) {
	facts, err := json.Marshal(f.Facts)
	if err != nil {
		return false, fmt.Errorf("encoding the facts of a factor: %w", err)
	}
	tag, err := x.tx.Exec(ctx, `update portalgate.factors set state = $3, key_id = $4, facts = coalesce($5::jsonb, '{}'), version = version + 1, used_at = $6
		where tenant_id = $1 and id = $2 and version = $7`, x.tenant, f.ID, f.State, f.KeyID, facts, x.now, f.Version)
	if err != nil {
		return false, fmt.Errorf("storing the state of a factor: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// RenameFactor gives a factor of a person another name; false when they have none of that id.
func (x *Tx) RenameFactor(ctx context.Context, user portal.UserID, id portal.FactorID, name string) (bool, error) {
	tag, err := x.tx.Exec(ctx, `update portalgate.factors f set name = $4 where f.tenant_id = $2 and f.id = $3 and f.user_id in `+person, user, x.tenant, id, name)
	if err != nil {
		return false, fmt.Errorf("renaming a factor: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// DropFactors takes factors away.
func (x *Tx) DropFactors(ctx context.Context, ids []portal.FactorID) (int64, error) {
	tag, err := x.tx.Exec(ctx, `delete from portalgate.factors where tenant_id = $1 and id = any ($2::uuid[])`, x.tenant, ids)
	if err != nil {
		return 0, fmt.Errorf("taking factors away: %w", err)
	}
	return tag.RowsAffected(), nil
}

// Disarm takes away what stands as a second step in these very rows: factors, and the ERP's word about one. What other rows
// of the same address have is not theirs, and stays: a reset of the one must not be a way around the other's (REC-04).
func (x *Tx) Disarm(_ context.Context, users []portal.UserID) error {
	x.tx.Later("taking factors away", `delete from portalgate.factors where tenant_id = $1 and user_id = any ($2::uuid[])`, x.tenant, users)
	x.tx.Later("settling a claim", `insert into portalgate.second_steps as o (tenant_id, user_id, settled)
		select u.tenant_id, u.id, `+claimOf+` from public.customer_users u where u.mfa_enabled and u.tenant_id = $1 and u.id = any ($2::uuid[])
		on conflict (tenant_id, user_id) do update set settled = excluded.settled`, x.tenant, users)
	return nil
}

// DropHandle forgets by what authenticators know a person who has no passkey any more: who made the last one may have
// been somebody else.
func (x *Tx) DropHandle(_ context.Context, user portal.UserID) error {
	x.tx.Later("forgetting a handle", `update portalgate.second_steps o set handle = null where o.tenant_id = $2 and o.handle is not null and o.user_id in `+person+`
		and not exists (select from portalgate.factors f where f.tenant_id = $2 and f.kind = 'webauthn' and f.user_id in `+person+`)`, user, x.tenant)
	return nil
}

// Challenge is a question that waits for its answer, or a set-up under way.
type Challenge struct {
	ID        portal.ChallengeID
	Holder    []byte // digest of the sign-in under way, or of the session
	Purpose   string
	Kind      portal.FactorKind
	State     string // sealed
	KeyID     string
	Tries     int // left
	CreatedAt time.Time
	ExpiresAt time.Time
}

const challengeColumns = `id::text, holder, purpose, kind, state, key_id, tries, created_at, expires_at`

func challengeFields(c *Challenge) []any {
	return []any{&c.ID, &c.Holder, &c.Purpose, &c.Kind, &c.State, &c.KeyID, &c.Tries, &c.CreatedAt, &c.ExpiresAt}
}

// PutChallenge stores a question in place of the one before. Where keep is set the tries that were used stay used: who
// has a code sent again has not more of them (OOB-02). It returns how many are left.
func (x *Tx) PutChallenge(ctx context.Context, c Challenge, keep bool) (tries int, err error) {
	x.tx.Later("forgetting old challenges", `delete from portalgate.challenges where tenant_id = $1 and expires_at < $2`, x.tenant, x.now)
	err = x.tx.QueryRow(ctx, `insert into portalgate.challenges as c (id, tenant_id, holder, purpose, kind, state, key_id, tries, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		on conflict (tenant_id, holder, purpose, kind) do update set id = excluded.id, state = excluded.state, key_id = excluded.key_id, passed_at = null,
			tries = case when $11 then least(c.tries, excluded.tries) else excluded.tries end, created_at = excluded.created_at, expires_at = excluded.expires_at
		returning tries`,
		c.ID, x.tenant, c.Holder, c.Purpose, c.Kind, c.State, c.KeyID, c.Tries, x.now, c.ExpiresAt, keep).Scan(&tries)
	if err != nil {
		return 0, fmt.Errorf("storing a challenge: %w", err)
	}
	return tries, nil
}

// Challenge looks at a question and spends nothing.
func (x *Tx) Challenge(ctx context.Context, holder []byte, purpose string, kind portal.FactorKind) (c Challenge, err error) {
	err = x.tx.QueryRow(ctx, `select `+challengeColumns+` from portalgate.challenges where tenant_id = $1 and holder = $2 and purpose = $3 and kind = $4 and expires_at > $5 and passed_at is null`,
		x.tenant, holder, purpose, kind, x.now).Scan(challengeFields(&c)...)
	return c, said(err)
}

// SpendChallenge pays one of a question's tries, before the answer is looked at. There is none of it where none is left.
func (x *Tx) SpendChallenge(ctx context.Context, holder []byte, purpose string, kind portal.FactorKind) (c Challenge, err error) {
	err = x.tx.QueryRow(ctx, `update portalgate.challenges set tries = tries - 1
		where tenant_id = $1 and holder = $2 and purpose = $3 and kind = $4 and expires_at > $5 and passed_at is null and tries > 0
		returning `+challengeColumns, x.tenant, holder, purpose, kind, x.now).Scan(challengeFields(&c)...)
	return c, said(err)
}

// HandChallenge gives a question that is open to another holder in place of theirs, with the tries that are left and the
// moments it had; false where there is none.
func (x *Tx) HandChallenge(ctx context.Context, from, to []byte, purpose string, kind portal.FactorKind) (bool, error) {
	tag, err := x.tx.Exec(ctx, `update portalgate.challenges set holder = $3 where tenant_id = $1 and holder = $2 and purpose = $4 and kind = $5 and expires_at > $6 and passed_at is null`,
		x.tenant, from, to, purpose, kind, x.now)
	if err != nil {
		return false, fmt.Errorf("handing a challenge over: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// EndChallenge takes a question away that was answered; false when somebody else was first, or it was asked anew.
func (x *Tx) EndChallenge(ctx context.Context, id portal.ChallengeID) (bool, error) {
	tag, err := x.tx.Exec(ctx, `delete from portalgate.challenges where tenant_id = $1 and id = $2 and passed_at is null`, x.tenant, id)
	if err != nil {
		return false, fmt.Errorf("ending a challenge: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// PassChallenge notes that a question was answered whose answer is of use for a while, until a moment, and what it has
// shown; false as above.
func (x *Tx) PassChallenge(ctx context.Context, id portal.ChallengeID, shown string, until time.Time) (bool, error) {
	tag, err := x.tx.Exec(ctx, `update portalgate.challenges set passed_at = $3, expires_at = $4, state = $5, key_id = '' where tenant_id = $1 and id = $2 and passed_at is null`, x.tenant, id, x.now, until, shown)
	if err != nil {
		return false, fmt.Errorf("noting an answer: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// Passed says whether a question was answered that has shown this, and the answer is still of use.
func (x *Tx) Passed(ctx context.Context, holder []byte, purpose, shown string) (ok bool, err error) {
	err = x.tx.QueryRow(ctx, `select exists (select from portalgate.challenges where tenant_id = $1 and holder = $2 and purpose = $3 and state = $5 and passed_at is not null and expires_at > $4)`,
		x.tenant, holder, purpose, x.now, shown).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("looking for an answer: %w", err)
	}
	return ok, nil
}

// Told notes since when somebody knows that they need a second step.
func (x *Tx) Told(_ context.Context, user portal.UserID) error {
	x.tx.Later("noting who was told", `insert into portalgate.second_steps as o (tenant_id, user_id, told_at) values ($1, $2, $3)
		on conflict (tenant_id, user_id) do update set told_at = excluded.told_at`, x.tenant, user, x.now)
	return nil
}

// Offer notes that a passkey was offered to a person.
func (x *Tx) Offer(_ context.Context, user portal.UserID) error {
	x.tx.Later("noting an offer", `insert into portalgate.second_steps as o (tenant_id, user_id, offered_at)
		select u.tenant_id, u.id, $3 from public.customer_users u where u.tenant_id = $2 and u.id in `+person+`
		on conflict (tenant_id, user_id) do update set offered_at = coalesce(o.offered_at, excluded.offered_at)`, user, x.tenant, x.now)
	return nil
}

// PutHandle notes by what authenticators know a person.
func (x *Tx) PutHandle(_ context.Context, user portal.UserID, handle []byte) error {
	x.tx.Later("noting a handle", `insert into portalgate.second_steps as o (tenant_id, user_id, handle)
		select u.tenant_id, u.id, $3 from public.customer_users u where u.tenant_id = $2 and u.id in `+person+`
		on conflict (tenant_id, user_id) do update set handle = excluded.handle`, user, x.tenant, handle)
	return nil
}

// claimOf is claimDigest of a row u.
const claimOf = `sha256('portalgate claim\000'::bytea || convert_to(coalesce(u.mfa_secret, ''), 'UTF8'))`

// Settle notes that what the ERP's rows of a person claim about a second step was dealt with, whatever it was worth. Another
// claim that the ERP makes later is another matter.
func (x *Tx) Settle(_ context.Context, user portal.UserID) error {
	x.tx.Later("settling a claim", `insert into portalgate.second_steps as o (tenant_id, user_id, settled)
		select u.tenant_id, u.id, `+claimOf+` from public.customer_users u where u.mfa_enabled and u.tenant_id = $2 and u.id in `+person+` on conflict (tenant_id, user_id) do update set settled = excluded.settled`, user, x.tenant)
	return nil
}

// TrustDevice has a browser not asked for a second step until a moment.
func (x *Tx) TrustDevice(_ context.Context, id portal.DeviceID, until time.Time) error {
	x.tx.Later("trusting a device", `update portalgate.devices set trusted_until = $3 where tenant_id = $1 and id = $2`, x.tenant, id, until)
	return nil
}

// DistrustDevices has every browser of these people asked again (TOTP-07).
func (x *Tx) DistrustDevices(_ context.Context, users []portal.UserID) error {
	x.tx.Later("distrusting devices", `update portalgate.devices set trusted_until = null where tenant_id = $1 and user_id = any ($2::uuid[]) and trusted_until is not null`, x.tenant, users)
	return nil
}

// TrustedDevices counts the browsers that are not asked.
func (x *Tx) TrustedDevices(ctx context.Context, users []portal.UserID) (n int, err error) {
	err = x.tx.QueryRow(ctx, `select count(*) from portalgate.devices where tenant_id = $1 and user_id = any ($2::uuid[]) and trusted_until > $3`, x.tenant, users, x.now).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting trusted devices: %w", err)
	}
	return n, nil
}

// SetByMail notes whether the password was set by somebody who showed nothing but the mailbox.
func (x *Tx) SetByMail(_ context.Context, users []portal.UserID, by bool) error {
	x.tx.Later("noting how a password was set", `update portalgate.credentials set by_mail = $3 where tenant_id = $1 and user_id = any ($2::uuid[]) and by_mail <> $3`, x.tenant, users, by)
	return nil
}

// SecondPurse is the purse of guesses at second proofs, with the device behind it where the account knows it: apart from the password's, shared by every kind of code and every
// door (RL-06, RL-07, BKP-03), and of a known device its own.
const SecondPurse = "second:"

// SpendCode pays for one guess at a second proof, as SpendTry does for a password.
func (x *Tx) SpendCode(ctx context.Context, e portal.Email, device portal.DeviceID) (Try, error) {
	return x.spend(ctx, e, SecondPurse+string(device))
}

// CodeRest is until when that purse rests; zero: it does not.
func (x *Tx) CodeRest(ctx context.Context, e portal.Email, device portal.DeviceID) (until time.Time, err error) {
	err = x.tx.QueryRow(ctx, `select coalesce(max(rests_until), 'epoch'::timestamptz) from portalgate.lockouts where tenant_id = $1 and account = $2 and purse = $3 and rests_until > $4`,
		x.tenant, account(x.tenant, e), SecondPurse+string(device), x.now).Scan(&until)
	if err != nil {
		return until, fmt.Errorf("looking for a rest: %w", err)
	}
	return until, nil
}

// ReturnCode empties that purse after a right answer.
func (x *Tx) ReturnCode(_ context.Context, e portal.Email, device portal.DeviceID) error {
	x.tx.Later("handing a try back", `delete from portalgate.lockouts where tenant_id = $1 and account = $2 and purse = $3`, x.tenant, account(x.tenant, e), SecondPurse+string(device))
	return nil
}

// RefundCode takes back exactly one paid guess: it was not checked.
func (x *Tx) RefundCode(_ context.Context, e portal.Email, device portal.DeviceID) error {
	x.tx.Later("refunding a try", `update portalgate.lockouts set failures = greatest(failures - 1, 0), rests_until = null
		where tenant_id = $1 and account = $2 and purse = $3`, x.tenant, account(x.tenant, e), SecondPurse+string(device))
	return nil
}

// UnlockCodes empties every purse of guesses at second proofs of an address: what they were about is gone.
func (x *Tx) UnlockCodes(_ context.Context, e portal.Email) error {
	x.tx.Later("unlocking codes", `delete from portalgate.lockouts where tenant_id = $1 and account = $2 and purse like 'second:%'`, x.tenant, account(x.tenant, e))
	return nil
}

// AmendAttempt gives a sign-in under way another cookie and says what was shown by now: what the old cookie was good for
// is over (LOG-04). False where it is over already.
func (x *Tx) AmendAttempt(ctx context.Context, was, is []byte, a portal.Attempt) (bool, error) {
	tag, err := x.tx.Exec(ctx, `update portalgate.attempts set digest = $3, shown = $4, expires_at = $5 where tenant_id = $1 and digest = $2`, x.tenant, was, is, a.Shown, a.ExpiresAt)
	if err != nil {
		return false, fmt.Errorf("amending an attempt: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ErrNoFactor is what an operator hears who takes away what is not there.
var ErrNoFactor = errors.New("this person has no second step")

// ResetFactors takes every second proof of a person away, by an operator: the browsers that were not asked are asked
// again, and the guesses are forgotten. What the ERP's row claims is settled with it.
func (x *Tx) ResetFactors(ctx context.Context, user portal.UserID, e portal.Email, d Deed) (int64, error) {
	tag, err := x.tx.Exec(ctx, `delete from portalgate.factors where tenant_id = $2 and user_id in `+person, user, x.tenant)
	if err != nil {
		return 0, fmt.Errorf("taking factors away: %w", err)
	}
	x.tx.Later("distrusting devices", `update portalgate.devices set trusted_until = null where tenant_id = $2 and user_id in `+person, user, x.tenant)
	if err := errors.Join(x.UnlockCodes(ctx, e), x.Settle(ctx, user)); err != nil {
		return 0, err
	}
	n := tag.RowsAffected()
	return n, x.did(ctx, d, portal.VerbFactorRemoved, user, map[string]string{"factors": fmt.Sprint(n)})
}

// SetMFA changes what a tenant asks for.
func (x *Tx) SetMFA(ctx context.Context, p portal.MFAPolicy, what map[string]string, d Deed) error {
	if err := x.put(ctx, "mfa", p); err != nil {
		return err
	}
	return errors.Join(x.did(ctx, d, portal.VerbPolicyChanged, "", what), x.changed(ctx))
}
