package pages

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
)

type signInData struct {
	Email, ReturnTo, RememberFor string
	Remember, Ended, Late, Open  bool
	LateAfter                    string // how long a sign-in may take
}

// awaited wraps a refusal that the funnel answers, so that its page leads back to where the sign-in was going.
type awaited struct {
	error
	to string
}

// Unwrap returns the refusal.
func (a *awaited) Unwrap() error { return a.error }

// loops says whether a return path would lead back to where one has just been.
func (s *Site) loops(to string) bool {
	path, _, _ := strings.Cut(to, "?")
	for _, p := range []string{"/login", "/mfa", "/logout", "/signed-out", "/verify-email", "/register", "/forgot-password", "/reset-password", "/undo", "/not-me", "/try-now", "/stop-recovery"} {
		if path == s.Prefix+p {
			return true
		}
	}
	return false
}

// returnTo is a checked return path that leads somewhere else.
func (s *Site) returnTo(raw string) string {
	if to := portal.ReturnTo(raw); !s.loops(to) {
		return to
	}
	return "/"
}

func (s *Site) signInPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	q := r.URL.Query()
	to := "/"
	if values := q["return_to"]; len(values) == 1 {
		to = s.returnTo(values[0])
	}
	// Who is signed in already goes straight on.
	res, err := s.Sessions.Resume(r.Context(), v.Tenant, v.Cookies, v.Client, r.Method != http.MethodHead)
	if err == nil {
		if res.Grant != nil {
			v.Jar.Give(w.Header(), *res.Grant, v.Client.At)
		}
		see(w, r, to)
		return nil
	}
	var p *portal.Problem
	ended := errors.As(err, &p) && p.Kind == portal.ProblemSessionExpired
	if ended { // a page's own script has led here, and did not say why
		v.Jar.Drop(w.Header())
	}
	return s.signInForm(w, r, v, http.StatusOK, signInData{ReturnTo: to, Ended: ended || q.Get("ended") == "1", Late: q.Get("late") == "1"}, nil)
}

// arrivals are the sentences for people whom a link has led here.
var arrivals = map[string]string{
	"reset":    "Your new password is saved, and you have been signed out everywhere. Sign in with it.",
	"verified": "Your e-mail address is confirmed. You can sign in now.",
	"invited":  "Your password is saved. Sign in with it.",
	"address":  "Your new e-mail address is confirmed. Sign in with it from now on.",
	"try":      "You can sign in from this browser now.",
}

func (s *Site) signInForm(w http.ResponseWriter, r *http.Request, v Visit, status int, d signInData, problems []problem) error {
	d.LateAfter = length(s.Policy.AttemptLife)
	d.RememberFor, d.Open = length(s.Policy.RememberAbsolute), v.Tenant.Registration == portal.RegistrationOpen
	return s.render(w, r, v, status, "login", view{Title: "Sign in", Problems: problems, Notice: arrivals[r.URL.Query().Get("done")], Data: d})
}

func (s *Site) signIn(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	in := auth.Credentials{Email: f["email"], Password: f["password"], Remember: ticked(f["remember"]), ReturnTo: s.returnTo(f["return_to"])}
	in.Makes = s.mayOffer(f, in.ReturnTo)
	var out auth.Outcome
	if f["credential"] != "" {
		out, err = s.Auth.Enter(r.Context(), v.Tenant, v.Client, v.Cookies, auth.Holder{Attempt: v.Cookies.Attempt, Origin: v.Origin}, f["credential"], in)
	} else {
		out, err = s.Auth.SignIn(r.Context(), v.Tenant, v.Client, v.Cookies, in)
	}
	if err != nil {
		err = &awaited{err, in.ReturnTo}
		return s.refused(w, r, v, err, func(status int, p *portal.Problem) error {
			// Only what was typed into the address field comes back; a password never does.
			email := in.Email
			if len(email) > portal.MaxEmail {
				email = ""
			}
			about := []string{"email", "password"}
			if f["credential"] != "" {
				about = nil // nothing was typed
			}
			return s.signInForm(w, r, v, status, signInData{Email: email, ReturnTo: in.ReturnTo, Remember: in.Remember}, orLines(empties(p, f, "email", wantsEmail, "password", "Enter your password."), p, about...))
		})
	}
	s.Wait(r.Context(), out.Release)
	return s.arrived(w, r, v, out)
}

