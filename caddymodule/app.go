package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
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

	// Which row of numbers applies: `default` (what helps the people at the door), `review` (five failures from one
	// address block everybody behind it for 15 minutes) or `nist` (where NIST SP 800-63B-4 is stricter). Default:
	// `default`. `portalgate doctor` says what the choice means.
	Policy string `json:"policy,omitempty"`

	// How much is asked for a second step at tenants that have decided nothing with `portalgate policy set mfa required` and its like: `off`
	// (nobody is asked, and nobody can add one), `optional` (who has one is asked) or `required` (who has none is led
	// through adding one). Default: `optional`.
	MFA string `json:"mfa,omitempty"`

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

	// What a new password must be, where it differs from the policy. Default: the policy's rules, and no source of stolen
	// passwords.
	Password *PasswordRules `json:"password,omitempty"`

	// The least number of characters in a new password, as `password { min … }`. Default: 8 (`policy nist`: 15).
	PasswordMin int `json:"password_min,omitempty"`

	// When a password rests after wrong tries, where it differs from the policy. Default: the policy's numbers.
	Lockout *Lockout `json:"lockout,omitempty"`

	// The limits by network, tenant and over everything, where they differ from the policy. Default: the policy's numbers.
	Limits *LimitNumbers `json:"limits,omitempty"`

	// Addresses whose sign-ins are not counted by network: offices with many people behind one address. Default: none.
	LimitExempt []string `json:"limit_exempt,omitempty"`

	// How long is kept what is known of people. Default: 13 months, and addresses for 90 days.
	Retention *Retention `json:"retention,omitempty"`

	// Networks over which the database and Redis may be reached without TLS, each a named exception that `doctor`
	// repeats. Default: none but this machine.
	PlaintextNetworks []string `json:"plaintext_networks,omitempty"`

	// Allows secrets written out in the configuration, for trials: they are then readable in the admin API and in
	// Caddy's autosave file. Default: false.
	LiteralSecrets bool `json:"literal_secrets,omitempty"`

	// A read-only listener with /health, /ready, /metrics and /version, and nothing else, as `:9180` or
	// `127.0.0.1:9180`. It belongs in a network that the world does not reach. Default: none.
	Observe string `json:"observe,omitempty"`

	// How mail leaves, and from whom. Default: none, and whatever needs a mail waits.
	Mail *Mail `json:"mail,omitempty"`

	// How text messages leave. Default: none, and nobody is offered a code by text message.
	SMS *SMS `json:"sms,omitempty"`

	// Where in the Caddyfile the options stand, for error messages; the adapter writes it. Default: none.
	Places map[string]string `json:"places,omitempty"`

	breach   Breach
	ctx      caddy.Context
	log      *zap.Logger
	settings settings
	post     *post    // nil: no mail leaves
	texting  *texting // nil: no text message leaves
	key      string
	world    *world
	begun    bool

	gates, plain int // handlers of this configuration, and those that speak plain HTTP and trust no proxy

	saidOpen bool // that a gate does not look at what is asked

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

// PasswordRules are what a new password must be; zero values keep the policy's.
type PasswordRules struct {
	// The least number of characters. Default: 8 (`policy nist`: 15).
	Min int `json:"min,omitempty"`
	// The least strength, from 1 to 4 as zxcvbn counts; 4 asks for one word more. Default: 3.
	Score int `json:"score,omitempty"`
	// Who is asked whether a password was stolen elsewhere: `range_api`, a service on the network that is told the
	// beginning of a digest (the public one, or an https address of your own), or `file`, a filter that `portalgate
	// passwords build-filter` made. A source that does not answer refuses nobody; it is counted and logged. Default: none.
	Breach json.RawMessage `json:"breach,omitempty" caddy:"namespace=portalgate.breach inline_key=source"`
}

// UpstreamToken is a bearer token for a backend that stays as it is.
type UpstreamToken struct {
	// The secret the backend checks with (HS256). A placeholder such as `{file./run/secrets/jwt}`. Required.
	Secret string `json:"secret,omitempty"`
}

// CaddyModule returns the module's registration.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate", New: func() caddy.Module { return new(App) }}
}

// Provision resolves placeholders and judges what it can without asking anybody. It dials nothing, except in a program
// that already serves: there the database is judged before the new configuration opens a socket, for what comes to the
// socket of one that is then refused is lost.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log = ctx, ctx.Logger()
	var wrong complaints
	s, err := a.resolve()
	wrong.add(err)
	if a.Mail != nil {
		a.post, err = a.Mail.post(ctx, a.LiteralSecrets)
		wrong.add(places(a.Places).at(err))
	}
	if a.SMS != nil {
		a.texting, err = a.SMS.texting(ctx, a.LiteralSecrets)
		wrong.add(places(a.Places).at(err))
	}
	wrong.add(a.guardEndpoint())
	wrong.add(a.guardLogs(s))
	a.breach, err = a.loadBreach(ctx)
	wrong.add(places(a.Places).at(err))
	if err := wrong.err(); err != nil {
		return err
	}
	if a.breach != nil {
		s.breach, s.breachKey = a.breach.Open, fmt.Sprintf("%T %s", a.breach, a.breach.Settings())
	}
	a.settings = s
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d %+v %q %q %q %q %q %s %v %v %q", s.database, s.redis, s.keyring, s.conns, s.slots, s.policy,
		s.realm, s.prefix, s.audience, s.headerPrefix, s.bearerSecret, s.answerAfter, s.exempt, s.plaintext, s.breachKey))
	a.key = fmt.Sprintf("%x", sum)
	w, _, err := worlds.LoadOrNew(a.key, func() (caddy.Destructor, error) { return newWorld(s, a.log) })
	if err != nil {
		return places(a.Places).at(err)
	}
	a.world = w.(*world)
	if err := measure(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if err := handOver(ctx); err != nil {
		return err
	}
	if err := a.order(ctx); err != nil {
		return err
	}
	if caddy.ActiveContext().Context == nil {
		return nil
	}
	return a.begin()
}

// begin judges the database and follows it. A database that cannot be reached leaves the gate shut and is asked again;
// one that is unfit is an error.
func (a *App) begin() error {
	if a.begun {
		return nil
	}
	err := a.world.start(a.ctx, a.log)
	if err == nil {
		err = a.observe()
	}
	a.begun = err == nil
	return places(a.Places).at(err)
}

// Start begins, unless Provision has, and judges what is known only when all gates are set up.
func (a *App) Start() error {
	if err := a.begin(); err != nil {
		return err
	}
	if err := a.stranded(); err != nil {
		return err
	}
	a.world.logTo(a.log) // not before: the log of a configuration that is refused is closed
	for _, guest := range a.post.keepers() {
		guest.keepBy(a.world.keep)
	}
	a.texting.keepBy(a.world.keepText)
	a.world.posts.add(a.post)
	a.world.texts.add(a.texting)
	return nil
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
	a.world.posts.remove(a.post)
	a.world.texts.remove(a.texting)
	_, err := worlds.Delete(a.key)
	return err
}

var worlds = caddy.NewUsagePool()

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
