package pages

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// mayOffer says whether a sign-in may end with the offer of a passkey: its page's script says that the browser can make
// one, and the way does not lead to a page of ours, where somebody has something of their own to do.
func (s *Site) mayOffer(f fields, to string) bool {
	return ticked(f["makes"]) && to != s.Prefix && !strings.HasPrefix(to, s.Prefix+"/")
}

// offerURL is the page of the offer, on the way to another.
func (s *Site) offerURL(to string) string {
	return s.Prefix + "/account/mfa" + onward(url.Values{"offer": {"1"}}, to)
}

type offerData struct {
	To, Name string
	Ready    bool // one press makes it; else something must be shown first
	First    bool // it becomes their second step too
}

// offerPage offers a passkey to somebody who has just signed in with a password. Where there is nothing to offer any more
// it is no stop on the way.
func (s *Site) offerPage(w http.ResponseWriter, r *http.Request, v Visit, h auth.Holder, st auth.Steps, to string) error {
	mine := func(f portal.Factor) bool { return f.Kind == portal.FactorWebAuthn }
	theirs := func(o auth.Offer) bool { return o.Kind == portal.FactorWebAuthn }
	if !st.SignedIn || slices.ContainsFunc(st.Have, mine) || !slices.ContainsFunc(st.Offers, theirs) {
		see(w, r, to)
		return nil
	}
	_, err := s.Auth.Under(r.Context(), v.Tenant, v.Client, h, portal.FactorWebAuthn)
	d := offerData{To: to, Name: whereabouts.Device(v.Client.Agent), Ready: err == nil || errors.Is(err, auth.ErrNothing), First: st.First}
	if p, ok := asProblem(err); !d.Ready && (!ok || p.Kind != portal.ProblemMFARequired) {
		return err
	}
	return s.render(w, r, v, http.StatusOK, "offer", view{Title: "Sign in faster next time", SignedIn: true, Data: d})
}
