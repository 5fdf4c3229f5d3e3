// Package floors owns the plan of the house and holds no code: this page draws it, and the tests beside it enforce it.
//
//	5  cmd/portalgate
//	4  caddymodule
//	3  admission graphql pages upstream
//	2  auth session
//	1  store breach factor mail password ratelimit revocation sms whereabouts
//	0  portal secret
//
//	beside  caddymodule/conformance web migrations demo demo/erp demo/npm demo/servers demo/sink cmd/dev testenv testenv/timing e2e floors
//
// A package imports downwards only, and never across its floor, with one exception: auth may use session. So two
// capabilities of floor 1 meet only in a flow of floor 2, and the roads of floor 3 (admission, graphql, pages, upstream)
// know nothing of each other. HTTP is served on floor 3 and above; auth knows none of it, pages knows no store, and only
// caddymodule and cmd know Caddy. What stands beside the floors says for itself who may use it (see the tests).
//
// Libraries, cryptography, package comments, the length of files and the words of the README are held by tests of this
// package too. Each exception is a line in a table there, with its reason; a line that is no longer needed fails.
//
// It refuses whatever is not drawn: a new package fails the tests until it stands on a floor of this page. It has no
// neighbour but the go command; without it the tests fail.
//
// # Why a test and not a linter's configuration
//
// A linter's list of forbidden imports has no place for reasons and is switched off by whoever it stops. A table in a
// test is reviewed like code, and says what to do instead.
package floors
