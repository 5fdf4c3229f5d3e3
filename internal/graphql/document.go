package graphql

import (
	"errors"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/portalgate/portalgate/internal/portal"
)

// Bounds of a document (GQL-03). Tokens bound the work of reading it, the others what the upstream can be made to do.
const (
	mostTokens     = 10_000
	mostOperations = 10
	mostAliases    = 50
	deepest        = 15 // selections, through fragments
	deepestValue   = 32
)

// document is a document as it was read.
type document struct {
	operations ast.OperationList
	fragments  ast.FragmentDefinitionList
	roots      []string // what operations begin with, each name once
	fields     []string // all fields, in their order, each name once

	named   map[string]*ast.FragmentDefinition
	depth   map[string]int // of a fragment's selections; what is being looked at has none yet
	seen    map[string]bool
	aliases int
}

var (
	errFields  = refuse(portal.ProblemRequest, "This document asks for too much at once.")
	errCircle  = refuse(portal.ProblemRequest, "A fragment of this document holds itself.")
	errNothing = refuse(portal.ProblemRequest, "This document holds no operation.")
)

// parse reads a document and what each of its operations begins with.
func parse(q *query) (*document, error) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: q.document}, mostTokens)
	if err != nil {
		return nil, unreadable(err)
	}
	d := &document{operations: doc.Operations, fragments: doc.Fragments, named: map[string]*ast.FragmentDefinition{}, depth: map[string]int{}, seen: map[string]bool{}}
	switch {
	case len(d.operations) == 0:
		return nil, errNothing
	case len(d.operations) > mostOperations:
		return nil, errFields
	}
	for _, f := range d.fragments {
		if d.named[f.Name] != nil { // of two, each reader may choose another
			return nil, refuse(portal.ProblemRequest, "The fragment %q comes twice.", short(f.Name))
		}
		d.named[f.Name] = f
	}
	if err := d.choose(q.operation); err != nil {
		return nil, err
	}
	for _, f := range d.fragments {
		if _, err := d.below(f.Name); err != nil {
			return nil, err
		}
	}
	for _, o := range d.operations {
		if n, err := d.measure(o.SelectionSet); err != nil {
			return nil, err
		} else if n > deepest {
			return nil, errFields
		}
		d.begin(o.SelectionSet, map[string]bool{})
	}
	if d.aliases > mostAliases {
		return nil, errFields
	}
	return d, nil
}

// unreadable says where reading stopped, and nothing of what stands there.
func unreadable(err error) error {
	words := "This document cannot be read."
	var at *gqlerror.Error
	if errors.As(err, &at) && len(at.Locations) > 0 {
		return refuse(portal.ProblemRequest, "%s Look at line %d, column %d.", words, at.Locations[0].Line, at.Locations[0].Column)
	}
	return refuse(portal.ProblemRequest, "%s", words)
}

// choose sees that the name of an operation chooses one.
func (d *document) choose(wanted string) error {
	found := 0
	for i, o := range d.operations {
		if slices.ContainsFunc(d.operations[:i], func(other *ast.OperationDefinition) bool { return other.Name == o.Name }) {
			return refuse(portal.ProblemRequest, "Two operations of this document have one name, or none.")
		}
		if wanted == "" || o.Name == wanted {
			found++
		}
	}
	if found != 1 {
		return refuse(portal.ProblemRequest, "operationName does not say which operation of this document is meant.")
	}
	return nil
}

// below is how deep a fragment goes; each is looked at once, however often it is spread.
func (d *document) below(fragment string) (int, error) {
	f := d.named[fragment]
	if f == nil {
		return 0, refuse(portal.ProblemRequest, "The fragment %q is not in this document.", short(fragment))
	}
	if n, known := d.depth[fragment]; known {
		if n == 0 {
			return 0, errCircle
		}
		return n, nil
	}
	d.depth[fragment] = 0
	n, err := d.measure(f.SelectionSet)
	if err != nil {
		return 0, err
	}
	if n > deepest {
		return 0, errFields
	}
	d.depth[fragment] = n
	return n, nil
}

// measure is how deep selections go, themselves included. On the way it collects the names of fields.
func (d *document) measure(set ast.SelectionSet) (int, error) {
	most := 0
	for _, s := range set {
		var n int
		var err error
		switch s := s.(type) {
		case *ast.Field:
			if !d.seen[s.Name] {
				d.seen[s.Name] = true
				d.fields = append(d.fields, s.Name)
			}
			if s.Alias != s.Name {
				d.aliases++
			}
			if err = shallow(s.Arguments, s.Directives); err == nil {
				n, err = d.measure(s.SelectionSet)
			}
		case *ast.InlineFragment:
			if n, err = d.measure(s.SelectionSet); n > 0 {
				n-- // it is no level of its own
			}
			err = errors.Join(err, shallow(nil, s.Directives))
		case *ast.FragmentSpread:
			if n, err = d.below(s.Name); n > 0 {
				n--
			}
			err = errors.Join(err, shallow(nil, s.Directives))
		}
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	if len(set) == 0 {
		return 0, nil
	}
	return most + 1, nil
}

// shallow bounds the values in arguments.
func shallow(args ast.ArgumentList, directives ast.DirectiveList) error {
	for _, a := range args {
		if !within(a.Value, deepestValue) {
			return errFields
		}
	}
	for _, x := range directives {
		if err := shallow(x.Arguments, nil); err != nil {
			return err
		}
	}
	return nil
}

func within(v *ast.Value, levels int) bool {
	if len(v.Children) == 0 {
		return true
	}
	for _, c := range v.Children {
		if levels == 0 || !within(c.Value, levels-1) {
			return false
		}
	}
	return true
}

// begin collects what an operation begins with, through fragments of every kind and whatever type they say they are for.
func (d *document) begin(set ast.SelectionSet, spread map[string]bool) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			if !slices.Contains(d.roots, s.Name) {
				d.roots = append(d.roots, s.Name)
			}
		case *ast.InlineFragment:
			d.begin(s.SelectionSet, spread)
		case *ast.FragmentSpread:
			if !spread[s.Name] {
				spread[s.Name] = true
				d.begin(d.named[s.Name].SelectionSet, spread)
			}
		}
	}
}

// introspects refuses a document that asks about the schema, wherever in it: an upstream may hand its queries on below
// another field.
func (d *document) introspects() error {
	for _, field := range d.fields {
		if strings.HasPrefix(field, "__") && field != "__typename" {
			return refuse(portal.ProblemOperation, "What can be asked here is not told.")
		}
	}
	return nil
}

func (d *document) changes() bool {
	return slices.ContainsFunc(d.operations, func(o *ast.OperationDefinition) bool { return o.Operation == ast.Mutation })
}
