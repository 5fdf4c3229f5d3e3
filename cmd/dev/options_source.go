package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// settingsSource is what package caddymodule says about its configuration, read from its source: no part of it is run, so that
// the runner need not be built with Caddy.
type settingsSource struct {
	sections []*section

	structs  map[string]*structure
	parsers  map[string]*ast.FuncDecl // by name, methods as Type.Name
	selected map[*ast.SelectorExpr]*types.Var
	fields   map[types.Object]field // where a field stands
}

// section is one module of Caddy's with its options.
type section struct {
	title, id, comment, grammar string
	options                     []option
	names                       map[string]bool // paths that the parser reads, such as "sessions idle"
}

// option is one JSON field.
type option struct {
	json, kind, def, says string
	caddyfile             []string // the subdirectives that fill it, with their arguments
}

type structure struct {
	doc    string
	fields []field
}

type field struct {
	owner, tag, kind, doc string
	object                types.Object
}

// The modules that are configured, in the order of the reference: the struct, the parser whose comment is the grammar,
// and the method that reads it.
var configured = []struct{ title, id, structure, grammar, parser string }{
	{"Global option `portalgate`", "portalgate", "App", "parseGlobal", "App.options"},
	{"Directive `portalgate`", "http.handlers.portalgate", "Handler", "parseDirective", "Handler.options"},
	{"Directive `portalgate_mail_events`", "http.handlers.portalgate_mail_events", "MailEvents", "parseMailEvents", "MailEvents.UnmarshalCaddyfile"},
	{"Matcher `portalgate`", "http.matchers.portalgate", "Matcher", "Matcher.UnmarshalCaddyfile", "Matcher.UnmarshalCaddyfile"},
	{"Mail provider `smtp`", "portalgate.mail.smtp", "MailSMTP", "MailSMTP.UnmarshalCaddyfile", "MailSMTP.UnmarshalCaddyfile"},
	{"Mail provider `ses`", "portalgate.mail.ses", "MailSES", "MailSES.UnmarshalCaddyfile", "MailSES.UnmarshalCaddyfile"},
	{"Mail provider `sendgrid`", "portalgate.mail.sendgrid", "MailSendGrid", "MailSendGrid.UnmarshalCaddyfile", "MailSendGrid.UnmarshalCaddyfile"},
	{"Mail provider `capture`", "portalgate.mail.capture", "MailCapture", "MailCapture.UnmarshalCaddyfile", "MailCapture.UnmarshalCaddyfile"},
	{"Mail providers, one after the other: `failover`", "portalgate.mail.failover", "MailFailover", "MailFailover.UnmarshalCaddyfile", "MailFailover.UnmarshalCaddyfile"},
	{"Mail providers, side by side: `split`", "portalgate.mail.split", "MailSplit", "MailSplit.UnmarshalCaddyfile", "MailSplit.UnmarshalCaddyfile"},
	{"Text message provider `twilio`", "portalgate.sms.twilio", "SMSTwilio", "SMSTwilio.UnmarshalCaddyfile", "SMSTwilio.UnmarshalCaddyfile"},
	{"Text message provider `webhook`", "portalgate.sms.webhook", "SMSWebhook", "SMSWebhook.UnmarshalCaddyfile", "SMSWebhook.UnmarshalCaddyfile"},
	{"Text message provider `capture`", "portalgate.sms.capture", "SMSCapture", "SMSCapture.UnmarshalCaddyfile", "SMSCapture.UnmarshalCaddyfile"},
	{"Certificates: `permission portalgate`", "tls.permission.portalgate", "Permission", "", "Permission.UnmarshalCaddyfile"},
}

