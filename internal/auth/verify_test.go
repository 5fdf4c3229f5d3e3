package auth_test

import (
	"context"
	"encoding/base32"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// openDoor is a tenant at which anybody may register.
func openDoor(t testing.TB, h *testenv.House) portal.Tenant {
	t.Helper()
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{Email: "first@buyer.example", Customer: "C-7"})
	h.Person(t, tenant, testenv.Visitor{Email: "own@buyer.example"})
	h.DB.Exec(t, `insert into portalgate.settings (tenant_id, key, value, changed_at) values ($1, 'registration', '"open"', now())`, tenant.ID)
	tenant.Registration = portal.RegistrationOpen
	return tenant
}

// registers sends the form and keeps the browser's cookie.
func (b *browser) registers(in auth.Registration) (auth.Outcome, error) {
	out, err := b.house.Auth.Register(context.Background(), b.tenant, b.client(), in)
	if err == nil {
		b.attempt = out.Attempt.Reveal()
	}
	return out, err
}

func ofKind(mails []mail.Message, kind portal.LetterKind) (out []mail.Message) {
	for _, m := range mails {
		if m.Kind == kind {
			out = append(out, m)
		}
	}
	return out
}

func TestARegistrationIsGoodOnceItsMailboxIsProved(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := openDoor(t, h)
	b := open(h, &tenant, "203.0.113.7")
	out, err := b.registers(auth.Registration{Email: "New@Buyer.example", Name: "  Noor   van Dyk ", Password: fresh, Customer: "C-7"})
	if err != nil || out.Step != portal.StepConfirmAddress || out.Grant != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := b.signIn("new@buyer.example", fresh); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("before the mail: %v", err)
	}
	token := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterVerify), "/auth/verify-email")
	// Not proved yet: the right password leads to the page that says so, and to no session (REG-02).
	if out, err := open(h, &tenant, "203.0.113.8").signIn("new@buyer.example", fresh); err != nil || out.Grant != nil || out.Step != portal.StepConfirmAddress {
		t.Errorf("unverified: %+v, %v", out, err)
	}
	for range 3 { // mail scanners (REG-04)
		if _, err := h.Auth.Look(t.Context(), &tenant, b.client(), token, "", portal.PurposeVerify, portal.PurposeNewAddress); err != nil {
			t.Fatal(err)
		}
	}
	done, err := h.Auth.Verify(t.Context(), &tenant, b.client(), token, b.attempt)
	if err != nil || done.Attempt != nil {
		t.Fatalf("%+v, %v", done, err)
	}
	ses := b.in(t, "new@buyer.example", fresh)
	var first, last, code string
	h.DB.Row(t, `select first_name, last_name, customer_code from public.customer_users u join public.customers c on c.id = u.customer_id where u.id = $1`, []any{ses.User}, &first, &last, &code)
	if first != "Noor" || last != "van Dyk" || code != "C-7" {
		t.Errorf("%q %q %q", first, last, code)
	}
	if _, err := h.Auth.Verify(t.Context(), &tenant, b.client(), token, b.attempt); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("a second time: %v", err)
	}
}

// REG-01: whoever has the address hears of it by mail; whoever asks hears nothing.
func TestRegisteringAnAddressThatSomebodyHasTellsOnlyItsOwner(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := openDoor(t, h)
	b := open(h, &tenant, "203.0.113.7")
	before := stored(t, h, userOf(t, h, tenant, "own@buyer.example"))
	known, kerr := b.registers(auth.Registration{Email: "own@buyer.example", Name: "Eve", Password: fresh})
	unknown, uerr := b.registers(auth.Registration{Email: "else@buyer.example", Name: "Eve", Password: fresh})
	if kerr != nil || uerr != nil || known.Step != unknown.Step || (known.Attempt == nil) != (unknown.Attempt == nil) {
		t.Fatalf("%+v %v, %+v %v", known, kerr, unknown, uerr)
	}
	mails := h.Courier(t, tenant.ID)
	if n := ofKind(mails, portal.LetterKnown); len(n) != 1 || n[0].To != "own@buyer.example" || strings.Contains(n[0].Text, "token=") {
		t.Errorf("the owner's mail: %+v", n)
	}
	if len(mails) != 2 {
		t.Errorf("%d mails", len(mails))
	}
	if s := stored(t, h, userOf(t, h, tenant, "own@buyer.example")); s != before {
		t.Error("the account was changed")
	}
}

