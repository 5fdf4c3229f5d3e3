package floors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Cryptography has one place (M18): secret, and password for hashing. What stands here besides is neither a key nor a
// secret's protection, and says what it is.
var cryptography = []struct{ pkg, what, why string }{
	{"secret", "*", "the one place"},
	{"password", "golang.org/x/crypto", "password hashing is its own subject, with its own bounds"},
	{"password", "crypto/rand", "salts"},
	{"password", "crypto/subtle", "hashes are compared in constant time"},
	{"password", "crypto/sha1", "the lists of stolen passwords are kept under it"},
	{"store", "crypto/sha256", "an address's row in lockouts, and a stored hash that the ERP may have changed, are named by digest"},
	{"ratelimit", "crypto/rand", "two charges of one moment are told apart in Redis"},
	{"ratelimit", "crypto/sha256", "Redis is told digests and not addresses"},
	{"factor", "crypto/sha256", "a passkey is found by the digest of its id, which is public"},
	{"mail", "crypto/ecdsa", "SendGrid signs its events with it, and the key is theirs"},
	{"mail", "crypto/elliptic", "the curve of that key"},
	{"mail", "crypto/sha256", "what SendGrid and SNS sign is a digest"},
	{"mail", "crypto/rsa", "SNS signs with it, and the key is theirs"},
	{"mail", "crypto/sha1", "SNS signs by it where a topic has not been set otherwise"},
	{"pages", "crypto/sha256", "a static file's name holds its content's digest"},
	{"caddymodule", "crypto/sha256", "settings are compared by digest: they hold secrets"},
	{"cmd/dev", "golang.org/x/crypto", "a bench compares a sign-in with the bare hash"},
	{"cmd/dev", "crypto/sha256", "files are compared before and after generating"},
	{"demo/npm", "crypto/sha512", "a fetched package is the one whose digest is written here"},
	{"demo/erp", "crypto/ecdsa", "an upstream that checks assertions with the gate's public keys"},
	{"demo/erp", "crypto/elliptic", "an upstream that checks assertions with the gate's public keys"},
	{"demo/erp", "crypto/sha256", "the old backend keeps documents under it, and so does its double"},
	{"demo/sink", "crypto/ecdsa", "certificates of a mail server for tests"},
	{"demo/sink", "crypto/elliptic", "certificates of a mail server for tests"},
	{"demo/sink", "crypto/rand", "certificates of a mail server for tests"},
	{"demo/sink", "crypto/x509/pkix", "certificates of a mail server for tests"},
	{"testenv", "crypto/sha256", "what a device with passkeys signs"},
	{"testenv", "crypto/rand", "names of throwaway databases"},
}

func TestCryptographyHasOnePlace(t *testing.T) { // M18
	used := map[int]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, i := range s.imports {
			primitive := strings.HasPrefix(i, "crypto/") && i != "crypto/tls" && i != "crypto/x509" || strings.HasPrefix(i, "golang.org/x/crypto/")
			if !primitive {
				continue
			}
			allowed := false
			for n, c := range cryptography {
				if c.pkg == s.pkg && (c.what == "*" || i == c.what || strings.HasPrefix(i, c.what+"/")) {
					allowed, used[n] = true, true
				}
			}
			if !allowed {
				t.Errorf("%s imports %s; cryptography belongs to package secret", s.name, i)
			}
		}
	}
	for n, c := range cryptography {
		if !used[n] {
			t.Errorf("%s does not use %s any more; take the line out", c.pkg, c.what)
		}
	}
}

func TestNothingIsDrawnFromAWeakGenerator(t *testing.T) { // KEY-05, M18
	for _, s := range sources(t) {
		for _, i := range s.imports {
			if !s.test && (i == "math/rand" || i == "math/rand/v2") {
				t.Errorf("%s imports %s, whose numbers can be foretold; use crypto/rand", s.name, i)
			}
			if i == "crypto/sha1" && (s.pkg == "password" || s.test && (s.pkg == "breach" || s.pkg == "caddymodule" || s.pkg == "auth")) {
				continue // the lists of stolen passwords are kept under it: it names, and protects nothing
			}
			if i == "crypto/sha1" && s.pkg == "mail" {
				continue // the providers' way of signing, which is theirs to change; a topic can be set to SHA-256
			}
			if strings.HasPrefix(i, "crypto/md5") || strings.HasPrefix(i, "crypto/sha1") || strings.HasPrefix(i, "crypto/des") || strings.HasPrefix(i, "crypto/rc4") {
				t.Errorf("%s imports %s, which is broken", s.name, i)
			}
		}
	}
}

// guarded are the packages that handle secrets in clear.
var guarded = []string{"secret", "password", "factor", "session", "auth", "upstream", "pages"}

// harmless are comparisons that look like one of a secret and are none: file, code, reason.
var harmless = []struct{ file, code, why string }{
	{"internal/secret/keyring.go", "sum != k.read", "has the file changed? Both sides are ours, nobody guesses"},
	{"internal/password/hasher.go", "p.text() != p.raw()", "did preparation change anything? Both sides are what the person typed"},
	{"internal/session/cookies.go", "strings.EqualFold(s[i:i+len(nameAccess)], nameAccess)", "a cookie's name, not its value"},
	{"internal/auth/signin.go", "now.Secret.Legacy != a.Secret.Legacy", "has the ERP changed the password meanwhile? Both sides were read from the database"},
}

