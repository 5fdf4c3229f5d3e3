package pages

import (
	"cmp"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// kindWords are the kinds of second steps as people call them: one of them, and several.
var kindWords = map[portal.FactorKind][2]string{
	portal.FactorTOTP: {"authenticator app", "authenticator apps"}, portal.FactorWebAuthn: {"passkey", "passkeys"},
	portal.FactorEmail: {"code by e-mail", "codes by e-mail"}, portal.FactorSMS: {"code by text message", "codes by text message"},
}

// kindHints say in a line what a kind is like.
var kindHints = map[portal.FactorKind]string{
	portal.FactorWebAuthn: "Your fingerprint, your face or your screen lock. Nothing to type.",
	portal.FactorTOTP:     "An app on your telephone that shows a new code every 30 seconds.",
	portal.FactorEmail:    "A code in your mailbox at each sign-in.",
	portal.FactorSMS:      "A code on your telephone at each sign-in.",
}

type stepRow struct {
	ID, Name, Kind, Detail string
	Created                moment
	Used                   *moment
	Open                   bool   // its name is being changed
	Wanted                 string // the name that was typed
}

type stepsData struct {
	auth.Steps
	Rows   []stepRow
	To     string
	Until  *moment
	Needed bool // a page needs a second step, and there is none that counts
}

// Told is what a script tells the browser of the passkeys; empty: nothing.
func (d stepsData) Told() (string, error) {
	if len(d.Accepted) == 0 {
		return "", nil
	}
	b, err := json.Marshal(d.Accepted)
	return string(b), err
}

// Onward is the way onward, as a query.
func (d stepsData) Onward() string { return onward(url.Values{}, d.To) }

// Add is the button that adds a kind.
func (stepsData) Add(o auth.Offer) string {
	if kindWords[o.Kind][0] == "" {
		return "Add: " + o.Title
	}
	return addTitle(o.Kind)
}

// About is a line about a kind; empty: there is none.
func (stepsData) About(kind portal.FactorKind) string { return kindHints[kind] }

// Adding is the page that adds a kind, as a query.
func (d stepsData) Adding(kind portal.FactorKind) string {
	return onward(url.Values{"add": {string(kind)}}, d.To)
}

func rowsOf(have []portal.Factor, v Visit) (rows []stepRow) {
	for _, f := range have {
		row := stepRow{ID: string(f.ID), Name: f.Name, Kind: capital(kindWords[f.Kind][0]), Created: when(f.CreatedAt, v.Client.At)}
		var more []string
		for _, fact := range []string{f.Facts["provider"], f.Facts["phone"], f.Facts["email"]} {
			if fact != "" && fact != f.Name {
				more = append(more, fact)
			}
		}
		switch f.Facts["synced"] {
		case "true":
			more = append(more, "on all your devices")
		case "false":
			more = append(more, "on one device only")
		}
		if row.Detail = strings.Join(more, ", "); strings.EqualFold(row.Kind, row.Name) {
			row.Kind = ""
		}
		if !f.UsedAt.IsZero() {
			used := when(f.UsedAt, v.Client.At)
			row.Used = &used
		}
		rows = append(rows, row)
	}
	return rows
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// stepsPage is one page for all that is done about second steps. It may be opened by somebody signed in, and by somebody
// whose sign-in waits for their first one.
func (s *Site) stepsPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	q := r.URL.Query()
	to := s.returnTo(only(q, "return_to"))
	h, err := s.held(w, r, &v)
	if err != nil {
		return err
	}
	if kind := only(q, "setup"); kind != "" {
		return s.setupForm(w, r, v, http.StatusOK, h, portal.FactorKind(kind), to, "", nil)
	}
	st, err := s.Auth.Steps(r.Context(), v.Tenant, v.Client, h)
	if err != nil {
		return s.tooLate(w, r, v, to, err)
	}
	switch {
	case q.Has("later"):
		return s.laterPage(w, r, v, st, to)
	case q.Has("offer"):
		return s.offerPage(w, r, v, h, st, to)
	case q.Has("used"):
		return s.render(w, r, v, http.StatusOK, "used", view{Title: "A backup code is used up", SignedIn: st.SignedIn, Data: stepsData{Steps: st, To: to}})
	case q.Has("remove"):
		i := slices.IndexFunc(st.Have, func(f portal.Factor) bool { return string(f.ID) == only(q, "remove") })
		if i < 0 {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "This is not there any more. Go back to your second steps."}
		}
		return s.removeForm(w, r, v, http.StatusOK, st, st.Have[i], nil)
	case q.Has("regenerate"):
		return s.askForm(w, r, v, http.StatusOK, askData{Title: "Make new backup codes", Words: "The codes that you have now stop working at once. Have a printer or a safe place for the new ones at hand.",
			Page: "/account/mfa", Action: "regenerate", ID: string(cmp.Or(st.Sheet, auth.NoSheet)), Button: "Make new backup codes", Back: "/account/mfa"}, st.SignedIn, nil)
	case q.Has("rename"): // back from showing once more that it is them
		return s.stepsForm(w, r, v, http.StatusOK, st, to, renaming(only(q, "rename"), only(q, "name")), nil)
	case q.Has("add"):
		return s.offerForm(w, r, v, http.StatusOK, st, portal.FactorKind(only(q, "add")), to, "", nil)
	}
	return s.stepsForm(w, r, v, http.StatusOK, st, to, nil, nil)
}

