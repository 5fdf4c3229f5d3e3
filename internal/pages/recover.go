package pages

import (
	"net/http"
	"strings"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
)

// LinkPages are the pages below the prefix that are opened with a link from a mail. They send no referrer, so a browser
// says "null" of where their forms come from.
var LinkPages = []string{"/reset-password", "/verify-email", "/register", "/undo", "/not-me", "/try-now", "/stop-recovery"}

// linked is what a page that was opened with a link is made with.
type linked struct {
	Token, Form string
	Email, Name string
	Min         int
	Elsewhere   bool
	Page        string // which of the pages with one button
	Due         moment // of a recovery: when it is carried out
	Vouches     bool   // and that this browser may do something about it
}

// noToken is what somebody reads who loads a link's page again: its address says nothing any more, and the link is good.
func (s *Site) noToken(w http.ResponseWriter, r *http.Request, v Visit) error {
	p := &portal.Problem{Kind: portal.ProblemNotFound, Public: "Open the link in the mail once more."}
	if v.Wants != WantsPage {
		return p
	}
	return s.render(w, r, v, p.Kind.Status(), "again", view{Title: "Open the link once more", Secret: true, Reference: s.refer(v, p)})
}

// link reads the token of a page's address: one, and of a form: the same.
func link(r *http.Request) string {
	if q := r.URL.Query()["token"]; len(q) == 1 {
		return q[0]
	}
	return ""
}

// formToken binds a form to the link that its page was opened with.
func (s *Site) formToken(page, token string) (string, error) {
	return s.Keys.FormToken(page, token, s.Now())
}

// own says whether a form was sent by the page that it belongs to. Where the browser itself has said so nothing more is
// asked; where it says "null" and nothing else, the form has to know what only the page could give it (CSRF-02).
func (s *Site) own(v Visit, page string, f fields) error {
	if v.Nameless && !s.Keys.CheckFormToken(f["form"], page, f["token"], s.Now()) {
		return &portal.Problem{Kind: portal.ProblemCrossSite, Public: "This request came from another site. Open the link in the mail again."}
	}
	return nil
}

// forgotPage asks for an address, or says that a mail is on its way.
func (s *Site) forgotPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	if r.URL.Query().Get("sent") == "1" {
		return s.render(w, r, v, http.StatusOK, "sent", view{Title: "Look into your mailbox", Data: s.sentData(v, "reset")})
	}
	return s.forgotForm(w, r, v, http.StatusOK, "", nil)
}

type sentData struct{ What, Sender string }

// sentData says which sender to look for.
func (s *Site) sentData(v Visit, what string) sentData {
	from, _ := s.Auth.Mail.From(v.Tenant)
	return sentData{what, from.Email}
}

func (s *Site) forgotForm(w http.ResponseWriter, r *http.Request, v Visit, status int, email string, problems []problem) error {
	return s.render(w, r, v, status, "forgot", view{Title: "Forgotten your password?", Problems: problems, Data: struct{ Email string }{email}})
}

func (s *Site) forgot(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	out, err := s.Auth.AskReset(r.Context(), v.Tenant, v.Client, f["email"])
	if err != nil {
		return s.refused(w, r, v, err, func(status int, p *portal.Problem) error {
			return s.forgotForm(w, r, v, status, short(f["email"], portal.MaxEmail), lines(p))
		})
	}
	s.Wait(r.Context(), out.Release)
	see(w, r, s.Prefix+"/forgot-password?sent=1")
	return nil
}

// short is what was typed, unless nobody types that much.
func short(s string, most int) string {
	if len(s) > most {
		return ""
	}
	return s
}

// resetPage asks for a new password. Opening it spends nothing: mail scanners open it too (REC-08).
func (s *Site) resetPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	if !r.URL.Query().Has("token") {
		return s.noToken(w, r, v)
	}
	return s.newPasswordPage(w, r, v, http.StatusOK, "/reset-password", link(r), nil, portal.PurposeRecover)
}

func (s *Site) newPasswordPage(w http.ResponseWriter, r *http.Request, v Visit, status int, page, token string, problems []problem, p portal.Purpose) error {
	l, err := s.Auth.Look(r.Context(), v.Tenant, v.Client, token, v.Cookies.Attempt, p)
	if err != nil {
		return s.dead(w, r, v, err)
	}
	form, err := s.formToken(page, token)
	if err != nil {
		return err
	}
	title := "Choose a new password"
	if p == portal.PurposeInvite {
		title = "Welcome"
	}
	return s.render(w, r, v, status, "reset", view{Title: title, Secret: true, Problems: problems,
		Data: linked{Token: token, Form: form, Email: l.Email, Name: l.Name, Min: auth.PasswordMin(s.Policy, v.Tenant), Page: page}})
}

// dead is the one page for every link that opens nothing, with the way to a new one.
func (s *Site) dead(w http.ResponseWriter, r *http.Request, v Visit, err error) error {
	p, ok := asProblem(err)
	if !ok || p.Kind != portal.ProblemNotFound {
		return err
	}
	if v.Wants != WantsPage && !formPosted(r) {
		return err
	}
	page := strings.TrimPrefix(r.URL.Path, s.Prefix)
	return s.render(w, r, v, p.Kind.Status(), "dead", view{Title: "This link does not work any more", Secret: true, Reference: s.refer(v, p), Data: struct{ Page string }{page}})
}

