package graphql

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/portalgate/portalgate/internal/portal"
)

// Names are fields that operations may begin with. The zero value names none, and holds nobody up.
type Names struct {
	exact    map[string]bool
	prefixes []string
	named    bool
}

var fieldName = regexp.MustCompile(`^[_A-Za-z][_0-9A-Za-z]*$`)

// ParseName says what is wrong with a name of the configuration: exact, or the beginning of names and a star.
func ParseName(s string) error {
	beginning, _ := strings.CutSuffix(s, "*")
	switch {
	case s == "*":
		return fmt.Errorf("a star alone allows everything; leave `allow` out where everything is meant")
	case !fieldName.MatchString(beginning):
		return fmt.Errorf("%q is neither a field's name nor the beginning of one with a star, such as `customer*`", s)
	case strings.HasPrefix(beginning, "__"):
		return fmt.Errorf("%q is introspection, which is never let through", s)
	case doors[s].page != "":
		return fmt.Errorf("%q belongs to the old portal's sign-in, which is never let through; the gate has a page for it", s)
	}
	return nil
}

// ParseNames reads a list of the configuration.
func ParseNames(list []string) (n Names, err error) {
	n.exact, n.named = map[string]bool{}, len(list) > 0
	for _, s := range list {
		if err := ParseName(s); err != nil {
			return Names{}, err
		}
		if beginning, open := strings.CutSuffix(s, "*"); open {
			n.prefixes = append(n.prefixes, beginning)
		} else {
			n.exact[s] = true
		}
	}
	return n, nil
}

func (n *Names) has(field string) bool {
	if n.exact[field] || field == "__typename" {
		return true
	}
	for _, p := range n.prefixes {
		if strings.HasPrefix(field, p) {
			return true
		}
	}
	return false
}

// admit refuses a document of which an operation begins with something that is not named.
func (n *Names) admit(d *document) error {
	if !n.named {
		return nil
	}
	for _, field := range d.roots {
		if !n.has(field) {
			return refuse(portal.ProblemOperation, "%q is not open here.", short(field))
		}
	}
	return nil
}

// short keeps a name that somebody made up from filling a page.
func short(name string) string {
	if len(name) > 64 {
		return name[:64] + "…"
	}
	return name
}
