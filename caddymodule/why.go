package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// obstacle is one thing that stands in somebody's way, or is worth knowing although it does not.
type obstacle struct {
	Stops   bool       `json:"stops"`
	Rule    string     `json:"rule"`
	Tenant  string     `json:"tenant,omitempty"`
	Network string     `json:"network,omitempty"`
	Until   *time.Time `json:"until,omitempty"`
	Says    string     `json:"says"`
	Command string     `json:"command,omitempty"` // that helps
	Tell    string     `json:"tell,omitempty"`    // the sentence for the person
}

// The kinds of things that may be asked about.
const (
	askReference = "reference"
	askEmail     = "e-mail"
	askAddress   = "address"
	askSession   = "session"
)

var referenceForm = regexp.MustCompile(`^[2-9A-HJ-NP-Z]{8}$`)

// kindOf says what a question is about.
func kindOf(question string) (string, error) {
	if _, ok := portal.IDBytes(portal.SessionID(question)); ok {
		return askSession, nil
	}
	if strings.Contains(question, "@") {
		if _, err := portal.ParseEmail(question); err != nil {
			return "", fmt.Errorf("%q is not one plain e-mail address", question)
		}
		return askEmail, nil
	}
	if _, err := networkOf(question); err == nil {
		return askAddress, nil
	}
	if referenceForm.MatchString(strings.ToUpper(question)) {
		return askReference, nil
	}
	return "", fmt.Errorf("%q is neither the reference of an error page (eight letters and digits), nor an e-mail address, an IP address, or the id of a session", question)
}

// networkOf is the network that limits count an address by. It may be given as that network.
func networkOf(s string) (string, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if whereabouts.Network(p.Addr()) == p.Masked().String() || p.IsSingleIP() {
			return whereabouts.Network(p.Addr()), nil
		}
		return "", fmt.Errorf("limits count IPv4 by address and IPv6 by /64, not by %s", s)
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return "", fmt.Errorf("%q is not an IP address", s)
	}
	return whereabouts.Network(a), nil
}

// firstOf is the first address of a network as limits name it.
func firstOf(network string) netip.Addr {
	if p, err := netip.ParsePrefix(network); err == nil {
		return p.Addr()
	}
	a, _ := netip.ParseAddr(network) // one that networkOf has made
	return a
}

// clerk knows what stands in people's way: what the database knows, and inside a gateway what that knows besides.
type clerk struct {
	store   *store.Store
	now     func() time.Time
	limits  *ratelimit.Limiter // nil: no gateway
	refused *pages.Refusals    // nil: no gateway
	exempt  []netip.Prefix
}

func (w *world) clerk() *clerk {
	return &clerk{store: w.store, now: w.now, limits: w.limits, refused: w.refused, exempt: w.settings.exempt}
}

// shop is a tenant as the directory knows it.
type shop struct {
	id   portal.TenantID
	slug string
	mode portal.Mode
}

// shops are the tenants, or the one of a slug.
func (k *clerk) shops(ctx context.Context, slug string) (out []shop, err error) {
	if slug != "" {
		if _, err := find(ctx, k.store, slug); err != nil {
			return nil, err
		}
	}
	entries, err := k.store.Directory(ctx)
	if err != nil {
		return nil, explained(err)
	}
	for _, e := range entries {
		if (slug == "" || e.Slug == slug) && (len(out) == 0 || out[len(out)-1].id != e.Tenant) {
			out = append(out, shop{e.Tenant, e.Slug, e.Mode})
		}
	}
	return out, nil
}