func userOf(t testing.TB, h *testenv.House, tenant portal.Tenant, email string) (id portal.UserID) {
	t.Helper()
	h.DB.Row(t, `select id::text from public.customer_users where tenant_id = $1 and email = $2`, []any{tenant.ID, email}, &id)
	return id
}

// REG-05 ★: a stranger who registers somebody's address keeps nothing when its owner proves the mailbox, by the link of
// that very registration or by a reset.
func TestAStrangersRegistrationKeepsNothingOnceTheOwnerProvesTheMailbox(t *testing.T) {
	t.Parallel()
	const strangers, owners = "the stranger's own words", "the owner's own words"
	for name, prove := range map[string]func(t *testing.T, h *testenv.House, owner *browser, link mail.Message){
		"by the link of the stranger's registration": func(t *testing.T, h *testenv.House, owner *browser, link mail.Message) {
			done, err := h.Auth.Verify(t.Context(), owner.tenant, owner.client(), testenv.TokenIn(t, link, "/auth/verify-email"), "")
			if err != nil || done.Attempt == nil {
				t.Fatalf("%+v, %v", done, err)
			}
			out, err := h.Auth.FinishPassword(t.Context(), owner.tenant, owner.client(), done.Attempt.Reveal(), owners)
			if err != nil || out.Grant == nil {
				t.Fatalf("%+v, %v", out, err)
			}
		},
		"by a reset": func(t *testing.T, h *testenv.House, owner *browser, _ mail.Message) {
			owner.askReset(t, "victim@buyer.example")
			if err := h.Auth.Reset(t.Context(), owner.tenant, owner.client(), testenv.TokenIn(t, one(t, h.Courier(t, owner.tenant.ID), portal.LetterRecover), "/auth/reset-password"), owners); err != nil {
				t.Fatal(err)
			}
		},
		"by a registration of the owner's": func(t *testing.T, h *testenv.House, owner *browser, _ mail.Message) {
			if _, err := owner.registers(auth.Registration{Email: "victim@buyer.example", Name: "Vera", Password: owners}); err != nil {
				t.Fatal(err)
			}
			link := one(t, h.Courier(t, owner.tenant.ID), portal.LetterVerify)
			if done, err := h.Auth.Verify(t.Context(), owner.tenant, owner.client(), testenv.TokenIn(t, link, "/auth/verify-email"), owner.attempt); err != nil || done.Attempt != nil {
				t.Fatalf("%+v, %v", done, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := testenv.NewHouse(t, testenv.Plan{})
			tenant := openDoor(t, h)
			stranger, owner := open(h, &tenant, "198.51.100.1"), open(h, &tenant, "203.0.113.7")
			if _, err := stranger.registers(auth.Registration{Email: "victim@buyer.example", Name: "Eve", Password: strangers}); err != nil {
				t.Fatal(err)
			}
			link := one(t, h.Courier(t, tenant.ID), portal.LetterVerify)
			out, err := stranger.signIn("victim@buyer.example", strangers)
			if err != nil || out.Grant != nil {
				t.Fatalf("the stranger before the proof: %+v, %v", out, err)
			}
			pending := out.Attempt.Reveal()
			h.Clock.Advance(3 * time.Minute)
			prove(t, h, owner, one(t, h.Courier(t, tenant.ID), portal.LetterVerify)) // the newest, which the stranger's sign-in has sent
			if _, err := stranger.signIn("victim@buyer.example", strangers); kind(t, err) != portal.ProblemCredentials {
				t.Errorf("the stranger's password: %v", err)
			}
			if _, err := h.Auth.Waiting(t.Context(), &tenant, stranger.client(), pending); kind(t, err) != portal.ProblemSessionRequired {
				t.Errorf("the stranger's sign-in under way: %v", err)
			}
			if _, err := h.Auth.Verify(t.Context(), &tenant, stranger.client(), testenv.TokenIn(t, link, "/auth/verify-email"), stranger.attempt); kind(t, err) != portal.ProblemNotFound {
				t.Errorf("the stranger's link afterwards: %v", err)
			}
			open(h, &tenant, "203.0.113.9").in(t, "victim@buyer.example", owners)
		})
	}
}

// REG-05 ★: nor does whoever had the row before its mailbox was proved, in whatever state the ERP or anybody has left it: a
// seed, a passkey, codes, guesses that shut them, a change under way. What another row of that address has, whose mailbox was
// proved before, is no stranger's and stays: a reset is no way around a second step (REC-04).
func TestWhatStoodInARowBeforeItsMailboxWasProvedIsGone(t *testing.T) {
	t.Parallel()
	const seed = "twenty bytes of seed"
	doors := map[string]func(t *testing.T, owner, stranger *browser){
		"by a reset": func(t *testing.T, owner, _ *browser) {
			owner.askReset(t, "ann@buyer.example")
			link := ofKind(owner.house.Courier(t, owner.tenant.ID), portal.LetterRecover)[0]
			if err := owner.house.Auth.Reset(t.Context(), owner.tenant, owner.client(), testenv.TokenIn(t, link, "/auth/reset-password"), fresh); err != nil {
				t.Fatal(err)
			}
		},
		"by the link that a stranger's sign-in has sent": func(t *testing.T, owner, stranger *browser) {
			stranger.start(t, "ann@buyer.example", testenv.Password)
			link := ofKind(owner.house.Courier(t, owner.tenant.ID), portal.LetterVerify)[0]
			done, err := owner.house.Auth.Verify(t.Context(), owner.tenant, owner.client(), testenv.TokenIn(t, link, "/auth/verify-email"), "")
			if err != nil || done.Attempt == nil {
				t.Fatal(done, err)
			}
			w, err := owner.house.Auth.Waiting(t.Context(), owner.tenant, owner.client(), done.Attempt.Reveal())
			if err != nil || w.Step == portal.StepSecond { // hers, of the other row
				return
			}
			if _, err := owner.house.Auth.FinishPassword(t.Context(), owner.tenant, owner.client(), done.Attempt.Reveal(), fresh); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, prove := range doors {
		for _, sibling := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", beside a row that is the owner's"}[sibling], func(t *testing.T) {
				t.Parallel()
				h := testenv.NewHouse(t, testenv.Plan{})
				tenant := testenv.Tenant(t)
				id := h.Person(t, tenant, testenv.Visitor{})
				owner, stranger := open(h, &tenant, "203.0.113.7"), open(h, &tenant, "198.51.100.1")
				k := &testenv.Passkey{}
				ses := stranger.in(t, "ann@buyer.example", testenv.Password)
				stranger.prove(t)
				if _, err := h.Auth.AskAddress(t.Context(), &tenant, stranger.client(), ses, "stranger@evil.example", testenv.Password); err != nil {
					t.Fatal(err)
				}
				stranger.addPasskey(t, k)
				for range 6 {
					_, _ = stranger.signIn("ann@buyer.example", testenv.Password)
					h.DB.Exec(t, `insert into portalgate.lockouts (tenant_id, account, purse, failures, last_failure) select $1, account, 'second:', 100, $2 from portalgate.addresses where user_id = $3 on conflict do nothing`, tenant.ID, h.Clock.Now(), id)
				}
				h.DB.Exec(t, `update public.customer_users set is_email_verified = false, mfa_enabled = true, mfa_secret = $2 where id = $1`, id, base32.StdEncoding.EncodeToString([]byte(seed)))
				want := 0
				if sibling {
					other := h.Person(t, tenant, testenv.Visitor{Customer: "C-2", Password: "quite another phrase of hers"})
					h.DB.Exec(t, `insert into portalgate.factors (id, tenant_id, user_id, kind, name, state, key_id, facts, created_at) values (gen_random_uuid(), $1, $2, 'totp', 'hers', 'v1:', 'k1', '{}', now())`, tenant.ID, other)
					h.DB.Exec(t, `update public.customer_users set mfa_enabled = true, mfa_secret = 'hers' where id = $1`, other)
					want = 1
				}
				h.Clock.Advance(time.Hour)
				h.Mail.Fails = func(m mail.Message) error {
					if m.To == "stranger@evil.example" {
						return errors.New("451 greylisted")
					}
					return nil
				}
				prove(t, owner, stranger)
				h.Mail.Fails = nil
				h.Clock.Advance(2 * time.Hour)
				for _, m := range ofKind(h.Courier(t, tenant.ID), portal.LetterNewAddress) {
					t.Errorf("a change that was asked for before leaves for %s", m.To)
				}
				var factors, settled, guesses int
				h.DB.Row(t, `select (select count(*) from portalgate.factors where tenant_id = $1), (select count(*) from portalgate.second_steps where tenant_id = $1 and settled is not null),
					(select count(*) from portalgate.lockouts where tenant_id = $1 and purse like 'second:%')`, []any{tenant.ID}, &factors, &settled, &guesses)
				if factors != want || settled != 1 || guesses != 0 {
					t.Errorf("%d factors are left, and should be %d; %d claims are settled; %d purses of guesses", factors, want, settled, guesses)
				}
				if !sibling {
					if out, err := open(h, &tenant, "203.0.113.9").signIn("ann@buyer.example", fresh); err != nil || out.Grant == nil {
						t.Errorf("the owner's sign-in leads to %q: %v", out.Step, err)
					}
				}
				again := open(h, &tenant, "198.51.100.9")
				if _, err := again.enter(k.Answer(t, "https://"+tenant.Canonical(), again.options(t))); kind(t, err) != portal.ProblemCredentials {
					t.Errorf("the stranger's passkey: %v", err)
				}
			})
		}
	}
}