func (s *Site) reset(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	return s.takePassword(w, r, v, f, "/reset-password", portal.PurposeRecover, "reset")
}

// takePassword takes the form of a reset or of an invitation.
func (s *Site) takePassword(w http.ResponseWriter, r *http.Request, v Visit, f fields, page string, p portal.Purpose, done string) error {
	if err := s.own(v, page, f); err != nil {
		return err
	}
	set := s.Auth.Reset
	if p == portal.PurposeInvite {
		set = s.Auth.Accept
	}
	if err := set(r.Context(), v.Tenant, v.Client, f["token"], f["password"]); err != nil {
		if q, ok := asProblem(err); ok && q.Kind == portal.ProblemNotFound {
			return s.dead(w, r, v, err)
		}
		return s.refused(w, r, v, err, func(status int, q *portal.Problem) error {
			return s.newPasswordPage(w, r, v, status, page, f["token"], lines(q), p)
		})
	}
	s.leaveAll(w, v)
	see(w, r, s.Prefix+"/login?done="+done)
	return nil
}

// leaveAll clears what the browser holds of sessions that are over, if it holds any.
func (s *Site) leaveAll(w http.ResponseWriter, v Visit) {
	if v.Cookies.Access != "" || v.Cookies.Refresh != "" {
		v.Jar.Drop(w.Header())
	}
	if v.Cookies.Attempt != "" {
		v.Jar.DropAttempt(w.Header())
	}
}

// button is a page with one button behind a link: what it does, and what is said afterwards.
type button struct {
	purpose portal.Purpose
	title   string
	press   func(w http.ResponseWriter, r *http.Request, v Visit, f fields) (to string, err error)
}

func (s *Site) buttons() map[string]button {
	return map[string]button{
		"/undo": {portal.PurposeUndo, "Take the change back", func(w http.ResponseWriter, r *http.Request, v Visit, f fields) (string, error) {
			return "/undo?done=1", s.Auth.Undo(r.Context(), v.Tenant, v.Client, f["token"])
		}},
		"/not-me": {portal.PurposeNotMe, "This was not you?", func(w http.ResponseWriter, r *http.Request, v Visit, f fields) (string, error) {
			mailed, err := s.Auth.Disown(r.Context(), v.Tenant, v.Client, f["token"])
			if mailed {
				return "/not-me?done=1", err
			}
			return "/not-me?done=2", err
		}},
		"/try-now": {portal.PurposeTryNow, "Sign in now", func(w http.ResponseWriter, r *http.Request, v Visit, f fields) (string, error) {
			given, err := s.Auth.TryNow(r.Context(), v.Tenant, v.Client, f["token"])
			if given != nil {
				v.Jar.GiveDevice(w.Header(), *given)
			}
			return "/login?done=try", err
		}},
		"/stop-recovery": {portal.PurposeStop, "Your account is to be recovered", func(w http.ResponseWriter, r *http.Request, v Visit, f fields) (string, error) {
			if f["act"] == "confirm" {
				return "/stop-recovery?done=2", s.Auth.AgreeRecovery(r.Context(), v.Tenant, v.Client, f["token"])
			}
			return "/stop-recovery?done=1", s.Auth.StopRecovery(r.Context(), v.Tenant, v.Client, f["token"])
		}},
	}
}

// buttonPage shows what a link would do; a GET does nothing.
func (s *Site) buttonPage(at string, b button) page {
	return func(w http.ResponseWriter, r *http.Request, v Visit) error {
		if done := r.URL.Query().Get("done"); done != "" {
			title := "You are safe again"
			switch {
			case b.purpose == portal.PurposeUndo:
				title = "The change is taken back"
			case b.purpose == portal.PurposeStop && done == "2":
				title = "You need not wait"
			case b.purpose == portal.PurposeStop:
				title = "The recovery is stopped"
			}
			return s.render(w, r, v, http.StatusOK, "stopped", view{Title: title, Data: struct {
				Page   string
				Mailed bool
			}{at, done == "1"}})
		}
		if !r.URL.Query().Has("token") {
			return s.noToken(w, r, v)
		}
		token := link(r)
		l, err := s.Auth.Look(r.Context(), v.Tenant, v.Client, token, "", b.purpose)
		if err != nil {
			return s.dead(w, r, v, err)
		}
		form, err := s.formToken(at, token)
		if err != nil {
			return err
		}
		return s.render(w, r, v, http.StatusOK, "link", view{Title: b.title, Secret: true, Data: linked{Token: token, Form: form, Email: l.Email, Name: l.Name, Page: at, Due: when(l.Due, v.Client.At), Vouches: l.Vouches}})
	}
}

func (s *Site) pressButton(at string, b button) page {
	return func(w http.ResponseWriter, r *http.Request, v Visit) error {
		f, err := read(w, r)
		if err != nil {
			return err
		}
		if err := s.own(v, at, f); err != nil {
			return err
		}
		to, err := b.press(w, r, v, f)
		if err != nil {
			return s.dead(w, r, v, err)
		}
		if b.purpose != portal.PurposeTryNow && b.purpose != portal.PurposeStop {
			s.leaveAll(w, v)
		}
		see(w, r, s.Prefix+to)
		return nil
	}
}
