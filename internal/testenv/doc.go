// Package testenv is what the tests stand on: a real PostgreSQL and a real Redis that live as long as the test binary,
// migrated databases, tenants of their own, a clock moved by hand, a proxy that breaks connections on purpose, an
// upstream that keeps the bytes it received, and a browser.
//
// It refuses to hide a missing server: on a developer's machine the test is skipped with a sentence that says what to
// install, and where PORTALGATE_TEST=all is set it fails. It is imported by tests and by nothing else.
//
// When a server dies in the middle, the tests that use it fail with its error. What was started ends with the test
// binary, however that ends.
//
// The servers are found so: PORTALGATE_TEST_DATABASE_URL (a superuser's address; databases named portalgate_test_… are
// made and removed there) and PORTALGATE_TEST_REDIS_URL, else private ones by way of package servers.
package testenv