func TestARegistrationIsRefusedWhereItsFieldsAreUnfit(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := openDoor(t, h)
	b := open(h, &tenant, "203.0.113.7")
	good := auth.Registration{Email: "new@buyer.example", Name: "Noor", Password: fresh, Customer: "C-7"}
	for field, change := range map[string]func(*auth.Registration){
		"email":    func(r *auth.Registration) { r.Email = "new@buyer" + "\x00" },
		"name":     func(r *auth.Registration) { r.Name = "  " },
		"password": func(r *auth.Registration) { r.Password = "short" },
		"customer": func(r *auth.Registration) { r.Customer = "C-8" },
	} {
		in := good
		change(&in)
		if _, err := b.registers(in); kind(t, err) != portal.ProblemInput || refusal(t, err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for name, r := range map[string]portal.Registration{"closed": portal.RegistrationClosed, "by invitation": portal.RegistrationInvite} {
		tenant := tenant
		tenant.Registration = r
		if _, err := open(h, &tenant, "203.0.113.7").registers(good); kind(t, err) != portal.ProblemForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The right password on an address that nobody has proved: a link is sent, and the browser that asked goes on with the
// password it has shown.
func TestAnUnverifiedPersonIsSentALinkByTheRightPassword(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{Unverified: true})
	b := open(h, &tenant, "203.0.113.7")
	_, _ = b.signIn("ann@buyer.example", "wrong")
	if got := h.Courier(t, tenant.ID); len(got) != 0 {
		t.Fatalf("a wrong password sent %d mails", len(got))
	}
	out, err := b.signIn("ann@buyer.example", testenv.Password)
	if err != nil || out.Step != portal.StepConfirmAddress {
		t.Fatal(err)
	}
	attempt := out.Attempt.Reveal()
	link := one(t, h.Courier(t, tenant.ID), portal.LetterVerify)
	h.Clock.Advance(3 * time.Minute)
	if _, err := h.Auth.Resend(t.Context(), &tenant, b.client(), attempt); err != nil {
		t.Fatal(err)
	}
	again := one(t, h.Courier(t, tenant.ID), portal.LetterVerify)
	if _, err := h.Auth.Verify(t.Context(), &tenant, b.client(), testenv.TokenIn(t, link, "/auth/verify-email"), attempt); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("the link before the newest: %v", err)
	}
	if done, err := h.Auth.Verify(t.Context(), &tenant, b.client(), testenv.TokenIn(t, again, "/auth/verify-email"), attempt); err != nil || done.Attempt != nil {
		t.Fatalf("%+v, %v", done, err)
	}
	b.in(t, "ann@buyer.example", testenv.Password)
}

// REC-11: an address changes when the new mailbox is proved, the old one is told and can take it back, and every other
// link is void.
func TestAnAddressChangesWhenTheNewMailboxIsProvedAndTheOldOneMayUndoIt(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	ses := b.in(t, "ann@buyer.example", testenv.Password)
	b.askReset(t, "ann@buyer.example")
	reset := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterRecover), "/auth/reset-password")

	ask := func(email, password string) error {
		_, err := h.Auth.AskAddress(t.Context(), &tenant, b.client(), ses, email, password)
		return err
	}
	for email, c := range map[string]struct {
		password string
		kind     portal.ProblemKind
	}{"new@buyer.example": {"wrong", portal.ProblemCredentials}, "nothing": {testenv.Password, portal.ProblemInput}, "ANN@buyer.example": {testenv.Password, portal.ProblemInput}, "other@buyer.example": {"", portal.ProblemInput}} {
		if err := ask(email, c.password); kind(t, err) != c.kind {
			t.Errorf("%s with %q: %v", email, c.password, err)
		}
	}
	if err := ask("new@buyer.example", testenv.Password); err != nil {
		t.Fatal(err)
	}
	m := one(t, h.Courier(t, tenant.ID), portal.LetterNewAddress)
	if m.To != "new@buyer.example" {
		t.Fatalf("the link goes to %s", m.To)
	}
	open(h, &tenant, "203.0.113.8").in(t, "ann@buyer.example", testenv.Password) // nothing has changed yet
	h.Courier(t, tenant.ID)
	if done, err := h.Auth.Verify(t.Context(), &tenant, open(h, &tenant, "203.0.113.9").client(), testenv.TokenIn(t, m, "/auth/verify-email"), ""); err != nil || done.Purpose != portal.PurposeNewAddress || done.Attempt != nil {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), reset, fresh); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("a reset link from before: %v", err)
	}
	old := one(t, h.Courier(t, tenant.ID), portal.LetterOldAddress)
	if old.To != "ann@buyer.example" || strings.Contains(old.Text, "new@buyer.example") {
		t.Errorf("the old mailbox is told %s: %s", old.To, old.Text)
	}
	b.in(t, "new@buyer.example", testenv.Password)
	h.Courier(t, tenant.ID)

	if err := h.Auth.Undo(t.Context(), &tenant, open(h, &tenant, "192.0.2.1").client(), testenv.TokenIn(t, old, "/auth/undo")); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.session(t); ok {
		t.Error("whoever changed the address is still in")
	}
	for _, email := range []string{"ann@buyer.example", "new@buyer.example"} {
		if _, err := b.signIn(email, testenv.Password); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("%s with the old password: %v", email, err)
		}
	}
	mails := h.Courier(t, tenant.ID)
	if told := ofKind(mails, portal.LetterUndone); len(mails) != 2 || len(told) != 1 || told[0].To != "new@buyer.example" {
		t.Errorf("of %d mails these say that the change was taken back: %+v", len(mails), told)
	}
	again := ofKind(mails, portal.LetterReopen)[0]
	if again.To != "ann@buyer.example" {
		t.Fatalf("the way back goes to %s", again.To)
	}
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), testenv.TokenIn(t, again, "/auth/reset-password"), fresh); err != nil {
		t.Fatal(err)
	}
	b.in(t, "ann@buyer.example", fresh)
}

