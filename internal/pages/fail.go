package pages

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
)

var titles = map[portal.ProblemKind]string{
	portal.ProblemSessionRequired: "Please sign in",
	portal.ProblemSessionExpired:  "Please sign in again",
	portal.ProblemMFARequired:     "A second step is needed",
	portal.ProblemCredentials:     "Please try again",
	portal.ProblemInput:           "Please check what you have entered",
	portal.ProblemRequest:         "This request cannot be read",
	portal.ProblemCrossSite:       "This came from another site",
	portal.ProblemForbidden:       "This is not open to you",
	portal.ProblemNotFound:        "Page not found",
	portal.ProblemMethod:          "This does not work that way",
	portal.ProblemTooLarge:        "That is too much at once",
	portal.ProblemUnknownHost:     "There is no portal here",
	portal.ProblemMisdirected:     "Wrong connection",
	portal.ProblemLimit:           "A short pause",
	portal.ProblemBusy:            "Many people are signing in",
	portal.ProblemUnavailable:     "Back in a moment",
	portal.ProblemSocket:          "Not available here",
	portal.ProblemEarlyData:       "Please send it again",
	portal.ProblemOperation:       "Not available here",
}

// Fail answers an error, on both roads. It is the only place that does: what a person reads is a Problem's public
// sentence, everything else is a reference under which the log knows more.
func (s *Site) Fail(w http.ResponseWriter, r *http.Request, v Visit, err error) {
	hurry(w, r)
	s.fail(w, r, v, err)
}

func (s *Site) fail(w http.ResponseWriter, r *http.Request, v Visit, err error) {
	if held, ok := errors.AsType[*auth.Held](err); ok {
		s.Wait(r.Context(), held.Release)
	}
	if way, ok := errors.AsType[*awaited](err); ok {
		v.Back = way.to
	}
	p, ok := errors.AsType[*portal.Problem](err)
	if !ok {
		p = &portal.Problem{Kind: portal.ProblemInternal, Public: "The mistake is on our side. Please try again; if it happens again, ask for help and name the reference.", Err: err}
	}
	s.Refusals.count(p)
	ref := ""
	status := p.Kind.Status()
	switch {
	case status >= 500 && p.Kind != portal.ProblemBusy:
		ref = s.refer(v, p)
		s.Log().Error("a request could not be answered", zap.String("reference", ref), zap.String("code", string(p.Kind)), rule(p), zap.String("method", r.Method), zap.String("path", r.URL.Path), tenant(v), zap.Error(err))
	case status != http.StatusUnauthorized:
		ref = s.refer(v, p)
		s.Log().Debug("a request was refused", zap.String("reference", ref), zap.String("code", string(p.Kind)), rule(p), zap.String("method", r.Method), zap.String("path", r.URL.Path), tenant(v), zap.Error(err))
	}
	h := w.Header()
	if p.Kind == portal.ProblemSessionExpired && v.Tenant != nil {
		// The session is over for certain, and what the browser holds of it is of no use any more. A request that a page
		// made in the background leaves the next page something to say so by, for its own answer nobody may read.
		if s.seen(r, v) {
			v.Jar.Drop(h)
		} else {
			v.Jar.DropRefresh(h)
		}
	}
	if v.Grant != nil && h.Get("Set-Cookie") == "" {
		v.Jar.Give(h, *v.Grant, v.Client.At)
	}
	retryAfter(h, p)
	if v.Tenant == nil && !strings.Contains(r.Header.Get("Accept"), "text/html") {
		v.Wants = WantsData
	}
	switch {
	case v.Wants == WantsGraphQL:
		s.failGraphQL(w, r, v, p, status, ref)
	case v.Wants == WantsPage && (p.Kind == portal.ProblemSessionRequired || p.Kind == portal.ProblemSessionExpired):
		see(w, r, s.loginURL(r, p.Kind == portal.ProblemSessionExpired))
	case p.Kind == portal.ProblemMFARequired && (v.Wants == WantsPage || formPosted(r) && strings.HasPrefix(r.URL.Path, s.Prefix+"/")):
		see(w, r, s.secondURL(place{ReturnTo: s.wayBack(r, v)}))
	case s.seen(r, v):
		s.failPage(w, r, v, p, status, ref)
	default:
		s.failData(w, r, v, p, status, ref)
	}
}

