package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/upstream"
)

// passage is one request at the gate.
type passage struct {
	h       *Handler
	way     way
	a       admission.Admitted
	facts   *session.Facts
	cookies []string // of a renewal
	told    told
	shield  upstream.Shield
	cancel  context.CancelFunc // of the context of a request that asks for a stream; nil for others
	release func()             // of an open stream
}

// way is what becomes of a request.
type way int

const (
	wayNone    way = iota // it is answered
	wayThrough            // it passes as it is
	wayUnknown            // it is handed on without saying who asks
	wayKnown              // it is handed on with an identity
)

// gate decides, up to the point where a request is handed on. A panic in here is a 500 and nothing is forwarded; one
// behind it belongs to Caddy (HDR-10, DOS-03).
func (p *passage) gate(w http.ResponseWriter, r *http.Request) {
	h, a := p.h, &p.a
	var v pages.Visit
	defer func() {
		if thrown := recover(); thrown != nil {
			if thrown == http.ErrAbortHandler {
				panic(thrown)
			}
			p.way = wayNone
			h.w.site.Fail(w, r, v, fmt.Errorf("panic: %v", thrown))
		}
	}()
	wire := h.wire(r)
	if mayHoldToken(r.URL.RawQuery) && r.URL.Query().Has("token") {
		caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	}

	if !h.w.fit.Load() && !h.w.await(r.Context()) {
		h.w.site.Fail(w, r, v, &portal.Problem{Kind: portal.ProblemUnavailable, Public: "This page is back soon.", RetryAfter: 5 * time.Second})
		return
	}
	err := admission.Tenant(h.w.hosts, r, wire, a)
	if r.Context().Value(caddyhttp.ErrorCtxKey) != nil && (a.Tenant == nil || a.Tenant.Mode == portal.ModeOn) {
		// On the way to an error page: who asks was not found out, or is nobody's business there (HDR-11).
		upstream.Clean(r, upstream.Arrival{Client: a.Client.Addr, Trusted: wire.Trusted, Secure: a.Jar.Secure}) // and no cookie
		p.way = wayUnknown
		return
	}
	if a.Tenant == nil {
		h.w.site.Fail(w, r, v, err)
		return
	}
	if a.Tenant.Mode != portal.ModeOn {
		p.way = wayThrough // byte for byte, but for forged headers
		return
	}
	if err == nil {
		err = h.rules.Admit(r, a)
	}
	v = pages.Visit{Tenant: a.Tenant, Client: a.Client, Origin: a.Origin, Jar: a.Jar, Cookies: a.Cookies, Wants: pages.Wants(a.Wants), Nameless: a.Nameless}
	if err != nil {
		h.w.site.Fail(w, r, v, err)
		return
	}
	p.told.tenant = a.Tenant
	r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Map(p.told.placeholder)
	if a.Gate {
		h.w.site.Serve(w, r, v)
		return
	}
	if a.Tenant.Suspended {
		h.w.site.Fail(w, r, v, &portal.Problem{Kind: portal.ProblemUnavailable, Public: "This portal is closed at the moment."})
		return
	}
	arrival := upstream.Arrival{Cookies: a.Rest, Client: a.Client.Addr, Trusted: wire.Trusted, Secure: a.Jar.Secure}
	if a.Public || a.Foreign {
		upstream.Clean(r, arrival)
		p.way = wayUnknown
		return
	}
	renewable := r.Method != http.MethodHead && a.Wants != admission.WantsSocket
	res, err := h.w.keeper.Resume(r.Context(), a.Tenant, a.Cookies, a.Client, renewable)
	if err != nil {
		h.w.site.Fail(w, r, v, h.formerly(w, r, a, err))
		return
	}
	if res.Grant != nil {
		p.cookies = a.Jar.Lines(*res.Grant, a.Client.At)
		v.Grant = res.Grant
	}
	id := &res.Facts.Identity
	if a.GraphQL && a.Wants == admission.WantsSocket {
		h.w.site.Fail(w, r, v, &portal.Problem{Kind: portal.ProblemSocket, Public: "Live queries are not available here."})
		return
	}
	if a.GraphQL {
		if err := h.asked.Admit(w, r, a.Origin+h.rules.Prefix); err != nil {
			h.w.site.Fail(w, r, v, err)
			return
		}
	}
	if a.MFA && stale(id.MFAAt, a.Client.At, a.Within) {
		h.w.site.Fail(w, r, v, errSecondStep)
		return
	}
	upstream.Clean(r, arrival)
	st, _ := res.Facts.Prepared.Load().(*upstream.Stamped)
	if !h.stamper.Made(st, a.Origin) {
		if st, err = h.stamper.Prepare(*id, a.Origin); err != nil {
			h.w.site.Fail(w, r, v, err)
			return
		}
		res.Facts.Prepared.Store(st)
	}
	if err := h.stamper.Stamp(r, st, a.Client.At); err != nil {
		h.w.site.Fail(w, r, v, err)
		return
	}
	p.told.id = id
	p.facts, p.way = res.Facts, wayKnown
}

