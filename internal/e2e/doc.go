// Package e2e holds the journeys: the built binary, real servers behind it, and in front of it a browser or raw
// sockets. It has no code of its own, only tests, and refuses nothing; a server that is missing is a skipped test on a
// developer's machine and a failed one where everything must run.
package e2e