// seen says whether a person sees the answer as a page. What a form sends a script may send too: the browser says which
// it was, and where it does not, what is asked for.
func (s *Site) seen(r *http.Request, v Visit) bool {
	if v.Wants == WantsGraphQL || v.Wants == WantsPage || r.Method != http.MethodPost || !formPosted(r) {
		return v.Wants == WantsPage
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "text/html") || strings.HasPrefix(r.URL.Path, s.Prefix+"/") && !strings.Contains(accept, "json")
}

// wayBack is where somebody goes on who must show a second step first. A form is not sent anew: its page is shown again.
func (s *Site) wayBack(r *http.Request, v Visit) string {
	switch {
	case v.Back != "":
		return v.Back
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return s.returnTo(r.URL.RequestURI())
	}
	return s.returnTo(r.URL.Path)
}

func rule(p *portal.Problem) zap.Field {
	if p.Rule == "" {
		return zap.Skip()
	}
	return zap.String("rule", p.Rule)
}

func tenant(v Visit) zap.Field {
	if v.Tenant == nil {
		return zap.Skip()
	}
	return zap.String("tenant", v.Tenant.Slug)
}

// loginURL is the sign-in page, with the way back to where a navigation was going.
func (s *Site) loginURL(r *http.Request, ended bool) string {
	q := url.Values{}
	if to := portal.ReturnTo(r.URL.RequestURI()); to != "/" && !s.loops(to) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		q.Set("return_to", to)
	}
	if ended {
		q.Set("ended", "1")
	}
	if len(q) == 0 {
		return s.Prefix + "/login"
	}
	return s.Prefix + "/login?" + q.Encode()
}

func (s *Site) failPage(w http.ResponseWriter, r *http.Request, v Visit, p *portal.Problem, status int, ref string) {
	data := struct {
		Words, Link, LinkText, Wait, Instead string
		When                                 *moment
		Forgot                               bool // a password may be what is missing
	}{Words: p.Public, Link: "/", LinkText: "To the portal", Instead: p.Instead}
	title := titles[p.Kind]
	switch {
	case title == "":
		title = "Something went wrong"
	case p.Rule == auth.RuleLockout:
		title = "Sign-in is paused"
	case p.Kind == portal.ProblemLimit && p.RetryAfter > 10*time.Minute:
		title = "A pause"
	}
	switch {
	case v.Tenant == nil || status == http.StatusMisdirectedRequest:
		data.Link = ""
	case p.Rule == auth.RuleLockout && strings.HasPrefix(r.URL.Path, s.Prefix+"/account/"):
		data.Link, data.LinkText = s.Prefix+"/account", "Back to your account"
		title = "A pause"
	case p.Kind == portal.ProblemSessionRequired, p.Kind == portal.ProblemSessionExpired, p.Kind == portal.ProblemCrossSite, p.Kind == portal.ProblemCredentials, p.Kind == portal.ProblemLimit:
		data.Link, data.LinkText, data.Forgot = s.loginTo(v.Back), "To the sign-in page", p.Rule == auth.RuleLockout
	case v.Back != "":
		data.Link, data.LinkText = s.loginTo(v.Back), "Try again"
	case p.Kind == portal.ProblemBusy, p.Kind == portal.ProblemUnavailable:
		data.Link, data.LinkText = portal.ReturnTo(r.URL.RequestURI()), "Try again"
	}
	if p.Kind == portal.ProblemLimit && p.RetryAfter > 0 {
		m := when(roundUp(v.Client.At.Add(p.RetryAfter)), v.Client.At)
		data.When, data.Wait = &m, length(roundUpMinutes(p.RetryAfter))
	}
	if err := s.render(w, r, v, status, "error", view{Title: title, Reference: ref, Data: data}); err != nil {
		s.Log().Error("the error page failed", zap.Error(err))
		s.failData(w, r, v, p, status, ref)
	}
}

