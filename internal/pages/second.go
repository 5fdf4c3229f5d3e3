package pages

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
)

// held is who answers a second step: somebody signed in, or else whoever has the cookie of a sign-in under way. A
// session comes first: the cookie may have been left behind in another tab.
func (s *Site) held(w http.ResponseWriter, r *http.Request, v *Visit) (h auth.Holder, err error) {
	h = auth.Holder{Attempt: v.Cookies.Attempt, Origin: v.Origin}
	if v.Cookies.Access == "" && v.Cookies.Refresh == "" {
		return h, nil
	}
	res, err := s.Sessions.Resume(r.Context(), v.Tenant, v.Cookies, v.Client, r.Method != http.MethodHead)
	if p, ok := asProblem(err); ok && h.Attempt != "" && (p.Kind == portal.ProblemSessionRequired || p.Kind == portal.ProblemSessionExpired) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	if res.Grant != nil {
		v.Jar.Give(w.Header(), *res.Grant, v.Client.At)
		v.Cookies.Access, v.Cookies.Refresh = res.Grant.Access, res.Grant.Refresh
	}
	return auth.Holder{Session: &res.Facts.Session, Origin: v.Origin}, nil
}

// place is where in the second step somebody is, as its address and its forms carry it.
type place struct {
	Method   portal.FactorKind
	Setup    bool // a first one is about to be added
	ReturnTo string
}

// secondURL is the page of the second step.
func (s *Site) secondURL(p place) string {
	q := url.Values{}
	if p.Method != "" {
		q.Set("method", string(p.Method))
	}
	if p.Setup {
		q.Set("for", "setup")
	}
	return s.Prefix + "/mfa" + onward(q, p.ReturnTo)
}

