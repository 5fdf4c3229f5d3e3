package mail

import (
	"maps"
	"slices"
)

// Parted is a sender that sends by others.
type Parted interface{ Parts() []Sender }

// Leaves are those who really carry what a sender is given, each once, whatever joins them.
func Leaves(s Sender) (out []Sender) {
	seen := map[Sender]bool{}
	var walk func(Sender)
	walk = func(s Sender) {
		p, parted := s.(Parted)
		if !parted {
			if s != nil && !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
			return
		}
		for _, part := range p.Parts() {
			walk(part)
		}
	}
	walk(s)
	return out
}

// Parts are the senders, in their order.
func (f *Failover) Parts() []Sender { return f.senders }

// Parts are the senders, in their order.
func (s Split) Parts() (out []Sender) {
	for _, share := range s {
		out = append(out, share.Sender)
	}
	return out
}

// Parts are all senders of all tenants.
func (r *Route) Parts() []Sender {
	out := []Sender{r.Default}
	for _, all := range []map[string]Sender{r.Tenants, r.Regions} {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			out = append(out, all[name])
		}
	}
	return out
}

// Parts is the sender whose mails are counted.
func (c *counted) Parts() []Sender { return []Sender{c.sender} }
