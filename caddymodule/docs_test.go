package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/testenv"
)

// elsewhereThere stands for what an example names and this machine has not: directories of secrets, and the other
// containers of deploy/compose.yaml.
var elsewhereThere = strings.NewReplacer("/run/secrets/", "secrets/", "/secrets/", "secrets/", "redis://redis:", "redis://172.31.250.3:")

// What somebody copies out of the documentation adapts, validates, and is formatted; each document is a Caddyfile of its
// own, or has whole ones in it.
func TestEveryCaddyfileOfTheDocumentationIsTaken(t *testing.T) {
	documents := testenv.Documents(t)
	surroundings(t)
	n := 0
	for _, d := range documents {
		examples := d.Blocks("caddyfile")
		if strings.HasSuffix(d.Name, "Caddyfile") {
			examples = []string{d.Text}
		}
		for i, text := range examples {
			n++
			t.Run(fmt.Sprintf("%s_%d", d.Name, i), func(t *testing.T) {
				adapted, err := adapt(elsewhereThere.Replace(text))
				if err != nil {
					t.Fatal(err)
				}
				if said := validatedJSON(t, adapted); said != "" {
					t.Error(said)
				}
			})
		}
	}
	if n < 7 {
		t.Errorf("only %d Caddyfiles were found", n)
	}
}
