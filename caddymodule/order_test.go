package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives around ours

	"github.com/portalgate/portalgate/internal/secret"
)

// judged adapts and validates a Caddyfile, and returns what was complained of and what was logged.
func judged(t *testing.T, servers, sites string) (complaint, logged string) {
	t.Helper()
	ring, err := secret.Generate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keyring := filepath.Join(t.TempDir(), "keyring.json")
	if err := secret.WriteNew(keyring, ring); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n%s\n\tportalgate {\n\t\tdatabase postgres://app@127.0.0.1/nowhere\n\t\tkeyring %s\n\t}\n}\n%s\n", servers, keyring, sites)
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("adapting: %v\n%s", err, text)
	}
	file := filepath.Join(t.TempDir(), "log")
	// Caddy sets its apps up in any order, and ours is judged in the middle of one of them.
	for i := range 8 {
		var c caddy.Config
		if err := json.Unmarshal(adapted, &c); err != nil {
			t.Fatal(err)
		}
		c.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{
			Level: "WARN", WriterRaw: caddyconfig.JSONModuleObject(map[string]any{"filename": file}, "output", "file", nil),
		}}}}
		said := ""
		if err := caddy.Validate(&c); err != nil {
			said = err.Error()
		}
		if i > 0 && (said == "") != (complaint == "") {
			t.Fatalf("it depends on the order in which apps are set up: %q, then %q", complaint, said)
		}
		complaint = said
	}
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return complaint, string(b)
}

// CFG-03: whoever reaches the upstream has passed the gate, and the complaint names the place.
func TestAnUpstreamThatCanBeReachedAroundTheGateIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ sites, complaint string }{
		"gate, then upstream":       {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}", ""},
		"written the other way":     {"https:// {\n\treverse_proxy erp:3000\n\tportalgate\n}", ""}, // directives order themselves
		"something between":         {"https:// {\n\tportalgate\n\trespond /robots.txt none\n\treverse_proxy erp:3000\n}", ""},
		"upstreams by tenant":       {"https:// {\n\tportalgate\n\t@other portalgate {\n\t\ttenant other\n\t}\n\treverse_proxy @other other:3000\n\treverse_proxy erp:3000\n}", ""},
		"a site, then the gate's":   {"https://b.example {\n\treverse_proxy erp:3000\n}\nhttps:// {\n\tportalgate\n\trespond /robots.txt none\n\treverse_proxy erp:3000\n}", "the site of b.example"},
		"no gate":                   {"https:// {\n\treverse_proxy erp:3000\n}", "no site has the gate"},
		"in the wrong order":        {"https:// {\n\troute {\n\t\treverse_proxy erp:3000\n\t\tportalgate\n\t}\n}", "the site :443 the reverse_proxy to erp:3000"},
		"gate for some paths":       {"https:// {\n\tportalgate /private/*\n\treverse_proxy erp:3000\n}", "erp:3000"},
		"both in one block":         {"https:// {\n\thandle /portal/* {\n\t\tportalgate\n\t\treverse_proxy erp:3000\n\t}\n\thandle {\n\t\trespond ok\n\t}\n}", ""},
		"one block without":         {"https:// {\n\thandle /portal/* {\n\t\tportalgate\n\t\treverse_proxy erp:3000\n\t}\n\thandle {\n\t\treverse_proxy other:1\n\t}\n}", "other:1"},
		"block, then upstream":      {"https:// {\n\troute {\n\t\thandle /a/* {\n\t\t\trespond a\n\t\t}\n\t\thandle {\n\t\t\tportalgate\n\t\t}\n\t\treverse_proxy erp:3000\n\t}\n}", "erp:3000"},
		"a way around for a path":   {"https:// {\n\treverse_proxy /health erp:3000\n\tportalgate /x/*\n}", "erp:3000"},
		"another site, same server": {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}\nhttps://b.example {\n\treverse_proxy erp:3000\n}", "the site of b.example"},
		"another name of it":        {"https:// {\n\tportalgate\n\treverse_proxy 127.0.0.1:3000\n}\nhttps://b.example {\n\treverse_proxy localhost:3000\n}", "the site of b.example"},
		"another port":              {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}\nhttp://:9000 {\n\treverse_proxy erp:3000\n}", "the site :9000"},
		"another program's site":    {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}\nhttps://b.example {\n\treverse_proxy grafana:3000\n}", ""},
		"dynamic upstreams beside":  {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}\nhttps://b.example {\n\treverse_proxy {\n\t\tdynamic a erp 3000\n\t}\n}", "the site of b.example"},
		"an error page":             {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n\thandle_errors {\n\t\treverse_proxy pages:1\n\t}\n}", "the error routes of"},
		"an error page behind it":   {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n\thandle_errors {\n\t\tportalgate\n\t\treverse_proxy pages:1\n\t}\n}", ""},
		"a named route":             {"&(erp) {\n\treverse_proxy erp:3000\n}\nhttps:// {\n\troute {\n\t\tinvoke erp\n\t\tportalgate\n\t}\n}", "erp:3000"},
		"a named route behind it":   {"&(erp) {\n\treverse_proxy erp:3000\n}\nhttps:// {\n\tportalgate\n\tinvoke erp\n}", ""},
		"inside an answer":          {"https:// {\n\troute {\n\t\tintercept {\n\t\t\thandle_response {\n\t\t\t\treverse_proxy pages:1\n\t\t\t}\n\t\t}\n\t\tportalgate\n\t\treverse_proxy erp:3000\n\t}\n}", "pages:1"},
		"asking another gate first": {"https:// {\n\tforward_auth auth:1 {\n\t\turi /check\n\t}\n\tportalgate\n\treverse_proxy erp:3000\n}", ""}, // ours stands first
	} {
		t.Run(name, func(t *testing.T) {
			said, _ := judged(t, "", c.sites)
			if (said == "") != (c.complaint == "") || !strings.Contains(said, c.complaint) {
				t.Errorf("said %q, want %q in it", said, c.complaint)
			}
		})
	}
}