// Whoever has the address that somebody else wants hears of it, and keeps it.
func TestAnAddressThatSomebodyHasIsNotGivenToAnother(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example", Name: "Bob", Customer: "C-2"})
	b := open(h, &tenant, "203.0.113.7")
	ses := b.in(t, "ann@buyer.example", testenv.Password)
	ask := func(email string) mail.Message {
		t.Helper()
		if _, err := h.Auth.AskAddress(t.Context(), &tenant, b.client(), ses, email, testenv.Password); err != nil {
			t.Fatal(err)
		}
		all := h.Courier(t, tenant.ID)
		if len(all) != 1 {
			t.Fatalf("%d mails", len(all))
		}
		return all[0]
	}
	if m := ask("bob@buyer.example"); m.Kind != portal.LetterKnown || m.To != "bob@buyer.example" || strings.Contains(m.Text, "token=") {
		t.Errorf("%s to %s", m.Kind, m.To)
	}
	// Taken between the asking and the confirming.
	m := ask("carl@buyer.example")
	h.Person(t, tenant, testenv.Visitor{Email: "carl@buyer.example", Customer: "C-3"})
	if _, err := h.Auth.Verify(t.Context(), &tenant, b.client(), testenv.TokenIn(t, m, "/auth/verify-email"), ""); kind(t, err) != portal.ProblemInput {
		t.Errorf("an address that was taken meanwhile: %v", err)
	}
}

