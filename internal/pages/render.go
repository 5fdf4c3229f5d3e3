package pages

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/web"
)

type templates map[string]*template.Template

// parsed are the templates, for every site and every configuration of this program: they are built in, and reading them
// was most of what a reload costs.
var parsed = sync.OnceValues(parseTemplates)

func parseTemplates() (templates, error) {
	names, err := fs.Glob(web.Files, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("listing the templates: %w", err)
	}
	out := templates{}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "layout" {
			continue
		}
		t, err := template.New(base).Option("missingkey=error").ParseFS(web.Files, "pages/layout.html", name)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", name, err)
		}
		out[base] = t
	}
	return out, nil
}

// problem is one line of the box at the top of a form.
type problem struct {
	Field string   // its words stand at this field too
	Text  string   // what to do
	Link  string   // the field that the line leads to
	Marks []string // the fields that are marked as wrong; without words of their own they refer to the line
}

// First is the first sentence of the line, which leads to the field; Rest is what follows it.
func (p problem) First() string {
	if i := strings.Index(p.Text, ". "); i >= 0 {
		return p.Text[:i+1]
	}
	return p.Text
}

// Rest is what follows the first sentence.
func (p problem) Rest() string { return p.Text[len(p.First()):] }

// view is what the layout needs; Data is the page's own.
type view struct {
	Title     string
	Wide      bool
	Prefix    string
	Brand     brandView
	SignedIn  bool
	Notice    string // what has just been done
	Problems  []problem
	Reference string
	Data      any
	Secret    bool         // the page's address holds a link's token: it is told to nobody, and leaves the address bar
	Inline    template.CSS // set: the whole look, for a page that can load nothing

	asks bool // for a passkey, or tells the browser of them
	site *Site
}

// Static is the address of an embedded file.
func (v view) Static(name string) string { return v.Prefix + "/static/" + v.site.names[name] }

// Passkeys says whether the page has to do with them.
func (v view) Passkeys() bool { return v.asks }

// Error is the problem of a field, or nil.
func (v view) Error(field string) *problem {
	for i := range v.Problems {
		if v.Problems[i].Field == field {
			return &v.Problems[i]
		}
	}
	return nil
}

// Marks are the attributes by which a field says that it is wrong, and where the words about it stand.
func (v view) Marks(field string, hints ...string) template.HTMLAttr {
	wrong := false
	for i, p := range v.Problems {
		if !slices.Contains(p.Marks, field) {
			continue
		}
		wrong = true
		if p.Field == field {
			hints = append(hints, field+"-error")
		} else {
			hints = append(hints, fmt.Sprintf("problem-%d", i))
		}
	}
	out := ""
	if wrong {
		out = ` aria-invalid="true"`
	}
	if len(hints) > 0 {
		out += ` aria-describedby="` + strings.Join(hints, " ") + `"`
	}
	return template.HTMLAttr(out) // names of our own fields and nothing else
}

// render writes a page.
func (s *Site) render(w http.ResponseWriter, r *http.Request, v Visit, status int, name string, p view) error {
	p.Prefix, p.site, p.asks = s.Prefix, s, slices.Contains([]string{"login", "second", "setup", "offer", "steps"}, name)
	p.Brand = s.brand(v.Tenant)
	k := pageHeaders
	if v.Tenant == nil || status == http.StatusMisdirectedRequest {
		// Whoever is refused here is refused our files too: the page brings its look along.
		p.Inline, p.Brand.Logo = template.CSS(string(s.static[s.names["style.css"]].body)+s.accent(v)), ""
		k = aloneHeaders(string(p.Inline))
	}
	var b bytes.Buffer
	if err := s.templates[name].ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	guard(w.Header(), r, k)
	if p.Secret {
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	send(w, r, status, b.Bytes())
	return nil
}

// accent is the theme of whoever is asked, if anybody.
func (s *Site) accent(v Visit) string {
	if v.Tenant == nil {
		return theme("")
	}
	return theme(v.Tenant.Brand.Accent)
}

// send ends an answer: to HEAD with the length that GET would have, and nothing else.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser has gone: nobody to tell
	}
}

// see sends a browser on after a POST, so that reloading repeats nothing.
func see(w http.ResponseWriter, r *http.Request, to string) {
	guard(w.Header(), r, dataHeaders)
	w.Header().Set("Location", to)
	send(w, r, http.StatusSeeOther, nil)
}

// moment is a time for people, with the exact time for machines and for those who point at it.
type moment struct{ Words, Exact, Machine, Clock string }

func when(t, now time.Time) moment {
	m := moment{Exact: t.UTC().Format("2 January 2006, 15:04 UTC"), Machine: t.UTC().Format(time.RFC3339), Clock: t.UTC().Format("15:04 UTC")}
	switch d := now.Sub(t); {
	case d < time.Minute:
		m.Words = "just now"
	case d < time.Hour:
		m.Words = count(int(d/time.Minute), "minute") + " ago"
	case d < 24*time.Hour:
		m.Words = count(int(d/time.Hour), "hour") + " ago"
	case d < 14*24*time.Hour:
		m.Words = count(int(d/(24*time.Hour)), "day") + " ago"
	default:
		m.Words = "on " + t.UTC().Format("2 January 2006")
	}
	return m
}

// since is when, for what may lie long back: how long is of more use there than the day.
func since(t, now time.Time) moment {
	m, days := when(t, now), int(now.Sub(t)/(24*time.Hour))
	switch {
	case days >= 2*365:
		m.Words = count(days/365, "year") + " ago"
	case days >= 60:
		m.Words = count(days*12/365, "month") + " ago"
	case days >= 14:
		m.Words = count(days/7, "week") + " ago"
	}
	return m
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// length says a duration in the largest whole unit.
func length(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return count(int(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour:
		return count(int(d/time.Hour), "hour")
	}
	return count(int(d/time.Minute), "minute")
}

// roleWords are the roles as people call them.
var roleWords = map[portal.Role]string{portal.RoleAdmin: "Administrator", portal.RoleUser: "User", portal.RoleApprover: "Approver"}
