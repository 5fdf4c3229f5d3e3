// Package servers brings up the throwaway servers that the demo and the tests need: a private PostgreSQL and, where
// redis-server is installed, a private Redis. Each lives in a directory of its own under /tmp, listens on a socket in
// there and nowhere else, and belongs to the program that started it.
//
// It refuses to touch any server that was there before: it opens no TCP port, reads no configuration of the system, and
// removes only directories that it made. It is never reachable from the gateway.
//
// When the program stops, [Postgres.Close] and [Redis.Close] stop the server and remove its directory. When the program
// is killed, a watch that outlives it does the same; what even the watch could not remove, the next start sweeps away.
// When the server dies first, whoever uses it sees that at the next connection, and Close still cleans up.
//
// # Why not a library
//
// The libraries that embed a PostgreSQL download one at run time from a host of their own choosing, and none of them
// steps down from root, which PostgreSQL demands. What the machine's package manager has is the safer server, and
// npm's package of the same binaries, pinned here by version and digest, is the fallback.
package servers