// why answers a question. Nothing in the answer means that nothing is known to stand in the way.
func (k *clerk) why(ctx context.Context, question, slug string) ([]obstacle, error) {
	kind, err := kindOf(question)
	if err != nil {
		return nil, err
	}
	if kind == askReference {
		return k.whyReference(strings.ToUpper(question)), nil
	}
	shops, err := k.shops(ctx, slug)
	if err != nil {
		return nil, err
	}
	var out []obstacle
	for _, s := range shops {
		var found []obstacle
		switch kind {
		case askEmail:
			email, _ := portal.ParseEmail(question) // kindOf has parsed it
			found, err = k.whyEmail(ctx, s, email)
		case askAddress:
			network, _ := networkOf(question)
			found, err = k.whyNetwork(ctx, s, network)
		case askSession:
			found, err = k.whySession(ctx, s, portal.SessionID(strings.ToLower(question)))
		}
		if err != nil {
			return nil, explained(err)
		}
		if s.mode != portal.ModeOn && len(found) > 0 {
			found = append(found, obstacle{Rule: "mode", Says: fmt.Sprintf("the gate is %s at this tenant: it stops nobody there", s.mode)})
		}
		for i := range found {
			found[i].Tenant = s.slug
		}
		out = append(out, found...)
	}
	return out, nil
}

func (k *clerk) whyReference(ref string) []obstacle {
	if k.refused == nil {
		return nil
	}
	f, ok := k.refused.Find(ref)
	if !ok {
		return nil
	}
	o := obstacle{Stops: true, Rule: orElse(f.Rule, string(f.Code)), Tenant: f.Slug, Network: f.Network, Until: moment(f.Until)}
	when := f.At.UTC().Format(time.RFC3339)
	switch {
	case f.Rule == auth.RuleLockout:
		o.Says = fmt.Sprintf("at %s a sign-in was refused because its account rests after wrong passwords; whose it is the gateway does not remember", when)
		o.Command = fmt.Sprintf("portalgate why E-MAIL --tenant %s", f.Slug)
		o.Tell = tellRest
	case f.Code == portal.ProblemLimit:
		l, _ := k.limit(f.Rule)
		o.Says = fmt.Sprintf("at %s a sign-in was refused: %s", when, sentence(l))
		o.Command, o.Tell = clearing(f.Slug, f.Network), l.Public
		if s := k.limits.Look(context.Background(), k.now(), f.Tenant, f.Network); l.Kind == ratelimit.Failures && s.Strangers.IsZero() && s.Everybody.IsZero() {
			o.Stops, o.Command = false, ""
			o.Says += "; that is over"
		}
	case f.Code.Status() >= 500:
		o.Says = fmt.Sprintf("at %s a request could not be answered (%s); the log has the cause: look for %s", when, f.Code, ref)
	default:
		o.Says = fmt.Sprintf("at %s a request was refused (%s, status %d); at debug level the log has more: look for %s", when, f.Code, f.Code.Status(), ref)
	}
	return []obstacle{o}
}

const tellRest = "After several wrong passwords sign-in pauses for a while. A browser in which you have signed in before works as usual."

func (k *clerk) whyEmail(ctx context.Context, s shop, email portal.Email) (out []obstacle, err error) {
	tenant, err := k.store.Tenant(ctx, s.id, k.now())
	if err != nil {
		return nil, err
	}
	err = k.store.Within(ctx, s.id, k.now(), func(x *store.Tx) error {
		out = nil
		rows, err := x.Named(ctx, email)
		if err != nil {
			return err
		}
		for _, a := range rows {
			out = append(out, ofAccount(s.slug, email, a)...)
		}
		purses, err := x.Purses(ctx, email)
		if err != nil {
			return err
		}
		if out, err = k.ofMail(ctx, x, s.slug, email, rows, out); err != nil {
			return err
		}
		names := make([]string, 0, len(purses))
		for name := range purses {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			out = append(out, k.purse(s.slug, email, name, purses[name], len(rows) > 0)...)
		}
		second, err := k.ofSecond(ctx, x, tenant, email, rows)
		if err != nil {
			return err
		}
		out = append(out, second...)
		return nil
	})
	if err == nil && tenant.Suspended && len(out) > 0 {
		out = append(out, obstacle{Stops: true, Rule: "tenant_suspended", Says: "the ERP has suspended this tenant: nobody signs in or passes"})
	}
	return out, err
}

