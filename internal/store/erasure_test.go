package store_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// What nobody else has, so that every trace of it is hers.
const (
	zoe     portal.Email = "zoe.quill@plover.example"
	zoesOwn string       = "198.51.100.201"
)

// lives fills every table that can know a person, with values of which each can be found again.
func (p *place) lives(t *testing.T) (who portal.UserID, secrets []string) {
	t.Helper()
	p.asOperator(t, func(x *store.Tx) (err error) {
		who, err = x.AddUser(t.Context(), store.NewUser{Email: zoe, FirstName: "Zoe", LastName: "Quillfeather", Role: portal.RoleUser, Verified: true, PHC: "$argon2id$hers", KeyID: "k1"}, store.Deed{Operator: "olga", Reason: "zoe asked"})
		return err
	})
	s := p.begin(t, who)
	p.db.Exec(t, `update portalgate.sessions set agent = 'Quillbrowser/1.0', address = $2 where id = $1`, s.ID, zoesOwn)
	p.in(t, func(x *store.Tx) error {
		if _, err := x.SawDevice(t.Context(), who, []byte("quill-device-digest"), "Quillbrowser", "Quillbrowser/1.0", netip.MustParseAddr(zoesOwn)); err != nil {
			return err
		}
		for _, a := range []portal.Activity{
			{Verb: portal.VerbLogin, User: who, Session: s.ID, Addr: netip.MustParseAddr(zoesOwn), Agent: "Quillbrowser/1.0", Result: "ok"},
			{Verb: portal.VerbProfileUpdate, User: who, Session: s.ID, Addr: netip.MustParseAddr(zoesOwn), Agent: "Quillbrowser/1.0", Result: "ok", Suspicious: true, Note: "as zoe", Facts: map[string]string{"to": zoe.Masked()}},
			{Verb: portal.VerbErasureAsked, User: who, Result: "ok"},
			{Verb: portal.VerbMailSuppressed, Operator: "provider", Result: "ok", Facts: map[string]string{"to": zoe.Masked()}},
		} {
			if err := x.Record(t.Context(), a); err != nil {
				return err
			}
		}
		for _, q := range []store.Queued{
			{ID: newID[portal.LetterID](), Kind: portal.LetterPassword, User: who, Same: string(who)},
			{ID: newID[portal.LetterID](), Kind: portal.LetterRecover, Same: string(zoe)},
		} {
			q.Address, q.Content, q.KeyID, q.At = "sealed-quill-address", "sealed-quill-content", "k1", p.clock.Now()
			if err := x.Post(t.Context(), q); err != nil {
				return err
			}
		}
		if _, err := x.SpendTry(t.Context(), zoe, ""); err != nil {
			return err
		}
		return x.PutTicket(t.Context(), store.NewTicket{Ticket: portal.Ticket{ID: newID[portal.TicketID](), Purpose: portal.PurposeRecover, User: who, Email: zoe, CreatedAt: p.clock.Now(), ExpiresAt: p.clock.Now().Add(time.Hour)},
			Digest: digestOf("quill-ticket " + p.tenant.ID), Stamp: []byte("quill-stamp"), Content: "quill-content"})
	})
	p.db.Exec(t, `insert into portalgate.factors (id, tenant_id, user_id, kind, name, state, key_id, lookup, created_at) values (gen_random_uuid(), $1, $2, 'webauthn', 'Quillkey', 'sealed-quill-state', 'k1', sha256('quill-lookup'), now())`, p.tenant.ID, who)
	p.db.Exec(t, `insert into portalgate.second_steps (tenant_id, user_id, told_at, settled, handle) values ($1, $2, now(), 'quill-settled', 'quill-handle')`, p.tenant.ID, who)
	p.db.Exec(t, `insert into portalgate.attempts (id, tenant_id, digest, users, verified, expired, shown, remember, return_to, created_at, expires_at)
		values (gen_random_uuid(), $1, sha256(('quill-attempt ' || $1::uuid)::bytea), array[$2::uuid], true, false, '{}', false, '/', now(), now())`, p.tenant.ID, who)
	p.db.Exec(t, `insert into portalgate.recoveries (id, tenant_id, user_id, addresses, key_id, letter_id, begun_by, reason, begun_at, due_at) values (gen_random_uuid(), $1, $2, 'sealed-quill-addresses', 'k1', gen_random_uuid(), 'olga', 'zoe lost all', now(), now())`, p.tenant.ID, who)
	p.db.Exec(t, `insert into portalgate.suppressions (tenant_id, account, address, key_id, cause, letter_id, at) values ($1, $2, 'sealed-quill-suppressed', 'k1', 'bounce', gen_random_uuid(), now())`, p.tenant.ID, store.AddressDigest(p.tenant.ID, zoe))
	p.db.Exec(t, `update public.customer_users set phone = '+49 151 2233445', mfa_secret = 'QUILLSECRET', mfa_backup_codes = '["quill-code"]', password_hash = '$2b$10$quill', email_verification_token = 'quill-verify', password_reset_token = 'quill-reset',
		marketing_consent = true, marketing_consent_date = now(), marketing_consent_ip = $2, last_login_ip = $2 where id = $1`, who, zoesOwn)
	secrets = []string{"$argon2id$hers", "$2b$10$quill", "QUILLSECRET", "quill-code", "quill-verify", "quill-reset", "quill-content", "sealed-quill"}
	for _, raw := range []string{"quill-device-digest", "quill-stamp", "quill-settled", "quill-handle"} {
		secrets = append(secrets, raw, hex.EncodeToString([]byte(raw)), base64.StdEncoding.EncodeToString([]byte(raw)))
	}
	for _, d := range [][32]byte{digestOf("quill-ticket " + p.tenant.ID), digestOf("quill-lookup"), digestOf("quill-attempt " + p.tenant.ID), digestOf(s.ID), [32]byte(store.AddressDigest(p.tenant.ID, zoe))} {
		secrets = append(secrets, hex.EncodeToString(d[:]), base64.StdEncoding.EncodeToString(d[:]), base64.RawURLEncoding.EncodeToString(d[:]))
	}
	return who, secrets
}

