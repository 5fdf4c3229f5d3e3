package pages

import (
	"net/http"
	"strconv"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

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
		if err := s.Auth.EndAll(r.Context(), v.Tenant, v.Client, v.Cookies, v.facts.Session); err != nil {
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