// ofAccount says what about one row of a person stands in their way.
func ofAccount(slug string, email portal.Email, a store.Account) []obstacle {
	who := fmt.Sprintf("--tenant %s --email %s", slug, email)
	company := a.User.CustomerName
	if a.User.OwnCompany {
		company = "the tenant itself"
	}
	switch {
	case !a.User.Active:
		return []obstacle{{Stops: true, Rule: "user_blocked", Says: fmt.Sprintf("the account for %s may not be used: %s; that is the ERP's to change", company, a.User.Blocked)}}
	case a.Secret.Missing:
		return []obstacle{{Stops: true, Rule: "no_password", Says: fmt.Sprintf("the account for %s has no password yet", company), Command: "portalgate user set-password " + who + " --password-stdin"}}
	case !a.User.Verified:
		return []obstacle{{Stops: true, Rule: "not_confirmed", Says: fmt.Sprintf("the account for %s waits for the address to be confirmed", company), Command: "portalgate user verify " + who,
			Tell: "We have confirmed your address. You can sign in now."}}
	case a.Secret.MustChange:
		return []obstacle{{Rule: "must_change", Says: fmt.Sprintf("the account for %s has a temporary password, to be changed at the next sign-in", company)}}
	}
	return []obstacle{{Rule: "account", Says: fmt.Sprintf("the account for %s is in order", company)}}
}

// ofPurse says whether a purse of tries rests.
func (k *clerk) ofPurse(slug string, email portal.Email, l portal.Lockout, device, known bool) []obstacle {
	where := "in browsers that are new to the account"
	if device {
		where = "in a browser that the account knows"
	}
	if !known {
		where = "though nobody has this address here; it is treated like any other"
	}
	help := fmt.Sprintf("portalgate user unlock --tenant %s --email %s", slug, email)
	if !known {
		help = fmt.Sprintf("portalgate limits clear --tenant %s --email %s", slug, email)
	}
	wait, resting := l.Resting(k.now())
	switch {
	case k.store.Lockout().Closed(l):
		return []obstacle{{Stops: true, Rule: auth.RuleLockout, Says: fmt.Sprintf("the password is closed %s after %d wrong ones, the last at %s, until it is set anew or unlocked", where, l.Failures, stamp(l.LastFailure)),
			Command: help, Tell: tellRest}}
	case resting:
		return []obstacle{{Stops: true, Rule: auth.RuleLockout, Until: moment(l.RestsUntil), Says: fmt.Sprintf("sign-in pauses %s for %s more, after %s", where, short(wait), count(l.Failures, "wrong password")),
			Command: help, Tell: tellRest}}
	case l.Failures > 0:
		return []obstacle{{Rule: auth.RuleLockout, Says: fmt.Sprintf("%s %s, the last at %s; nothing pauses", count(l.Failures, "wrong password"), where, stamp(l.LastFailure))}}
	}
	return nil
}

func (k *clerk) whyNetwork(ctx context.Context, s shop, network string) (out []obstacle, err error) {
	tenant, err := k.store.Tenant(ctx, s.id, k.now())
	if err != nil {
		return nil, err
	}
	addr, _, _ := strings.Cut(network, "/")
	if a, err := netip.ParseAddr(addr); err == nil && (tenant.Office(a) || holds(k.exempt, a)) {
		return []obstacle{{Rule: "limit_exempt", Network: network, Says: "the network is on the list of offices: no limit counts by network there"}}, nil
	}
	if k.limits == nil {
		return nil, nil
	}
	out = k.ofNetwork(ctx, s.id, s.slug, network)
	for _, f := range k.refused.Standing(k.now()) {
		l, ok := k.limit(f.Rule)
		if ok && l.Kind == ratelimit.Rate && f.Tenant == s.id && (f.Network == network || l.Effect == ratelimit.RefusesStrangers && l.By == "tenant") {
			out = append(out, obstacle{Stops: true, Rule: f.Rule, Network: network, Until: moment(f.Until), Says: sentence(l), Command: clearing(s.slug, network), Tell: l.Public})
		}
	}
	return out, nil
}