// arrived turns an outcome into cookies and the next page.
func (s *Site) arrived(w http.ResponseWriter, r *http.Request, v Visit, out auth.Outcome) error {
	to := s.stepURL(out.Step, s.returnTo(out.ReturnTo)) // it may have waited in an attempt: checked again when used (OR-01)
	if out.Step == portal.StepOffer {
		to = s.offerURL(s.stepURL(out.After, s.returnTo(out.ReturnTo)))
	}
	if !out.Grace.IsZero() && out.Grant != nil {
		to = s.Prefix + "/account/mfa" + onward(url.Values{"later": {"1"}}, to)
	}
	s.give(w, v, out)
	see(w, r, to)
	return nil
}

// lateFor is for how much longer a browser keeps the cookie of a sign-in than the sign-in lives: whoever comes back too late
// is told why the password is asked for again.
const lateFor = time.Hour

// give hands over the cookies of an outcome.
func (s *Site) give(w http.ResponseWriter, v Visit, out auth.Outcome) {
	if out.Grant != nil {
		w.Header().Del("Set-Cookie") // a renewal's, of the session that has just ended
		v.Jar.Give(w.Header(), *out.Grant, v.Client.At)
		if v.Cookies.Attempt != "" {
			v.Jar.DropAttempt(w.Header())
		}
	}
	if out.Attempt != nil {
		v.Jar.GiveAttempt(w.Header(), *out.Attempt, s.Policy.AttemptLife+lateFor)
	}
}

// refused answers a refused form in place: with its own page for a person, by the funnel for everything else.
func (s *Site) refused(w http.ResponseWriter, r *http.Request, v Visit, err error, form func(status int, p *portal.Problem) error) error {
	var p *portal.Problem
	if !formPosted(r) || !errors.As(err, &p) {
		return err
	}
	switch p.Kind {
	case portal.ProblemCredentials, portal.ProblemInput:
	default:
		return err
	}
	var held *auth.Held
	if errors.As(err, &held) {
		s.Wait(r.Context(), held.Release)
	}
	s.Refusals.count(p)
	return form(p.Kind.Status(), p)
}

// lines are a refused form's problems. One that belongs to no single field, such as an address and a password that do
// not fit, leads to the first of those it is about and marks them all.
func lines(p *portal.Problem, about ...string) []problem {
	if p.Field != "" {
		about = []string{p.Field}
	}
	l := problem{Field: p.Field, Text: p.Public, Marks: about}
	if len(about) > 0 {
		l.Link = about[0]
	}
	return []problem{l}
}

const wantsEmail = "Enter your e-mail address, like name@example.com."

// empties are the lines of a form of which fields are empty that must not be: all of them at once, in the order of the page.
// fields are names and what to do.
func empties(p *portal.Problem, f fields, order ...string) []problem {
	if p.Kind != portal.ProblemInput || p.Field == "" || f[p.Field] != "" {
		return nil
	}
	var out []problem
	for i := 0; i+1 < len(order); i += 2 {
		if name := order[i]; name == p.Field {
			out = append(out, lines(p)...)
		} else if strings.TrimSpace(f[name]) == "" {
			out = append(out, lines(&portal.Problem{Field: name, Public: order[i+1]})...)
		}
	}
	return out
}

// orLines are these lines, or that of the one thing that was wrong.
func orLines(many []problem, p *portal.Problem, about ...string) []problem {
	if many == nil {
		return lines(p, about...)
	}
	return many
}

func (s *Site) confirmPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	if v.Cookies.Attempt == "" {
		see(w, r, s.Prefix+"/login")
		return nil
	}
	wait, err := s.Auth.Waiting(r.Context(), v.Tenant, v.Client, v.Cookies.Attempt)
	if err != nil {
		return s.tooLate(w, r, v, "/", err)
	}
	if wait.Step != portal.StepConfirmAddress {
		see(w, r, s.Prefix+"/login")
		return nil
	}
	from, _ := s.Auth.Mail.From(v.Tenant)
	notice := ""
	if r.URL.Query().Get("again") == "1" {
		notice = "Another mail is on its way. If you asked less than two minutes ago, the first one counts."
	}
	return s.render(w, r, v, http.StatusOK, "confirm", view{Title: "Confirm your e-mail address", Notice: notice, Data: struct{ Masked, Sender string }{wait.Masked, from.Email}})
}

func (s *Site) signOutPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	return s.render(w, r, v, http.StatusOK, "signout", view{Title: "Sign out"})
}

