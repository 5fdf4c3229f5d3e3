// Package session owns the life of a session between sign-in and sign-out: its cookies, its access and refresh
// tokens, the table of tokens already verified, renewal, reuse detection and its end.
//
// It refuses anything it is not sure of: a cookie that comes twice is no cookie, a token of another realm or tenant
// is no token. What it has verified once it finds again by a fingerprint, so that a signed-in request asks no server.
//
// When PostgreSQL is down, sessions that hold a valid access token go on until it ends; nothing begins and nothing is
// renewed, and nobody loses a cookie. When the feed of revocations is broken for longer than five seconds and
// PostgreSQL cannot be asked either, nothing passes: this gateway may be the one that is cut off.
package session