// Behind a gate the cookies are gone, so that a second one sends everybody to sign in, for ever.
func TestAGateBehindAGateIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ sites, complaint string }{
		"two in a site":               {"https:// {\n\tportalgate\n\tportalgate {\n\t\tpublic /assets/*\n\t}\n\treverse_proxy erp:3000\n}", "a second time in the site :443"},
		"one for some paths":          {"https:// {\n\tportalgate /x/*\n\tportalgate\n\treverse_proxy erp:3000\n}", "a second time in the site :443"},
		"one inside a block":          {"https:// {\n\tportalgate\n\thandle /x/* {\n\t\tportalgate\n\t\treverse_proxy erp:3000\n\t}\n}", "a second time"},
		"in a named route":            {"&(erp) {\n\tportalgate\n\treverse_proxy erp:3000\n}\nhttps:// {\n\tportalgate\n\tinvoke erp\n}", "a second time"},
		"each in its block":           {"https:// {\n\thandle /x/* {\n\t\tportalgate\n\t\treverse_proxy erp:3000\n\t}\n\thandle {\n\t\tportalgate\n\t\treverse_proxy erp:3000\n\t}\n}", ""},
		"a block that ends, one more": {"https:// {\n\troute {\n\t\troute /x/* {\n\t\t\tportalgate\n\t\t\treverse_proxy erp:3000\n\t\t}\n\t\tportalgate\n\t\treverse_proxy erp:3000\n\t}\n}", ""},
		"in two sites":                {"https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}\nhttps://b.example {\n\tportalgate\n\treverse_proxy erp:3000\n}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			said, _ := judged(t, "", c.sites)
			if (said == "") != (c.complaint == "") || !strings.Contains(said, c.complaint) || strings.Contains(said, "second") && !strings.Contains(said, "Caddyfile:") {
				t.Errorf("said %q, want %q in it", said, c.complaint)
			}
		})
	}
}

// IP-01 and CFG-01: nobody who may write what they like is believed about an address.
func TestProxiesAreTrustedStrictlyOrNotAtAll(t *testing.T) {
	site := "https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}"
	for name, c := range map[string]struct{ servers, complaint string }{
		"none":               {"", ""},
		"strict":             {"trusted_proxies static private_ranges\ntrusted_proxies_strict", ""},
		"left-most":          {"trusted_proxies static private_ranges", "trusted_proxies_strict"},
		"a socket":           {"trusted_proxies_unix", "trusted_proxies_strict"},
		"a socket, strict":   {"trusted_proxies_unix\ntrusted_proxies_strict", ""},
		"everybody":          {"trusted_proxies static 0.0.0.0/0\ntrusted_proxies_strict", "whole internet"},
		"everybody, by v6":   {"trusted_proxies static ::/0\ntrusted_proxies_strict", "whole internet"},
		"everybody, halved":  {"trusted_proxies static 0.0.0.0/1 128.0.0.0/1\ntrusted_proxies_strict", "whole internet"},
		"one public network": {"trusted_proxies static 203.0.113.0/24 2001:db8::/32\ntrusted_proxies_strict", ""},
	} {
		t.Run(name, func(t *testing.T) {
			servers := ""
			if c.servers != "" {
				servers = "\tservers {\n\t\t" + strings.ReplaceAll(c.servers, "\n", "\n\t\t") + "\n\t}"
			}
			said, _ := judged(t, servers, site)
			if (said == "") != (c.complaint == "") || !strings.Contains(said, c.complaint) {
				t.Errorf("said %q, want %q in it", said, c.complaint)
			}
		})
	}
}

// What checkProxies reads of Caddy's server is not exported; this fails when it is renamed.
func TestTheFieldOfTrustedProxiesIsWhereItWas(t *testing.T) {
	f, ok := reflect.TypeFor[caddyhttp.Server]().FieldByName("trustedProxies")
	if !ok || f.Type.Kind() != reflect.Interface {
		t.Errorf("found %v, %v", ok, f.Type)
	}
}

// Contract 3: the gate belongs into a catch-all site; validate warns of any other.
func TestAGateInASiteWithNamedHostsIsWarnedOf(t *testing.T) {
	c, said := judged(t, "", "https://acme.example {\n\tportalgate\n\treverse_proxy erp:3000\n}")
	if c != "" || !strings.Contains(said, "named hosts") || !strings.Contains(said, "acme.example") {
		t.Errorf("complained %q, said %q", c, said)
	}
	if _, said = judged(t, "", "https:// {\n\tportalgate\n\treverse_proxy erp:3000\n}"); strings.Contains(said, "named hosts") {
		t.Errorf("a catch-all site is warned of: %q", said)
	}
}
