package store_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/testenv"
)

// query is a statement of this package, and the function that runs it.
type query struct{ by, sql string }

// book is the package's own source.
type book struct {
	files  *token.FileSet
	consts map[string]ast.Expr
	funcs  []*ast.FuncDecl
}

func read(t *testing.T) book {
	t.Helper()
	b := book{files: token.NewFileSet(), consts: map[string]ast.Expr{}}
	names, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if !strings.HasSuffix(n.Name(), ".go") || strings.HasSuffix(n.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(b.files, n.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if n.Name() != "line.go" { // it hands on what the others say
					b.funcs = append(b.funcs, d)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.CONST {
						for i, name := range v.Names {
							if i < len(v.Values) {
								b.consts[name.Name] = v.Values[i]
							}
						}
					}
				}
			}
		}
	}
	return b
}

// calls do for every call of one of these methods or functions.
func (b book) calls(names []string, do func(in *ast.FuncDecl, name string, args []ast.Expr)) {
	for _, f := range b.funcs {
		if f.Body == nil {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				name := ""
				switch fun := c.Fun.(type) {
				case *ast.SelectorExpr:
					name = fun.Sel.Name
				case *ast.Ident:
					name = fun.Name
				}
				if slices.Contains(names, name) {
					do(f, name, c.Args)
				}
			}
			return true
		})
	}
}

// texts are what an expression can be: literals, constants of the package and sums of them; and for a parameter of the
// function, whatever the package passes for it. Anything else is text that somebody outside could have a hand in.
func (b book) texts(in *ast.FuncDecl, e ast.Expr) ([]query, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return b.texts(in, e.X)
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return []query{{in.Name.Name, s}}, err
	case *ast.BinaryExpr:
		left, err := b.texts(in, e.X)
		if err != nil {
			return nil, err
		}
		right, err := b.texts(in, e.Y)
		if err != nil || e.Op != token.ADD {
			return nil, fmt.Errorf("%s: %v, %w", b.files.Position(e.Pos()), e.Op, err)
		}
		var out []query
		for _, l := range left {
			for _, r := range right {
				by := l.by
				if by == in.Name.Name {
					by = r.by
				}
				out = append(out, query{by, l.sql + r.sql})
			}
		}
		return out, nil
	case *ast.Ident:
		if c, ok := b.consts[e.Name]; ok {
			return b.texts(in, c)
		}
		at := 0
		for _, field := range in.Type.Params.List {
			for _, name := range field.Names {
				if name.Name == e.Name {
					return b.passed(in, at)
				}
				at++
			}
		}
	}
	return nil, fmt.Errorf("%s: %s runs SQL that is not constant", b.files.Position(e.Pos()), in.Name.Name)
}

// passed are the texts that the package passes as the nth argument of one of its functions.
func (b book) passed(f *ast.FuncDecl, n int) (out []query, err error) {
	if f.Name.IsExported() {
		return nil, fmt.Errorf("%s: %s takes SQL from outside", b.files.Position(f.Pos()), f.Name.Name)
	}
	b.calls([]string{f.Name.Name}, func(in *ast.FuncDecl, _ string, args []ast.Expr) {
		if n < len(args) && err == nil {
			var more []query
			more, err = b.texts(in, args[n])
			out = append(out, more...)
		}
	})
	return out, err
}

// TEN-10: no statement has a part that is not written here. What comes from outside is a parameter.
func queries(t *testing.T) (out []query) {
	t.Helper()
	b := read(t)
	seen := map[query]bool{}
	b.calls([]string{"Exec", "Query", "QueryRow", "Queue", "Later", "Prepare", "SendBatch", "CopyFrom"}, func(in *ast.FuncDecl, name string, args []ast.Expr) {
		at := 1
		switch {
		case name == "Queue":
			at = 0
		case name == "SendBatch", name == "Query" && len(args) == 1: // its statements stand in Queue
			return
		case name == "CopyFrom":
			t.Errorf("%s copies; this test does not know how to look at that", in.Name.Name)
			return
		}
		found, err := b.texts(in, args[at])
		if err != nil {
			t.Error(err)
		}
		for _, q := range found {
			if !seen[q] {
				seen[q] = true
				out = append(out, q)
			}
		}
	})
	return out
}

// Only commands run these, as an operator. The gateway may not.
var commands = []string{"AddCustomer", "AddHost", "AddTenant", "BeginRecovery", "Erase", "MFA", "RemoveHost", "RenameTenant", "Unsuppress", "Verify", "ownCompany", "put"}

// Only the gateway runs these, or parts of them, and an operator may not: they are what opens an account.
var gateways = []string{"Account", "AmendAttempt", "Attempt", "BeginSession", "Capture", "Challenge", "ChooseCompany", "Claim", "Coarsen", "Deferred", "Departs", "Device", "DropLetters", "EndChallenge", "FactorAt", "Factors",
	"Forget", "ForgetAttempts", "ForgetDevices", "HandChallenge", "HeldBack", "Issued", "Knock", "MoveDevices", "Overrule", "PassChallenge", "Passed", "People", "Presented", "PutAttempt", "PutChallenge", "PutFactor",
	"PutTicket", "Queued", "Refresh", "RefundCode", "RefundTry", "RenameFactor", "ReplaceRefresh", "SawDevice", "SignedIn", "SpendAttempt", "SpendChallenge", "SpendTicket", "StepFactor", "SweepCaptured", "SweepDevices",
	"SweepLetters", "SweepLockouts", "SweepUnused", "TakeTurn", "Ticket", "Touch", "Undeliverable", "VoidTickets", "aging", "done", "spend"}

// Every statement is understood by a migrated database, and may be run by the role that runs it: a new one that needs a
// right which is not granted fails here, and not at somebody's sign-in.
func TestEveryStatementIsUnderstoodAndMayBeRun(t *testing.T) {
	t.Parallel()
	all := queries(t)
	if len(all) < 60 {
		t.Errorf("only %d statements were found", len(all))
	}
	db := testenv.Database(t)
	for who, refused := range map[string][]string{db.AppURL: commands, db.OperatorURL: gateways} {
		c := connect(t, who)
		if _, err := c.Exec(t.Context(), `set plan_cache_mode = force_generic_plan`); err != nil { // a plan for null alone may leave out what it asks for
			t.Fatal(err)
		}
		got := map[string]bool{}
		for i, q := range all {
			switch err := explained(t, c, fmt.Sprintf("q%d", i), q.sql); code(err) {
			case "":
				if err != nil {
					t.Fatal(err)
				}
			case denied:
				got[q.by] = true
			default:
				t.Errorf("%s: %v\n%s", q.by, err, q.sql)
			}
		}
		if got := slices.Sorted(maps.Keys(got)); !slices.Equal(got, refused) {
			t.Errorf("as %s these are refused: %q\nexpected %q", c.Config().User, got, refused)
		}
	}
}

// explained prepares a statement and has the server plan it, which asks for every right that running it would.
func explained(t *testing.T, c *pgx.Conn, name, sql string) error {
	t.Helper()
	if sql == "begin" || sql == "rollback" {
		return nil
	}
	if strings.HasPrefix(sql, "listen ") {
		_, err := c.Exec(t.Context(), sql)
		return err
	}
	d, err := c.Prepare(t.Context(), name, sql)
	if err != nil {
		return err
	}
	run := "explain execute " + name
	if n := len(d.ParamOIDs); n > 0 {
		run += "(null" + strings.Repeat(", null", n-1) + ")"
	}
	return c.PgConn().Exec(t.Context(), run).Close()
}
