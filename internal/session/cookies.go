package session

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// The names of contract section 5. Over plain HTTP on localhost they lose the __Host- prefix, which browsers accept
// only with Secure.
const (
	nameAccess  = "portalgate"
	nameRefresh = "portalgate-refresh"
	nameDevice  = "portalgate-device"
	nameAttempt = "portalgate-attempt"
	hostPrefix  = "__Host-"
)

// deviceLife is how long a browser is remembered as known: the longest that browsers keep a cookie.
const deviceLife = 400 * 24 * time.Hour

// Cookies are what a request brought of ours, unchecked.
type Cookies struct {
	Access, Refresh, Device, Attempt string

	// Confused means that one of our names came twice, or in a disguise that another program might read as ours.
	// Such a request has no session (SES-04).
	Confused bool
}

// Format does not reveal the cookies, whatever the verb.
func (Cookies) Format(f fmt.State, _ rune) { io.WriteString(f, "[cookies]") }

// MarshalJSON does not reveal the cookies.
func (Cookies) MarshalJSON() ([]byte, error) { return []byte(`"[cookies]"`), nil }

// Any says whether the request brought a cookie that could stand for a session or a sign-in under way.
func (c Cookies) Any() bool {
	return c.Access != "" || c.Refresh != "" || c.Attempt != "" || c.Confused
}

// Known is the device that these cookies name at a tenant, or none: the hash that the database has, so that no log and
// no row holds what the browser does.
func (c Cookies) Known(t portal.TenantID) portal.DeviceToken {
	token, err := secret.ParseToken(c.Device)
	if err != nil {
		return ""
	}
	d := token.Digest(secret.KindDevice, string(t))
	return portal.DeviceToken(d[:])
}

// Jar is the one place that names, sets, reads and clears cookies.
type Jar struct {
	Secure bool // over HTTPS; false only for localhost over plain HTTP
}

func (j Jar) name(base string) string {
	if j.Secure {
		return hostPrefix + base
	}
	return base
}

// Split reads our cookies and returns what is left of the header for the upstream. None of ours ever reaches it,
// whichever prefix or spelling it came in.
func (j Jar) Split(lines []string) (c Cookies, rest string) {
	if len(lines) == 0 {
		return c, ""
	}
	keep := lines[0]
	if len(lines) > 1 {
		keep = strings.Join(lines, "; ") // RFC 9113 section 8.2.3: HTTP/2 may split the field
	}
	if !mentions(keep) {
		return c, keep
	}
	var few [8]string // what is not ours, in most requests
	others := few[:0]
	var seen [4]bool
	for part := range strings.SplitSeq(keep, ";") {
		trimmed := strings.Trim(part, " \t")
		name, value, _ := strings.Cut(trimmed, "=")
		which, ours, exact := j.which(name)
		switch {
		case !ours:
			if trimmed != "" {
				others = append(others, trimmed)
			}
			continue
		case !exact:
			// The other prefix's name is a leftover of another scheme and means nothing; anything else that
			// only looks like ours was made to be misread.
			if which < 0 {
				c.Confused = true
			}
			continue
		case seen[which]:
			c.Confused = true
			continue
		}
		seen[which] = true
		switch which {
		case 0:
			c.Access = value
		case 1:
			c.Refresh = value
		case 2:
			c.Device = value
		case 3:
			c.Attempt = value
		}
	}
	if c.Confused {
		c = Cookies{Confused: true}
	}
	return c, strings.Join(others, "; ")
}

// mentions is the quick no for requests that carry none of our cookies. A percent sign may hide one.
func mentions(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' || s[i]|0x20 == 'p' && i+len(nameAccess) <= len(s) && strings.EqualFold(s[i:i+len(nameAccess)], nameAccess) {
			return true
		}
	}
	return false
}

// which says whether a cookie's name is one of ours. exact is false for a name that is ours only after trimming,
// folding, unquoting, decoding or with the other scheme's prefix; which is -1 for a disguise.
func (j Jar) which(name string) (which int, ours, exact bool) {
	bare, prefixed := strings.CutPrefix(name, hostPrefix)
	if i := base(bare); i >= 0 {
		return i, true, prefixed == j.Secure
	}
	return -1, disguised(name), false
}

