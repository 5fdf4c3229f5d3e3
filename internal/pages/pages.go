// Package pages owns what people see of the gate: sign-in, sign-out, the account pages, every refusal, and the JSON
// twins of them. It turns forms into calls of auth and outcomes into pages, redirects and cookies.
//
// It refuses to show anything that was not written to be shown: one function, Fail, answers every error, and only a
// Problem's public sentence gets through it; the rest is a reference that the log knows. It refuses to change anything
// on a GET. When a neighbour is down the page says so and when to come back, and cookies stay as they are.
package pages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/web"
)

// Wants is the kind of answer that a request can use (contract 7).
type Wants int

// The kinds, in the order of admission's.
const (
	WantsPage Wants = iota
	WantsData
	WantsGraphQL
	WantsSocket
)

// Visit is who asks, of whom, and how the answer may look; it is handed over and not kept in a context.
type Visit struct {
	Tenant   *portal.Tenant // nil: no known host, or the table of hosts is not there yet
	Client   portal.Client
	Origin   string
	Jar      session.Jar
	Cookies  session.Cookies
	Wants    Wants
	Grant    *session.Grant // a renewal whose cookies the answer should carry
	Nameless bool           // the browser said "null" of where a form of a link page came from, and nothing else
	Back     string         // where a sign-in that failed was going; checked
}

// Options are what a Site depends on.
type Options struct {
	Auth     *auth.Service
	Sessions *session.Keeper
	Keys     *secret.Keyring
	Prefix   string
	Policy   portal.Policy
	Now      func() time.Time
	Log      func() *zap.Logger
	Refusals *Refusals // where refusals are remembered; nil: a place of this site's own
	// Wait blocks until a moment, holding nothing; nil waits by a timer.
	Wait func(ctx context.Context, until time.Time)
}

// Site serves the pages. It may be used by many goroutines.
type Site struct {
	Options
	templates templates
	static    map[string]asset // by served name
	names     map[string]string
	routes    map[string]map[string]page // path below the prefix, method
}

type asset struct {
	body        []byte
	contentType string
}

// page answers one route, or says what went wrong.
type page func(w http.ResponseWriter, r *http.Request, v Visit) error

