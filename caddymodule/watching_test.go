package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portalgate/portalgate/internal/testenv"
)

var described = regexp.MustCompile(`fqName: "(portalgate_\w+)", help: "([^"]*)", .*variableLabels: \{([\w,]*)\}`)

// metricRows are the metrics as the operators' list has them.
func metricRows(t testing.TB) (rows []string) {
	t.Helper()
	all := make(chan *prometheus.Desc, 100)
	theMeter.Describe(all)
	close(all)
	for d := range all {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s cannot be read", d)
		}
		name := m[1]
		if m[3] != "" {
			name += "{" + strings.ReplaceAll(m[3], ",", ", ") + "}"
		}
		rows = append(rows, "| `"+name+"` | "+m[2]+" |")
	}
	slices.Sort(rows)
	return rows
}

func TestTheOperatorsListOfMetricsIsTheCodes(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := metricRows(t)
	var listed []string
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "| `portalgate_") {
			listed = append(listed, strings.TrimSuffix(line, "\n"))
		}
	}
	if !slices.Equal(listed, rows) {
		t.Errorf("the list of metrics in docs/operations.md is not the code's, which is:\n%s", strings.Join(rows, "\n"))
	}
}
