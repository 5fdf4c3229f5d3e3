package mail

import (
	"context"
	"hash/fnv"
)

// Share is one part of a Split.
type Share struct {
	Weight int // of the sum of all; from 1
	Sender Sender
}

// Split divides mails among senders by weight, so that their deliverability can be compared. The choice is the
// message's, so that another try goes the same way: a provider that fails keeps its mails, and its figures.
type Split []Share

// Send sends by the message's choice.
func (s Split) Send(ctx context.Context, m Message) error {
	return s.choice(m.ID).Send(ctx, m)
}

func (s Split) choice(id string) Sender {
	sum := 0
	for _, share := range s {
		sum += share.Weight
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // it never fails
	// The low bits of FNV follow the last byte closely; folding brings in the rest.
	v := h.Sum64()
	v ^= v >> 32
	v *= 0x9e3779b97f4a7c15
	v ^= v >> 29
	n := int(v % uint64(max(sum, 1)))
	for _, share := range s {
		if n -= share.Weight; n < 0 {
			return share.Sender
		}
	}
	return s[len(s)-1].Sender
}
