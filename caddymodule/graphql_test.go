package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const openly = "graphql has no list of operations"

// A gate that does not look at what is asked is warned of: once for a configuration, by the doctor too.
func TestAGraphQLPathWithoutAListIsWarnedOfOnce(t *testing.T) {
	gate := func(scheme, lines string) string {
		return scheme + " {\n\tportalgate {\n" + lines + "\n\t}\n\treverse_proxy erp:3000\n}\n"
	}
	const open, named = "graphql /graphql", "graphql /graphql {\n\tallow customer*\n}"
	for what, c := range map[string]struct {
		sites string
		once  int
	}{
		"no path":            {gate("https://", ""), 0},
		"a list":             {gate("https://", named), 0},
		"a list for another": {gate("https://", "graphql /a\n"+named), 0},
		"none":               {gate("https://", open), 1},
		"none twice":         {gate("https://", open) + gate("https://:8443", open), 1},
	} {
		complaint, said := judged(t, "", c.sites)
		if n := strings.Count(said, openly); complaint != "" || n != 8*c.once { // it is validated eight times
			t.Errorf("%s: complained %q, and warned %d times: %s", what, complaint, n, said)
		}
		if c.once > 0 && !strings.Contains(said, `"place":"Caddyfile:`) && !strings.Contains(said, "Caddyfile:") {
			t.Errorf("%s: it does not say where: %s", what, said)
		}
	}
	file := filepath.Join(refusalFiles(t), "Caddyfile")
	for lines, want := range map[string]int{open: 1, named: 0} {
		text := fmt.Sprintf("{\n\tadmin off\n\tportalgate {\n\t\tdatabase postgres://app@127.0.0.1/nowhere\n\t\tkeyring %s\n\t}\n}\n%s", filepath.Join(filepath.Dir(file), "keyring.json"), gate("https://", lines))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d := doctor{config: file, given: func(string) bool { return false }}
		d.configuration()
		n := 0
		for _, f := range d.found {
			if f.State == note && strings.Contains(f.Says, openly) && strings.Contains(f.Says, file+":") {
				n++
			}
		}
		if n != want || d.found.wrong() > 0 {
			t.Errorf("%s: the doctor says it %d times: %v", lines, n, d.found)
		}
	}
}

// What the adapter would have refused is refused in JSON too.
func TestAListOfOperationsIsHeldToItsFormInJSON(t *testing.T) {
	t.Parallel()
	for says, h := range map[string]*Handler{
		"":                             {GraphQL: []string{"/graphql"}, GraphQLAllow: []string{"customer*", "myOrders"}},
		"a star alone allows":          {GraphQL: []string{"/graphql"}, GraphQLAllow: []string{"*"}},
		"never let through":            {GraphQL: []string{"/graphql"}, GraphQLAllow: []string{"customerLogin"}},
		"there is no graphql path":     {GraphQLAllow: []string{"customer*"}},
		"is neither a field's name":    {GraphQL: []string{"/graphql"}, GraphQLAllow: []string{""}},
		"does not begin with a slash;": {GraphQL: []string{"graphql"}, GraphQLAllow: []string{"customer*"}},
	} {
		_, err := h.judge("/auth")
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), strings.TrimSuffix(says, ";")) {
			t.Errorf("%v: %v, want %q", h.GraphQLAllow, err, says)
		}
	}
}