func (s *Site) signOut(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	all := ticked(f["all"]) || r.URL.Query().Get("all") == "1"
	if err := s.Auth.SignOut(r.Context(), v.Tenant, v.Client, v.Cookies, all); err != nil {
		return err
	}
	s.leave(w, v)
	to := s.Prefix + "/signed-out"
	if all {
		to += "?all=1"
	}
	see(w, r, to)
	return nil
}

// leave clears what the browser holds. The cache goes too, so that Back shows nothing private; the browser's storage is
// the upstream's own and stays.
func (s *Site) leave(w http.ResponseWriter, v Visit) {
	v.Jar.Drop(w.Header())
	if v.Cookies.Attempt != "" {
		v.Jar.DropAttempt(w.Header())
	}
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

func (s *Site) signedOut(w http.ResponseWriter, r *http.Request, v Visit) error {
	if v.Cookies.Access != "" || v.Cookies.Refresh != "" {
		if res, err := s.Sessions.Resume(r.Context(), v.Tenant, v.Cookies, v.Client, false); err == nil && res.Facts != nil {
			see(w, r, "/")
			return nil
		}
	}
	return s.render(w, r, v, http.StatusOK, "signedout", view{Title: "You are signed out", Data: struct{ All bool }{r.URL.Query().Get("all") == "1"}})
}

type passwordData struct {
	Email     string
	Temporary bool
	Proved    bool // the mailbox has just been proved, and what was there before is forgotten
	Min       int
}

// passwordPage is one page for two doors: a change by somebody signed in, and the end of a sign-in whose password was
// a temporary one.
func (s *Site) passwordPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	if v.Cookies.Access == "" && v.Cookies.Refresh == "" && v.Cookies.Attempt != "" {
		wait, err := s.Auth.Waiting(r.Context(), v.Tenant, v.Client, v.Cookies.Attempt)
		if err != nil {
			return s.tooLate(w, r, v, s.Prefix+"/account/password", err)
		}
		if wait.Step == portal.StepNewPassword {
			return s.passwordForm(w, r, v, http.StatusOK, false, passwordData{Email: wait.Email, Temporary: true}, nil)
		}
	}
	return s.signedIn(func(w http.ResponseWriter, r *http.Request, v visitor) error {
		if err := s.Auth.SecondFresh(r.Context(), v.Tenant, v.Client, v.facts.Session); err != nil {
			return after(err, s.Prefix+"/account/password")
		}
		return s.passwordForm(w, r, v.Visit, http.StatusOK, true, passwordData{Email: v.facts.User.Email}, nil)
	})(w, r, v)
}

func (s *Site) passwordForm(w http.ResponseWriter, r *http.Request, v Visit, status int, signedIn bool, d passwordData, problems []problem) error {
	d.Min = auth.PasswordMin(s.Policy, v.Tenant)
	title := "Change your password"
	if d.Temporary {
		title = "Choose your own password"
		d.Proved = r.URL.Query().Get("done") == "verified"
	}
	return s.render(w, r, v, status, "password", view{Title: title, Wide: signedIn, SignedIn: signedIn, Problems: problems, Data: d})
}

func (s *Site) changePassword(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	if v.Cookies.Access == "" && v.Cookies.Refresh == "" && v.Cookies.Attempt != "" {
		out, err := s.Auth.FinishPassword(r.Context(), v.Tenant, v.Client, v.Cookies.Attempt, f["password"])
		if err != nil {
			return s.refused(w, r, v, err, func(status int, p *portal.Problem) error {
				wait, err := s.Auth.Waiting(r.Context(), v.Tenant, v.Client, v.Cookies.Attempt)
				if err != nil {
					return err
				}
				return s.passwordForm(w, r, v, status, false, passwordData{Email: wait.Email, Temporary: true}, lines(p))
			})
		}
		return s.arrived(w, r, v, out)
	}
	return s.signedIn(func(w http.ResponseWriter, r *http.Request, v visitor) error {
		grant, err := s.Auth.ChangePassword(r.Context(), v.Tenant, v.Client, v.facts.Session, f["current_password"], f["password"])
		if err != nil {
			return s.refused(w, r, v.Visit, err, func(status int, p *portal.Problem) error {
				return s.passwordForm(w, r, v.Visit, status, true, passwordData{Email: v.facts.User.Email}, orLines(empties(p, f, "current_password", "Enter your current password.", "password", "Enter a new password."), p))
			})
		}
		w.Header().Del("Set-Cookie") // a renewal's, of the session that has just ended
		v.Jar.Give(w.Header(), grant, v.Client.At)
		see(w, r, s.Prefix+"/account?done=password")
		return nil
	})(w, r, v)
}
