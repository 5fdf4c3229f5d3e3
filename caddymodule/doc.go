// Package caddymodule owns everything that Caddy sees of portalgate: the app `portalgate` with what all handlers
// share, the handler `http.handlers.portalgate`, the matcher, the admin routes, the permission to get certificates,
// the Caddyfile grammar and the commands. It is the only package that imports Caddy; the work is done below it.
//
// It refuses a configuration that would open the gate by accident: a role that can cross tenants, keys that are
// missing, short, examples or not those of the database, secrets written out in the configuration, proxies trusted
// without `trusted_proxies_strict`, an option that is misspelt. Each refusal names the place and the mend.
//
// # What happens on reload
//
// Caddy starts the new configuration before it stops the old one, so two instances overlap. What must not be doubled
// or lost (connections, the pool of hashing workers, limits, verified sessions, open streams, the feed of
// revocations) lives in a world kept in a caddy.UsagePool under a digest of the settings it was made from: the same
// settings find the same world, and nobody is signed out. Provision dials nothing, since `validate` provisions too,
// except in a program that already serves: there an unfit database is refused before a socket is opened for it.
//
// # When a neighbour fails
//
//	Redis      sign-in goes on; limits by network fall back to this process at half their numbers; what counts per
//	           account is in PostgreSQL. Signed-in traffic is unaffected.
//	PostgreSQL no new and no renewed session: 503 with Retry-After. Signed-in traffic goes on until its access token
//	           ends, and cookies are kept. At start: the gate is shut (503) until the database has been judged fit.
//	breach     the source of stolen passwords: a new password is taken without it, counted, and said once in the log.
//	upstream   reverse_proxy's own error; the portal's pages still work.
package caddymodule

//go:generate go run ../cmd/dev options
