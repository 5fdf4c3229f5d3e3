package pages

import "net/http"

// The headers of our own answers, one value per kind of page (FE-02). Nothing inline, nothing from elsewhere, in
// nobody's frame.
const (
	pageCSP = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	dataCSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
	logoCSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'; base-uri 'none'"
)

type kind string

const (
	pageHeaders kind = pageCSP
	dataHeaders kind = dataCSP
	logoHeaders kind = logoCSP
)

// guard sets the headers that every answer of ours has.
func guard(h http.Header, r *http.Request, k kind) {
	h.Set("Content-Security-Policy", string(k))
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: that would turn the Origin of our own forms into "null" (contract 4).
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		// Ignored by browsers over plain HTTP (RFC 6797 section 8.1); two years, with subdomains.
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}
