package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// How long a letter may wait for a provider before it is put aside: what somebody waits for at a page is of no use the
// next day, an invitation and a notice are.
const (
	waitsForPerson = 12 * time.Hour
	waitsAnyway    = 3 * 24 * time.Hour
)

// urgent are the letters that somebody waits for.
var urgent = map[portal.LetterKind]bool{portal.LetterVerify: true, portal.LetterRecover: true, portal.LetterReopen: true, portal.LetterNewAddress: true, portal.LetterPaused: true}

// letterPlace is where a sealed part of a letter stands.
func letterPlace(t portal.TenantID, column string, id portal.LetterID) secret.Place {
	return secret.Place{Tenant: string(t), Table: "outbox", Column: column, Row: string(id)}
}

// Seal makes of a letter what may wait in the database: nothing of it can be read without the keyring. Commands post what
// it makes as well.
func Seal(keys *secret.Keyring, t portal.TenantID, l portal.Letter, now time.Time) (q store.Queued, err error) {
	l.ID = portal.LetterID(portal.FormatID(secret.NewID()))
	q = store.Queued{ID: l.ID, Kind: l.Kind, User: l.User, Language: l.Language, Same: l.Once, At: now, Expires: l.Expires}
	if q.Expires.IsZero() {
		q.Expires = now.Add(waitsAnyway)
		if urgent[l.Kind] {
			q.Expires = now.Add(waitsForPerson)
		}
	}
	if l.Kind == portal.LetterTextCode {
		q.Same = "" // a newer code overtakes one that waits, and is not counted into it; numbers are counted when it leaves
	}
	facts, err := json.Marshal(l.Facts)
	if err != nil {
		return q, fmt.Errorf("encoding a letter: %w", err)
	}
	if q.Address, err = keys.Seal([]byte(l.To), letterPlace(t, "address", l.ID), now); err != nil {
		return q, err
	}
	if q.Content, err = keys.Seal(facts, letterPlace(t, "content", l.ID), now); err != nil {
		return q, err
	}
	q.KeyID = secret.SealedWith(q.Content)
	return q, nil
}

// OpenAddress is whom a letter is for, for a command.
func OpenAddress(keys *secret.Keyring, t portal.TenantID, q store.Queued, now time.Time) (portal.Email, error) {
	b, err := keys.Unseal(q.Address, letterPlace(t, "address", q.ID), now)
	return portal.Email(b), err
}

// post queues a letter in the transaction of the deed; the courier is woken once that has happened.
func (s *Service) post(ctx context.Context, x *store.Tx, t *portal.Tenant, l portal.Letter) error {
	q, err := Seal(s.Keys, t.ID, l, x.Now())
	if err != nil {
		return err
	}
	return x.Post(ctx, q)
}

// atOnce says of which notices each leaves by itself: what takes something away, or lets somebody in who has nothing else to
// show. None waits behind another, and none is counted into one that says something else.
func atOnce(kind portal.LetterKind, what string) bool {
	return kind == portal.LetterReset || strings.HasSuffix(what, "_off") || strings.HasSuffix(what, "_removed") || strings.HasPrefix(what, "code_used")
}

// notify tells a person about their account, at the address that the row has, of the same at most once an hour: what comes
// meanwhile is counted into the next one, which says what it was. The notice of a first factor is counted into none but its like: it
// undoes what was added, and whoever adds one would only have to see to it that another notice waits.
func (s *Service) notify(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, u portal.User, kind portal.LetterKind, facts map[string]string) error {
	to, err := portal.ParseEmail(u.Email)
	if err != nil {
		return nil // the ERP may have anything there; nobody can be told
	}
	once := string(u.ID)
	if what := facts["what"]; what != "" {
		once += " " + what
	}
	if facts[factFirst] != "" {
		once += " " + factFirst
	}
	if atOnce(kind, facts["what"]) {
		once = ""
	}
	return s.post(ctx, x, t, portal.Letter{Kind: kind, User: u.ID, To: to, Language: u.Language, Once: once, Facts: asked(c, facts)})
}

// asked are the facts about who asks, for a mail.
func asked(c portal.Client, more map[string]string) map[string]string {
	facts := map[string]string{"at": c.At.UTC().Format(time.RFC3339), "device": whereabouts.Device(c.Agent)}
	if c.Addr.IsValid() {
		facts["address"] = c.Addr.String()
	}
	for k, v := range more {
		facts[k] = v
	}
	return facts
}

// may draws on the limits of mails that anybody can ask for.
func (s *Service) may(ctx context.Context, t *portal.Tenant, c portal.Client, e portal.Email) error {
	err := limited(s.Limits.Ask(ctx, c.At, s.guessOf(t, c, e)))
	if err != nil {
		s.tallies.add(t.ID, c, refusedAsk)
	}
	return err
}