func readModule(dir string) (*settingsSource, error) {
	m := &settingsSource{structs: map[string]*structure{}, parsers: map[string]*ast.FuncDecl{}, fields: map[types.Object]field{}, selected: map[*ast.SelectorExpr]*types.Var{}}
	files, info, err := typecheck(dir)
	if err != nil {
		return nil, err
	}
	for e, s := range info.Selections {
		if v, ok := s.Obj().(*types.Var); ok && v.IsField() {
			m.selected[e] = v
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				m.parsers[functionName(d)] = d
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if t, ok := s.(*ast.TypeSpec); ok {
						m.readStruct(t, d, info)
					}
				}
			}
		}
	}
	for _, c := range configured {
		s := &section{title: c.title, id: c.id, names: map[string]bool{}}
		st, ok := m.structs[c.structure]
		if !ok || m.parsers[c.parser] == nil || c.grammar != "" && m.parsers[c.grammar] == nil {
			return nil, fmt.Errorf("caddymodule has no %s, or nothing that reads it", c.structure)
		}
		s.comment = oneLine(st.doc)
		if c.grammar != "" {
			s.grammar = grammarBlock(m.parsers[c.grammar].Doc)
		}
		written := map[types.Object][]string{}
		m.parse(m.parsers[c.parser].Body, "", s.names, written)
		syntax := grammarArguments(s.grammar)
		m.list(s, c.structure, "", written, syntax)
		m.sections = append(m.sections, s)
	}
	return m, nil
}

// typecheck resolves which field a selector means. What comes from other packages stays unknown, which is no error here.
func typecheck(dir string) ([]*ast.File, *types.Info, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_windows.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, fmt.Errorf("reading a source: %w", err)
		}
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return nil, nil, fmt.Errorf("reading a source: %w", err)
		}
		files = append(files, f)
	}
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = conf.Check("caddymodule", fset, files, info) // it complains about every import
	return files, info, nil
}

type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not looked at") }

func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	if i, ok := t.(*ast.Ident); ok {
		return i.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

func (m *settingsSource) readStruct(t *ast.TypeSpec, d *ast.GenDecl, info *types.Info) {
	st, ok := t.Type.(*ast.StructType)
	if !ok {
		return
	}
	doc := t.Doc
	if doc == nil {
		doc = d.Doc
	}
	s := &structure{doc: doc.Text()}
	for _, f := range st.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 || !f.Names[0].IsExported() {
			continue
		}
		raw, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue
		}
		tag, _, _ := strings.Cut(reflect.StructTag(raw).Get("json"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		x := field{owner: t.Name.Name, tag: tag, kind: types.ExprString(f.Type), doc: oneLine(f.Doc.Text()), object: info.Defs[f.Names[0]]}
		s.fields = append(s.fields, x)
		m.fields[x.object] = x
	}
	m.structs[t.Name.Name] = s
}

// parse walks a parser and notes every subdirective with the field that it fills.
func (m *settingsSource) parse(n ast.Node, parent string, names map[string]bool, written map[types.Object][]string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			// A helper that makes an option, such as bearerOption(&a.UpstreamToken), has its block in its own body.
			if f, ok := call.Fun.(*ast.Ident); ok && strings.HasSuffix(f.Name, "Option") && m.parsers[f.Name] != nil {
				m.parse(m.parsers[f.Name].Body, parent, names, written)
			}
		}
		lit, ok := n.(*ast.CompositeLit)
		if !ok || !optionMap(lit) {
			return true
		}
		for _, e := range lit.Elts {
			pair, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			key, ok := pair.Key.(*ast.BasicLit)
			if !ok {
				continue
			}
			name, err := strconv.Unquote(key.Value)
			if err != nil {
				continue
			}
			p := strings.TrimSpace(parent + " " + name)
			names[p] = true
			m.fill(pair.Value, p, written)
			m.parse(pair.Value, p, names, written)
		}
		return false
	})
}

// fill notes the fields that an option's own part selects, blocks below it left out.
func (m *settingsSource) fill(n ast.Node, p string, written map[types.Object][]string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok && optionMap(lit) {
			return false
		}
		e, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if v := m.selected[e]; v != nil {
			if _, ours := m.fields[v]; ours && !slices.Contains(written[v], p) {
				written[v] = append(written[v], p)
			}
			return false // a.Mail.From is From
		}
		return true
	})
}

func optionMap(l *ast.CompositeLit) bool {
	t, ok := l.Type.(*ast.MapType)
	if !ok {
		return false
	}
	v, ok := t.Value.(*ast.Ident)
	return ok && v.Name == "option"
}

