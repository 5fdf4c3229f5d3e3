package erp

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

//go:embed assets/*
var assets embed.FS

// Options are how an ERP is brought up.
type Options struct {
	Listen   string                                        // default 127.0.0.1:0
	Keys     func(context.Context, string) ([]byte, error) // the gate's key set for a tenant's origin
	Audience string                                        // default portal-upstream
	OldGuard *OldGuard                                     // set: the unchanged backend
	Now      func() time.Time
}

// ERP is a running upstream.
type ERP struct {
	o        Options
	books    *books
	verifier *verifier
	schema   http.Handler
	server   *http.Server
	addr     string
	stop     context.CancelFunc

	reached counter           // of the old portal's operations
	planted map[string]string // documents by their hashes
}

// Start listens and serves until Close.
func Start(o Options) (*ERP, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Audience == "" {
		o.Audience = "portal-upstream"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &ERP{o: o, books: newBooks(o.Now), verifier: newVerifier(o), reached: counter{times: map[string]int{}}, planted: map[string]string{}}
	e.schema = e.graphql()
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("starting the demo ERP: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.addr = l.Addr().String()
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { _ = e.server.Serve(l) }() // ends with Close
	return e, nil
}

// Addr is where it listens.
func (e *ERP) Addr() string { return e.addr }

// Close ends every connection.
func (e *ERP) Close() {
	e.stop()
	_ = e.server.Close() // nobody is waiting any more
}

// person is who asks, as far as the ERP believes it.
type person struct {
	Tenant, Slug, User, Email, Name, Role string
}

var errNobody = errors.New("nobody")

// ServeHTTP answers like a portal of the year before last.
func (e *ERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/assets/") || r.URL.Path == "/favicon.ico" {
		e.file(w, r)
		return
	}
	if e.o.OldGuard != nil {
		e.o.OldGuard.cors(w.Header())
		if r.URL.Path == "/graphql" {
			e.schema.ServeHTTP(w, r)
			return
		}
		if r.URL.Path == "/reached.json" {
			answer(w, http.StatusOK, e.Reached())
			return
		}
	}
	who, err := e.who(r)
	if err != nil && e.o.OldGuard == nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "This ERP takes requests from the gate only: %v\n", err)
		return
	}
	switch r.URL.Path {
	case "/graphql":
		e.schema.ServeHTTP(w, r)
	case "/headers.json":
		e.headers(w, r)
	case "/feed":
		e.feed(w, r, who)
	case "/events":
		e.events(w, r, who)
	case "/orders":
		if r.Method == http.MethodPost {
			e.order(w, r, who)
			return
		}
		e.page(w)
	default:
		e.page(w)
	}
}

// page is the single-page program; it finds its own way by the path.
func (e *ERP) page(w http.ResponseWriter) {
	b, err := fs.ReadFile(assets, "assets/index.html")
	if err != nil {
		http.Error(w, "no page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(b) // the browser has gone: nobody to tell
}

func (e *ERP) file(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "favicon.ico" {
		name = "assets/favicon.svg"
	}
	b, err := fs.ReadFile(assets, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	w.Header().Set("Content-Type", types[name[strings.LastIndexByte(name, '.'):]])
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(b) // as above
}

// headers shows exactly what was received, and what the assertion is worth.
func (e *ERP) headers(w http.ResponseWriter, r *http.Request) {
	type line struct{ Name, Value string }
	var lines []line
	for name, values := range r.Header {
		for _, v := range values {
			lines = append(lines, line{name, v})
		}
	}
	sort.Slice(lines, func(i, j int) bool { return lines[i].Name < lines[j].Name })
	out := map[string]any{"method": r.Method, "path": r.RequestURI, "host": r.Host, "headers": lines}
	claims, err := e.verifier.verify(r)
	switch {
	case r.Header.Get("X-Portal-Assertion") == "":
		out["assertion"] = map[string]any{"state": "missing"}
	case err != nil:
		out["assertion"] = map[string]any{"state": "refused", "why": err.Error()}
	default:
		out["assertion"] = map[string]any{"state": "verified", "claims": claims}
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the browser has gone: nobody to tell
}

func (e *ERP) order(w http.ResponseWriter, r *http.Request, who person) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "unreadable form", http.StatusBadRequest)
		return
	}
	o := e.books.add(who.Tenant, r.PostForm.Get("item"), r.PostForm.Get("quantity"), who.Name)
	http.Redirect(w, r, "/orders/"+url.PathEscape(o.Number), http.StatusSeeOther)
}

// feed is live over WebSocket: a line a second.
func (e *ERP) feed(w http.ResponseWriter, r *http.Request, who person) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the gate has judged the origin
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := c.CloseRead(r.Context())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		if err := wsjson.Write(ctx, c, e.books.tick(who.Tenant, n)); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// events is the same over server-sent events.
func (e *ERP) events(w http.ResponseWriter, r *http.Request, who person) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	c := http.NewResponseController(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		b, err := json.Marshal(e.books.tick(who.Tenant, n))
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
