// Package admission owns what any request must satisfy before either road: one known host, one meaning of its path, a
// method and an origin that a browser of this portal would send, a bounded size, and cookies that say one thing.
//
// It refuses everything it would have to interpret: a path that two programs could read differently, a host that is
// nearly one of ours, a cookie that comes twice. It asks no server: hosts are a table in memory, and when that table
// has not been filled yet no host is known and every request is refused.
//
// # Why it does not use net/http's CrossOriginProtection
//
// That one passes a request that has neither Sec-Fetch-Site nor Origin even when it carries a session, compares hosts
// without their scheme, and lets a sibling tenant's page through as same-site. All three are refused here.
package admission

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
)

// Bounds of a request (DOS-02).
const (
	maxHeaders = 16 << 10
	maxCookies = 50
	maxAgent   = 512
)

// Hosts is the table of known hosts, shared by all handlers and replaced as a whole.
type Hosts struct {
	table atomic.Pointer[map[string]door]
	ids   atomic.Pointer[map[portal.TenantID]*portal.Tenant]
}

// door is a host: whose it is, and how browsers name it by both schemes.
type door struct {
	tenant        *portal.Tenant
	plain, secure string
}

// Set replaces the table. Hosts are canonical: lower case, without a port or a final dot.
func (h *Hosts) Set(table map[string]*portal.Tenant) {
	doors := make(map[string]door, len(table))
	ids := map[portal.TenantID]*portal.Tenant{}
	for host, t := range table {
		doors[host] = door{t, "http://" + host, "https://" + host}
		ids[t.ID] = t
	}
	h.table.Store(&doors)
	h.ids.Store(&ids)
}

// Tenant finds a tenant that has a host.
func (h *Hosts) Tenant(id portal.TenantID) (*portal.Tenant, bool) {
	all := h.ids.Load()
	if all == nil {
		return nil, false
	}
	t, ok := (*all)[id]
	return t, ok
}

func (h *Hosts) door(host string) door {
	if t := h.table.Load(); t != nil {
		return (*t)[host]
	}
	return door{}
}

// Of finds the tenant that has a host.
func (h *Hosts) Of(name string) (*portal.Tenant, bool) {
	host, ok := canonicalHost(name)
	if !ok {
		return nil, false
	}
	t := h.door(host).tenant
	return t, t != nil
}

// Known says whether a name, as a TLS client sends it, is a host of ours.
func (h *Hosts) Known(name string) bool {
	host, ok := canonicalHost(name)
	return ok && h.door(host).tenant != nil
}

// Wants is the kind of answer that a request can use (contract 7).
type Wants int

// The kinds.
const (
	WantsPage    Wants = iota // a navigation
	WantsData                 // fetch, XHR, JSON, anything unsafe
	WantsGraphQL              // a graphql path
	WantsSocket               // a WebSocket handshake
)

// Rules are a handler's own: which paths are what.
type Rules struct {
	Prefix    string // of the portal's own pages
	Public    []Pattern
	MFA       []Guard
	GraphQL   []Pattern
	CrossSite []Exception
	LinkPages []string // below the prefix: opened with a link from a mail
}

// Exception is a path that other sites may post to; it is forwarded without session and identity.
type Exception struct{ Method, Path string }

// Wire is what the server knows about a request besides the request.
type Wire struct {
	Client  string   // the client's address, as trusted proxies tell it
	Trusted bool     // the peer is a trusted proxy
	Told    []string // the headers in which trusted proxies tell it
	Now     time.Time
}

// Admitted is a request that may go on, and what it is.
type Admitted struct {
	Tenant  *portal.Tenant
	Client  portal.Client
	Host    string // canonical
	Origin  string // scheme://host[:port], as in the address bar
	Jar     session.Jar
	Cookies session.Cookies
	Rest    string // what is left of the Cookie header for the upstream
	Wants   Wants  // before the path is read, no GraphQL
	Gate    bool   // the path is one of the portal's own
	Public  bool
	Foreign bool // cross_site: forwarded without session and identity
	MFA     bool
	Within  time.Duration // how long ago the second step may have been shown; zero: at any time in the session
	GraphQL bool

	Nameless bool // a form of a link page, of which the browser says nothing but Origin: null
}

func refuse(kind portal.ProblemKind, public string) error {
	return &portal.Problem{Kind: kind, Public: public}
}