// beginForm is offerForm for whoever has not read the second steps yet.
func (s *Site) beginForm(w http.ResponseWriter, r *http.Request, v Visit, status int, h auth.Holder, kind portal.FactorKind, to, typed string, problems []problem) error {
	st, err := s.Auth.Steps(r.Context(), v.Tenant, v.Client, h)
	if err != nil {
		return s.tooLate(w, r, v, to, err)
	}
	return s.offerForm(w, r, v, status, st, kind, to, typed, problems)
}

// offerForm begins to add one kind, or shows all where that one is not offered. typed is a telephone number that was
// refused.
func (s *Site) offerForm(w http.ResponseWriter, r *http.Request, v Visit, status int, st auth.Steps, kind portal.FactorKind, to, typed string, problems []problem) error {
	i := slices.IndexFunc(st.Offers, func(o auth.Offer) bool { return o.Kind == kind })
	if i < 0 {
		return s.stepsForm(w, r, v, status, st, to, nil, adrift(problems))
	}
	d := askData{Title: addTitle(kind), Words: "Nothing changes until you have confirmed it in the next step.", ReturnTo: to, Page: "/account/mfa", Action: "begin", Method: string(kind),
		Button: "Go on", Script: st.Offers[i].Script, Contact: st.Offers[i].Contact, Typed: typed, Back: "/account/mfa" + onward(url.Values{}, to)}
	if sent := codeWords[kind]; sent != "" {
		d.Words, d.Button = sent, "Send me a code"
	}
	return s.askForm(w, r, v, status, d, st.SignedIn, problems)
}

// adrift are problems on a page without the field that they belong to.
func adrift(problems []problem) (out []problem) {
	for _, p := range problems {
		out = append(out, problem{Text: p.Text})
	}
	return out
}

// codeWords say what happens before a kind whose codes are sent is added.
var codeWords = map[portal.FactorKind]string{
	portal.FactorEmail: "We send a code to your mailbox. Once you have typed it here, you can sign in with codes that are sent there.",
	portal.FactorSMS:   "We send a code to your telephone. Once you have typed it here, you can sign in with codes that are sent there.",
}

