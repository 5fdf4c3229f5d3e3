package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// mailRoutes is the page of captured mails. It can only be read, and by whoever may use the admin endpoint.
func mailRoutes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/portalgate/mail", Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		return mailPage(w, r, everyWorld)
	})}}
}

// The page runs no script and loads nothing from elsewhere. A mail's HTML is a document of its own, in a sandbox: what
// stands in it is a mail's and no part of the admin endpoint.
const (
	mailPolicy  = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
	framePolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
)

// shownPage is what the page has to show.
type shownPage struct {
	Tenants []string
	Tenant  string
	Mails   []capturedMail
	Mail    *capturedMail
}

// mailPage answers with the tenants, the captured mails of one (?tenant=), one of them (&id=), or its HTML (&part=html).
func mailPage(w http.ResponseWriter, r *http.Request, of func() []*world) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed}
	}
	if !literalHost(r.Host) {
		return caddy.APIError{HTTPStatus: http.StatusMisdirectedRequest, Message: "this page is at localhost or at an address"}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", mailPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	ctx, cancel := context.WithTimeout(r.Context(), adminWait)
	defer cancel()
	q := r.URL.Query()
	page, err := look(ctx, of(), q.Get("tenant"), q.Get("id"))
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Message: err.Error()}
	case errors.Is(err, errNoSuchMail):
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Message: err.Error()}
	case err != nil:
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Message: err.Error()}
	}
	if page.Mail != nil && q.Get("part") == "html" {
		h.Set("Content-Security-Policy", framePolicy)
		_, _ = w.Write([]byte(page.Mail.HTML)) // the asker has gone: nobody to tell
		return nil
	}
	var b bytes.Buffer
	if err := mailTemplate.Execute(&b, page); err != nil {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Message: err.Error()}
	}
	_, _ = b.WriteTo(w) // as above
	return nil
}

// literalHost says whether a request names this machine or an address. Over a socket Caddy asks nobody's name, and a page
// elsewhere whose own name is made to lead here must not read mails.
func literalHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

var errNoSuchMail = errors.New("there is no such mail, or no longer: they are kept for 7 days")

// look finds what is asked for, in whichever world has the tenant.
func look(ctx context.Context, worlds []*world, slug, id string) (page shownPage, err error) {
	page.Tenant = slug
	for _, w := range worlds {
		entries, err := w.store.Directory(ctx)
		if err != nil {
			return page, explained(err)
		}
		var t portal.TenantID
		for _, e := range entries {
			if e.Slug == slug {
				t = e.Tenant
			}
			if !slices.Contains(page.Tenants, e.Slug) {
				page.Tenants = append(page.Tenants, e.Slug)
			}
		}
		if t == "" || page.Mails != nil {
			continue
		}
		if page.Mails, err = captured(ctx, w.store, w.keys, t, id, w.now()); err != nil {
			return page, explained(err)
		}
	}
	slices.Sort(page.Tenants)
	switch {
	case slug != "" && page.Mails == nil:
		return page, fmt.Errorf("there is no tenant %q: %w", slug, errNoSuchMail)
	case id != "" && len(page.Mails) == 0:
		return page, errNoSuchMail
	case id != "":
		page.Mail = &page.Mails[0]
	}
	return page, nil
}

var mailTemplate = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Captured mails{{with .Tenant}} of {{.}}{{end}}</title>
<style>
:root{color-scheme:light dark}body{margin:0 auto;max-width:64rem;padding:1.5rem 1rem;font:15px/1.5 system-ui,sans-serif}h1{font-size:1.2rem}
nav a{margin-inline-end:1rem}table{border-collapse:collapse;width:100%}th,td{text-align:start;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #8886;vertical-align:top;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:6rem 1fr}dd{margin:0;overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere}iframe{width:100%;height:36rem;border:1px solid #8886;background:#fff}
</style>
<h1>Captured mails</h1>
<p>These mails and text messages were kept in place of being sent: the newest 100 of a tenant are shown, for 7 days. Links in them work.</p>
<nav aria-label="Tenants">{{range .Tenants}}<a href="?tenant={{.}}"{{if eq . $.Tenant}} aria-current="page"{{end}}>{{.}}</a>{{else}}There are no tenants.{{end}}</nav>
{{if .Mail}}{{with .Mail}}
<h2>{{if .Subject}}{{.Subject}}{{else}}{{.Kind}}{{end}}</h2>
<dl>{{with .From}}<dt>From</dt><dd>{{.}}</dd>{{end}}{{with .ReplyTo}}<dt>Reply to</dt><dd>{{.}}</dd>{{end}}<dt>To</dt><dd>{{.To}}</dd><dt>Kept</dt><dd>{{.At.UTC.Format "2006-01-02 15:04:05Z"}}</dd></dl>
{{if .Problem}}<p>It is {{.Problem}}.</p>{{else}}
{{if .HTML}}<iframe title="The mail's HTML" src="?tenant={{$.Tenant}}&amp;id={{.ID}}&amp;part=html" sandbox="allow-popups allow-popups-to-escape-sandbox" referrerpolicy="no-referrer"></iframe>{{end}}
<h3>As text</h3><pre>{{.Text}}</pre>{{end}}{{end}}
{{else if .Tenant}}{{if .Mails}}
<table><thead><tr><th>Kept<th>Kind<th>To<th>Subject</thead><tbody>{{range .Mails}}<tr><td>{{.At.UTC.Format "2006-01-02 15:04:05Z"}}<td>{{.Kind}}<td>{{.To}}<td><a href="?tenant={{$.Tenant}}&amp;id={{.ID}}">{{if .Subject}}{{.Subject}}{{else}}{{or .Problem "(a text message)"}}{{end}}</a>{{end}}</tbody></table>
{{else}}<p>No mail was captured in the last 7 days.</p>{{end}}{{end}}
</html>
`))
