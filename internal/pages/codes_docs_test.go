package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// Every code that a program may read stands in the documentation, with its status.
func TestEveryCodeIsExplained(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "upstream.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed, want []string
	for line := range strings.Lines(string(b)) {
		if cells := strings.Split(line, " | "); len(cells) == 3 && strings.HasPrefix(line, "| `") && len(strings.TrimSpace(cells[1])) == 3 {
			listed = append(listed, strings.TrimPrefix(cells[0], "| ")+" "+cells[1])
		}
	}
	for kind := range titles {
		want = append(want, fmt.Sprintf("`%s` %d", kind, kind.Status()))
	}
	for _, untitled := range []portal.ProblemKind{portal.ProblemInternal, portal.ProblemMoved, portal.ProblemPersisted} {
		want = append(want, fmt.Sprintf("`%s` %d", untitled, untitled.Status()))
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("the documentation has\n%s\nand the code\n%s", strings.Join(listed, "\n"), strings.Join(want, "\n"))
	}
}
