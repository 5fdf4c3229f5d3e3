package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/portalgate/portalgate/internal/admission"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("portalgate", parseGlobal)
	httpcaddyfile.RegisterHandlerDirective("portalgate", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("portalgate", httpcaddyfile.Before, "basic_auth")
}

// parseGlobal reads the global option.
//
//	portalgate {
//		database <address> {
//			connections       <number>
//			plaintext_network <networks...>
//		}
//		redis <address> {
//			plaintext_network <networks...>
//		}
//		keyring            <file>
//		policy             default|review|nist
//		mfa                off|optional|required
//		realm              <name>
//		prefix             <path>
//		assertion_audience <name>
//		header_prefix      <prefix>
//		upstream_token jwt {
//			secret <placeholder>
//		}
//		answer_after       <duration>
//		hashing_slots      <number>
//		sessions {
//			access|idle|absolute|remember_idle|remember_absolute <duration>
//		}
//		sessions_per_user  <number>
//		password {
//			min    <number>
//			score  <number>
//			breach range_api|file <url or path>
//		}
//		password_min       <number>
//		lockout {
//			failures|close               <number>
//			rest|longest_rest|kept       <duration>
//		}
//		limits {
//			network|tenant|global        <number>
//			window                       <duration>
//			sign_ins_network|sign_ins_tenant <number>
//			asks_address|asks_network|asks_tenant <number>
//			codes_network|codes_tenant|texts_network|texts_tenant <number>
//		}
//		limit_exempt       <networks...>
//		retention {
//			activity|coarse_after        <duration>
//		}
//		literal_secrets    allow
//		observe            <address>
//		mail {
//			from      <sender>
//			reply_to  <address>
//			templates <directory>
//			pace      <number>
//			<provider> ...
//			tenant <slugs...> {
//				from     <sender>
//				reply_to <address>
//				<provider> ...
//			}
//			region <names...> {
//				from     <sender>
//				reply_to <address>
//				<provider> ...
//			}
//		}
//		sms {
//			<provider> ...
//		}
//	}
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next() // before its first token a dispenser is nowhere
		return nil, d.Err("portalgate stands in the global options twice; join the two blocks")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "portalgate", Value: caddyconfig.JSON(app, nil)}, nil
}

// option is how one subdirective is read.
type option func(d *caddyfile.Dispenser) error

// noting is where the places of a block's options are noted, and under which name; the zero value notes nothing.
type noting struct {
	places *map[string]string
	parent string
}

func (n noting) note(name string, d *caddyfile.Dispenser) {
	if n.places == nil {
		return
	}
	if *n.places == nil {
		*n.places = places{}
	}
	if name = strings.TrimSpace(n.parent + " " + name); (*n.places)[name] == "" {
		(*n.places)[name] = fmt.Sprintf("%s:%d", d.File(), d.Line())
	}
}

func (n noting) in(name string) noting {
	return noting{n.places, strings.TrimSpace(n.parent + " " + name)}
}

// block reads the subdirectives of the present block. A name that is not known is an error that says which one was
// probably meant; one that comes twice is an error too.
func block(d *caddyfile.Dispenser, where string, at noting, options map[string]option, repeat ...string) error {
	if d.NextArg() {
		return d.Errf("%s takes a block here, not %q", where, d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		read, ok := options[name]
		if !ok {
			if elsewhere := belongs(where, name, options); elsewhere != "" {
				return d.Errf("%q belongs into %s", name, elsewhere)
			}
			known := slices.Sorted(maps.Keys(options))
			if near := nearest(name, known); near != "" {
				return d.Errf("%s has no option %q; did you mean %q?", where, name, near)
			}
			return d.Errf("%s has no option %q; it has %s", where, name, strings.Join(known, ", "))
		}
		again := false
		for _, r := range repeat {
			again = again || r == name
		}
		if seen[name] && !again {
			return d.Errf("%s has %q twice; leave one", where, name)
		}
		seen[name] = true
		at.note(name, d)
		if err := read(d); err != nil {
			return err
		}
	}
	return nil
}

func one(to *string) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		if !d.NextArg() {
			return d.Errf("%s takes a value, and has none", name)
		}
		*to = d.Val()
		if d.NextArg() {
			return d.Errf("%s takes one value, and %q is one more", name, d.Val())
		}
		return nil
	}
}

func many(to *[]string) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.Errf("%s takes one value or more, and has none", name)
		}
		*to = append(*to, args...)
		return nil
	}
}

// patterns takes paths, and complains on the line that has a wrong one.
func patterns(to *[]string) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.Errf("%s takes one path or more, and has none", name)
		}
		return addPatterns(d, name, args, to)
	}
}

func addPatterns(d *caddyfile.Dispenser, name string, args []string, to *[]string) error {
	for _, p := range args {
		if _, err := admission.ParsePattern(p); err != nil {
			return d.Errf("%s: %v", name, err)
		}
	}
	*to = append(*to, args...)
	return nil
}

func number(to *int) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		var s string
		if err := one(&s)(d); err != nil {
			return err
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return d.Errf("%s takes a whole number from 1, not %q", name, s)
		}
		*to = n
		return nil
	}
}

func duration(to *caddy.Duration) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		var s string
		if err := one(&s)(d); err != nil {
			return err
		}
		v, err := caddy.ParseDuration(s)
		if err != nil || v <= 0 {
			return d.Errf("%s takes a duration such as 30m or 10h, not %q", name, s)
		}
		*to = caddy.Duration(v)
		return nil
	}
}

func with(first, rest option) option {
	return func(d *caddyfile.Dispenser) error {
		if err := first(d); err != nil {
			return err
		}
		return rest(d)
	}
}

