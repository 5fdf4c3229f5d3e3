package caddymodule

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App holds what all portalgate handlers share: the database, the keys, the limits, the sessions. It survives
// reloads: connections, limits and signed-in people are kept when its settings stay the same.
type App struct {
	// The address of the PostgreSQL database, as a URL or in keyword form. Required. The role in it must neither own
	// tables nor be able to bypass row-level security; the gateway refuses to start otherwise. Use a placeholder such
	// as `{env.PORTALGATE_DATABASE_URL}` or `{file./run/secrets/dsn}`.
	Database string `json:"database,omitempty"`

	// How many connections to the database are held at most. Default: 10.
	DatabaseConnections int `json:"database_connections,omitempty"`

	// The address of Redis, as `redis://`, `rediss://` or `unix://`; a Cluster with `?addr=host:port` for each further
	// node, Sentinel with `?master_name=name`. Default: none, which is right for a single gateway; limits are then kept
	// by this process.
	Redis string `json:"redis,omitempty"`

	// The keyring file, made by `portalgate keys generate`. Required.
	Keyring string `json:"keyring,omitempty"`

	// Which row of numbers applies: `review` (the default: what helps the people at the door) or `nist` (where NIST SP
	// 800-63B-4 is stricter). `portalgate doctor` says what the choice means.
	Policy string `json:"policy,omitempty"`

	// The audience of the tokens. Tokens of one realm open nothing in another. Default: `customers`.
	Realm string `json:"realm,omitempty"`

	// Where the portal's own pages live. Default: `/auth`.
	Prefix string `json:"prefix,omitempty"`

	// The audience of the assertion that the upstream receives. Default: `portal-upstream`.
	AssertionAudience string `json:"assertion_audience,omitempty"`

	// How the names of the identity headers begin. Every header of a client that begins like it, in any spelling, is
	// removed. Default: `X-Portal-`.
	HeaderPrefix string `json:"header_prefix,omitempty"`

	// A bearer token that an existing backend already accepts, made for each session and put on every forwarded
	// request. Default: none.
	UpstreamToken *UpstreamToken `json:"upstream_token,omitempty"`

	// The fixed moment after its arrival at which the answer to a sign-in is released, so that its time does not tell
	// whether an account exists. Default: 250ms. Shorter than one password check it hides nothing.
	AnswerAfter caddy.Duration `json:"answer_after,omitempty"`

	// How many passwords are checked at the same time. Each takes 19 MiB and one core. Default: the number of cores.
	HashingSlots int `json:"hashing_slots,omitempty"`

	// Sessions of one person that may be alive at once; the oldest ends. Default: 5.
	SessionsPerUser int `json:"sessions_per_user,omitempty"`

	// How long sessions and tokens live, where it differs from the policy. Default: the policy's numbers.
	Sessions *SessionLives `json:"sessions,omitempty"`

	// The least number of characters in a new password. Default: 8 (`policy nist`: 15).
	PasswordMin int `json:"password_min,omitempty"`

	// Addresses whose sign-ins are not counted by network: offices with many people behind one address. Default: none.
	LimitExempt []string `json:"limit_exempt,omitempty"`

	// Networks over which the database and Redis may be reached without TLS, each a named exception that `doctor`
	// repeats. Default: none but this machine.
	PlaintextNetworks []string `json:"plaintext_networks,omitempty"`

	// Allows secrets written out in the configuration, for trials: they are then readable in the admin API and in
	// Caddy's autosave file. Default: false.
	LiteralSecrets bool `json:"literal_secrets,omitempty"`

	// A read-only listener with /health, /ready, /metrics and /version, and nothing else, as `:9180` or
	// `127.0.0.1:9180`. It belongs in a network that the world does not reach. Default: none.
	Observe string `json:"observe,omitempty"`

	// The mail server that `doctor` checks. Default: none.
	Mail *Mail `json:"mail,omitempty"`

	ctx      caddy.Context
	log      *zap.Logger
	settings settings
	key      string
	world    *world

	observatory *observatory
}

// SessionLives are the lives of sessions and tokens; zero values keep the policy's.
type SessionLives struct {
	// Life of an access token. Default: 30m (`policy nist`: 10m).
	Access caddy.Duration `json:"access,omitempty"`
	// A session without requests ends after this. Default: 10h (`policy nist`: 1h).
	Idle caddy.Duration `json:"idle,omitempty"`
	// A session ends after this, however busy. Default: 14h.
	Absolute caddy.Duration `json:"absolute,omitempty"`
	// The idle limit with "keep me signed in". Default: 168h (`policy nist`: 1h).
	RememberIdle caddy.Duration `json:"remember_idle,omitempty"`
	// The absolute limit with "keep me signed in". Default: 336h (`policy nist`: 24h).
	RememberAbsolute caddy.Duration `json:"remember_absolute,omitempty"`
}