// addTitle is the heading under which a kind is added, in the words of its button.
func addTitle(kind portal.FactorKind) string {
	if codeWords[kind] != "" {
		return "Add " + kindWords[kind][1]
	}
	return "Add " + article(kindWords[kind][0])
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

func (s *Site) stepsForm(w http.ResponseWriter, r *http.Request, v Visit, status int, st auth.Steps, to string, amend func([]stepRow), problems []problem) error {
	d := stepsData{Steps: st, Rows: rowsOf(st.Have, v), To: to, Needed: r.URL.Query().Get("needed") == "1"}
	if st.Required && st.First && st.Until.After(v.Client.At) {
		until := when(st.Until, v.Client.At)
		d.Until = &until
	}
	if amend != nil {
		amend(d.Rows)
	}
	return s.render(w, r, v, status, "steps", view{Title: "Your second steps", Wide: st.SignedIn, SignedIn: st.SignedIn, Notice: done(r), Problems: problems, Data: d})
}

// laterPage tells somebody, after they have signed in, from when on they need a second step.
func (s *Site) laterPage(w http.ResponseWriter, r *http.Request, v Visit, st auth.Steps, to string) error {
	if !st.First || !st.Required || !st.Until.After(v.Client.At) {
		see(w, r, to)
		return nil
	}
	until := when(st.Until, v.Client.At)
	return s.render(w, r, v, http.StatusOK, "later", view{Title: "Signing in gets a second step", SignedIn: st.SignedIn, Data: stepsData{Steps: st, To: to, Until: &until}})
}

// askData is a page that asks once before something is done.
type askData struct {
	Title, Words, Button, Page, Back string
	Action, Method, ID, ReturnTo     string
	Typed                            string // into the field for a telephone number
	Script, Never, Contact           bool
}

func (s *Site) askForm(w http.ResponseWriter, r *http.Request, v Visit, status int, d askData, signedIn bool, problems []problem) error {
	return s.render(w, r, v, status, "ask", view{Title: d.Title, SignedIn: signedIn, Problems: problems, Data: d})
}

func (s *Site) removeForm(w http.ResponseWriter, r *http.Request, v Visit, status int, st auth.Steps, f portal.Factor, problems []problem) error {
	what := kindWords[f.Kind][0] + " “" + f.Name + "”"
	if strings.EqualFold(kindWords[f.Kind][0], f.Name) {
		what = "your " + kindWords[f.Kind][0]
	}
	d := askData{Title: "Remove " + what, Words: "You cannot sign in with it any more. On every other device you will be signed out, and asked for a second step again.",
		Page: "/account/mfa", Action: "remove", ID: string(f.ID), Button: "Remove " + what, Back: "/account/mfa"}
	switch {
	case len(st.Have) == 1 && st.Required:
		d.Never, d.Words = true, "A second step is required here, and this is your only one. Add another before you remove it."
	case len(st.Have) == 1:
		d.Words = "It is your only second step: your password alone is enough to sign in then, and your backup codes stop working. On every other device you will be signed out."
	}
	return s.askForm(w, r, v, status, d, true, problems)
}

type setupData struct {
	auth.SettingUp
	Sheet  *factor.Sheet
	QR     template.HTML
	URI    template.URL
	To     string  // onward
	Code   *travel // a code that was sent
	Script bool
	Name   string
}

// Anew is the way to another set-up of the kind, as a query.
func (d setupData) Anew() string { return onward(url.Values{"add": {string(d.Kind)}}, d.To) }

// setupForm shows a set-up that is under way.
func (s *Site) setupForm(w http.ResponseWriter, r *http.Request, v Visit, status int, h auth.Holder, kind portal.FactorKind, to, name string, problems []problem) error {
	up, err := s.Auth.Under(r.Context(), v.Tenant, v.Client, h, kind)
	here := s.Prefix + "/account/mfa"
	if errors.Is(err, auth.ErrNothing) {
		if len(problems) > 0 {
			return s.beginForm(w, r, v, status, h, kind, to, "", adrift(problems))
		}
		see(w, r, here+onward(url.Values{"add": {string(kind)}}, to))
		return nil
	}
	if err != nil {
		return s.mustShow(w, r, v, to, here+onward(url.Values{"setup": {string(kind)}}, to), err)
	}
	d := setupData{SettingUp: up, To: to, Script: kind == portal.FactorWebAuthn, Name: name}
	if up.To != "" {
		d.Code = travels(up.To, up.SentAt, up.Expires, up.Tries, v.Client.At)
		if d.Code.Over && len(problems) > 0 {
			problems = []problem{{Text: "Too many codes were wrong."}}
		}
	}
	if name == "" {
		d.Name = whereabouts.Device(v.Client.Agent)
	}
	if sheet, ok := up.Show.(factor.Sheet); ok {
		// The picture holds nothing but numbers, and the address is one that we have made.
		d.Sheet, d.QR, d.URI = &sheet, template.HTML(sheet.QR), template.URL(sheet.URI)
	}
	return s.render(w, r, v, status, "setup", view{Title: addTitle(kind), Wide: h.Session != nil, SignedIn: h.Session != nil, Problems: problems, Data: d})
}

// after is a refusal that says where to go on once a second step was shown; every other error stays what it is.
func after(err error, to string) error {
	if p, ok := asProblem(err); ok && p.Kind == portal.ProblemMFARequired {
		return &awaited{err, to}
	}
	return err
}

// mustShow leads to the second step whoever must show first that it is them, with a way back to a page of ours.
func (s *Site) mustShow(w http.ResponseWriter, r *http.Request, v Visit, to, back string, err error) error {
	p, ok := asProblem(err)
	if ok && p.Kind == portal.ProblemMFARequired && (v.Wants == WantsPage || formPosted(r)) {
		see(w, r, s.secondURL(place{Setup: true, ReturnTo: back}))
		return nil
	}
	return s.tooLate(w, r, v, to, err)
}

// fileName is what the file of backup codes is called.
func fileName(tenant string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, tenant)
	return "backup-codes-" + strings.ToLower(strings.Trim(name, "-")) + ".txt"
}
