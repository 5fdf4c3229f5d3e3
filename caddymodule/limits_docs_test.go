package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/testenv"
)

// limitRows are the declared limits as the operators' documentation lists them.
func limitRows() (rows []string) {
	p := portal.DefaultPolicy()
	row := func(name, number, by, effect, public string) {
		if public == "" {
			public = "(nothing)"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", name, number, by, effect, public))
	}
	k := p.Lockout
	row(auth.RuleLockout, fmt.Sprintf("%d wrong passwords, until %s have passed without one", k.Free+1, short(k.Kept)), "tenant and address; each browser that the account knows apart",
		fmt.Sprintf("%s for %s, then twice as long for each further one, %s at most; at %d until the password is set anew", ratelimit.RefusesStrangers, short(k.First), short(k.Longest), k.Close), auth.PublicPause)
	for _, l := range ratelimit.Declare(p.Limits).All() {
		row(l.Name, fmt.Sprintf("%d %s in %s", l.Number, l.Counts, short(l.Period)), l.By, strings.TrimSpace(string(l.Effect)+" "+holding(l)), l.Public)
	}
	return rows
}

// The operators' list of limits is the code's: each by name, with its number, what it is counted by, and what the person
// reads.
func TestTheOperatorsListOfLimitsIsTheCodes(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(b), "\n## Limits\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for line := range strings.SplitSeq(section, "\n") {
		if strings.HasPrefix(line, "| `") {
			listed = append(listed, line)
		}
	}
	want := limitRows()
	if !found || strings.Join(listed, "\n") != strings.Join(want, "\n") {
		t.Errorf("the list of limits in docs/operations.md is not the code's, which is:\n%s", strings.Join(want, "\n"))
	}
	for _, words := range []string{"portalgate limits list", "portalgate limits clear --tenant", "portalgate limits allow --tenant", "portalgate why ", "portalgate user unlock", "portalgate_refused_total", "portalgate_sign_ins_total"} {
		if !strings.Contains(section, words) {
			t.Errorf("it does not say %q", words)
		}
	}
}