// UpstreamToken is a bearer token for a backend that stays as it is.
type UpstreamToken struct {
	// The secret the backend checks with (HS256). A placeholder such as `{file./run/secrets/jwt}`.
	Secret string `json:"secret,omitempty"`
}

// bearer resolves the secret into what signs with it.
func (u *UpstreamToken) bearer(literals bool) (*secret.Bearer, error) {
	if literal(u.Secret) && !literals {
		return nil, bad("upstream_token", "has its secret written out; use {file.…} or {env.…}, or `literal_secrets allow` for a trial")
	}
	v, err := caddy.NewReplacer().ReplaceOrErr(u.Secret, true, true)
	if err != nil {
		return nil, bad("upstream_token", "%v; is the variable set, and the file there?", err)
	}
	v = strings.TrimRight(v, "\r\n")
	if v == "" {
		return nil, bad("upstream_token", "%s is empty; is the variable set, and the file there?", u.Secret)
	}
	b, err := secret.NewBearer(v)
	if err != nil {
		return nil, bad("upstream_token", "%v", err)
	}
	return b, nil
}

// Mail says how mail leaves.
type Mail struct {
	// The sender, as in a From header.
	From string `json:"from,omitempty"`
	// The SMTP server as host:port. STARTTLS is required, on port 465 TLS from the start.
	SMTP string `json:"smtp,omitempty"`
	// The account at the server. Default: none.
	Username string `json:"username,omitempty"`
	// Its password, as a placeholder. Default: none.
	Password string `json:"password,omitempty"`
}

// CaddyModule returns the module's registration.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate", New: func() caddy.Module { return new(App) }}
}

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
}

// Provision resolves placeholders and judges what it can without asking anybody. It dials nothing.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log = ctx, ctx.Logger()
	s, err := a.resolve()
	if err != nil {
		return err
	}
	a.settings = s
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d %+v %q %q %q %q %q %s %v %v", s.database, s.redis, s.keyring, s.conns, s.slots, s.policy,
		s.realm, s.prefix, s.audience, s.headerPrefix, s.bearerSecret, s.answerAfter, s.exempt, s.plaintext))
	a.key = fmt.Sprintf("%x", sum)
	w, _, err := worlds.LoadOrNew(a.key, func() (caddy.Destructor, error) { return newWorld(s, a.log) })
	if err != nil {
		return err
	}
	a.world = w.(*world)
	if err := measure(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	return a.order(ctx)
}

// bad is a complaint about an option.
func bad(option, format string, args ...any) error {
	return fmt.Errorf("portalgate: %s: %s", option, fmt.Sprintf(format, args...))
}

