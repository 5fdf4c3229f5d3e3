package session

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/secret"
)

func numbered(i int) secret.Fingerprint {
	d := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return secret.Fingerprint(d[:16])
}

// DOS-04: what is held is bounded, whatever comes; a token given up costs its owner one signature check.
func TestTheTablesOfAKeeperAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens, facts := newTable(640), newFacts(640)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 5000 {
				d := numbered(w*5000 + i)
				tokens.put(d, verified{expires: now.Unix() + 60}, now)
				if v, ok := tokens.get(d); ok && v.expires != now.Unix()+60 {
					t.Error("another token's entry")
				}
				facts.put(d, &Facts{})
				facts.get(d)
			}
		})
	}
	all.Wait()
	held, known := 0, 0
	for i := range tokens.shards {
		held += len(tokens.shards[i].m)
		known += len(facts.shards[i].m)
	}
	if held > 640 || known > 640 || held < 320 || known < 320 {
		t.Errorf("%d tokens and %d facts are held; 640 are allowed", held, known)
	}
	// What has expired makes way by the table's being used, long before it is full.
	wide := newTable(1 << 20)
	for i := range 10_000 {
		wide.put(numbered(i), verified{expires: now.Unix()}, now.Add(-time.Hour))
	}
	for i := range 10_000 {
		wide.put(numbered(20_000+i), verified{expires: now.Unix() + 3600}, now)
	}
	held = 0
	for i := range wide.shards {
		for _, v := range wide.shards[i].m {
			if v.expires <= now.Unix() {
				held++
			}
		}
	}
	if held > 2000 {
		t.Errorf("%d of 10,000 expired tokens are still held after 10,000 uses", held)
	}
	d := numbered(20_000)
	wide.drop(d)
	if _, ok := wide.get(d); ok {
		t.Error("dropped, and still there")
	}
	wide.clear()
	d = numbered(20_001)
	if _, ok := wide.get(d); ok {
		t.Error("cleared, and still there")
	}
}