// disguised reduces a name to the letters that every program sees in it, whatever it trims, folds, decodes or makes
// of a dot: PHP reads `..Host-x` and `%5F%5FHost-x` as `__Host-x`, others cut off spaces of any alphabet.
func disguised(name string) bool {
	if len(name) < len(nameAccess) {
		return false
	}
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	folded := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == 'ſ': // the one other character that folds to a letter of these names
			return 's'
		}
		return -1
	}, name)
	for _, prefix := range []string{"", "host", "secure", "http", "hosthttp"} {
		switch bare, _ := strings.CutPrefix(folded, prefix); bare {
		case "portalgate", "portalgaterefresh", "portalgatedevice", "portalgateattempt":
			return true
		}
	}
	return false
}

func base(s string) int {
	switch s {
	case nameAccess:
		return 0
	case nameRefresh:
		return 1
	case nameDevice:
		return 2
	case nameAttempt:
		return 3
	}
	return -1
}

// Ours says whether a Set-Cookie line of the upstream would set, overwrite or delete one of our cookies, or one that
// a browser or a gateway could mistake for it (SES-06). A cookie without a name is sent back as its value alone, so
// its value is what counts.
func Ours(setCookie string) bool {
	pair, _, _ := strings.Cut(setCookie, ";")
	name, _, _ := strings.Cut(strings.TrimLeft(pair, "= \t"), "=")
	_, ours, _ := Jar{}.which(name)
	return ours
}

// Grant is what a browser is given when a session begins or is renewed.
type Grant struct {
	Session portal.Session
	Access  string
	Refresh string
	Device  *secret.Token // set only when the browser had none that we know
	Until   time.Time     // when the cookies end
}

// Format does not reveal the cookies, whatever the verb.
func (g Grant) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[cookies of session %s]", g.Session.ID) }

// MarshalJSON does not reveal the cookies.
func (g Grant) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(g)) }

// Lines are the Set-Cookie lines of a grant.
func (j Jar) Lines(g Grant, now time.Time) []string {
	life := time.Duration(0)
	if g.Session.Remember {
		life = g.Until.Sub(now)
	}
	lines := []string{
		j.line(nameAccess, g.Access, life),
		j.line(nameRefresh, g.Refresh, life),
	}
	if g.Device != nil {
		lines = append(lines, j.line(nameDevice, g.Device.Reveal(), deviceLife))
	}
	return lines
}

// Give sets a grant's cookies on an answer and forbids storing it.
func (j Jar) Give(h http.Header, g Grant, now time.Time) {
	for _, l := range j.Lines(g, now) {
		h.Add("Set-Cookie", l)
	}
	h.Set("Cache-Control", "no-store")
}

// GiveAttempt sets the cookie of a sign-in under way.
func (j Jar) GiveAttempt(h http.Header, t secret.Token, life time.Duration) {
	h.Add("Set-Cookie", j.line(nameAttempt, t.Reveal(), life))
	h.Set("Cache-Control", "no-store")
}

// GiveDevice sets the cookie by which a browser is known again.
func (j Jar) GiveDevice(h http.Header, t secret.Token) {
	h.Add("Set-Cookie", j.line(nameDevice, t.Reveal(), deviceLife))
	h.Set("Cache-Control", "no-store")
}

// DropAttempt clears it.
func (j Jar) DropAttempt(h http.Header) {
	h.Add("Set-Cookie", j.line(nameAttempt, "", -1))
	h.Set("Cache-Control", "no-store")
}

// DropLines are the Set-Cookie lines that end a session in the browser. The device stays known.
func (j Jar) DropLines() []string {
	return []string{j.line(nameAccess, "", -1), j.line(nameRefresh, "", -1)}
}

// Drop clears the session's cookies.
func (j Jar) Drop(h http.Header) {
	for _, l := range j.DropLines() {
		h.Add("Set-Cookie", l)
	}
	h.Set("Cache-Control", "no-store")
}

// DropRefresh clears what a session is renewed with. The access token stays, worth nothing, and says which session it was.
func (j Jar) DropRefresh(h http.Header) {
	h.Add("Set-Cookie", j.line(nameRefresh, "", -1))
	h.Set("Cache-Control", "no-store")
}

// line writes one cookie. life 0 lasts as long as the browser runs, a negative one deletes.
func (j Jar) line(base, value string, life time.Duration) string {
	c := http.Cookie{
		Name:     j.name(base),
		Value:    value,
		Path:     "/",
		Secure:   j.Secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
	switch {
	case life < 0:
		c.MaxAge = -1
	case life > 0:
		c.MaxAge = int(life / time.Second)
	}
	return c.String()
}