// Tenant finds the tenant of a request, and how it was reached. It is the first question, because a tenant that is
// not on has its requests passed byte for byte.
func Tenant(hosts *Hosts, r *http.Request, w Wire, a *Admitted) error {
	a.Wants = wants(r)
	host, ok := canonicalHost(r.Host)
	var at door
	if ok {
		at = hosts.door(host)
	}
	if a.Tenant = at.tenant; a.Tenant == nil {
		return refuse(portal.ProblemUnknownHost, "There is no portal at this address. Check it for a typing mistake.")
	}
	a.Host = host
	// HTTP/2 can name a host twice, as :authority and as a header; the next program may believe the other (TEN-02).
	if twice := r.Header["Host"]; len(twice) > 1 || len(twice) == 1 && twice[0] != r.Host {
		return refuse(portal.ProblemMisdirected, "This request names two addresses. Reload the page.")
	}
	// A request that names one host to the TLS layer and another to us was made to be read in two ways (TEN-02).
	if r.TLS != nil && r.TLS.ServerName != "" {
		if sni, ok := canonicalHost(r.TLS.ServerName); !ok || sni != host {
			return refuse(portal.ProblemMisdirected, "This connection was opened for another address. Reload the page.")
		}
	}
	secure := r.TLS != nil
	if !secure && w.Trusted {
		proto := r.Header["X-Forwarded-Proto"]
		secure = len(proto) == 1 && proto[0] == "https"
	}
	if !secure && host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return refuse(portal.ProblemMisdirected, "This portal is reached over https only.")
	}
	a.Jar.Secure = secure
	a.Origin = at.plain
	if secure {
		a.Origin = at.secure
	}
	if i := strings.LastIndexByte(r.Host, ':'); i >= 0 {
		if port := r.Host[i+1:]; port != "" && !(secure && port == "443") && !(!secure && port == "80") {
			a.Origin += ":" + port
		}
	}
	a.Client = client(r, w)
	return nil
}

// Admit judges a request of a tenant that is on.
func (u *Rules) Admit(r *http.Request, a *Admitted) error {
	socket := a.Wants == WantsSocket
	switch r.Method {
	case http.MethodTrace, "TRACK":
		return refuse(portal.ProblemMethod, "This kind of request is not answered here.")
	case http.MethodConnect:
		if !socket {
			return refuse(portal.ProblemMethod, "This kind of request is not answered here.")
		}
	}
	if !token(r.Method) {
		return refuse(portal.ProblemRequest, "This kind of request is not answered here.")
	}
	if err := sizes(r); err != nil {
		return err
	}
	if len(r.Header["Upgrade"]) > 0 && !socket {
		return refuse(portal.ProblemRequest, "This protocol is not spoken here.")
	}
	// A replayed early request would do its deed twice. Any value of the header counts as "1", and so does a
	// handshake that is not complete (RFC 8470 sections 5.1 and 5.2).
	early := len(r.Header["Early-Data"]) > 0 || r.TLS != nil && !r.TLS.HandshakeComplete
	if early && (unsafe(r.Method) || socket) {
		return refuse(portal.ProblemEarlyData, "Please send this again.")
	}
	raw, err := rawPath(r)
	if err != nil {
		return err
	}
	guard := guardForm(raw)
	a.Gate = below(raw, u.Prefix) || raw == "/.well-known/change-password" || raw == "/.well-known/passkey-endpoints"
	a.GraphQL = guarded(u.GraphQL, guard, true)
	a.MFA, a.Within = second(u.MFA, guard)
	// What guards is wide: a path that is guarded in any reading is never public in another.
	if below(guard, strings.ToLower(u.Prefix)) && !a.Gate {
		return errMisread
	}
	opens := !a.Gate && !a.GraphQL && !a.MFA
	a.Public = opens && opened(u.Public, raw)
	a.Cookies, a.Rest = a.Jar.Split(r.Header["Cookie"])
	if a.Gate {
		a.Client.Device = a.Cookies.Known(a.Tenant.ID)
	}
	if a.GraphQL && a.Wants != WantsSocket {
		a.Wants = WantsGraphQL
	}
	for _, x := range u.CrossSite {
		if opens && x.Method == r.Method && x.Path == raw {
			a.Foreign = true
			return nil
		}
	}
	return sameSite(r, socket, a, a.Gate && slices.Contains(u.LinkPages, strings.TrimPrefix(raw, u.Prefix)))
}