func TestSecretsAreComparedInConstantTime(t *testing.T) { // KEY-05, M18
	used := map[int]bool{}
	for _, f := range compared(t) {
		ok := false
		for n, h := range harmless {
			if h.file == f.file && h.code == f.code {
				ok, used[n] = true, true
			}
		}
		if !ok {
			t.Errorf("%s:%d: %s tells by its time how much agrees; use secret.Equal", f.file, f.line, f.code)
		}
	}
	for n, h := range harmless {
		if !used[n] {
			t.Errorf("%s has no %q any more; take the line out", h.file, h.code)
		}
	}
}

type comparison struct {
	file, code string
	line       int
}

// secretish are names of things that somebody could guess at byte by byte.
var secretish = regexp.MustCompile(`(?i)(token|secret|password|passphrase|hash|digest|sum|mac|signature|code|pepper|phc|legacy|cookie|bearer|raw|refresh|access)(s|text|bytes)?$`)

// compared finds comparisons of secrets: by type (bytes, and named types made of bytes) or by name (texts).
func compared(t *testing.T) []comparison {
	t.Helper()
	imports := exported(t)
	var found []comparison
	for _, name := range guarded {
		var files []*ast.File
		var names []string
		for _, s := range sources(t) {
			if s.pkg != name || s.test {
				continue
			}
			if here, err := build.Default.MatchFile(path.Join(root, path.Dir(s.name)), path.Base(s.name)); err != nil {
				t.Fatal(err)
			} else if here {
				files, names = append(files, s.ast), append(names, s.name)
			}
		}
		if len(files) == 0 {
			t.Fatalf("there is no package %s", name)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		conf := types.Config{Importer: imports, GoVersion: "go1.26"}
		if _, err := conf.Check(path.Join(module, "internal", name), fset, files, info); err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok && leaks(info, e) {
					found = append(found, comparison{names[i], text(t, e), fset.Position(e.Pos()).Line})
				}
				return true
			})
		}
	}
	return found
}

// leaks says whether an expression compares a secret in the time of its agreement.
func leaks(info *types.Info, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if e.Op != token.EQL && e.Op != token.NEQ {
			return false
		}
		for _, side := range []ast.Expr{e.X, e.Y} {
			v := info.Types[side]
			if v.IsNil() || v.Value != nil { // a constant: is it empty, is it there?
				return false
			}
			if lit, ok := ast.Unparen(side).(*ast.CompositeLit); ok && len(lit.Elts) == 0 {
				return false // the zero value
			}
		}
		return secretValue(info, e.X) || secretValue(info, e.Y)
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		p, ok := f.X.(*ast.Ident)
		if !ok {
			return false
		}
		switch p.Name + "." + f.Sel.Name {
		case "bytes.Equal", "bytes.Compare", "bytes.EqualFold", "strings.Compare", "strings.EqualFold", "slices.Equal", "reflect.DeepEqual", "slices.Compare":
			return slices.ContainsFunc(e.Args, func(a ast.Expr) bool { return secretValue(info, a) })
		}
	}
	return false
}

func secretValue(info *types.Info, e ast.Expr) bool {
	e = ast.Unparen(e)
	kind := info.Types[e].Type
	if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 && info.Types[call.Fun].IsType() {
		if secretValue(info, call.Args[0]) {
			return true // string(digest) is the digest still
		}
	}
	if s, ok := e.(*ast.SliceExpr); ok {
		return secretValue(info, s.X)
	}
	switch u := kind.Underlying().(type) {
	case *types.Array: // 16 bytes are an id, unless their name says otherwise
		if b, ok := u.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 && u.Len() > 16 {
			return true
		}
		return secretish.MatchString(last(e))
	case *types.Slice:
		b, ok := u.Elem().Underlying().(*types.Basic)
		return ok && b.Kind() == types.Uint8 && secretish.MatchString(last(e))
	case *types.Basic:
		return u.Info()&types.IsString != 0 && secretish.MatchString(last(e))
	case *types.Struct: // secret.Token and its like
		named, ok := kind.(*types.Named)
		return ok && secretish.MatchString(named.Obj().Name())
	}
	return false
}

// last is the name an expression ends in.
func last(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr:
		return last(e.X)
	case *ast.CallExpr:
		return last(e.Fun)
	}
	return ""
}

func text(t *testing.T, e ast.Expr) string {
	t.Helper()
	p := fset.Position(e.Pos())
	b, err := os.ReadFile(p.Filename)
	if err != nil {
		b, err = os.ReadFile(path.Join(root, p.Filename))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b[p.Offset:fset.Position(e.End()).Offset])
}

// exported imports what the guarded packages import, from the go command's export data.
func exported(t *testing.T) types.Importer {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export"}
	for _, g := range guarded {
		args = append(args, module+"/internal/"+g)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &complaint)
	}
	where := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		where[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) {
		if where[p] == "" {
			return nil, fmt.Errorf("no export data of %s", p)
		}
		return os.Open(where[p])
	})
}