func TestAnExportHasEverythingButWhatOpensAnything(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	who, secrets := p.lives(t)
	for as, run := range map[string]func(*testing.T, func(*store.Tx) error){"the gateway": p.in, "an operator": p.asOperator} {
		var doc []byte
		run(t, func(x *store.Tx) error {
			people, err := x.Whoever(t.Context(), zoe)
			if err != nil || len(people) != 1 || people[0] != who {
				t.Fatalf("%v, %v", people, err)
			}
			d, err := x.Dossier(t.Context(), people)
			if err != nil {
				return err
			}
			doc, err = json.Marshal(d)
			return err
		})
		var parts map[string]json.RawMessage
		if err := json.Unmarshal(doc, &parts); err != nil {
			t.Fatal(err)
		}
		for name, part := range parts {
			if string(part) == "[]" {
				t.Errorf("as %s: %s is empty", as, name)
			}
		}
		for _, want := range []string{string(zoe), "Zoe", "Quillfeather", "+49 151 2233445", zoesOwn, "Quillbrowser/1.0", "Quillkey", "LOGIN", "PROFILE_UPDATE", "password_changed", "as zoe", "zoe lost all", "zoe asked", `"marketing_consent": true`, `"purpose": "recover"`} {
			if !strings.Contains(spaced(doc), want) {
				t.Errorf("as %s: %q is missing", as, want)
			}
		}
		for _, secret := range secrets {
			if strings.Contains(string(doc), secret) {
				t.Errorf("as %s: it shows %q", as, secret)
			}
		}
		if strings.Contains(string(doc), string(annsAddress)) || strings.Contains(string(doc), string(p.ann)) {
			t.Errorf("as %s: it knows somebody else", as)
		}
	}
}

// spaced is a document as a database writes one.
func spaced(doc []byte) string { return strings.ReplaceAll(string(doc), `":`, `": `) }

