package pages

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
)

// changeSteps is every change to somebody's second steps.
func (s *Site) changeSteps(w http.ResponseWriter, r *http.Request, v Visit) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	h, err := s.held(w, r, &v)
	if err != nil {
		return err
	}
	kind, to, here := portal.FactorKind(f["method"]), s.returnTo(f["return_to"]), s.Prefix+"/account/mfa"
	switch f["action"] {
	case "begin":
		up, err := s.Auth.Begin(r.Context(), v.Tenant, v.Client, h, kind, f["contact"])
		if err == nil && up.Shown {
			return s.confirmStep(w, r, v, h, kind, to, f)
		}
		if err != nil {
			if p, ok := asProblem(err); ok && formPosted(r) {
				switch {
				case p.Kind == portal.ProblemInput && p.Field == "contact":
					s.Refusals.count(p)
					return s.beginForm(w, r, v, p.Kind.Status(), h, kind, to, f["contact"], lines(p))
				case p.Kind == portal.ProblemInput:
					return s.stepsRefused(w, r, v, h, to, nil, err)
				case p.Kind == portal.ProblemLimit && p.Rule == auth.RuleCodes: // the code of before is good all the same
					s.Refusals.count(p)
					retryAfter(w.Header(), p)
					return s.setupForm(w, r, v, p.Kind.Status(), h, kind, to, "", lines(p))
				}
			}
			return s.mustShow(w, r, v, to, here+onward(url.Values{"add": {string(kind)}}, to), err)
		}
		see(w, r, here+onward(url.Values{"setup": {string(kind)}}, to))
		return nil
	case "confirm":
		return s.confirmStep(w, r, v, h, kind, to, f)
	case "saved":
		see(w, r, to)
		return nil
	}
	if h.Session == nil {
		return s.tooLate(w, r, v, to, &portal.Problem{Kind: portal.ProblemSessionRequired, Public: "Please sign in again."})
	}
	ses := *h.Session
	switch f["action"] {
	case "remove":
		id, err := portal.ParseID[portal.FactorID](f["id"])
		if err != nil {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "This is not there any more. Go back to your second steps."}
		}
		if err := s.Auth.Remove(r.Context(), v.Tenant, v.Client, ses, id); err != nil {
			err = s.removeRefused(w, r, v, h, id, err)
			return s.mustShow(w, r, v, to, here+"?remove="+string(id), err)
		}
		see(w, r, here+"?done=step-removed")
	case "rename":
		id, err := portal.ParseID[portal.FactorID](f["id"])
		if err != nil {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "This is not there any more. Go back to your second steps."}
		}
		if err := s.Auth.Rename(r.Context(), v.Tenant, v.Client, ses, id, f["name"]); err != nil {
			err = s.stepsRefused(w, r, v, h, to, renaming(string(id), f["name"]), named(err, id))
			return s.mustShow(w, r, v, to, here+"?"+url.Values{"rename": {string(id)}, "name": {f["name"]}}.Encode(), err)
		}
		see(w, r, here+"?done=step-renamed")
	case "regenerate":
		codes, err := s.Auth.RenewCodes(r.Context(), v.Tenant, v.Client, ses, portal.FactorID(f["id"]))
		if err != nil {
			if p, ok := asProblem(err); ok && p.Kind == portal.ProblemInput {
				return s.stepsRefused(w, r, v, h, to, nil, err)
			}
			return s.mustShow(w, r, v, to, here+"?regenerate=1", err)
		}
		return s.codesPage(w, r, v, codes, here, true)
	case "distrust":
		if err := s.Auth.Distrust(r.Context(), v.Tenant, v.Client, ses); err != nil {
			return err
		}
		see(w, r, s.Prefix+"/account?done=asked-again")
	default:
		return &portal.Problem{Kind: portal.ProblemInput, Field: "action", Public: "Choose what to do with your second steps."}
	}
	return nil
}

