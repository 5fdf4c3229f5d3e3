package pages

import (
	"errors"
	"net/http"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
)

func asProblem(err error) (*portal.Problem, bool) {
	var p *portal.Problem
	ok := errors.As(err, &p)
	return p, ok
}

type registerData struct {
	Email, Name, Customer string
	Min                   int
}

// registerPage is one page for two doors: whoever may register, and whoever was invited.
func (s *Site) registerPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	if r.URL.Query().Has("opened") {
		return s.noToken(w, r, v)
	}
	if r.URL.Query().Has("token") {
		return s.newPasswordPage(w, r, v, http.StatusOK, "/register", link(r), nil, portal.PurposeInvite)
	}
	if v.Tenant.Registration != portal.RegistrationOpen {
		return s.render(w, r, v, http.StatusForbidden, "closed", view{Title: "No account yet?",
			Reference: s.refer(v, &portal.Problem{Kind: portal.ProblemForbidden, Public: "Accounts are made by invitation."})})
	}
	return s.registerForm(w, r, v, http.StatusOK, registerData{}, nil)
}

func (s *Site) registerForm(w http.ResponseWriter, r *http.Request, v Visit, status int, d registerData, problems []problem) error {
	d.Min = auth.PasswordMin(s.Policy, v.Tenant)
	return s.render(w, r, v, status, "register", view{Title: "Create an account", Problems: problems, Data: d})
}

func (s *Site) register(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	if f["token"] != "" {
		return s.takePassword(w, r, v, f, "/register", portal.PurposeInvite, "invited")
	}
	out, err := s.Auth.Register(r.Context(), v.Tenant, v.Client, auth.Registration{Email: f["email"], Name: f["name"], Password: f["password"], Customer: f["customer"]})
	if err != nil {
		return s.refused(w, r, v, err, func(status int, p *portal.Problem) error {
			return s.registerForm(w, r, v, status, registerData{Email: short(f["email"], portal.MaxEmail), Name: short(f["name"], 400), Customer: short(f["customer"], 100)}, orLines(empties(p, f, "name", "Enter your name.", "email", wantsEmail, "password", "Enter a new password."), p))
		})
	}
	s.Wait(r.Context(), out.Release)
	v.Jar.GiveAttempt(w.Header(), *out.Attempt, portal.PurposeVerify.Life())
	see(w, r, s.Prefix+"/verify-email?sent=1")
	return nil
}

// verifyPage shows a button behind a link; without one it says what to do until the mail is there.
func (s *Site) verifyPage(w http.ResponseWriter, r *http.Request, v Visit) error {
	if r.URL.Query().Has("opened") {
		return s.noToken(w, r, v)
	}
	if !r.URL.Query().Has("token") {
		if r.URL.Query().Get("sent") == "1" {
			return s.render(w, r, v, http.StatusOK, "sent", view{Title: "One more step", Data: s.sentData(v, "register")})
		}
		return s.confirmPage(w, r, v)
	}
	return s.verifyForm(w, r, v, http.StatusOK, link(r), nil)
}

func (s *Site) verifyForm(w http.ResponseWriter, r *http.Request, v Visit, status int, token string, problems []problem) error {
	l, err := s.Auth.Look(r.Context(), v.Tenant, v.Client, token, v.Cookies.Attempt, portal.PurposeVerify, portal.PurposeNewAddress)
	if err != nil {
		return s.dead(w, r, v, err)
	}
	form, err := s.formToken("/verify-email", token)
	if err != nil {
		return err
	}
	return s.render(w, r, v, status, "verify", view{Title: "Is this your address?", Secret: true, Problems: problems,
		Data: linked{Token: token, Form: form, Email: l.Email, Name: l.Name, Elsewhere: l.Elsewhere}})
}

func (s *Site) verify(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	if f["action"] == "resend" {
		out, err := s.Auth.Resend(r.Context(), v.Tenant, v.Client, v.Cookies.Attempt)
		if err != nil {
			return err
		}
		s.Wait(r.Context(), out.Release)
		see(w, r, s.Prefix+"/verify-email?again=1")
		return nil
	}
	if err := s.own(v, "/verify-email", f); err != nil {
		return err
	}
	done, err := s.Auth.Verify(r.Context(), v.Tenant, v.Client, f["token"], v.Cookies.Attempt)
	if err != nil {
		if p, ok := asProblem(err); ok && p.Kind == portal.ProblemInput && formPosted(r) {
			return s.verifyForm(w, r, v, p.Kind.Status(), f["token"], lines(p))
		}
		return s.dead(w, r, v, err)
	}
	to := s.Prefix + "/login?done=verified"
	switch {
	case done.Attempt != nil:
		s.leaveAll(w, v)
		v.Jar.GiveAttempt(w.Header(), *done.Attempt, s.Policy.AttemptLife)
		to = s.Prefix + "/account/password?done=verified"
	case done.Purpose == portal.PurposeNewAddress && (v.Cookies.Access != "" || v.Cookies.Refresh != ""):
		to = s.Prefix + "/account?done=address"
	case done.Purpose == portal.PurposeNewAddress:
		to = s.Prefix + "/login?done=address"
	case v.Cookies.Attempt != "":
		v.Jar.DropAttempt(w.Header())
	}
	see(w, r, to)
	return nil
}

type addressData struct{ Email, Wanted, Sender string }

func (s *Site) addressPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	if r.URL.Query().Get("sent") == "1" {
		return s.render(w, r, v.Visit, http.StatusOK, "sent", view{Title: "Look into your new mailbox", Wide: true, SignedIn: true, Data: s.sentData(v.Visit, "address")})
	}
	if err := s.Auth.SecondFresh(r.Context(), v.Tenant, v.Client, v.facts.Session); err != nil {
		return after(err, s.Prefix+"/account/email")
	}
	return s.addressForm(w, r, v, http.StatusOK, "", nil)
}

func (s *Site) addressForm(w http.ResponseWriter, r *http.Request, v visitor, status int, wanted string, problems []problem) error {
	return s.render(w, r, v.Visit, status, "address", view{Title: "Change your e-mail address", Wide: true, SignedIn: true, Problems: problems,
		Data: addressData{Email: v.facts.User.Email, Wanted: wanted}})
}

func (s *Site) changeAddress(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	out, err := s.Auth.AskAddress(r.Context(), v.Tenant, v.Client, v.facts.Session, f["email"], f["current_password"])
	if err != nil {
		return s.refused(w, r, v.Visit, err, func(status int, p *portal.Problem) error {
			return s.addressForm(w, r, v, status, short(f["email"], portal.MaxEmail), orLines(empties(p, f, "email", "Enter the new e-mail address, like name@example.com.", "current_password", "Enter your current password."), p))
		})
	}
	s.Wait(r.Context(), out.Release)
	see(w, r, s.Prefix+"/account/email?sent=1")
	return nil
}
