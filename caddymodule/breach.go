package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/breach"
	"github.com/portalgate/portalgate/internal/password"
)

func init() {
	caddy.RegisterModule(new(BreachRange))
	caddy.RegisterModule(new(BreachFile))
}

const breachNamespace = "portalgate.breach"

// Breach is what a guest module of the namespace portalgate.breach does: its settings open a source of stolen passwords.
// The source outlives the module: a reload that keeps the settings keeps it, with its connections and its count.
type Breach interface {
	// Settings tell one source from another; they change when what would be opened does.
	Settings() string
	// Open makes the source and dials nothing. One that is an io.Closer is closed when no configuration uses it.
	Open() (password.Breaches, error)
}

// BreachRange asks a service on the network that speaks the range protocol of Have I Been Pwned. It is told the first
// five digits of the SHA-1 of a new password, and its answer is padded.
type BreachRange struct {
	// Where it is asked, as an https address to which the five digits are appended. Default: the public service.
	URL string `json:"url,omitempty"`
}

// CaddyModule returns the module's registration.
func (*BreachRange) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: breachNamespace + ".range_api", New: func() caddy.Module { return new(BreachRange) }}
}

// UnmarshalCaddyfile reads `range_api [<url>]`.
func (b *BreachRange) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		b.URL = d.Val()
	}
	if d.NextArg() {
		return d.Errf("breach range_api takes one address at most, and %q is one more", d.Val())
	}
	return nil
}

// Settings are the address.
func (b *BreachRange) Settings() string { return b.URL }

// Open makes the client.
func (b *BreachRange) Open() (password.Breaches, error) {
	if b.URL == "" {
		return breach.NewRangeAPI("", nil)
	}
	address, err := filled(b.URL)
	if err != nil {
		return nil, err
	}
	return breach.NewRangeAPI(address, nil)
}

// BreachFile asks a filter file on this machine, made by `portalgate passwords build-filter`. Nothing leaves the machine.
type BreachFile struct {
	// The file. Required.
	Path string `json:"path,omitempty"`
}

// CaddyModule returns the module's registration.
func (*BreachFile) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: breachNamespace + ".file", New: func() caddy.Module { return new(BreachFile) }}
}

// UnmarshalCaddyfile reads `file <path>`.
func (b *BreachFile) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.NextArg() {
		return d.Err("breach file takes the path of a filter, and has none; make one with `portalgate passwords build-filter`")
	}
	b.Path = d.Val()
	if d.NextArg() {
		return d.Errf("breach file takes one path, and %q is one more", d.Val())
	}
	return nil
}

// Settings are the file and when it was last written: one that was replaced is another one.
func (b *BreachFile) Settings() string {
	name, err := filled(b.Path)
	if err != nil {
		return b.Path
	}
	info, err := os.Stat(name)
	if err != nil {
		return name
	}
	return fmt.Sprintf("%s %d %d", name, info.Size(), info.ModTime().UnixNano())
}

// Open opens the file and checks all of it.
func (b *BreachFile) Open() (password.Breaches, error) {
	if b.Path == "" {
		return nil, errors.New("has no path; make a filter with `portalgate passwords build-filter`")
	}
	name, err := filled(b.Path)
	if err != nil {
		return nil, err
	}
	f, err := breach.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w; make it with `portalgate passwords build-filter`", err)
	}
	return f, err
}

// breachOption reads `breach <source> [<argument>]` by the module of that name.
func breachOption(to *[]byte) option {
	return func(d *caddyfile.Dispenser) error {
		if !d.NextArg() {
			return d.Err("breach takes a source: `breach range_api`, or `breach file <path>`")
		}
		source := d.Val()
		if _, err := caddy.GetModule(breachNamespace + "." + source); err != nil {
			return d.Errf("breach has no source %q; it has range_api and file", source)
		}
		m, err := caddyfile.UnmarshalModule(d, breachNamespace+"."+source)
		if err != nil {
			return err
		}
		for d.NextArg() { // the module has read them
		}
		*to = caddyconfig.JSONModuleObject(m, "source", source, nil)
		return nil
	}
}

// loadBreach makes the guest that a configuration names, if it names one.
func (a *App) loadBreach(ctx caddy.Context) (Breach, error) {
	if a.Password == nil || a.Password.Breach == nil {
		return nil, nil
	}
	m, err := ctx.LoadModule(a.Password, "Breach")
	if err != nil {
		return nil, bad("password breach", "%v", err)
	}
	guest, ok := m.(Breach)
	if !ok {
		return nil, bad("password breach", "%T is no source of stolen passwords", m)
	}
	return guest, nil
}

func closed(source password.Breaches) error {
	if c, ok := source.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// breachWatch is a source whose answers are counted, and whose silence is said once.
type breachWatch struct {
	password.Breaches
	log                          atomic.Pointer[zap.Logger]
	clear, breached, unavailable atomic.Int64
	silent                       atomic.Bool
}

// Breached asks the source.
func (b *breachWatch) Breached(ctx context.Context, sum [breach.DigestBytes]byte) (bool, error) {
	found, err := b.Breaches.Breached(ctx, sum)
	switch {
	case err != nil:
		b.unavailable.Add(1)
		if log := b.log.Load(); log != nil && !b.silent.Swap(true) {
			log.Warn("the source of stolen passwords does not answer; new passwords are taken without it", zap.Error(err))
		}
		return false, err
	case found:
		b.breached.Add(1)
	default:
		b.clear.Add(1)
	}
	if log := b.log.Load(); b.silent.Swap(false) && log != nil {
		log.Info("the source of stolen passwords answers again")
	}
	return found, nil
}

// results are the answers so far.
func (b *breachWatch) results() map[string]int64 {
	if b == nil {
		return nil
	}
	return map[string]int64{"clear": b.clear.Load(), "breached": b.breached.Load(), "unavailable": b.unavailable.Load()}
}

var (
	_ Breach                = (*BreachRange)(nil)
	_ Breach                = (*BreachFile)(nil)
	_ caddyfile.Unmarshaler = (*BreachRange)(nil)
	_ caddyfile.Unmarshaler = (*BreachFile)(nil)
)