// ux 56: "this wasn't me" turns everybody out and leads to a new password, without a sign-in and once.
func TestThisWasNotMeTurnsEverybodyOut(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	ann, thief := open(h, &tenant, "203.0.113.7"), open(h, &tenant, "198.51.100.1")
	ann.in(t, "ann@buyer.example", testenv.Password)
	if got := h.Courier(t, tenant.ID); len(got) != 0 {
		t.Errorf("the first sign-in of all is announced: %d mails", len(got))
	}
	thief.in(t, "ann@buyer.example", testenv.Password)
	notice := one(t, h.Courier(t, tenant.ID), portal.LetterNewDevice)
	token := testenv.TokenIn(t, notice, "/auth/not-me")
	for i, want := range []portal.ProblemKind{"", portal.ProblemNotFound} {
		if mailed, err := h.Auth.Disown(t.Context(), &tenant, open(h, &tenant, "192.0.2.1").client(), token); kind(t, err) != want || mailed == (want != "") {
			t.Fatalf("time %d: %v, %v", i, mailed, err)
		}
	}
	for name, b := range map[string]*browser{"Ann": ann, "the thief": thief} {
		if _, ok := b.session(t); ok {
			t.Errorf("%s is still in", name)
		}
		if _, err := b.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("%s with the old password: %v", name, err)
		}
	}
	m := one(t, h.Courier(t, tenant.ID), portal.LetterReopen)
	if err := h.Auth.Reset(t.Context(), &tenant, ann.client(), testenv.TokenIn(t, m, "/auth/reset-password"), fresh); err != nil {
		t.Fatal(err)
	}
	ann.in(t, "ann@buyer.example", fresh)
}

