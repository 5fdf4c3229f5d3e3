package pages_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// find returns the elements that a selector means: names, #ids, .classes, [attribute] and [attribute=value] without
// spaces in them, and a space for "somewhere below".
func find(n *html.Node, selector string) []*html.Node {
	found := []*html.Node{n}
	for step := range strings.FieldsSeq(selector) {
		var next []*html.Node
		seen := map[*html.Node]bool{}
		for _, from := range found {
			for d := range from.Descendants() {
				if d.Type == html.ElementNode && fits(d, step) && !seen[d] {
					seen[d] = true
					next = append(next, d)
				}
			}
		}
		found = next
	}
	return found
}

// fits compares one element with one step of a selector.
func fits(n *html.Node, step string) bool {
	for step != "" {
		end := 1
		if step[0] == '[' {
			end = strings.IndexByte(step, ']') + 1
		} else {
			for end < len(step) && !strings.ContainsRune("#.[", rune(step[end])) {
				end++
			}
		}
		part := step[:end]
		step = step[end:]
		switch part[0] {
		case '#':
			if attr(n, "id") != part[1:] {
				return false
			}
		case '.':
			if !contains(strings.Fields(attr(n, "class")), part[1:]) {
				return false
			}
		case '[':
			name, value, given := strings.Cut(strings.Trim(part, "[]"), "=")
			if !has(n, name) || given && attr(n, name) != value {
				return false
			}
		default:
			if n.Data != part {
				return false
			}
		}
	}
	return true
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// one returns the only element that a selector means.
func one(t testing.TB, n *html.Node, selector string) *html.Node {
	t.Helper()
	found := find(n, selector)
	if len(found) != 1 {
		t.Fatalf("%d elements are %s, not one", len(found), selector)
	}
	return found[0]
}

// text is what can be read in an element, with single spaces.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && (d.Parent == nil || d.Parent.Data != "script" && d.Parent.Data != "style") {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestTheSelectorFindsWhatItMeans(t *testing.T) {
	t.Parallel()
	n, err := html.Parse(strings.NewReader(`<main id=m class="a b"><p class=b>one<p>two<input name=x type=text></main><p>three</p>`))
	if err != nil {
		t.Fatal(err)
	}
	for selector, want := range map[string]int{"p": 3, "main p": 2, "#m p.b": 1, "main.a.b": 1, ".b": 2, "input[name=x][type=text]": 1, "input[name=y]": 0, "[name]": 1, "main main": 0} {
		if got := len(find(n, selector)); got != want {
			t.Errorf("%s finds %d, not %d", selector, got, want)
		}
	}
	if got := text(one(t, n, "#m")); got != "one two" {
		t.Errorf("the text is %q", got)
	}
}