// ofNetwork says how the limits of failures stand for a network.
func (k *clerk) ofNetwork(ctx context.Context, id portal.TenantID, slug, network string) (out []obstacle) {
	st, limits := k.limits.Look(ctx, k.now(), id, network), k.limits.Limits()
	add := func(until time.Time, l ratelimit.Limit) {
		if until.IsZero() {
			return
		}
		says := sentence(l)
		if l.Most > 0 && st.Waits > 1 {
			says += fmt.Sprintf("; reached %d times, each within a day of the one before, so the wait has grown", st.Waits)
		}
		out = append(out, obstacle{Stops: true, Rule: l.Name, Network: network, Until: moment(until), Says: says, Command: clearing(slug, network), Tell: l.Public})
	}
	add(st.Strangers, limits.Guesses)
	add(st.Everybody, limits.Refusal)
	if len(out) == 0 && st.Failed > 0 {
		out = append(out, obstacle{Rule: limits.Guesses.Name, Network: network, Says: fmt.Sprintf("%d of %d %s in %s; nobody waits", st.Failed, limits.Guesses.Number, limits.Guesses.Counts, short(limits.Guesses.Period))})
	}
	return out
}

// limit is a declared limit by its name.
func (k *clerk) limit(name string) (ratelimit.Limit, bool) {
	if k.limits != nil {
		for _, l := range k.limits.Limits().All() {
			if l.Name == name {
				return l, true
			}
		}
	}
	return ratelimit.Limit{}, false
}

// sentence is what a limit says to an operator.
func sentence(l ratelimit.Limit) string {
	return fmt.Sprintf("%d %s by %s in %s: it %s", l.Number, l.Counts, l.By, short(l.Period), l.Effect)
}

func clearing(slug, network string) string {
	return fmt.Sprintf("portalgate limits clear --tenant %s --network %s; for an office `portalgate limits allow --tenant %s %s`", slug, network, slug, network)
}

var endWords = map[portal.EndReason]string{
	portal.EndSignOut: "the person signed out", portal.EndRevoked: "the person ended it from the list of devices", portal.EndOperator: "an operator ended it",
	portal.EndPasswordChange: "the password was changed", portal.EndReplaced: "the same browser signed in again", portal.EndReuse: "a replaced cookie came back, as when one was stolen",
	portal.EndStepUp: "the person has shown a second step and went on in another session", portal.EndFactor: "a second step was taken away", portal.EndDisowned: "its owner said in a mail that it was not them",
	portal.EndTooMany: "the person signed in on more devices than may be at once", portal.EndUser: "the person may not be here any more", portal.EndExpired: "its time was over",
}

func (k *clerk) whySession(ctx context.Context, s shop, id portal.SessionID) (out []obstacle, err error) {
	err = k.store.Within(ctx, s.id, k.now(), func(x *store.Tx) error {
		out = nil
		ses, err := x.Session(ctx, id)
		if errors.Is(err, store.ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		a, err := x.Person(ctx, ses.User)
		if err != nil && !errors.Is(err, store.ErrNone) {
			return err
		}
		alive, reason := ses.Alive(k.now())
		if alive {
			out = []obstacle{{Rule: "session", Says: fmt.Sprintf("the session of %s is open: begun %s, last used %s, ends %s without use", a.User.Email, stamp(ses.CreatedAt), stamp(ses.LastActive), stamp(ses.IdleEnd))}}
		} else {
			ended := ses.EndedAt
			if ended.IsZero() {
				ended = ses.IdleEnd
				if ses.End.Before(ended) {
					ended = ses.End
				}
			}
			out = []obstacle{{Stops: true, Rule: "session_" + string(reason), Says: fmt.Sprintf("the session of %s ended at %s: %s", a.User.Email, stamp(ended), orElse(endWords[reason], string(reason))), Tell: "Please sign in again."}}
		}
		if err == nil && !a.User.Active {
			out = append(out, ofAccount(s.slug, portal.Email(a.User.Email), a)...)
		}
		return nil
	})
	return out, err
}