// onward is a query with a way onward, where there is one to speak of.
func onward(q url.Values, to string) string {
	if to != "" && to != "/" {
		q.Set("return_to", to)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// only is the value of a query's name that comes once.
func only(q url.Values, name string) string {
	if values := q[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

type secondData struct {
	auth.Question
	place
	Field    string  // the name of what is typed; empty: a script answers
	Code     *travel // a code that was sent
	Sent     *moment // when one was sent that works elsewhere
	Next     *moment // and from when on there is one for here
	Rest     *moment // until when codes rest
	Passkey  bool    // beside resting codes, a passkey may be used
	Trust    string  // how long a device is not asked
	Trusting bool
	Ways     []auth.Way
}

// travel is what a page says of a code that was sent.
type travel struct {
	To      string // masked
	Text    bool   // by text message
	Sent    moment
	Until   moment
	Earlier bool    // for the sign-in before this one
	Again   *moment // when another may be asked for; nil: now
	Minutes int     // for how long it is good
	Few     int     // tries left, when they are few
	Over    bool    // none is left
}

func travels(to string, sent, until time.Time, tries int, now time.Time) *travel {
	c := &travel{To: to, Text: !strings.Contains(to, "@"), Sent: when(sent, now), Until: when(until, now), Minutes: int(until.Sub(sent) / time.Minute), Over: tries == 0}
	if tries < 3 {
		c.Few = tries
	}
	soonest := sent.Add(time.Minute)
	if c.Over {
		soonest = until
	}
	if now.Before(soonest) {
		again := when(roundUp(soonest), now)
		c.Again = &again
	}
	return c
}

// OnwardTo is where this leads, for its forms.
func (d secondData) OnwardTo() string { return d.place.ReturnTo }

// Way is the address of another way.
func (d secondData) Way(kind portal.FactorKind) string {
	q := url.Values{"method": {string(kind)}}
	if d.Setup {
		q.Set("for", "setup")
	}
	return onward(q, d.place.ReturnTo)
}

func (s *Site) secondPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	q := r.URL.Query()
	p := place{Method: portal.FactorKind(only(q, "method")), Setup: only(q, "for") == "setup", ReturnTo: s.returnTo(only(q, "return_to"))}
	h, err := s.held(w, r, &v)
	if err != nil {
		return err
	}
	return s.secondForm(w, r, v, http.StatusOK, h, p, false, nil)
}

func (s *Site) secondForm(w http.ResponseWriter, r *http.Request, v Visit, status int, h auth.Holder, p place, trusting bool, problems []problem) error {
	q, err := s.Auth.Second(r.Context(), v.Tenant, v.Client, h, p.Method, p.Setup)
	if errors.Is(err, auth.ErrNothing) {
		return s.nothingAsked(w, r, v, h, p)
	}
	if err != nil {
		return s.tooLate(w, r, v, p.ReturnTo, err)
	}
	d := secondData{Question: q, place: p, Field: "code", Trust: length(portal.RememberDevice), Trusting: trusting, Ways: q.Others}
	d.Method = q.Kind
	switch {
	case q.Kind == auth.KindPassword:
		d.Field = "password"
	case q.Script:
		d.Field = ""
	}
	if !q.SentAt.IsZero() {
		d.Code = travels(q.SentTo, q.SentAt, q.Expires, q.Tries, v.Client.At)
		d.Code.Earlier = q.Earlier
	}
	if !q.Last.IsZero() {
		sent, next := when(q.Last, v.Client.At), when(roundUp(q.Last.Add(time.Minute)), v.Client.At)
		d.Sent, d.Next = &sent, &next
	}
	if !q.Rests.IsZero() {
		rest := when(roundUp(q.Rests), v.Client.At)
		d.Rest = &rest
		d.Ways = slices.DeleteFunc(q.Others, func(o auth.Way) bool { return o.Kind == portal.FactorWebAuthn }) // it has a button
		d.Passkey = len(d.Ways) < len(q.Others)
	}
	title := "Second step"
	if q.SignedIn {
		title = "Is it still you?"
	}
	if q.Kind == auth.KindMailbox {
		title = "Is this your mailbox?"
	}
	return s.render(w, r, v, status, "second", view{Title: title, SignedIn: q.SignedIn, Problems: problems, Data: d})
}

// nothingAsked leads a holder on of whom nothing is asked: to where they were going, or to what their sign-in waits for.
func (s *Site) nothingAsked(w http.ResponseWriter, r *http.Request, v Visit, h auth.Holder, p place) error {
	steps := s.Prefix + "/account/mfa" + onward(url.Values{}, p.ReturnTo)
	if h.Session != nil {
		to := p.ReturnTo
		if p.Setup && to == "/" {
			to = steps
		} else if !p.Setup && h.Session.MFAAt.IsZero() {
			// Nothing that counts was shown, and nothing can be: whoever was sent here by a page that needs it would
			// come back for ever.
			to = s.Prefix + "/account/mfa" + onward(url.Values{"needed": {"1"}}, p.ReturnTo)
		} else if to == "/" {
			to = s.Prefix + "/account"
		}
		see(w, r, to)
		return nil
	}
	wait, err := s.Auth.Waiting(r.Context(), v.Tenant, v.Client, h.Attempt)
	if err != nil {
		return s.tooLate(w, r, v, p.ReturnTo, err)
	}
	if wait.Step == portal.StepEnrol {
		see(w, r, steps)
		return nil
	}
	see(w, r, s.stepURL(wait.Step, p.ReturnTo))
	return nil
}

// stepURL is the page of what a sign-in needs next.
func (s *Site) stepURL(step portal.Step, to string) string {
	switch step {
	case portal.StepConfirmAddress:
		return s.Prefix + "/verify-email"
	case portal.StepNewPassword:
		return s.Prefix + "/account/password"
	case portal.StepSecond:
		return s.secondURL(place{ReturnTo: to})
	case portal.StepEnrol: // where the mailbox need not be proved that page leads on
		return s.secondURL(place{Setup: true, ReturnTo: to})
	case portal.StepChoose:
		return s.Prefix + "/account/company?" + url.Values{"return_to": {to}}.Encode()
	case portal.StepDone:
		return to
	}
	return s.loginTo(to)
}

// tooLate leads back to the sign-in page whose sign-in has run out, and says so there; every other error stays what it is.
func (s *Site) tooLate(w http.ResponseWriter, r *http.Request, v Visit, to string, err error) error {
	p, ok := asProblem(err)
	if !ok || p.Kind != portal.ProblemSessionRequired || v.Wants != WantsPage && !formPosted(r) {
		return err
	}
	q := url.Values{}
	if v.Cookies.Attempt != "" {
		v.Jar.DropAttempt(w.Header())
		q.Set("late", "1")
	}
	see(w, r, s.Prefix+"/login"+onward(q, to))
	return nil
}

func (s *Site) second(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	p := place{Method: portal.FactorKind(f["method"]), Setup: f["for"] == "setup", ReturnTo: s.returnTo(f["return_to"])}
	h, err := s.held(w, r, &v)
	if err != nil {
		return err
	}
	if f["action"] == "send" {
		if err := s.Auth.Send(r.Context(), v.Tenant, v.Client, h, p.Method, p.Setup); err != nil {
			return s.secondRefused(w, r, v, h, p, false, err)
		}
		see(w, r, s.secondURL(p))
		return nil
	}
	in := auth.Answer{Kind: p.Method, Text: f["code"], Trust: ticked(f["trust"]), Enrol: p.Setup, Makes: s.mayOffer(f, p.ReturnTo)}
	switch p.Method {
	case auth.KindPassword:
		in.Text = f["password"]
	case portal.FactorWebAuthn:
		in.Text = f["credential"]
	}
	out, err := s.Auth.Answer(r.Context(), v.Tenant, v.Client, v.Cookies, h, in)
	if err != nil {
		return s.secondRefused(w, r, v, h, p, in.Trust, err)
	}
	s.Wait(r.Context(), out.Release)
	to := p.ReturnTo
	switch {
	case out.Step == portal.StepEnrol: // the mailbox is proved
		if to == "/" || h.Session == nil && !strings.HasPrefix(to, s.Prefix+"/account/mfa") {
			to = s.Prefix + "/account/mfa" + onward(url.Values{}, to)
		}
		see(w, r, to)
		return nil
	case h.Session == nil && out.ReturnTo != "":
		to = s.returnTo(out.ReturnTo)
	}
	out.ReturnTo = to
	if out.Left >= 0 && out.Grant != nil {
		// How many codes are left is worth a word before anything else.
		to = s.Prefix + "/account/mfa" + onward(url.Values{"used": {"1"}}, s.stepURL(out.Step, to))
		out.Step, out.ReturnTo = portal.StepDone, to
	}
	return s.arrived(w, r, v, out)
}

// secondRefused answers a refused answer in place. A rest and a code that cannot be sent yet are told in place, too: a
// passkey works all the same, and so does the code that was sent before.
func (s *Site) secondRefused(w http.ResponseWriter, r *http.Request, v Visit, h auth.Holder, at place, trusting bool, err error) error {
	p, ok := asProblem(err)
	if !ok || !formPosted(r) {
		return err
	}
	switch p.Kind {
	case portal.ProblemLimit:
		if p.Rule != auth.RuleCodes && p.Rule != auth.RuleSecond {
			return err
		}
		retryAfter(w.Header(), p)
	case portal.ProblemCredentials, portal.ProblemInput:
	default:
		return s.tooLate(w, r, v, at.ReturnTo, err)
	}
	var held *auth.Held
	if errors.As(err, &held) {
		s.Wait(r.Context(), held.Release)
	}
	s.Refusals.count(p)
	told := *p
	switch {
	case p.Rule == auth.RuleSecond:
		told.Public = problem{Text: p.Public}.First() // the page says until when, and what works meanwhile
		fallthrough
	case p.Kind == portal.ProblemLimit:
		told.Field = "" // there may be no field to lead to
	case at.Method == auth.KindPassword:
		told.Field = "password"
	case at.Method == portal.FactorWebAuthn:
		told.Field = ""
	}
	return s.secondForm(w, r, v, p.Kind.Status(), h, at, trusting, lines(&told))
}

// retryAfter says in the headers when a limit allows the next try.
func retryAfter(h http.Header, p *portal.Problem) {
	if p.RetryAfter <= 0 {
		return
	}
	seconds := strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10)
	h.Set("Retry-After", seconds)
	if p.Kind == portal.ProblemLimit {
		h.Set("RateLimit", `"limit";r=0;t=`+seconds)
	}
}

// passkeyOptions are what a page's script hands to the browser.
func (s *Site) passkeyOptions(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	h, show := auth.Holder{Attempt: v.Cookies.Attempt, Origin: v.Origin}, any(nil)
	if f["purpose"] != "login" {
		if h, err = s.held(w, r, &v); err != nil {
			return err
		}
	}
	switch f["purpose"] {
	case "login":
		options, given, err := s.Auth.EnterOptions(r.Context(), v.Tenant, v.Client, h)
		if err != nil {
			return err
		}
		if given != nil {
			v.Jar.GiveAttempt(w.Header(), *given, s.Policy.AttemptLife)
		}
		show = options
	case "mfa":
		if show, err = s.Auth.Options(r.Context(), v.Tenant, v.Client, h); err != nil {
			return err
		}
	case "register":
		up, err := s.Auth.Begin(r.Context(), v.Tenant, v.Client, h, portal.FactorWebAuthn, "")
		if err != nil {
			return err
		}
		show = up.Show
	default:
		return unreadable("Say what the passkey is for: login, mfa or register.")
	}
	if _, ok := show.(json.RawMessage); !ok {
		return unreadable("There are no passkeys here.")
	}
	return s.answer(w, r, show)
}

// passkeyEndpoints tells password managers where passkeys are made and managed.
func (s *Site) passkeyEndpoints(w http.ResponseWriter, r *http.Request, v Visit) error {
	at := v.Origin + s.Prefix + "/account/mfa"
	return s.answer(w, r, map[string]string{"enroll": at, "manage": at})
}
