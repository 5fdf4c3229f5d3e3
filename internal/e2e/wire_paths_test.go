package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// targets of appendix C, for the public prefix /public/ and the GraphQL path, and what they lead to: the public
// resource, a session's resource, the GraphQL endpoint, which nothing here asks anything, or a refusal.
const (
	freely  = "freely"
	closed  = "closed"
	queried = "queried"
	unread  = "unread" // 400
	inQuery = "/public/x?a=%2e%2e/graphql"
)

var targets = map[string]string{
	"//graphql": queried, "/./graphql": unread, "/public/../graphql": unread, "/public/%2e%2e/graphql": unread, "/public/.%2e/graphql": unread, "/public/..%2fgraphql": unread, "/public%2f..%2fgraphql": unread,
	"/public/..;/graphql": unread, "/graphql;/public/": queried, "/graphql;.css": queried, "/graphql/.": unread, "/graphql/": queried, "/graphql//": queried, "/GraphQL": queried, "/%67raphql": queried, "/%2567raphql": closed,
	"/public/..%252fgraphql": unread, "/public/..%5cgraphql": unread, "/public\\..\\graphql": unread, "/%2e/graphql": unread, "/graphql%00.css": unread, "/graphql%0a": unread, "/graphql%23/public/": queried,
	"/graphql%3f/public/": queried, "/graphql?/public/": queried, "/graphql#/public/": unread, "/publicgraphql": closed, "/public.": closed, "/%70ublic/../graphql": unread, "/public/%c0%ae%c0%ae/graphql": unread,
	"/public/x/..//../graphql": unread, "*": unread, "http://acme.localhost/graphql": unread, "http://globex.localhost/public/x": unread, "https://acme.localhost/public/x": unread,
	"/public/x": freely, "/public/a%2fb": freely, "/public//x": freely, "/public/x;y": freely, inQuery: freely, "/public/?": closed, "/Public/x": closed, "/public": closed,
	"/orders": closed, "/a//b": closed, "/a%2Fb;c=d?e=f?g": closed, "/orders?": closed, "/orders?x=%00": closed, "/a%3Fb": closed, "/caf%C3%A9": closed, "/caf%c3%a9": closed, "/a+b": closed, "/a%20b": closed, "/a'()*!$&,=:@~": closed, "/[x]": closed, "/%7Ea": closed,
	"/" + strings.Repeat("a", 8<<10-1): closed, "/" + strings.Repeat("a", 8<<10): unread,
}

// PATH-01, PATH-02, PATH-03, by every method and over both protocols: without a session nothing but the public
// resource is reached, and with one the path that arrives is, byte for byte, the one that was sent and judged.
func TestThePathThatArrivesIsThePathThatWasJudged(t *testing.T) {
	f := wire(t)
	for target, leads := range targets {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "get", "PROPFIND", "FOO"} {
			for _, in := range []bool{true, false} {
				for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
					if proto == "HTTP/2" && method != "GET" && method != "POST" {
						continue
					}
					f.raw.Forget()
					var status int
					if proto == "HTTP/1.1" {
						text := method + " " + target + " HTTP/1.1\r\nHost: acme.localhost:" + f.plain + "\r\nOrigin: http://acme.localhost:" + f.plain + "\r\n"
						if in {
							text += f.cookie(false)
						}
						status = f.say(t, "", text+"\r\n").status
					} else {
						fields := f.get2(target, in, "origin", "https://acme.localhost:"+f.secure)
						fields[1] = method
						status = f.h2(t, "acme.localhost").ask(fields...).status
					}
					got := f.arrived("")
					what := fmt.Sprintf("%s %s %.60s, signed in %v: answered %d, the upstream received %d", proto, method, target, in, status, len(got))
					switch {
					case target == "*" && method == "OPTIONS":
						if status != 200 || len(got) != 0 { // the server's own answer
							t.Errorf("%s: %q", what, got)
						}
					case leads == unread:
						if status != 400 && status != 0 && status != 414 && status != 431 && !(status == 200 && len(f.errors.Requests()) > 0) || len(got) != 0 {
							t.Errorf("%s: %q", what, got)
						}
					case leads == queried && in:
						want := 405
						if method == "GET" || method == "POST" || method == "HEAD" {
							want = 400
						}
						if status != want || len(got) != 0 {
							t.Errorf("%s: %q", what, got)
						}
					case (leads == closed || leads == queried) && !in:
						if status != 401 || len(got) != 0 {
							t.Errorf("%s: %q", what, got)
						}
					default:
						if status != 200 || len(got) != 1 {
							t.Errorf("%s: %q", what, got)
							continue
						}
						if line, _, _ := bytes.Cut(got[0], []byte("\r\n")); string(line) != method+" "+target+" HTTP/1.1" {
							t.Errorf("%s: %q", what, line)
						}
						for _, w := range f.pure(got[0], in && leads == closed) {
							t.Errorf("%s: %s", what, w)
						}
					}
				}
			}
			f.errors.Forget()
		}
	}
}

// PATH-01: on the portal's own pages a method that is not listed is a 405 that lists the others.
func TestThePortalsPagesTakeTheirOwnMethodsOnly(t *testing.T) {
	f := wire(t)
	for _, method := range []string{"PUT", "DELETE", "PATCH", "PROPFIND", "FOO", "post", "get", "OPTIONS"} {
		a := f.say(t, "", method+" /auth/login HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n\r\n")
		if a.status != 405 || a.header.Get("Allow") != "GET, HEAD, POST" || len(f.arrived("")) != 0 {
			t.Errorf("%s: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
	for _, path := range []string{"/auth", "/auth/", "/auth/nothing", "/auth/login/", "/auth/login%2f", "/auth//login", "/auth/%6cogin/x", "/auth/account%2fx.js", "/auth/login;x"} {
		a := f.say(t, "", "GET "+path+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
		if a.status == 0 || a.status >= 500 || len(f.arrived("")) != 0 || a.header.Get("Cache-Control") != "no-store" { // SES-05
			t.Errorf("%s: %d, %v", path, a.status, a.header)
		}
	}
}
