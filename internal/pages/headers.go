package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

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

// aloneHeaders are those of a page that stands alone: this one style, by its content, and nothing else.
func aloneHeaders(style string) kind {
	sum := sha256.Sum256([]byte(style))
	return kind("default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
}

// always are the headers that every answer of ours has, by their canonical names.
var always = [...]struct{ name, value string }{
	{"X-Content-Type-Options", "nosniff"},
	// Not no-referrer: that would turn the Origin of our own forms into "null" (contract 4).
	{"Referrer-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"},
	{"X-Frame-Options", "DENY"},
	{"X-Robots-Tag", "noindex"},
}

// guard sets them, and those that depend on the kind of page. A flood of forged cookies is answered with them, so all
// values are one allocation; no two answers share it, since a later handler may write into the values.
func guard(h http.Header, r *http.Request, k kind) {
	v := new([len(always) + 3]string)
	set := func(i int, name, value string) {
		v[i] = value
		h[name] = v[i : i+1 : i+1]
	}
	for i, x := range always {
		set(i, x.name, x.value)
	}
	set(len(always), "Content-Security-Policy", string(k))
	if len(h["Cache-Control"]) == 0 {
		set(len(always)+1, "Cache-Control", "no-store")
	}
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		// Ignored by browsers over plain HTTP (RFC 6797 section 8.1); two years, with subdomains.
		set(len(always)+2, "Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}
