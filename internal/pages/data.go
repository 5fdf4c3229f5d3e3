package pages

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// dataPage is what somebody reads about what is stored about them.
type dataPage struct {
	Company                             string
	Activity, Addresses, Sessions, Seen string // how long
	Asked                               *moment
}

// span says a number of days as people do.
func span(d time.Duration) string {
	days := int(d / (24 * time.Hour))
	if months := (days*12 + 364) / 365; months > 3 && months*365/12 == days {
		return strconv.Itoa(months) + " months"
	}
	return strconv.Itoa(days) + " days"
}

func (s *Site) data(w http.ResponseWriter, r *http.Request, v visitor) error {
	switch only(r.URL.Query(), "ask") {
	case "erase":
		return s.askForm(w, r, v.Visit, http.StatusOK, askData{Title: "Ask for your data to be erased", Page: "/account/data", Action: "erase", Button: "Ask for erasure", Back: "/account/data",
			Words: v.Tenant.Name + " answers within a month. When it is done you cannot sign in any more, and it cannot be undone. Orders, invoices and what the law asks to be kept stay with the company."}, true, nil)
	case "keep":
		return s.askForm(w, r, v.Visit, http.StatusOK, askData{Title: "Keep your data after all", Page: "/account/data", Action: "keep", Button: "Keep my data", Back: "/account/data",
			Words: "You have asked for your data to be erased. If you take that back, your account stays as it is."}, true, nil)
	}
	asked, err := s.Auth.ErasureAsked(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	kept := s.Policy.Retention
	d := dataPage{Company: v.Tenant.Name, Activity: span(kept.Activity), Addresses: span(kept.Coarse), Sessions: span(portal.SessionsKept), Seen: span(portal.DevicesKept)}
	if !asked.IsZero() {
		at := when(asked, v.Client.At)
		d.Asked = &at
	}
	return s.render(w, r, v.Visit, http.StatusOK, "data", view{Title: "Your data", Wide: true, SignedIn: true, Notice: done(r), Data: d})
}

// changeData hands out what is stored, or notes what is wished for it. Whoever has to show first that it is them comes
// back to where the button is, which they press again: a page that is opened by a link does nothing.
func (s *Site) changeData(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	here := s.Prefix + "/account/data"
	switch f["action"] {
	case "export":
		b, err := s.Auth.Dossier(r.Context(), v.Tenant, v.Client, v.facts.Session)
		if err != nil {
			return after(err, here)
		}
		guard(w.Header(), r, dataHeaders)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Disposition", `attachment; filename="`+strings.TrimSuffix(strings.Replace(fileName(v.Tenant.Name), "backup-codes", "my-data", 1), ".txt")+`.json"`)
		send(w, r, http.StatusOK, b)
		return nil
	case "erase", "keep":
		if err := s.Auth.AskErasure(r.Context(), v.Tenant, v.Client, v.facts.Session, f["action"] == "erase"); err != nil {
			return after(err, here+"?ask="+f["action"])
		}
		see(w, r, here+"?done="+f["action"])
		return nil
	}
	return &portal.Problem{Kind: portal.ProblemInput, Field: "action", Public: "Choose what to do with your data."}
}