// list writes a struct's fields, and those of the structs in them, into a section.
func (m *settingsSource) list(s *section, name, path string, written map[types.Object][]string, syntax map[string]string) {
	for _, f := range m.structs[name].fields {
		at := path + f.tag
		o := option{json: at, kind: kindOf(f.kind)}
		o.says, o.def = sentence(f.doc)
		for _, p := range written[f.object] {
			if name, _, found := strings.Cut(at, "s.*."); found && !strings.HasPrefix(p, strings.ReplaceAll(name, ".", " ")+" ") {
				continue // the block of another name has the same fields
			}
			o.caddyfile = append(o.caddyfile, strings.TrimSpace(p+" "+syntax[p]))
		}
		if p := strings.ReplaceAll(at, ".", " "); len(o.caddyfile) == 0 && s.names[p] {
			o.caddyfile = []string{p} // a block that is only the sum of what is in it
		}
		s.options = append(s.options, o)
		element := strings.TrimLeft(strings.TrimPrefix(f.kind, "map[string]"), "[]*")
		if m.structs[element] != nil {
			below := at + "."
			if strings.HasPrefix(f.kind, "map[") {
				below = at + ".*."
			}
			if strings.HasPrefix(f.kind, "[]") {
				below = at + "[]."
			}
			m.list(s, element, below, written, syntax)
		}
	}
}

func kindOf(t string) string {
	switch strings.TrimLeft(t, "*") {
	case "string":
		return "text"
	case "int":
		return "whole number"
	case "bool":
		return "true or false"
	case "caddy.Duration":
		return "duration"
	case "[]string":
		return "list of texts"
	case "map[string]string":
		return "texts by name"
	}
	switch {
	case strings.HasPrefix(t, "[]"):
		return "list of blocks"
	case strings.HasPrefix(t, "map["):
		return "blocks by name"
	case t == "json.RawMessage":
		return "module"
	}
	return "block"
}

var defaults = regexp.MustCompile(`(?:Default: (.+?)|(Required))\.(?: |$)`)

// sentence parts a comment into what it says and the default.
func sentence(doc string) (says, def string) {
	m := defaults.FindStringSubmatchIndex(doc)
	if m != nil {
		if m[2] >= 0 {
			def = doc[m[2]:m[3]]
		} else {
			def = "required"
		}
		doc = strings.TrimSpace(strings.TrimSpace(doc[:m[0]]) + " " + strings.TrimSpace(doc[m[1]:]))
	}
	if !strings.HasSuffix(doc, ".") {
		return "", def
	}
	return doc, def
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// grammarBlock is the indented part of a parser's comment.
func grammarBlock(doc *ast.CommentGroup) string {
	var b strings.Builder
	if doc == nil {
		return ""
	}
	for _, l := range doc.List {
		if line, ok := strings.CutPrefix(l.Text, "//\t"); ok {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// grammarWalk calls do for every subdirective of a grammar with its path and what follows it in its line.
func grammarWalk(grammar string, do func(path, arguments string)) {
	var open []string
	for _, line := range strings.Split(grammar, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "}" {
			open = open[:max(0, len(open)-1)]
			continue
		}
		block := words[len(words)-1] == "{"
		if block {
			words = words[:len(words)-1]
		}
		if len(open) > 0 && !strings.HasPrefix(words[0], "<") { // the first line names the whole; <…> has a reference of its own
			for _, name := range strings.Split(words[0], "|") {
				do(strings.TrimSpace(strings.Join(append(append([]string{}, open[1:]...), name), " ")), strings.Join(words[1:], " "))
			}
		}
		if block {
			open = append(open, words[0])
		}
	}
}

func grammarPaths(grammar string) []string {
	var out []string
	grammarWalk(grammar, func(path, _ string) { out = append(out, path) })
	sort.Strings(out)
	return out
}

func grammarArguments(grammar string) map[string]string {
	out := map[string]string{}
	grammarWalk(grammar, func(path, arguments string) { out[path] = arguments })
	return out
}