// New parses every template and names every file by its content.
func New(o Options) (*Site, error) {
	if o.Wait == nil {
		o.Wait = func(ctx context.Context, until time.Time) {
			t := time.NewTimer(until.Sub(o.Now()))
			defer t.Stop()
			select {
			case <-auth.Unhurried(ctx).Done(): // an answer that leaves early tells the states of an account apart
			case <-t.C:
			}
		}
	}
	if o.Refusals == nil {
		o.Refusals = NewRefusals()
	}
	s := &Site{Options: o, static: map[string]asset{}, names: map[string]string{}}
	err := fs.WalkDir(web.Files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(web.Files, name)
		if err != nil {
			return err
		}
		base := path.Base(name)
		ext := path.Ext(base)
		sum := sha256.Sum256(b)
		served := strings.TrimSuffix(base, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
		s.static[served] = asset{b, types[ext]}
		s.names[base] = served
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the embedded files: %w", err)
	}
	if s.templates, err = parsed(); err != nil {
		return nil, err
	}
	s.routes = map[string]map[string]page{
		"/mfa":              {http.MethodGet: s.secondPage, http.MethodPost: s.second},
		"/webauthn/options": {http.MethodPost: s.passkeyOptions},
		"/account/mfa":      {http.MethodGet: s.stepsPage, http.MethodPost: s.changeSteps},
		"/login":            {http.MethodGet: s.signInPage, http.MethodPost: s.signIn},
		"/logout":           {http.MethodGet: s.signOutPage, http.MethodPost: s.signOut},
		"/signed-out":       {http.MethodGet: s.signedOut},
		"/verify-email":     {http.MethodGet: s.verifyPage, http.MethodPost: s.verify},
		"/register":         {http.MethodGet: s.registerPage, http.MethodPost: s.register},
		"/forgot-password":  {http.MethodGet: s.forgotPage, http.MethodPost: s.forgot},
		"/reset-password":   {http.MethodGet: s.resetPage, http.MethodPost: s.reset},
		"/account/email":    {http.MethodGet: s.signedIn(s.addressPage), http.MethodPost: s.signedIn(s.changeAddress)},
		"/account":          {http.MethodGet: s.signedIn(s.account)},
		"/account/password": {http.MethodGet: s.passwordPage, http.MethodPost: s.changePassword},
		"/account/sessions": {http.MethodGet: s.signedIn(s.sessions), http.MethodPost: s.signedIn(s.endSessions)},
		"/account/activity": {http.MethodGet: s.signedIn(s.activity)},
		"/account/data":     {http.MethodGet: s.signedIn(s.data), http.MethodPost: s.signedIn(s.changeData)},
		"/account/company":  {http.MethodGet: s.signedIn(s.companies), http.MethodPost: s.signedIn(s.chooseCompany)},
		"/api/session":      {http.MethodGet: s.signedIn(s.apiSession)},
		"/api/sessions":     {http.MethodGet: s.signedIn(s.apiSessions), http.MethodDelete: s.signedIn(s.apiEndSessions)},
		"/api/activity":     {http.MethodGet: s.signedIn(s.apiActivity)},
		"/jwks.json":        {http.MethodGet: s.jwks},
	}
	for at, b := range s.buttons() {
		s.routes[at] = map[string]page{http.MethodGet: s.buttonPage(at, b), http.MethodPost: s.pressButton(at, b)}
	}
	return s, nil
}

// Serve answers a request whose path is one of ours.
func (s *Site) Serve(w http.ResponseWriter, r *http.Request, v Visit) {
	hurry(w, r)
	ctx, done := auth.Patient(r.Context())
	defer done()
	r = r.WithContext(ctx)
	below := strings.TrimPrefix(r.URL.Path, s.Prefix)
	if strings.HasPrefix(below, "/api/") || below == "/webauthn/options" {
		v.Wants = WantsData
	}
	if err := s.serve(w, r, v, below); err != nil {
		s.fail(w, r, v, err)
	}
}

func (s *Site) serve(w http.ResponseWriter, r *http.Request, v Visit, below string) error {
	methods := s.route(r.URL.Path, below)
	if methods == nil {
		return &portal.Problem{Kind: portal.ProblemNotFound, Public: "There is no page at this address. Check it for a typing mistake."}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	p, ok := methods[method]
	if !ok {
		allowed := make([]string, 0, 4)
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			if methods[m] != nil {
				allowed = append(allowed, m)
			}
			if m == http.MethodGet && methods[m] != nil {
				allowed = append(allowed, http.MethodHead)
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return &portal.Problem{Kind: portal.ProblemMethod, Public: "This address is used in another way. Go back and follow the link or the button there."}
	}
	return p(w, r, v)
}

// route finds what answers a path, by method, or nil.
func (s *Site) route(path, below string) map[string]page {
	get := func(p page) map[string]page { return map[string]page{http.MethodGet: p} }
	if path == "/.well-known/change-password" {
		return get(func(w http.ResponseWriter, r *http.Request, _ Visit) error {
			guard(w.Header(), r, dataHeaders)
			w.Header().Set("Location", s.Prefix+"/account/password")
			send(w, r, http.StatusFound, nil)
			return nil
		})
	}
	if path == "/.well-known/passkey-endpoints" {
		return get(s.passkeyEndpoints)
	}
	if name, ok := strings.CutPrefix(below, "/static/"); ok {
		return get(func(w http.ResponseWriter, r *http.Request, _ Visit) error { return s.file(w, r, name) })
	}
	if name, ok := strings.CutPrefix(below, "/brand/"); ok {
		return get(func(w http.ResponseWriter, r *http.Request, v Visit) error { return s.brandFile(w, r, v, name) })
	}
	if id, ok := strings.CutPrefix(below, "/api/sessions/"); ok {
		return map[string]page{http.MethodDelete: s.signedIn(s.apiEndSession(id))}
	}
	if below == "" {
		below = "/account"
	}
	return s.routes[below]
}

var errNoFile = &portal.Problem{Kind: portal.ProblemNotFound, Public: "There is no file at this address."}

// file serves an embedded file under a name that changes with its content.
func (s *Site) file(w http.ResponseWriter, r *http.Request, name string) error {
	a, ok := s.static[name]
	if !ok {
		return errNoFile
	}
	guard(w.Header(), r, dataHeaders)
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	send(w, r, http.StatusOK, a.body)
	return nil
}

func (s *Site) jwks(w http.ResponseWriter, r *http.Request, v Visit) error {
	guard(w.Header(), r, dataHeaders)
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	send(w, r, http.StatusOK, s.Keys.JWKS(s.Now()))
	return nil
}

// visitor is a signed-in visit.
type visitor struct {
	Visit
	facts *session.Facts
}

// signedIn wraps a page that needs a session. A renewal's cookies go out with whatever the page answers.
func (s *Site) signedIn(p func(http.ResponseWriter, *http.Request, visitor) error) page {
	return func(w http.ResponseWriter, r *http.Request, v Visit) error {
		res, err := s.Sessions.Resume(r.Context(), v.Tenant, v.Cookies, v.Client, r.Method != http.MethodHead)
		if err != nil {
			return err
		}
		if res.Grant != nil {
			v.Jar.Give(w.Header(), *res.Grant, v.Client.At)
			v.Cookies.Access, v.Cookies.Refresh = res.Grant.Access, res.Grant.Refresh
		}
		err = p(w, r, visitor{v, res.Facts})
		if down, ok := asProblem(err); ok && down.Kind == portal.ProblemUnavailable {
			still := *down
			still.Public = "You are still signed in. This page is back soon."
			return &still
		}
		return err
	}
}
