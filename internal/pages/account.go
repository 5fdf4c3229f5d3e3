package pages

import (
	"net/http"
	"strconv"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

func (s *Site) account(w http.ResponseWriter, r *http.Request, v visitor) error {
	live, err := s.Auth.Live(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	u := v.facts.User
	data := struct {
		Name, Email, Company string
		Sessions             int
		CanChoose            bool
	}{Name: u.Name(), Email: u.Email, Sessions: len(live), CanChoose: len(v.facts.Session.Choices) > 1}
	if !u.OwnCompany {
		data.Company = u.CustomerName
	}
	return s.render(w, r, v.Visit, http.StatusOK, "account", view{Title: "Your account", Kind: "wide", SignedIn: true, Data: data})
}

type sessionRow struct {
	ID, Device, Address string
	Current             bool
	Since, Active       moment
}

func (s *Site) sessions(w http.ResponseWriter, r *http.Request, v visitor) error {
	live, err := s.Auth.Live(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	rows := make([]sessionRow, len(live))
	for i, x := range live {
		rows[i] = sessionRow{ID: string(x.ID), Device: whereabouts.Device(x.Agent), Current: x.ID == v.facts.Session.ID, Since: when(x.CreatedAt, v.Client.At), Active: when(x.LastActive, v.Client.At)}
		if x.Address.IsValid() {
			rows[i].Address = x.Address.String()
		}
	}
	return s.render(w, r, v.Visit, http.StatusOK, "sessions", view{Title: "Your devices", Kind: "wide", SignedIn: true, Data: struct{ Sessions []sessionRow }{rows}})
}

func (s *Site) endSessions(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	here := s.Prefix + "/account/sessions"
	switch f["action"] {
	case "revoke":
		id, err := portal.ParseID[portal.SessionID](f["id"])
		if err != nil {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "This device is not signed in any more."}
		}
		if err := s.Auth.EndSession(r.Context(), v.Tenant, v.Client, v.facts.Session, id); err != nil {
			return err
		}
		if id == v.facts.Session.ID {
			w.Header().Del("Set-Cookie")
			s.leave(w, v.Visit)
			here = s.Prefix + "/signed-out"
		}
	case "revoke_others":
		if _, err := s.Auth.EndOthers(r.Context(), v.Tenant, v.Client, v.facts.Session); err != nil {
			return err
		}
	case "revoke_all":
		if err := s.Auth.SignOut(r.Context(), v.Tenant, v.Client, v.Cookies, true); err != nil {
			return err
		}
		w.Header().Del("Set-Cookie")
		s.leave(w, v.Visit)
		here = s.Prefix + "/signed-out?all=1"
	default:
		return &portal.Problem{Kind: portal.ProblemInput, Field: "action", Public: "Choose what to sign out."}
	}
	see(w, r, here)
	return nil
}

// verbWords are the facts of the trail as people call them.
var verbWords = map[portal.Verb]string{
	portal.VerbLogin: "Signed in", portal.VerbLoginFailed: "Sign-in refused", portal.VerbLogout: "Signed out",
	portal.VerbAccountLocked: "Sign-in paused after several wrong passwords", portal.VerbPasswordChange: "Password changed",
	portal.VerbPasswordReset: "Password set anew", portal.VerbProfileUpdate: "Details changed", portal.VerbSessionRevoked: "A device was signed out",
	portal.VerbSessionsRevoked: "Other devices were signed out", portal.VerbTokenReuse: "A copied sign-in was used and stopped",
	portal.VerbCompanyChosen: "Company chosen",
}

type activityRow struct {
	What, Device, Address string
	At                    moment
	Suspicious            bool
}

func (s *Site) trail(r *http.Request, v visitor, limit int) ([]portal.Activity, error) {
	before := v.Client.At.Add(time.Minute)
	if raw := r.URL.Query().Get("before"); raw != "" {
		t, err := time.Parse(time.RFC3339Nano, raw)
		if err != nil {
			return nil, &portal.Problem{Kind: portal.ProblemRequest, Public: "This address is not complete. Go back to your activity."}
		}
		before = t
	}
	return s.Auth.Activity(r.Context(), v.Tenant, v.Client, v.facts.Session, limit, before)
}

func (s *Site) activity(w http.ResponseWriter, r *http.Request, v visitor) error {
	const perPage = 30
	list, err := s.trail(r, v, perPage)
	if err != nil {
		return err
	}
	data := struct {
		Rows  []activityRow
		Older string
	}{}
	for _, a := range list {
		row := activityRow{What: verbWords[a.Verb], At: when(a.At, v.Client.At), Suspicious: a.Suspicious}
		if row.What == "" {
			row.What = "Something else happened"
		}
		if a.Agent != "" {
			row.Device = whereabouts.Device(a.Agent)
		}
		if a.Addr.IsValid() {
			row.Address = a.Addr.String()
		}
		data.Rows = append(data.Rows, row)
	}
	if len(list) == perPage {
		data.Older = list[perPage-1].At.UTC().Format(time.RFC3339Nano)
	}
	return s.render(w, r, v.Visit, http.StatusOK, "activity", view{Title: "Recent activity", Kind: "wide", SignedIn: true, Data: data})
}

type companyRow struct {
	ID, Name, Role string
	Current        bool
}

func (s *Site) companies(w http.ResponseWriter, r *http.Request, v visitor) error {
	to := "/"
	if q := r.URL.Query()["return_to"]; len(q) == 1 {
		to = s.returnTo(q[0])
	}
	return s.companyForm(w, r, v, http.StatusOK, to, nil)
}

func (s *Site) companyForm(w http.ResponseWriter, r *http.Request, v visitor, status int, to string, problems []problem) error {
	list, err := s.Auth.Companies(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	data := struct {
		Companies []companyRow
		ReturnTo  string
	}{ReturnTo: to}
	for _, u := range list {
		name := u.CustomerName
		if u.OwnCompany {
			name = v.Tenant.Name
		}
		data.Companies = append(data.Companies, companyRow{string(u.ID), name, roleWords[u.Role], u.ID == v.facts.Session.User})
	}
	return s.render(w, r, v.Visit, status, "company", view{Title: "Which company are you here for?", SignedIn: true, Problems: problems, Data: data})
}

func (s *Site) chooseCompany(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	to := s.returnTo(f["return_to"])
	id, err := portal.ParseID[portal.UserID](f["id"])
	if err != nil {
		err = &portal.Problem{Kind: portal.ProblemInput, Public: "Choose one of the companies in the list."}
	} else {
		var g, gerr = s.Auth.ChooseCompany(r.Context(), v.Tenant, v.Client, v.Cookies, v.facts.Session, id)
		if err = gerr; err == nil {
			w.Header().Del("Set-Cookie")
			v.Jar.Give(w.Header(), g, v.Client.At)
			see(w, r, to)
			return nil
		}
	}
	return s.refused(w, r, v.Visit, err, func(status int, p *portal.Problem) error {
		return s.companyForm(w, r, v, status, to, []problem{{Text: p.Public}})
	})
}

func (s *Site) answer(w http.ResponseWriter, r *http.Request, body any) error {
	guard(w.Header(), r, dataHeaders)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	write(w, r, http.StatusOK, body)
	return nil
}

func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func (s *Site) apiSession(w http.ResponseWriter, r *http.Request, v visitor) error {
	u, x := v.facts.User, v.facts.Session
	customer := any(nil)
	if !u.OwnCompany {
		customer = u.Customer
	}
	return s.answer(w, r, map[string]any{
		"user": map[string]any{"id": u.ID, "email": u.Email, "name": u.Name(), "roles": []portal.Role{u.Role}, "customer_id": customer},
		"session": map[string]any{"id": x.ID, "created_at": stamp(x.CreatedAt), "idle_expires_at": stamp(x.IdleEnd), "expires_at": stamp(x.End),
			"amr": x.AMR, "mfa_at": stamp(x.MFAAt)},
		"tenant": map[string]any{"id": v.Tenant.ID, "slug": v.Tenant.Slug, "name": v.Tenant.Name},
	})
}

func (s *Site) apiSessions(w http.ResponseWriter, r *http.Request, v visitor) error {
	live, err := s.Auth.Live(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	list := make([]any, len(live))
	for i, x := range live {
		address := ""
		if x.Address.IsValid() {
			address = x.Address.String()
		}
		list[i] = map[string]any{"id": x.ID, "current": x.ID == v.facts.Session.ID, "device": whereabouts.Device(x.Agent), "place": nil, "address": address,
			"amr": x.AMR, "created_at": stamp(x.CreatedAt), "last_active_at": stamp(x.LastActive)}
	}
	return s.answer(w, r, list)
}

func (s *Site) apiEndSession(raw string) func(http.ResponseWriter, *http.Request, visitor) error {
	return func(w http.ResponseWriter, r *http.Request, v visitor) error {
		id, err := portal.ParseID[portal.SessionID](raw)
		if err != nil {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "There is no such session."}
		}
		if err := s.Auth.EndSession(r.Context(), v.Tenant, v.Client, v.facts.Session, id); err != nil {
			return err
		}
		if id == v.facts.Session.ID {
			w.Header().Del("Set-Cookie")
			s.leave(w, v.Visit)
		}
		guard(w.Header(), r, dataHeaders)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func (s *Site) apiEndSessions(w http.ResponseWriter, r *http.Request, v visitor) error {
	if r.URL.Query().Get("all") == "1" {
		if err := s.Auth.SignOut(r.Context(), v.Tenant, v.Client, v.Cookies, true); err != nil {
			return err
		}
		w.Header().Del("Set-Cookie")
		s.leave(w, v.Visit)
	} else if _, err := s.Auth.EndOthers(r.Context(), v.Tenant, v.Client, v.facts.Session); err != nil {
		return err
	}
	guard(w.Header(), r, dataHeaders)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Site) apiActivity(w http.ResponseWriter, r *http.Request, v visitor) error {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 100 {
		limit = 30
	}
	rows, err := s.trail(r, v, limit)
	if err != nil {
		return err
	}
	list := make([]any, len(rows))
	for i, a := range rows {
		address := ""
		if a.Addr.IsValid() {
			address = a.Addr.String()
		}
		list[i] = map[string]any{"what": a.Verb, "at": stamp(a.At), "result": a.Result, "device": whereabouts.Device(a.Agent), "address": address, "suspicious": a.Suspicious, "session": a.Session}
	}
	return s.answer(w, r, list)
}
