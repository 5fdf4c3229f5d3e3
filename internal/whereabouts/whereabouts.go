// Package whereabouts owns what can be told from outside about where a request comes from: the network that limits
// count by, and a name for the browser that its owner recognises in a list.
//
// It refuses to decide: an agent's name and an address are signals that anybody can choose, never a reason to let
// somebody in. It has no neighbour.
package whereabouts

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/mileusna/useragent"
)

// maxAgent is how much of a User-Agent is read.
const maxAgent = 512

// Unknown is the name of a device that says nothing of itself.
const Unknown = "Unknown device"

// Device names a browser the way its owner would: "Firefox on Windows".
func Device(agent string) string {
	agent = strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")
	ua := useragent.Parse(agent)
	name, system := tidy(ua.Name), tidy(ua.OS)
	switch {
	case name == "" && system == "":
		return Unknown
	case system == "":
		return name
	case name == "":
		return "A browser on " + system
	}
	return name + " on " + system
}

// tidy keeps what may stand in a list: an agent is free text from a stranger.
func tidy(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || r < ' ' || r > '~' || strings.ContainsRune("<>&\"'`{}", r) {
			continue
		}
		if b.Len() >= 40 {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// Network is what limits count by: an IPv4 address, or the /64 of an IPv6 address, which one household or server has
// to itself (RL-09).
func Network(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return "none"
	}
	if addr.Is4() {
		return addr.String()
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return p.String()
}