// wire is what Caddy knows of a request's way here.
func (h *Handler) wire(r *http.Request) admission.Wire {
	w := admission.Wire{Now: h.w.now()}
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	w.Client, _ = vars[caddyhttp.ClientIPVarKey].(string)
	if w.Trusted, _ = vars[caddyhttp.TrustedProxyVarKey].(bool); w.Trusted {
		if server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
			w.Told = server.ClientIPHeaders
		}
	}
	return w
}

// hand passes a request to the next handler, and judges the end of the answer. When it fails, Caddy goes on to its
// error routes with the same request: what was said there of the person is taken back first.
func (p *passage) hand(next caddyhttp.Handler, r *http.Request) error {
	err := next.ServeHTTP(&p.shield, r)
	if err != nil {
		p.h.w.prefix.Withdraw(r)
		return err
	}
	p.shield.End()
	return nil
}

// forward hands on a request that may become a socket or a stream; when its session ends it is closed (REV-02), and when
// the second step that its path asks for has grown stale. Who asks for one is handed on under a context of its own. An
// answer that turns out to be a stream though nobody asked for one is cut at the browser's side: every other request is
// spared that context.
func (p *passage) forward(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if p.a.Wants == admission.WantsSocket || asksForStream(r) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		r, p.cancel = r.WithContext(ctx), cancel
	}
	defer func() {
		if p.release != nil {
			p.release()
		}
	}()
	return p.hand(next, r)
}

// answered is told how the upstream answers, before the browser is.
func (p *passage) answered(status int) {
	w := p.shield.ResponseWriter
	tunnel := status == http.StatusSwitchingProtocols || p.a.Wants == admission.WantsSocket && status == http.StatusOK
	if kind := w.Header()["Content-Type"]; !tunnel && (len(kind) == 0 || !strings.HasPrefix(kind[0], eventStream)) {
		return
	}
	cut := p.cancel
	if cut == nil {
		cut = func() { hangUp(w) }
	}
	p.release = p.h.w.hold(&p.a, p.facts, cut)
}

const eventStream = "text/event-stream"

func asksForStream(r *http.Request) bool {
	for _, line := range r.Header["Accept"] {
		if strings.Contains(line, eventStream) {
			return true
		}
	}
	return false
}

// hangUp ends a request from the browser's side, as if the browser had gone: over HTTP/1.1 a connection whose reading
// has failed, over HTTP/2 a stream that is reset. net/http ends the request's context in both cases.
func hangUp(w http.ResponseWriter) {
	c, past := http.NewResponseController(w), time.Unix(1, 0)
	_ = c.SetReadDeadline(past) // a connection that is gone already needs none
	_ = c.SetWriteDeadline(past)
}