// roundUp is the next full minute: nobody waits by the second.
func roundUp(t time.Time) time.Time { return t.Add(time.Minute - 1).Truncate(time.Minute) }

func roundUpMinutes(d time.Duration) time.Duration {
	return (d + time.Minute - 1).Truncate(time.Minute)
}

// loginTo is the sign-in page with a checked way onward.
func (s *Site) loginTo(to string) string {
	if to == "" || to == "/" {
		return s.Prefix + "/login"
	}
	return s.Prefix + "/login?" + url.Values{"return_to": {to}}.Encode()
}

// door is the page on which what a refusal asks for is shown.
func (s *Site) door(p *portal.Problem) string {
	if p.Kind == portal.ProblemMFARequired {
		return s.Prefix + "/mfa"
	}
	return s.Prefix + "/login"
}

// refusal is an error as data (RFC 9457), with our own members beside its own.
type refusal struct {
	Code      portal.ProblemKind `json:"code"`
	Detail    string             `json:"detail"`
	Field     string             `json:"field,omitempty"`
	Login     string             `json:"login_url,omitempty"`
	Reference string             `json:"reference,omitempty"`
	Status    int                `json:"status"`
	Title     string             `json:"title"`
	Type      string             `json:"type"`
}

func (s *Site) failData(w http.ResponseWriter, r *http.Request, v Visit, p *portal.Problem, status int, ref string) {
	title := titles[p.Kind]
	if title == "" {
		title = "Something went wrong"
	}
	words := p.Public
	if p.Kind == portal.ProblemLimit && p.RetryAfter > 0 {
		words = strings.TrimSpace(words + " Please try again in " + length(roundUpMinutes(p.RetryAfter)) + ". " + p.Instead)
	}
	body := refusal{Code: p.Kind, Detail: words, Field: p.Field, Reference: ref, Status: status, Title: title, Type: "about:blank"}
	if status == http.StatusUnauthorized {
		body.Login = s.door(p)
	}
	guard(w.Header(), r, dataHeaders)
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, r, status, body)
}

func (s *Site) failGraphQL(w http.ResponseWriter, r *http.Request, v Visit, p *portal.Problem, status int, ref string) {
	code := map[portal.ProblemKind]string{
		portal.ProblemSessionRequired: "UNAUTHENTICATED", portal.ProblemSessionExpired: "UNAUTHENTICATED", portal.ProblemCredentials: "UNAUTHENTICATED",
		portal.ProblemMFARequired: "MFA_REQUIRED", portal.ProblemCrossSite: "FORBIDDEN", portal.ProblemForbidden: "FORBIDDEN", portal.ProblemSocket: "FORBIDDEN",
		portal.ProblemOperation: "FORBIDDEN", portal.ProblemMoved: "FORBIDDEN", portal.ProblemPersisted: "PERSISTED_QUERY_NOT_SUPPORTED",
		portal.ProblemLimit: "RATE_LIMITED", portal.ProblemUnavailable: "SERVICE_UNAVAILABLE", portal.ProblemBusy: "SERVICE_UNAVAILABLE",
	}[p.Kind]
	if code == "" {
		code = "BAD_REQUEST"
		if status >= 500 {
			code = "INTERNAL_SERVER_ERROR"
		}
	}
	ext := map[string]any{"code": code, "reason": p.Kind}
	if status == http.StatusUnauthorized {
		ext["loginUrl"] = s.door(p)
	}
	if ref != "" {
		ext["reference"] = ref
	}
	guard(w.Header(), r, dataHeaders)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	body := map[string]any{"errors": []any{map[string]any{"message": p.Public, "extensions": ext}}}
	if status == http.StatusOK {
		body["data"] = nil
	}
	write(w, r, status, body)
}

func write(w http.ResponseWriter, r *http.Request, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // maps of texts and numbers always encode
		status, b = http.StatusInternalServerError, []byte(`{}`)
	}
	send(w, r, status, append(b, '\n'))
}
