package graphql

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// printer writes a document in its one form. The library's own leaves directives of variables out.
type printer struct{ strings.Builder }

func (d *document) print() string {
	var p printer
	for _, o := range d.operations {
		p.word(string(o.Operation))
		if o.Name != "" {
			p.word(o.Name)
		}
		p.variables(o.VariableDefinitions)
		p.directives(o.Directives)
		p.selections(o.SelectionSet)
	}
	for _, f := range d.fragments {
		p.word("fragment")
		p.word(f.Name)
		p.variables(f.VariableDefinition)
		p.word("on")
		p.word(f.TypeCondition)
		p.directives(f.Directives)
		p.selections(f.SelectionSet)
	}
	return p.String()
}

// word writes a token, and a space where two would run together.
func (p *printer) word(s string) {
	if p.Len() > 0 {
		switch p.String()[p.Len()-1] {
		case '{', '(', ' ':
		default:
			p.WriteByte(' ')
		}
	}
	p.WriteString(s)
}

func (p *printer) variables(list ast.VariableDefinitionList) {
	if len(list) == 0 {
		return
	}
	p.WriteByte('(')
	for _, v := range list {
		p.word("$" + v.Variable + ":" + v.Type.String())
		if v.DefaultValue != nil {
			p.word("= " + v.DefaultValue.String())
		}
		p.directives(v.Directives)
	}
	p.WriteByte(')')
}

func (p *printer) directives(list ast.DirectiveList) {
	for _, x := range list {
		p.word("@" + x.Name)
		p.arguments(x.Arguments)
	}
}

func (p *printer) arguments(list ast.ArgumentList) {
	if len(list) == 0 {
		return
	}
	p.WriteByte('(')
	for _, a := range list {
		p.word(a.Name + ":" + a.Value.String())
	}
	p.WriteByte(')')
}

func (p *printer) selections(set ast.SelectionSet) {
	if len(set) == 0 {
		return
	}
	p.WriteByte('{')
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			if s.Alias != s.Name {
				p.word(s.Alias + ":" + s.Name)
			} else {
				p.word(s.Name)
			}
			p.arguments(s.Arguments)
			p.directives(s.Directives)
			p.selections(s.SelectionSet)
		case *ast.InlineFragment:
			p.word("...")
			if s.TypeCondition != "" {
				p.word("on")
				p.word(s.TypeCondition)
			}
			p.directives(s.Directives)
			p.selections(s.SelectionSet)
		case *ast.FragmentSpread:
			p.word("..." + s.Name)
			p.directives(s.Directives)
		}
	}
	p.WriteByte('}')
}