func (a *App) resolve() (s settings, err error) {
	var all []error
	complain := func(err error) { all = append(all, err) }
	repl := caddy.NewReplacer()
	text := func(option, raw string, required bool) string {
		v, err := repl.ReplaceOrErr(raw, true, true)
		if err != nil {
			complain(bad(option, "%v; is the variable set, and the file there?", err))
			return ""
		}
		if required && strings.TrimSpace(v) == "" {
			if raw == "" {
				complain(bad(option, "is missing"))
			} else {
				complain(bad(option, "%s is empty; is the variable set, and the file there?", raw))
			}
		}
		return strings.TrimRight(v, "\r\n")
	}
	s.database = text("database", a.Database, true)
	s.redis = text("redis", a.Redis, false)
	if a.Redis != "" && s.redis == "" {
		complain(bad("redis", "%s is empty; set it, or leave the option out for a single gateway", a.Redis))
	}
	s.keyring = text("keyring", a.Keyring, true)
	s.conns, s.slots = a.DatabaseConnections, a.HashingSlots
	if s.conns < 0 || s.conns > 1000 {
		complain(bad("database_connections", "%d is not between 1 and 1000", s.conns))
	}
	if s.conns == 0 {
		s.conns = 10
	}
	if s.slots < 0 || s.slots > 256 {
		complain(bad("hashing_slots", "%d is not between 1 and 256", s.slots))
	}
	if !a.LiteralSecrets {
		if literalPassword(a.Database) {
			complain(bad("database", "has a password written out, which the admin API and Caddy's autosave file would show; use {env.PORTALGATE_DATABASE_URL} or {file.…}, or `literal_secrets allow` for a trial"))
		}
		if literalPassword(a.Redis) {
			complain(bad("redis", "has a password written out; use {env.PORTALGATE_REDIS_URL} or {file.…}, or `literal_secrets allow` for a trial"))
		}
		if a.Mail != nil && literal(a.Mail.Password) {
			complain(bad("mail", "has a password written out; use {file.…} or {env.…}, or `literal_secrets allow` for a trial"))
		}
	}
	switch a.Policy {
	case "", "review":
		s.policy, s.policyName = portal.DefaultPolicy(), "review"
	case "nist":
		s.policy, s.policyName = portal.NISTPolicy(), "nist"
	default:
		complain(bad("policy", "%q is none; write review or nist", a.Policy))
	}
	complain(a.numbers(&s.policy))
	s.realm = orElse(a.Realm, "customers")
	s.prefix = orElse(a.Prefix, "/auth")
	if !strings.HasPrefix(s.prefix, "/") || strings.HasSuffix(s.prefix, "/") || strings.ContainsAny(s.prefix, "%?#;\\ *") || strings.Contains(s.prefix, "//") || strings.Contains(s.prefix, "..") {
		complain(bad("prefix", "%q is not a path like /auth", s.prefix))
	}
	s.audience = orElse(a.AssertionAudience, "portal-upstream")
	s.headerPrefix = orElse(a.HeaderPrefix, "X-Portal-")
	if err := checkHeaderPrefix(s.headerPrefix); err != nil {
		complain(bad("header_prefix", "%v", err))
	}
	if a.UpstreamToken != nil {
		if s.bearer, err = a.UpstreamToken.bearer(a.LiteralSecrets); err != nil {
			complain(err)
		}
		s.bearerSecret = text("upstream_token", a.UpstreamToken.Secret, true)
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
	if a.Mail != nil && (a.Mail.From == "" || a.Mail.SMTP == "") {
		complain(bad("mail", "needs `from` and `smtp`"))
	}
	return s, errors.Join(all...)
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
	var all []error
	if l := a.Sessions; l != nil {
		for name, d := range map[string]caddy.Duration{"access": l.Access, "idle": l.Idle, "absolute": l.Absolute, "remember_idle": l.RememberIdle, "remember_absolute": l.RememberAbsolute} {
			if d < 0 {
				all = append(all, bad("sessions "+name, "is negative"))
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
		all = append(all, bad("sessions access", "%s is not between 1m and 1h; a revoked session relies on it being short", p.AccessLife))
	}
	if p.Idle < p.AccessLife || p.RememberIdle < p.AccessLife {
		all = append(all, bad("sessions idle", "is shorter than the access token's %s, which would outlive it", p.AccessLife))
	}
	if p.Absolute < p.Idle || p.RememberAbsolute < p.RememberIdle {
		all = append(all, bad("sessions absolute", "is shorter than the idle limit"))
	}
	if a.SessionsPerUser < 0 || a.SessionsPerUser > 1000 {
		all = append(all, bad("sessions_per_user", "%d is not between 1 and 1000", a.SessionsPerUser))
	} else if a.SessionsPerUser > 0 {
		p.SessionsPerUser = a.SessionsPerUser
	}
	if a.PasswordMin != 0 {
		if a.PasswordMin < 8 || a.PasswordMin > 64 {
			all = append(all, bad("password_min", "%d is not between 8 and 64", a.PasswordMin))
		}
		p.PasswordMin = a.PasswordMin
	}
	return errors.Join(all...)
}

// literal says whether a secret was written out rather than named by a run-time placeholder.
func literal(s string) bool {
	return s != "" && !(strings.Contains(s, "{env.") || strings.Contains(s, "{file."))
}

// An address has a password as URL (user:password@host) or in keyword form (password=…).
var passwordInURL = regexp.MustCompile(`://[^/@]*:([^@]*)@`)
var passwordInWords = regexp.MustCompile(`(?i)\bpassword\s*=\s*('[^']*'|[^\s&]+)`)

// literalPassword says whether an address has a password written out.
func literalPassword(s string) bool {
	for _, form := range []*regexp.Regexp{passwordInURL, passwordInWords} {
		if m := form.FindStringSubmatch(s); m != nil && literal(m[1]) {
			return true
		}
	}
	return false
}

// Validate has nothing left to judge: Provision has joined every complaint.
func (a *App) Validate() error { return nil }

// Start judges the database and begins to follow it. A database that cannot be reached leaves the gate shut and is
// asked again; one that is unfit stops the start.
func (a *App) Start() error {
	if err := a.world.start(a.ctx, a.log); err != nil {
		return err
	}
	return a.observe()
}

// Stop does nothing: open streams are drained by Caddy, and the world outlives this configuration if the next one
// uses it too.
func (a *App) Stop() error { return nil }

// Cleanup gives the world back; the last one to do so ends it.
func (a *App) Cleanup() error {
	a.observatory.close() // here and not in Stop: until everything has drained, probes are told that it drains
	if a.world == nil {
		return nil
	}
	_, err := worlds.Delete(a.key)
	return err
}

var worlds = caddy.NewUsagePool()

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
