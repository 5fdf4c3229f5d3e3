package upstream

import (
	"net/http"
	"net/netip"
	"strings"
)

// claims are headers by which other gateways tell a backend who asks or what was asked; from a client they are lies
// (HDR-07). reverse_proxy writes its own X-Forwarded-For, -Proto and -Host afterwards.
var claims = map[string]bool{
	"authorization": true, "proxyauthorization": true, "forwarded": true, "proxy": true,
	"xrealip": true, "trueclientip": true, "cfconnectingip": true, "cfconnectingipv6": true, "xclientip": true, "clientip": true, "xclusterclientip": true, "fastlyclientip": true,
	"xrewriteurl": true, "xhttpmethodoverride": true, "xmethodoverride": true, "xhttpmethod": true,
	"remoteuser": true, "remoteemail": true, "remotename": true, "remotegroups": true, "xwebauthuser": true,
	"xtenantid": true, "xuserid": true, "xusername": true, "xuseremail": true, "xauthuser": true, "xproxyuser": true,
	"xhost": true, "xscheme": true, "xurlscheme": true, "frontendhttps": true,
	"clientcert": true, "clientcertchain": true, "http2settings": true,
}

// families are how the names of such headers begin, where there are many.
var families = []string{"xforwarded", "xauthrequest", "xauthentik", "xoriginal", "xremote", "xclientcert", "xsslclient", "sslclient",
	"cfaccess", "xgoogiap", "xgoogauthenticated", "xamznoidc", "xmsclientprincipal", "xmstoken", "tailscaleuser", "impersonate", "xenvoy", "xazure", "xmiddleware"}

func claim(name string) bool {
	f := fold(name)
	if claims[f] {
		return true
	}
	for _, family := range families {
		if strings.HasPrefix(f, family) {
			return true
		}
	}
	return false
}

// Arrival is how a request came, as it was judged.
type Arrival struct {
	Cookies string     // the Cookie header without ours
	Client  netip.Addr // who asks, as trusted proxies tell it
	Trusted bool       // the peer is a trusted proxy
	Secure  bool       // over https, here or at the trusted proxy
}

// Clean makes a request of a tenant that is on fit to be forwarded: no credentials of the client's, no claims about
// who asks or how, no connection options beyond the three that mean something here, and none of our cookies. What is
// left stands in a map with room for what Stamp adds: growing one costs more than a new one.
func Clean(r *http.Request, a Arrival) {
	kept := make(http.Header, len(r.Header)+len(suffixes)+1)
	for name, values := range r.Header {
		switch name {
		case "Host": // two names for one host in HTTP/2, which agree; the next program has one
			continue
		case "Connection":
			values = connection(values)
		case "Cookie":
			if a.Cookies == "" || len(values) == 0 {
				continue
			}
			values = values[:1:1]
			values[0] = a.Cookies
		case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host":
			values = vouched(name, values, a)
		default:
			if suspect(name) && claim(name) {
				continue
			}
		}
		if values != nil {
			kept[name] = values
		}
	}
	r.Header = kept
	for name := range r.Trailer {
		if claim(name) || framing(name) {
			delete(r.Trailer, name)
		}
	}
}

// connection are the options of a connection that mean something here. Caddy deletes what Connection nominates after we have
// set our headers; a client must not choose (HDR-04).
func connection(lines []string) []string {
	return tokens(lines, func(t string) bool {
		return strings.EqualFold(t, "close") || strings.EqualFold(t, "keep-alive") || strings.EqualFold(t, "upgrade")
	})
}

// vouched leaves of the three headers that reverse_proxy completes what was judged here, and nothing that somebody
// further away wrote: it would pass on a trusted proxy's word as it stands. nil: nothing.
func vouched(name string, told []string, a Arrival) []string {
	switch {
	case !a.Trusted:
	case name == "X-Forwarded-For" && a.Client.IsValid():
		var text [48]byte
		if client := a.Client.AppendTo(text[:0]); len(told) != 1 || told[0] != string(client) {
			return []string{string(client)}
		}
		return told
	case name == "X-Forwarded-Proto" && a.Secure:
		if len(told) != 1 || told[0] != "https" {
			return []string{"https"}
		}
		return told
	}
	return nil
}

// Withdraw takes everything off a request that says who asks: an error page's or a stand-in's server has no need of
// it (HDR-11).
func (p Prefix) Withdraw(r *http.Request) {
	for name := range r.Header {
		if p.Ours(name) || name == "Authorization" || name == "Proxy-Authorization" || name == "Cookie" {
			delete(r.Header, name)
		}
	}
}

// suspect says whether a name could be a claim: frequent ones are not, nor are most by their first letter, and folding
// costs. A name that begins with something else than a letter is always looked at. The three that reverse_proxy writes
// are vouched for; one that only folds to them is not.
func suspect(name string) bool {
	if name == "" {
		return false
	}
	switch c := name[0] | 0x20; c {
	case 's':
		return len(name) > 1 && name[1]|0x20 == 's'
	case 'i':
		return len(name) > 1 && name[1]|0x20 == 'm'
	case 'a', 'p', 'f', 'x', 't', 'c', 'r', 'h':
		switch name {
		case "Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection", "Content-Length", "Content-Type", "Cookie",
			"Referer", "Pragma", "Traceparent", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Requested-With", "Range",
			"Te", "Transfer-Encoding", "Priority":
			return false
		}
		return true
	default:
		return c < 'a' || c > 'z'
	}
}

// framing knows the fields that say in a trailer how a message is framed, routed or who sent it (RFC 9110 section
// 6.5.1).
func framing(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Cookie", "Connection", "Content-Length", "Host", "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Keep-Alive", "Expect", "Content-Encoding", "Content-Type", "Content-Range":
		return true
	}
	return false
}
