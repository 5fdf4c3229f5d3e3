package caddymodule

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// checkEndpoint keeps Caddy's admin endpoint off the network (CFG-04): whoever reaches it can change everything. On a
// loopback address every program of this machine reaches it, which is worth a note.
func checkEndpoint(admin *caddy.AdminConfig) (note string, err error) {
	const mend = "use a socket, `admin unix//run/portalgate/admin.sock`, or `admin off`"
	listen := caddy.DefaultAdminListen
	if admin != nil {
		switch {
		case admin.Remote != nil:
			return "", bad("admin", "its remote endpoint can be reached from the network; %s", mend)
		case admin.Disabled:
			return "", nil
		}
		listen = orElse(admin.Listen, listen)
	}
	listen, err = caddy.NewReplacer().ReplaceOrErr(listen, true, true)
	if err != nil {
		return "", nil // Caddy has its own words for an address it cannot read
	}
	addr, err := caddy.ParseNetworkAddress(listen)
	if err != nil || addr.IsUnixNetwork() || addr.IsFdNetwork() {
		return "", nil // as above; and a socket is guarded by its directory
	}
	if !loopback(addr.Host) {
		return "", bad("admin", "%s can be reached from the network, and whoever reaches it can change everything; %s", listen, mend)
	}
	return fmt.Sprintf("the admin endpoint at %s is open to every program on this machine; %s", listen, mend), nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// endpoint is the admin endpoint of the configuration that is being loaded; false when this Caddy does not show it. A
// module is told about itself only, whether the configuration was a Caddyfile or JSON, so the field is read by its
// name; a test notices when Caddy renames it.
func endpoint(ctx caddy.Context) (*caddy.AdminConfig, bool) {
	cfg := reflect.ValueOf(ctx).FieldByName("cfg")
	if !cfg.IsValid() || cfg.Type() != reflect.TypeFor[*caddy.Config]() || cfg.IsNil() {
		return nil, false
	}
	admin := cfg.Elem().FieldByName("Admin")
	if admin.IsNil() {
		return nil, true
	}
	out := &caddy.AdminConfig{Disabled: admin.Elem().FieldByName("Disabled").Bool(), Listen: admin.Elem().FieldByName("Listen").String()}
	if !admin.Elem().FieldByName("Remote").IsNil() {
		out.Remote = &caddy.RemoteAdmin{}
	}
	return out, true
}

// guardEndpoint judges the admin endpoint of the configuration that is being loaded.
func (a *App) guardEndpoint() error {
	admin, shown := endpoint(a.ctx)
	if !shown {
		a.log.Warn("this Caddy does not show where its admin endpoint is; see that it is off, or on a socket")
		return nil
	}
	note, err := checkEndpoint(admin)
	if note != "" {
		a.log.Warn(note)
	}
	return err
}
