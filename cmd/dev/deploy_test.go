package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestTheUnitIsOneThatSystemdTakes(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not on this machine: the unit is read, not judged")
	}
	unit := read(t, "deploy/portalgate.service")
	for _, line := range []string{"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n", "Type=notify", "LoadCredential=keyring.json:"} {
		if !strings.Contains(unit, line) {
			t.Errorf("the unit has no %q", strings.TrimSpace(line))
		}
	}
	if program == "" {
		return
	}
	// systemd wants the program to be there; any will do for reading the rest.
	file := filepath.Join(t.TempDir(), "portalgate.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, "/usr/bin/portalgate", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), file) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), program, "security", "--offline=yes", "--threshold=20", file).CombinedOutput()
	if err != nil {
		t.Errorf("the unit is more exposed than 2.0: %v\n%s", err, out[max(0, len(out)-400):])
	}
}

func TestTheComposeFileNamesWhatIsThere(t *testing.T) {
	var c struct {
		Services map[string]struct {
			Image    string
			Build    string
			User     string
			ReadOnly bool     `yaml:"read_only"`
			CapDrop  []string `yaml:"cap_drop"`
			Volumes  []string
			Networks []string
			Secrets  []string
		}
		Networks map[string]struct{ Internal bool }
		Volumes  map[string]any
		Secrets  map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	gate := c.Services["gate"]
	if !gate.ReadOnly || len(gate.CapDrop) != 1 || gate.CapDrop[0] != "ALL" || gate.User != "" {
		t.Errorf("the gate has more than it needs: %+v", gate)
	}
	if !c.Networks["back"].Internal {
		t.Error("the servers' network leads out")
	}
	for name, s := range c.Services {
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if local, ok := strings.CutPrefix(from, "./"); ok {
				if _, err := os.Stat(filepath.Join("..", "..", "deploy", local)); err != nil && local != "secrets" {
					t.Errorf("%s mounts %s: %v", name, from, err)
				}
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s mounts volume %s, which is none", name, from)
			}
		}
		for _, secret := range s.Secrets {
			if c.Secrets[secret].File == "" {
				t.Errorf("%s uses secret %s, which is none", name, secret)
			}
		}
		if name == "postgres" || name == "redis" {
			if len(s.Networks) != 1 || s.Networks[0] != "back" {
				t.Errorf("%s is on %v", name, s.Networks)
			}
		}
	}
	// The network that the Caddyfile excepts from TLS is the one that compose makes.
	subnet := regexp.MustCompile(`subnet: ([0-9./]+)`).FindStringSubmatch(read(t, "deploy/compose.yaml"))
	if subnet == nil || strings.Count(read(t, "deploy/Caddyfile"), "plaintext_network "+subnet[1]) != 2 {
		t.Errorf("the Caddyfile does not except %v", subnet)
	}
	if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join("..", "..", "deploy", "role.sh")).CombinedOutput(); err != nil {
		t.Errorf("role.sh: %v\n%s", err, out)
	}
}

// Neither the alert rules nor the board ask for a metric that nobody measures, and the board shows each.
func TestWhatIsWatchedIsMeasured(t *testing.T) {
	metric := regexp.MustCompile(`portalgate_\w+`)
	measured := map[string]bool{} // whether the board shows it; another test holds the list
	for line := range strings.Lines(read(t, "docs/operations.md")) {
		if strings.HasPrefix(line, "| `portalgate_") {
			measured[metric.FindString(line)] = false
		}
	}
	if len(measured) < 15 {
		t.Fatalf("%d metrics are listed", len(measured))
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decode := yaml.NewDecoder(strings.NewReader(read(t, "deploy/alerts.yaml")))
	decode.KnownFields(true)
	if err := decode.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana.json")), &board); err != nil {
		t.Fatal(err)
	}
	var asked []string
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 10 || len(board.Panels) < 10 {
		t.Fatalf("%d groups of rules, %d panels", len(rules.Groups), len(board.Panels))
	}
	for _, r := range rules.Groups[0].Rules {
		if r.Alert == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("an alert that does not say enough: %+v", r)
		}
		asked = append(asked, r.Expr)
	}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			asked = append(asked, q.Expr)
			for _, m := range metric.FindAllString(q.Expr, -1) {
				if _, is := measured[m]; is {
					measured[m] = true
				}
			}
		}
	}
	for _, expr := range asked {
		found := metric.FindAllString(expr, -1)
		if len(found) == 0 {
			t.Errorf("%q asks for nothing of ours", expr)
		}
		for _, m := range found {
			if _, is := measured[m]; !is {
				t.Errorf("%q asks for %s, which nobody measures", expr, m)
			}
		}
	}
	for m, shown := range measured {
		if !shown {
			t.Errorf("the board does not show %s", m)
		}
	}
}
