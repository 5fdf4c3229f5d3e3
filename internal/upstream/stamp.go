package upstream

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// How long what is made for a session is used again (contract 6).
const (
	assertionReuse = 30 * time.Second
	bearerReuse    = time.Minute
	bearerLife     = 5 * time.Minute
)

// Stamper tells the upstream who is asking.
type Stamper struct {
	keys     *secret.Keyring
	audience string
	bearer   *secret.Bearer
	names    [11]string
}

// The identity headers, in the order of contract 6; the assertion is the last.
var suffixes = [11]string{"Tenant-Id", "Tenant-Slug", "User-Id", "User-Email", "User-Name", "User-Roles", "Customer-Id", "Session-Id", "Auth-Methods", "Auth-Time", "Assertion"}

// NewStamper makes a Stamper; bearer may be nil.
func NewStamper(keys *secret.Keyring, p Prefix, audience string, bearer *secret.Bearer) *Stamper {
	s := &Stamper{keys: keys, audience: audience, bearer: bearer}
	for i, suffix := range suffixes {
		s.names[i] = textproto.CanonicalMIMEHeaderKey(p.header + suffix)
	}
	return s
}

// Stamped is what is told about one session at one origin, made once and used for every request.
type Stamped struct {
	by     atomic.Pointer[Stamper]
	origin string
	id     portal.Identity
	values [10]string

	mu   sync.Mutex
	made atomic.Pointer[signed]
}

type signed struct {
	assertion, bearer string
	assertedAt        time.Time
	bearerAt          time.Time
}

// Prepare makes the header values of an identity.
func (s *Stamper) Prepare(id portal.Identity, origin string) (*Stamped, error) {
	if id.Tenant == "" || id.User == "" || id.Session == "" || id.Slug == "" || origin == "" {
		return nil, fmt.Errorf("stamping: the identity of session %q is not complete", id.Session)
	}
	roles := make([]string, len(id.Roles))
	for i, r := range id.Roles {
		roles[i] = encode(string(r))
	}
	st := &Stamped{origin: origin, id: id, values: [10]string{
		string(id.Tenant), encode(id.Slug), string(id.User), encode(id.Email), encode(id.Name), strings.Join(roles, ","),
		string(id.Customer), string(id.Session), portal.JoinAMR(methods(id.AMR)), strconv.FormatInt(id.AuthTime.Unix(), 10),
	}}
	st.by.Store(s)
	return st, nil
}

// order is that of contract 6. What a guest module adds comes after the kinds that we bring along, and "mfa" last.
var order = []portal.AMR{portal.AMRPassword, portal.AMROTP, portal.AMRWebAuthn, portal.AMREmail, portal.AMRSMS, portal.AMRBackup}

// methods lists what was shown, each once and in the order of the contract, whatever the order in which it was. "mfa" is
// there when a sign-in has shown two proofs that count, or one that stands for two; a code by mail is listed and is none
// (NIST SP 800-63B-4 section 3.1.3.1).
func methods(shown []portal.AMR) (out []portal.AMR) {
	for _, m := range order {
		if slices.Contains(shown, m) {
			out = append(out, m)
		}
	}
	for _, m := range shown {
		if m != portal.AMRMulti && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	if slices.Contains(shown, portal.AMRMulti) {
		out = append(out, portal.AMRMulti)
	}
	return out
}

// encode percent-encodes every byte outside %x21-7E, and space, percent and comma, so that no value can split or
// double a field (HDR-09).
func encode(s string) string {
	const hex = "0123456789ABCDEF"
	clean := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '%' || c == ',' {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '%' || c == ',' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Made says whether values were made for this origin and by this stamper, or by one that says the same: a tenant may have
// several of both, and a reload that changes something else must not have every session's assertion signed anew.
func (s *Stamper) Made(st *Stamped, origin string) bool {
	if st == nil || st.origin != origin {
		return false
	}
	by := st.by.Load()
	if by == s {
		return true
	}
	if by.keys != s.keys || by.audience != s.audience || by.names != s.names || !by.bearer.Same(s.bearer) {
		return false
	}
	st.by.Store(s)
	return true
}

// Stamp puts the identity on a request, each header once. On an error nothing may be forwarded (HDR-10).
func (s *Stamper) Stamp(r *http.Request, st *Stamped, now time.Time) error {
	m := st.made.Load()
	if m == nil || now.Sub(m.assertedAt) >= assertionReuse || now.Before(m.assertedAt) || s.bearer != nil && now.Sub(m.bearerAt) >= bearerReuse {
		var err error
		if m, err = s.sign(st, now); err != nil {
			return err
		}
	}
	// One allocation for all values: later handlers may write into the slices, so no two requests share them.
	v := new([12]string)
	copy(v[:10], st.values[:])
	v[10] = m.assertion
	for i, name := range s.names {
		if v[i] != "" {
			r.Header[name] = v[i : i+1 : i+1]
		}
	}
	if s.bearer != nil {
		v[11] = m.bearer
		r.Header["Authorization"] = v[11:12:12]
	}
	return nil
}

func (s *Stamper) sign(st *Stamped, now time.Time) (*signed, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	old := st.made.Load()
	if old == nil {
		old = &signed{}
	}
	m := *old
	id := st.id
	roles := make([]string, len(id.Roles))
	for i, r := range id.Roles {
		roles[i] = string(r)
	}
	if d := now.Sub(m.assertedAt); m.assertion == "" || d >= assertionReuse || d < 0 {
		a := secret.Assertion{
			Issuer: st.origin, Audience: s.audience, User: string(id.User), Tenant: string(id.Tenant), TenantSlug: id.Slug, Session: string(id.Session),
			Email: id.Email, Name: id.Name, Roles: roles, Customer: string(id.Customer), AuthTime: id.AuthTime.Unix(),
		}
		for _, x := range methods(id.AMR) {
			a.AMR = append(a.AMR, string(x))
		}
		text, err := s.keys.SignAssertion(a, now)
		if err != nil {
			return nil, err
		}
		m.assertion, m.assertedAt = text, now
	}
	if d := now.Sub(m.bearerAt); s.bearer != nil && (m.bearer == "" || d >= bearerReuse || d < 0) {
		text, err := s.bearer.Sign(secret.BearerClaims{User: string(id.User), Customer: string(id.Customer), Tenant: string(id.Tenant), Email: id.Email, Roles: roles}, now, bearerLife)
		if err != nil {
			return nil, err
		}
		m.bearer, m.bearerAt = "Bearer "+text, now
	}
	st.made.Store(&m)
	return &m, nil
}
