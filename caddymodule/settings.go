package caddymodule

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// settings are the app's fields with placeholders resolved and defaults filled in. It never leaves this package and
// is never encoded.
type settings struct {
	database, redis, keyring string
	conns, slots             int
	policy                   portal.Policy
	policyName               string
	realm, prefix            string
	audience, headerPrefix   string
	bearer                   *secret.Bearer
	bearerSecret             string
	answerAfter              time.Duration
	exempt, plaintext        []netip.Prefix
	breach                   func() (password.Breaches, error) // nil: none is asked
	breachKey                string
}

// resolve fills in placeholders and defaults and judges every option. Its error has every complaint in it.
func (a *App) resolve() (settings, error) {
	var s settings
	var wrong complaints
	complain := wrong.add
	s.database = a.text("database", a.Database, "write `database {env.PORTALGATE_DATABASE_URL}`", complain)
	if a.Redis != "" {
		s.redis = a.text("redis", a.Redis, "", complain)
	}
	s.keyring = a.text("keyring", a.Keyring, "make one with `portalgate keys generate --out keyring.json`, and write `keyring keyring.json`", complain)
	complain(a.literals())
	s.conns, s.slots = a.DatabaseConnections, a.HashingSlots
	if s.conns < 0 || s.conns > 1000 {
		complain(bad("database connections", "%d is not between 1 and 1000", s.conns))
	}
	if s.conns == 0 {
		s.conns = 10
	}
	if s.slots < 0 || s.slots > 256 {
		complain(bad("hashing_slots", "%d is not between 1 and 256", s.slots))
	}
	switch a.Policy {
	case "", "default":
		s.policy, s.policyName = portal.DefaultPolicy(), "default"
	case "review":
		s.policy, s.policyName = portal.ReviewPolicy(), "review"
	case "nist":
		s.policy, s.policyName = portal.NISTPolicy(), "nist"
	default:
		s.policy = portal.DefaultPolicy()
		complain(bad("policy", "%q is none; write default, review or nist", a.Policy))
	}
	if a.MFA != "" {
		m, ok := portal.ParseMFA(a.MFA)
		if !ok {
			complain(bad("mfa", "%q is none; write off, optional or required", a.MFA))
		} else {
			s.policy.MFA = m
		}
	}
	complain(a.numbers(&s.policy))
	complain(a.Lockout.lay(&s.policy.Lockout))
	complain(a.Limits.lay(&s.policy.Limits))
	complain(a.Retention.lay(&s.policy.Retention))
	s.realm = orElse(a.Realm, "customers")
	s.prefix = orElse(a.Prefix, "/auth")
	complain(checkPrefix(s.prefix))
	s.audience = orElse(a.AssertionAudience, "portal-upstream")
	s.headerPrefix = orElse(a.HeaderPrefix, "X-Portal-")
	if err := checkHeaderPrefix(s.headerPrefix); err != nil {
		complain(bad("header_prefix", "%v", err))
	}
	if a.UpstreamToken != nil {
		var err error
		s.bearer, s.bearerSecret, err = a.UpstreamToken.bearer(a.LiteralSecrets)
		complain(err)
	}
	s.answerAfter = time.Duration(a.AnswerAfter)
	switch {
	case a.AnswerAfter < 0 || s.answerAfter > 5*time.Second:
		complain(bad("answer_after", "%s is not between 0 and 5s", s.answerAfter))
	case s.answerAfter == 0:
		s.answerAfter = 250 * time.Millisecond
	}
	s.exempt = prefixes("limit_exempt", a.LimitExempt, complain)
	s.plaintext = prefixes("plaintext_network", a.PlaintextNetworks, complain)
	if a.Observe != "" {
		_, err := observeAddress(a.Observe)
		complain(err)
	}
	complain(s.try())
	return s, places(a.Places).at(wrong.err())
}

// text is the value of an option that must have one; mend is what to do when it has not.
func (a *App) text(option, raw, mend string, complain func(error)) string {
	if raw == "" {
		complain(bad(option, "is missing; %s", mend))
		return ""
	}
	v, err := filled(raw)
	if err != nil {
		complain(bad(option, "%v", err))
	}
	return v
}

// filled replaces the placeholders of a value. One that stands for nothing is an error: a password that silently
// became empty would be tried, and a file that cannot be read would not be noticed (CFG-02).
func filled(raw string) (string, error) {
	v, err := caddy.NewReplacer().ReplaceOrErr(raw, true, true)
	if err != nil {
		return "", fmt.Errorf("%s; is the variable set, and the file there and readable?", strings.TrimPrefix(err.Error(), "evaluated placeholder "))
	}
	if v = strings.TrimRight(v, "\r\n"); strings.TrimSpace(v) == "" {
		return "", fmt.Errorf("%s is empty; is the variable set, and the file there and readable?", raw)
	}
	return v, nil
}

// literals complains about secrets that stand in the configuration themselves.
func (a *App) literals() error {
	if a.LiteralSecrets {
		return nil
	}
	var wrong complaints
	const shown = "which the admin API and Caddy's autosave file would show ({$VAR} too: it is replaced before); use"
	const trial = "or `literal_secrets allow` for a trial"
	if literalPassword(a.Database) {
		wrong.add(bad("database", "has a password written out, %s {env.PORTALGATE_DATABASE_URL} or {file.…}, %s", shown, trial))
	}
	if literalPassword(a.Redis) {
		wrong.add(bad("redis", "has a password written out, %s {env.PORTALGATE_REDIS_URL} or {file.…}, %s", shown, trial))
	}
	return wrong.err()
}