// sizes bounds what the rest of the house has to look at.
func sizes(r *http.Request) error {
	total := 0
	for name, values := range r.Header {
		for _, v := range values {
			total += len(name) + len(v) + 4
		}
	}
	cookies := 0
	for _, line := range r.Header["Cookie"] {
		cookies += strings.Count(line, ";") + 1
	}
	if total > maxHeaders || cookies > maxCookies {
		return refuse(portal.ProblemRequest, "Your browser sent more than this page can read. Delete the cookies of this site and try again.")
	}
	return nil
}

// token says whether a method is a word. HTTP/2 can carry any bytes there, and a line end would be one in HTTP/1.1.
func token(method string) bool {
	for i := 0; i < len(method); i++ {
		c := method[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return method != ""
}

func unsafe(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// websocket knows a handshake: an Upgrade of HTTP/1.1, or the extended CONNECT of HTTP/2 and HTTP/3 (RFC 8441, RFC
// 9220), which the servers write into a header of that name and into the protocol.
func websocket(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		p := r.Header[":protocol"]
		return r.ProtoMajor == 2 && len(p) == 1 && p[0] == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket"
	}
	u := r.Header["Upgrade"]
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && len(u) == 1 && strings.EqualFold(u[0], "websocket")
}

// sameSite is the cross-site rule of contract 4: refused are unsafe requests that a browser says come from elsewhere,
// a sibling tenant's page included, and requests with a session that say nothing of their origin. A WebSocket
// handshake is held to the same although it is a GET, because no other rule of browsers stops it (CSRF-05).
// Pages that are opened with a link from a mail send no referrer, so that the link is told to nobody, and browsers then
// say "null" of their forms' origin: Sec-Fetch-Site decides there, and without it the form's own token.
func sameSite(r *http.Request, socket bool, a *Admitted, linkPage bool) error {
	if !unsafe(r.Method) && !socket {
		return nil
	}
	no := refuse(portal.ProblemCrossSite, "This request came from another site. Go back to the portal and try again there.")
	site, origin := r.Header["Sec-Fetch-Site"], r.Header["Origin"]
	if len(site) > 1 || len(origin) > 1 {
		return no
	}
	if len(site) == 1 && site[0] != "same-origin" && site[0] != "none" {
		return no
	}
	if len(origin) == 1 && origin[0] != a.Origin {
		if !linkPage || origin[0] != "null" || len(site) == 1 && site[0] != "same-origin" {
			return no
		}
		a.Nameless = len(site) == 0
		return nil
	}
	if len(site) == 0 && len(origin) == 0 && a.Cookies.Any() {
		return no
	}
	if socket && len(origin) == 0 && a.Cookies.Any() {
		return no
	}
	return nil
}

func wants(r *http.Request) Wants {
	mode := r.Header["Sec-Fetch-Mode"]
	switch {
	case websocket(r):
		return WantsSocket
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return WantsData
	case len(mode) > 0 && mode[0] == "navigate":
		return WantsPage
	case len(mode) > 0 && mode[0] != "":
		return WantsData
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		return WantsPage
	}
	return WantsData
}

func client(r *http.Request, w Wire) portal.Client {
	addr, err := netip.ParseAddr(w.Client)
	if err != nil || w.Trusted && !readable(r, w, addr) {
		// An entry that cannot be read never skips a check: the peer's own address counts (IP-02).
		addr = netip.Addr{}
		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			addr = peer.Addr()
		}
	}
	agent := r.Header.Get("User-Agent")
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	if !utf8.ValidString(agent) || strings.IndexByte(agent, 0) >= 0 {
		agent = strings.ReplaceAll(strings.ToValidUTF8(agent, ""), "\x00", "")
	}
	return portal.Client{Addr: addr.Unmap().WithZone(""), Agent: agent, At: w.Now}
}

// readable says whether every entry that trusted proxies added behind the client's address is an address. Caddy steps
// over the others, and would then believe an entry that the client itself may have written.
func readable(r *http.Request, w Wire, found netip.Addr) bool {
	for _, name := range w.Told {
		lines := r.Header.Values(name)
		if len(lines) == 1 && lines[0] == w.Client { // one proxy, as nearly always
			return true
		}
		for i := len(lines) - 1; i >= 0; i-- {
			entries := strings.Split(lines[i], ",")
			for j := len(entries) - 1; j >= 0; j-- {
				e := strings.TrimSpace(entries[j])
				if host, _, err := net.SplitHostPort(e); err == nil {
					e = host
				}
				e, _, _ = strings.Cut(e, "%")
				addr, err := netip.ParseAddr(e)
				if err != nil {
					return false
				}
				if addr == found {
					return true
				}
			}
		}
	}
	return true
}
