package demo

import (
	"bytes"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/demo/sink"
)

// mailbox is the page on which the demo's mails are read, by whoever sits at this machine.
type mailbox struct {
	sink   *sink.Sink
	port   *port
	server *http.Server
}

// openMailbox starts the mail server and its page.
func openMailbox(from int) (m *mailbox, err error) {
	m = new(mailbox)
	if m.sink, err = sink.Start(sink.Options{}); err != nil {
		return nil, err
	}
	if m.port, err = openPort(0, from); err != nil {
		m.sink.Close()
		return nil, err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", m.list)
	routes.HandleFunc("GET /{n}", m.show)
	routes.HandleFunc("GET /{n}/html", m.html)
	m.server = &http.Server{Handler: here(routes), ReadHeaderTimeout: 10 * time.Second}
	for _, l := range m.port.listeners {
		go func() { _ = m.server.Serve(l) }() // it ends with the demo
	}
	return m, nil
}

func (m *mailbox) close() {
	if m == nil {
		return
	}
	_ = m.server.Close() // it was only looked at
	m.port.close()
	m.sink.Close()
}

// here answers to this machine's own names only: a page elsewhere whose name is made to lead here must not read mails.
func here(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && !strings.HasSuffix(host, ".localhost") && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this mailbox is at localhost", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// mailRow is a mail as the pages show it; N counts from the first mail of all that are kept.
type mailRow struct {
	N                              int
	Tenant, From, To, Subject, Day string
	Time, Text                     string
	HTML                           bool
}

func rowOf(n int, m sink.Mail) mailRow {
	r := mailRow{N: n, From: m.From, To: m.To, Subject: m.Subject, Day: m.At.Format("2 Jan"), Time: m.At.Format("15:04:05"), Text: m.Text, HTML: m.HTML != ""}
	if a, err := m.Header.AddressList("From"); err == nil && len(a) == 1 && a[0].Name != "" {
		r.From = a[0].Name + " <" + a[0].Address + ">"
	}
	for _, t := range tenants {
		if strings.HasSuffix(m.From, "@"+t.slug+".example") {
			r.Tenant = t.name
		}
	}
	return r
}

func (m *mailbox) list(w http.ResponseWriter, _ *http.Request) {
	var rows []mailRow
	for i, one := range m.sink.Mails() {
		rows = append(rows, rowOf(i+1, one))
	}
	slices.Reverse(rows)
	w.Header().Set("Refresh", "3") // it has no script that could ask
	m.render(w, "list", rows)
}

func (m *mailbox) find(w http.ResponseWriter, r *http.Request) (mail sink.Mail, n int, ok bool) {
	all := m.sink.Mails()
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 1 || n > len(all) {
		http.Error(w, "there is no such mail", http.StatusNotFound)
		return mail, 0, false
	}
	return all[n-1], n, true
}

func (m *mailbox) show(w http.ResponseWriter, r *http.Request) {
	if one, n, ok := m.find(w, r); ok {
		m.render(w, "mail", rowOf(n, one))
	}
}

// html is the mail's own page, in a sandbox in which nothing runs and links open beside the mailbox.
func (m *mailbox) html(w http.ResponseWriter, r *http.Request) {
	if one, _, ok := m.find(w, r); ok {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(one.HTML)) // whoever reads has gone
	}
}

func (m *mailbox) render(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := mailPages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, fmt.Sprintf("rendering the mailbox: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w) // as above
}

// linked is a mail's text with its links to be clicked.
func linked(text string) template.HTML {
	var b strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		for _, word := range strings.SplitAfter(line, " ") {
			bare := strings.TrimSpace(word)
			if e := template.HTMLEscapeString(bare); strings.HasPrefix(bare, "http://") || strings.HasPrefix(bare, "https://") {
				b.WriteString(`<a href="` + e + `" target="_blank" rel="noopener">` + e + `</a>` + word[len(strings.TrimRight(word, " \r\n")):])
				continue
			}
			b.WriteString(template.HTMLEscapeString(word))
		}
	}
	return template.HTML(b.String())
}

var mailPages = template.Must(template.New("").Funcs(template.FuncMap{"linked": linked}).Parse(`{{define "head"}}<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Mailbox</title>
<style>
:root{color-scheme:light dark;--ink:#1d2327;--faint:#5d6a72;--line:#dfe4e8;--paper:#fff;--ground:#f3f5f7;--accent:#0a6e5c}
@media(prefers-color-scheme:dark){:root{--ink:#e7ecef;--faint:#9aa7af;--line:#333c43;--paper:#1b2126;--ground:#12171b;--accent:#4fc4ac}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header{padding:1.1rem 1.5rem;border-bottom:1px solid var(--line);background:var(--paper)}h1{margin:0;font-size:1.15rem}header p{margin:.15rem 0 0;color:var(--faint);font-size:.87rem}
main{max-width:62rem;margin:1.5rem auto;padding:0 1rem}a{color:var(--accent)}
ul{list-style:none;margin:0;padding:0;background:var(--paper);border:1px solid var(--line);border-radius:10px;overflow:hidden}
li+li{border-top:1px solid var(--line)}li a{display:grid;grid-template-columns:11rem 1fr auto;gap:1rem;padding:.75rem 1.1rem;color:inherit;text-decoration:none}
li a:hover,li a:focus-visible{background:var(--ground)}.to{color:var(--faint);font-size:.87rem;display:block}.s{font-weight:600}time{color:var(--faint);font-variant-numeric:tabular-nums}
.none{padding:3rem 1rem;text-align:center;color:var(--faint)}
article{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1.2rem 1.4rem}h2{margin:0 0 .6rem;font-size:1.2rem}
dl{display:grid;grid-template-columns:4rem 1fr;margin:0 0 1rem;color:var(--faint);font-size:.9rem}dd{margin:0;overflow-wrap:anywhere}h3{margin:1.2rem 0 .4rem;font-size:.9rem;color:var(--faint)}
iframe{width:100%;height:34rem;border:1px solid var(--line);border-radius:6px;background:#fff}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font:13.5px/1.55 ui-monospace,monospace}
@media(max-width:40rem){li a{grid-template-columns:1fr auto}li a>:first-child{grid-column:1/-1}}
</style>{{end}}
{{define "list"}}{{template "head"}}
<header><h1>Mailbox of the demo</h1><p>Every mail that the demo sends ends here, whoever it is for. The page looks for new ones by itself.</p></header>
<main>{{if .}}<ul>{{range .}}<li><a href="/{{.N}}"><span>{{if .Tenant}}{{.Tenant}}{{else}}{{.From}}{{end}}</span><span><span class="s">{{.Subject}}</span><span class="to">to {{.To}}</span></span><time>{{.Day}} {{.Time}}</time></a></li>{{end}}</ul>
{{else}}<p class="none">No mail yet. Ask for a new password, or register.</p>{{end}}</main>{{end}}
{{define "mail"}}{{template "head"}}
<header><h1><a href="/">Mailbox of the demo</a></h1></header>
<main><article><h2>{{.Subject}}</h2><dl><dt>From</dt><dd>{{.From}}</dd><dt>To</dt><dd>{{.To}}</dd><dt>Sent</dt><dd>{{.Day}} {{.Time}}</dd></dl>
{{if .HTML}}<h3>As most people see it</h3><iframe src="/{{.N}}/html" title="The mail's HTML" sandbox="allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation" referrerpolicy="no-referrer"></iframe>{{end}}
<h3>As text</h3><pre>{{linked .Text}}</pre></article></main>{{end}}
`))
