package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// banned are functions and variables that a library does not use.
var banned = map[string][]string{
	"os":  {"Getenv", "LookupEnv", "Environ", "Stdout", "Stderr", "Exit"},
	"fmt": {"Print", "Println", "Printf"},
	"log": {"Print", "Println", "Printf", "Fatal", "Fatalf"},
}

// forbidden lists what a library file should not contain.
func forbidden(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				list = append(list, "func init")
			}
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, name := range banned[pkg.Name] {
				if n.Sel.Name == name {
					list = append(list, pkg.Name+"."+name)
				}
			}
		}
		return true
	})
	return list
}