// naming lists where in a database something is said, by table and column, whatever the type.
func naming(t *testing.T, db testenv.DB, tenant portal.TenantID, words ...string) (found []string) {
	t.Helper()
	c := connect(t, db.RootURL)
	for _, column := range texts(t, c, `select c.oid::regclass || ' ' || quote_ident(a.attname) from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where c.relkind = 'r' and (n.nspname = 'portalgate' or n.nspname = 'public' and c.relname in ('customer_users', 'customer_activity_log'))
			and exists (select from pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id') order by 1`) {
		table, name, _ := strings.Cut(column, " ")
		for _, w := range words {
			for _, row := range texts(t, c, fmt.Sprintf(`select left(%[2]s::text, 200) from %[1]s where tenant_id = $1 and (position(lower($2) in lower(%[2]s::text)) > 0 or position(encode(convert_to($2, 'UTF8'), 'hex') in %[2]s::text) > 0)`, table, name), tenant, w) {
				found = append(found, column+": "+row)
			}
		}
	}
	return found
}

func TestNothingNamesAPersonWhoWasErased(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p, other := newPlace(t, db), newPlace(t, db)
	who, _ := p.lives(t)
	other.lives(t)
	words := []string{string(zoe), zoe.Masked(), "zoe", "quill", zoesOwn, "2233445", hex.EncodeToString(store.AddressDigest(p.tenant.ID, zoe))}
	if n := len(naming(t, db, p.tenant.ID, words...)); n < 25 {
		t.Fatalf("before, only %d places name her", n)
	}
	beside := len(naming(t, db, other.tenant.ID, words...))

	// The gateway may not; and whoever may, not in another tenant.
	if err := p.gateway.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
		_, err := x.Erase(t.Context(), []portal.UserID{who}, store.Deed{})
		return err
	}); code(err) != denied {
		t.Errorf("the gateway erases: %v", err)
	}
	other.asOperator(t, func(x *store.Tx) error {
		_, err := x.Exec(t.Context(), `select portalgate.erase(array[$1::uuid])`, who)
		return err
	})
	if n := len(naming(t, db, p.tenant.ID, words...)); n < 25 {
		t.Fatalf("another tenant has erased her: %d", n)
	}

	var rows int
	db.Row(t, `select count(*) from public.customer_activity_log where customer_user_id = $1`, []any{who}, &rows)
	p.asOperator(t, func(x *store.Tx) error {
		waiting, err := x.ErasuresAsked(t.Context())
		if err != nil || len(waiting) != 1 || waiting[0].User.ID != who {
			t.Errorf("%+v, %v", waiting, err)
		}
		e, err := x.Erase(t.Context(), []portal.UserID{who}, store.Deed{Operator: "olga", Reason: "asked"})
		if err == nil && (e.Sessions != 1 || e.Activity != int64(rows)) {
			t.Errorf("%+v of %d", e, rows)
		}
		return err
	})
	if left := naming(t, db, p.tenant.ID, words...); len(left) > 0 {
		t.Errorf("she is named in\n%s", strings.Join(left, "\n"))
	}
	var kept, ended, deeds int
	var active bool
	db.Row(t, `select (select count(*) from public.customer_activity_log where customer_user_id = $1 and metadata ->> 'result' = 'ok' and created_at is not null), (select count(*) from portalgate.revocations where tenant_id = $2 and kind = 'session'),
		(select count(*) from portalgate.events where user_id = $1 and verb = 'PERSON_ERASED' and operator = 'olga' and note = 'asked'), (select is_active or deleted_at is null from public.customer_users where id = $1)`,
		[]any{who, p.tenant.ID}, &kept, &ended, &deeds, &active)
	if kept != rows || ended != 1 || deeds != 1 || active {
		t.Errorf("%d of %d rows of activity, %d endings announced, %d deeds, active %t", kept, rows, ended, deeds, active)
	}
	if n := len(naming(t, db, other.tenant.ID, words...)); n != beside {
		t.Errorf("her twin in another tenant was named in %d places, and now in %d", beside, n)
	}
	p.asOperator(t, func(x *store.Tx) error {
		if people, err := x.Whoever(t.Context(), zoe); err != nil || len(people) != 0 {
			t.Errorf("%v, %v", people, err)
		}
		if list, err := x.ErasuresAsked(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		e, err := x.Erase(t.Context(), []portal.UserID{who}, store.Deed{Operator: "olga", Reason: "again"}) // changes nothing more
		if err == nil && e.Sessions != 0 {
			t.Errorf("%+v", e)
		}
		return err
	})
	// The address is free again, for somebody else or for her.
	p.person(t, zoe)
}