// An invitation: no password until its mail was opened, and then one that nobody else knows.
func TestAnInvitationIsAcceptedWithAPassword(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{Unverified: true})
	h.DB.Exec(t, `delete from portalgate.credentials where user_id = $1`, id)
	q, err := auth.Seal(h.Keys, tenant.ID, portal.Letter{Kind: portal.LetterInvite, User: id, To: "ann@buyer.example"}, h.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.Queue(t, tenant.ID, q)
	b := open(h, &tenant, "203.0.113.7")
	if _, err := b.signIn("ann@buyer.example", "!portalgate"); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("before: %v", err)
	}
	token := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterInvite), "/auth/register")
	h.Clock.Advance(6 * 24 * time.Hour)
	if err := h.Auth.Accept(t.Context(), &tenant, b.client(), token, fresh); err != nil {
		t.Fatal(err)
	}
	if err := h.Auth.Accept(t.Context(), &tenant, b.client(), token, fresh+"!"); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("a second time: %v", err)
	}
	b.in(t, "ann@buyer.example", fresh)
}

// ux 57: a kind of notice leaves at most once an hour; what came meanwhile is in the next one.
func TestANoticeOfAKindLeavesAtMostOnceAnHour(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	open(h, &tenant, "203.0.113.7").in(t, "ann@buyer.example", testenv.Password)
	var mails []mail.Message
	for i := range 12 {
		h.Clock.Advance(10 * time.Minute)
		b := open(h, &tenant, "198.51.100.1")
		b.addr = []string{"198.51.100.1", "192.0.2.1", "203.0.114.1", "203.0.115.1"}[i%4]
		b.agent = "Mozilla/5.0 (iPhone) Version/18." + string(rune('0'+i%10)) + string(rune('a'+i))
		b.in(t, "ann@buyer.example", testenv.Password)
		mails = append(mails, h.Courier(t, tenant.ID)...)
	}
	if n := len(ofKind(mails, portal.LetterNewDevice)); n != 2 {
		t.Errorf("%d notices in two hours", n)
	}
	var more int
	h.DB.Row(t, `select coalesce(sum(more), 0) from portalgate.outbox where tenant_id = $1`, []any{tenant.ID}, &more)
	if more == 0 {
		t.Error("what came meanwhile is not counted")
	}
	// Back on a browser that calls itself the same, from the same network: nothing to tell.
	h.Clock.Advance(3 * time.Hour)
	h.Courier(t, tenant.ID)
	b := open(h, &tenant, "203.0.113.99")
	b.in(t, "ann@buyer.example", testenv.Password)
	if got := h.Courier(t, tenant.ID); len(got) != 0 {
		t.Errorf("%d mails about a browser that was here", len(got))
	}
}

// Contract 5: a copied sign-in that comes back after its owner's was renewed ends the family, and the owner hears of it.
func TestTheOwnerHearsOfACopiedSignIn(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", testenv.Password)
	old := b.cookies
	for range 2 { // renewed, and the successor presented
		h.Clock.Advance(27 * time.Minute)
		res, err := h.Sessions.Resume(t.Context(), &tenant, b.cookies, b.client(), true)
		if err != nil || res.Grant == nil {
			t.Fatalf("%+v, %v", res, err)
		}
		b.take(*res.Grant)
	}
	h.Clock.Advance(time.Minute) // past the grace for an answer that never arrived
	if _, err := h.Sessions.Resume(t.Context(), &tenant, session.Cookies{Refresh: old.Refresh}, open(h, &tenant, "198.51.100.1").client(), true); kind(t, err) != portal.ProblemSessionExpired {
		t.Fatalf("the copy: %v", err)
	}
	testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterCopied), "/auth/not-me")
}
