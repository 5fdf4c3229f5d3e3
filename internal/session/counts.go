package session

import "sync/atomic"

// counts are what happened to sessions, for metrics. The warm road counts nothing: what asks no server is what is
// left of the requests that Caddy counts.
type counts struct {
	read, renewed, reused, ended atomic.Int64
}

// Counts are what happened to sessions since the program began: read from the database, renewed, ended because a
// replaced token came back, refused because they had ended.
func (k *Keeper) Counts() map[string]int64 {
	c := &k.counts
	return map[string]int64{"read": c.read.Load(), "renewed": c.renewed.Load(), "reused": c.reused.Load(), "ended": c.ended.Load()}
}