// try reads what the settings name, as the world will, and dials nothing.
func (s *settings) try() error {
	var wrong complaints
	if s.keyring != "" {
		if _, err := secret.Open(s.keyring); err != nil {
			wrong.add(bad("keyring", "%v", err))
		}
	}
	if s.database != "" {
		if db, err := store.Open(s.database, store.Options{Plaintext: s.plaintext}); err != nil {
			wrong.add(bad("database", "%v", err))
		} else {
			db.Close()
		}
	}
	if s.redis != "" {
		if c, err := openRedis(s.redis, s.plaintext); err != nil {
			wrong.add(bad("redis", "%v", err))
		} else {
			_ = c.Close() // nothing was sent
		}
	}
	return wrong.err()
}

func checkPrefix(p string) error {
	if !strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "%?#;\\ *") || strings.Contains(p, "//") || strings.Contains(p, "..") {
		return bad("prefix", "%q is not a path like /auth", p)
	}
	return nil
}

// bearer resolves the secret into what signs with it, and is the secret itself, too.
func (u *UpstreamToken) bearer(literals bool) (*secret.Bearer, string, error) {
	if u.Secret == "" {
		return nil, "", bad("upstream_token secret", "is missing; name a file or a variable with it: `secret {file./run/secrets/jwt}`")
	}
	if name, ok := strings.CutPrefix(u.Secret, "{http.request.uri.path.file."); ok { // Caddy's own meaning of {file.name} in a site
		return nil, "", bad("upstream_token secret", "{file.%s names a part of the request's path in a site; write the whole path of the file, {file./run/secrets/%s", name, name)
	}
	if literal(u.Secret) && !literals {
		return nil, "", bad("upstream_token secret", "is written out; use {file.…} or {env.…}, or `literal_secrets allow` for a trial")
	}
	v, err := filled(u.Secret)
	if err != nil {
		return nil, "", bad("upstream_token secret", "%v", err)
	}
	b, err := secret.NewBearer(v)
	if err != nil {
		return nil, "", bad("upstream_token secret", "%v", err)
	}
	return b, v, nil
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func checkHeaderPrefix(p string) error {
	letters := 0
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			letters++
		case c == '-':
		default:
			return fmt.Errorf("%q has the character %q; letters, digits and dashes make a header's name", p, c)
		}
	}
	if letters < 3 || !strings.HasSuffix(p, "-") {
		return fmt.Errorf("%q must have at least three letters and end with a dash, like X-Portal-", p)
	}
	return nil
}

func prefixes(option string, in []string, complain func(error)) (out []netip.Prefix) {
	for _, s := range in {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, aerr := netip.ParseAddr(s)
			if aerr != nil {
				complain(bad(option, "%q is not a network like 203.0.113.0/24", s))
				continue
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if p.Bits() == 0 {
			complain(bad(option, "%s is the whole internet; name the network that is meant", s))
			continue
		}
		out = append(out, p.Masked())
	}
	return out
}

// numbers lays the operator's lives over the policy's.
func (a *App) numbers(p *portal.Policy) error {
	set := func(to *time.Duration, from caddy.Duration) {
		if from > 0 {
			*to = time.Duration(from)
		}
	}
	var wrong complaints
	if l := a.Sessions; l != nil {
		for _, d := range []struct {
			name string
			life caddy.Duration
		}{{"access", l.Access}, {"idle", l.Idle}, {"absolute", l.Absolute}, {"remember_idle", l.RememberIdle}, {"remember_absolute", l.RememberAbsolute}} {
			if d.life < 0 {
				wrong.add(bad("sessions "+d.name, "is negative"))
			}
		}
		set(&p.AccessLife, l.Access)
		set(&p.Idle, l.Idle)
		set(&p.Absolute, l.Absolute)
		set(&p.RememberIdle, l.RememberIdle)
		set(&p.RememberAbsolute, l.RememberAbsolute)
		if l.Access > 0 && p.RenewBefore > p.AccessLife/3 {
			p.RenewBefore = p.AccessLife / 3
		}
	}
	if p.AccessLife < time.Minute || p.AccessLife > time.Hour {
		wrong.add(bad("sessions access", "%s is not between 1m and 1h; a revoked session relies on it being short", p.AccessLife))
	}
	for _, pair := range []struct {
		name           string
		idle, absolute time.Duration
	}{{"", p.Idle, p.Absolute}, {"remember_", p.RememberIdle, p.RememberAbsolute}} {
		if pair.idle < p.AccessLife {
			wrong.add(bad("sessions "+pair.name+"idle", "%s is shorter than the access token's %s, which would outlive it", pair.idle, p.AccessLife))
		}
		if pair.absolute < pair.idle {
			wrong.add(bad("sessions "+pair.name+"absolute", "%s is shorter than the idle limit of %s", pair.absolute, pair.idle))
		}
	}
	if a.SessionsPerUser < 0 || a.SessionsPerUser > 1000 {
		wrong.add(bad("sessions_per_user", "%d is not between 1 and 1000", a.SessionsPerUser))
	} else if a.SessionsPerUser > 0 {
		p.SessionsPerUser = a.SessionsPerUser
	}
	wrong.add(a.passwords(p))
	return wrong.err()
}