func sub(where string, at noting, options map[string]option, repeat ...string) option {
	return func(d *caddyfile.Dispenser) error { return block(d, where, at.in(where), options, repeat...) }
}

func bearerOption(to **UpstreamToken, at noting) option {
	return func(d *caddyfile.Dispenser) error {
		kind := ""
		if d.NextArg() {
			kind = d.Val()
		}
		if kind != "jwt" {
			return d.Errf("upstream_token is of the kind jwt, not %q: write `upstream_token jwt { secret {file.…} }`", kind)
		}
		*to = new(UpstreamToken)
		return block(d, "upstream_token", at.in("upstream_token"), map[string]option{"secret": one(&(*to).Secret)})
	}
}

// UnmarshalCaddyfile reads the global option; its grammar stands above parseGlobal.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	at := noting{places: &a.Places}
	at.note("", d)
	if d.NextArg() {
		return d.Errf("portalgate takes a block in the global options, not %q", d.Val())
	}
	return block(d, "portalgate", at, a.options(at))
}

func (a *App) options(at noting) map[string]option {
	lives := func(to func(*SessionLives) *caddy.Duration) option {
		return func(d *caddyfile.Dispenser) error {
			if a.Sessions == nil {
				a.Sessions = new(SessionLives)
			}
			return duration(to(a.Sessions))(d)
		}
	}
	return map[string]option{
		"database": with(one(&a.Database), sub("database", at, map[string]option{
			"connections":       number(&a.DatabaseConnections),
			"plaintext_network": many(&a.PlaintextNetworks),
		})),
		"redis":              with(one(&a.Redis), sub("redis", at, map[string]option{"plaintext_network": many(&a.PlaintextNetworks)})),
		"keyring":            one(&a.Keyring),
		"policy":             one(&a.Policy),
		"mfa":                one(&a.MFA),
		"realm":              one(&a.Realm),
		"prefix":             one(&a.Prefix),
		"assertion_audience": one(&a.AssertionAudience),
		"header_prefix":      one(&a.HeaderPrefix),
		"upstream_token":     bearerOption(&a.UpstreamToken, at),
		"answer_after":       duration(&a.AnswerAfter),
		"hashing_slots":      number(&a.HashingSlots),
		"sessions": sub("sessions", at, map[string]option{
			"access":            lives(func(l *SessionLives) *caddy.Duration { return &l.Access }),
			"idle":              lives(func(l *SessionLives) *caddy.Duration { return &l.Idle }),
			"absolute":          lives(func(l *SessionLives) *caddy.Duration { return &l.Absolute }),
			"remember_idle":     lives(func(l *SessionLives) *caddy.Duration { return &l.RememberIdle }),
			"remember_absolute": lives(func(l *SessionLives) *caddy.Duration { return &l.RememberAbsolute }),
		}),
		"sessions_per_user": number(&a.SessionsPerUser),
		"password": func(d *caddyfile.Dispenser) error {
			a.Password = new(PasswordRules)
			return block(d, "password", at.in("password"), map[string]option{
				"min":    number(&a.Password.Min),
				"score":  number(&a.Password.Score),
				"breach": breachOption((*[]byte)(&a.Password.Breach)),
			})
		},
		"password_min": number(&a.PasswordMin),
		"lockout":      lockoutOption(&a.Lockout, at),
		"limits":       limitsOption(&a.Limits, at),
		"limit_exempt": many(&a.LimitExempt),
		"retention":    retentionOption(&a.Retention, at),
		"observe":      one(&a.Observe),
		"literal_secrets": func(d *caddyfile.Dispenser) error {
			var s string
			if err := one(&s)(d); err != nil {
				return err
			}
			if s != "allow" {
				return d.Errf("literal_secrets can only be `allow`, for trials; leave it out otherwise")
			}
			a.LiteralSecrets = true
			return nil
		},
		"mail": mailOption(&a.Mail, at),
		"sms":  smsOption(&a.SMS, at),
	}
}

// parseDirective reads the directive.
//
//	portalgate [<matcher>] {
//		public      <paths...>
//		require mfa [<freshness>] <paths...>
//		graphql     <paths...> {
//			allow <names...>
//		}
//		cross_site  <METHOD> <path>
//		upstream_token jwt {
//			secret <placeholder>
//		}
//	}
func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	gate := new(Handler)
	if err := gate.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return gate, nil
}

// UnmarshalCaddyfile reads the directive; its grammar stands above parseDirective.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	at := noting{places: &h.Places}
	at.note("", d)
	if d.NextArg() {
		return d.Errf("portalgate takes a block, not %q", d.Val())
	}
	return block(d, "portalgate", at, h.options(at), "public", "require", "cross_site", "graphql")
}

func (h *Handler) options(at noting) map[string]option {
	return map[string]option{
		"public":         patterns(&h.Public),
		"require":        requireOption(&h.RequireMFA, &h.RequireMFAWithin),
		"graphql":        h.named(with(patterns(&h.GraphQL), sub("graphql", at, map[string]option{"allow": fields(&h.GraphQLAllow)}, "allow"))),
		"upstream_token": bearerOption(&h.UpstreamToken, at),
		"cross_site": func(d *caddyfile.Dispenser) error {
			args := d.RemainingArgs()
			if len(args) != 2 {
				return d.Err("cross_site is written `cross_site POST /exact/path`")
			}
			h.CrossSite = append(h.CrossSite, CrossSite{Method: strings.ToUpper(args[0]), Path: args[1]})
			return nil
		},
	}
}

var _, _ caddyfile.Unmarshaler = (*App)(nil), (*Handler)(nil)
