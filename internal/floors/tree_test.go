package floors

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/portalgate/portalgate"

// root is the repository.
var root = filepath.Join("..", "..")

// source is a Go file, whatever system it is built for.
type source struct {
	name    string // from the root, with slashes
	pkg     string // its package as the picture names it
	test    bool
	lines   int
	text    string
	ast     *ast.File
	imports []string
}

var fset = token.NewFileSet()

// files calls do for every file of the repository that is kept.
func files(t *testing.T, do func(name string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "node_modules" || name == "dist" {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		do(name, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources are all Go files. Build constraints are not asked: a rule holds on every system.
func sources(t *testing.T) []source {
	t.Helper()
	read.Do(func() { everything = parse(t) })
	if len(everything) < 100 {
		t.Fatalf("only %d Go files: this does not look like the repository", len(everything))
	}
	return everything
}

var (
	read       sync.Once
	everything []source
)

func parse(t *testing.T) (out []source) {
	t.Helper()
	files(t, func(name string, content []byte) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") {
			return
		}
		f, err := parser.ParseFile(fset, name, content, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		s := source{name: name, pkg: short(path.Join(module, path.Dir(name))), test: strings.HasSuffix(name, "_test.go"),
			lines: bytes.Count(content, []byte("\n")), text: string(content), ast: f}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			s.imports = append(s.imports, p)
		}
		out = append(out, s)
	})
	return out
}

// short is a package of ours as the picture names it: admission, demo/erp, cmd/dev, caddymodule.
func short(p string) string {
	return strings.TrimPrefix(strings.TrimPrefix(p, module+"/"), "internal/")
}

// ours says whether an import is of this module, and how the picture names it.
func ours(p string) (string, bool) {
	if !strings.HasPrefix(p, module+"/") {
		return "", false
	}
	return short(p), true
}

// outside says whether an import is of neither this module nor the standard library.
func outside(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(p, module+"/")
}