// renaming opens the row whose name is being changed, with the name that was typed.
func renaming(id, name string) func([]stepRow) {
	return func(rows []stepRow) {
		if i := slices.IndexFunc(rows, func(o stepRow) bool { return o.ID == id }); i >= 0 {
			rows[i].Open, rows[i].Wanted = true, name
		}
	}
}

// named leads the line about a name to the field of the row that it belongs to: there is one in each.
func named(err error, id portal.FactorID) error {
	if p, ok := asProblem(err); ok && p.Field == "name" {
		q := *p
		q.Field = "name-" + string(id)
		return &q
	}
	return err
}

// stepsRefused answers a refused change on the page itself.
func (s *Site) stepsRefused(w http.ResponseWriter, r *http.Request, v Visit, h auth.Holder, to string, amend func([]stepRow), err error) error {
	return s.refused(w, r, v, err, func(status int, p *portal.Problem) error {
		st, err := s.Auth.Steps(r.Context(), v.Tenant, v.Client, h)
		if err != nil {
			return s.tooLate(w, r, v, to, err)
		}
		told := *p
		if told.Field == "method" || told.Field == "action" {
			told.Field = "" // no field that somebody could correct
		}
		return s.stepsForm(w, r, v, status, st, to, amend, lines(&told))
	})
}

// removeRefused answers where the last second step must stay.
func (s *Site) removeRefused(w http.ResponseWriter, r *http.Request, v Visit, h auth.Holder, id portal.FactorID, err error) error {
	return s.refused(w, r, v, err, func(status int, p *portal.Problem) error {
		st, err := s.Auth.Steps(r.Context(), v.Tenant, v.Client, h)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(st.Have, func(f portal.Factor) bool { return f.ID == id })
		if i < 0 {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "This is not there any more. Go back to your second steps."}
		}
		return s.removeForm(w, r, v, status, st, st.Have[i], lines(p))
	})
}

// confirmStep ends a set-up. With the first one come the backup codes, which are shown in this answer and never again.
func (s *Site) confirmStep(w http.ResponseWriter, r *http.Request, v Visit, h auth.Holder, kind portal.FactorKind, to string, f fields) error {
	answer := f["code"]
	if kind == portal.FactorWebAuthn {
		answer = f["credential"]
	}
	added, err := s.Auth.Confirm(r.Context(), v.Tenant, v.Client, h, kind, answer, f["name"])
	if err != nil {
		p, ok := asProblem(err)
		if !ok || p.Kind != portal.ProblemInput || !formPosted(r) {
			return s.mustShow(w, r, v, to, s.Prefix+"/account/mfa"+onward(url.Values{"add": {string(kind)}}, to), err)
		}
		s.Refusals.count(p)
		told := *p
		if kind == portal.FactorWebAuthn && told.Field == "code" || told.Field == "method" {
			told.Field = ""
		}
		return s.setupForm(w, r, v, p.Kind.Status(), h, kind, to, f["name"], lines(&told))
	}
	out := added.Outcome
	switch {
	case h.Session == nil:
		to = s.stepURL(out.Step, s.returnTo(out.ReturnTo))
	case to == "/" && f["from"] != "offer": // who came from there was on the way to the portal
		to = s.Prefix + "/account/mfa?done=step-added"
	}
	if added.Codes == nil {
		out.Step, out.ReturnTo = portal.StepDone, to
		return s.arrived(w, r, v, out)
	}
	s.give(w, v, out)
	return s.codesPage(w, r, v, added.Codes, to, false)
}

type codesData struct {
	Codes           []string
	To, File, Email string
	Portal          string
	Made            moment
	Anew            bool
}

// codesPage shows backup codes, this once.
func (s *Site) codesPage(w http.ResponseWriter, r *http.Request, v Visit, codes []string, to string, anew bool) error {
	d := codesData{Codes: codes, To: to, File: fileName(v.Tenant.Name), Portal: v.Tenant.Name, Made: when(v.Client.At, v.Client.At), Anew: anew}
	return s.render(w, r, v, http.StatusOK, "codes", view{Title: "Your backup codes", SignedIn: true, Data: d})
}
