// Package avouch holds the rules of the house that no compiler checks.
package avouch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/avouch/avouch/"

// layers lists the internal packages from the ground up: a package imports
// only what stands on an earlier line. Packages on one line do not import each
// other.
var layers = [][]string{
	{"problem", "fixture"},
	{"directory", "assertion", "keyring", "odata"},
	{"audit", "trust", "access", "token", "config", "keyring/openssl", "route"},
	{"manage", "sts"},
	{"store", "tokenapi", "armapi", "graphapi", "imds", "demo/resource"},
	{"store/storetest", "platform"},
	{"workload", "controlapi"},
	{"demo"},
}

// pure packages decide and tell; they know neither the web nor a database.
var pure = []string{"directory", "odata", "problem", "trust", "access", "token", "keyring", "sts", "manage"}

// surfaces answer requests; they reach the store through sts and manage only,
// and know nothing of each other.
var surfaces = []string{"tokenapi", "graphapi", "armapi", "imds", "webui"}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsPointOneWay(t *testing.T) {
	layer := make(map[string]int)
	for i, names := range layers {
		for _, name := range names {
			layer[module+"internal/"+name] = i
		}
	}
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.ImportPath, module+"internal/") {
			continue
		}
		own, ok := layer[p.ImportPath]
		if !ok {
			t.Errorf("%s stands on no layer: add it to the list where its imports allow", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if l, ok := layer[imported]; ok && l >= own {
				t.Errorf("%s imports %s, which does not stand below it", p.ImportPath, imported)
			}
		}
	}
}

func TestPurePackagesKnowNeitherWebNorDatabase(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, strings.TrimPrefix(p.ImportPath, module+"internal/")) {
			continue
		}
		for _, banned := range []string{"net/http", "database/sql"} {
			if slices.Contains(p.Deps, banned) {
				t.Errorf("%s depends on %s", p.ImportPath, banned)
			}
		}
	}
}

func TestSurfacesImportNeitherStoreNorEachOther(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"internal/")
		if !slices.Contains(surfaces, name) {
			continue
		}
		for _, imported := range p.Deps {
			other, internal := strings.CutPrefix(imported, module+"internal/")
			if internal && other != name && (other == "store" || slices.Contains(surfaces, other)) {
				t.Errorf("%s depends on %s", p.ImportPath, imported)
			}
		}
	}
}

// TestVerifierStandsAlone keeps the surface of the verifier small (threats S2):
// nothing of ours and nothing of others but the JOSE library.
func TestVerifierStandsAlone(t *testing.T) {
	for _, p := range packages(t) {
		switch strings.TrimPrefix(p.ImportPath, module) {
		case "internal/assertion":
			for _, imported := range p.Imports {
				if strings.Contains(imported, ".") && !strings.HasPrefix(imported, "github.com/go-jose/go-jose/") {
					t.Errorf("the verifier imports %s", imported)
				}
				if imported == "crypto/hmac" {
					t.Error("the verifier imports crypto/hmac: no symmetric algorithm exists (threats J2)")
				}
			}
		case "credential":
			for _, imported := range p.Imports {
				if strings.HasPrefix(imported, module+"internal/") {
					t.Errorf("credential imports %s", imported)
				}
			}
		}
	}
}

// TestDecisionComparesWhole keeps partial comparison out of the trust decision
// (threats J13): issuers, subjects and audiences are compared whole and exact.
// Explanations may look at parts; they decide nothing.
func TestDecisionComparesWhole(t *testing.T) {
	banned := []string{"HasPrefix", "HasSuffix", "Contains", "ContainsAny", "Index", "Match", "MatchString", "Cut", "CutPrefix", "CutSuffix"}
	file, err := parser.ParseFile(token.NewFileSet(), "internal/trust/trust.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok && slices.Contains(banned, call.Sel.Name) {
			t.Errorf("the trust decision calls %s", call.Sel.Name)
		}
		return true
	})
	for _, p := range packages(t) {
		switch strings.TrimPrefix(p.ImportPath, module+"internal/") {
		case "trust", "sts", "assertion", "tokenapi", "imds":
			if slices.Contains(p.Imports, "regexp") {
				t.Errorf("%s imports regexp", p.ImportPath)
			}
		}
	}
}

// TestOnlyTheVerifierReadsTokens: whoever decodes base64url without being on
// this list may be parsing tokens on the side.
func TestOnlyTheVerifierReadsTokens(t *testing.T) {
	allowed := map[string]string{
		"assertion": "the verifier",
		"directory": "spells the ids of assignments and grants",
		"token":     "encodes what is signed",
		"sts":       "encodes token ids",
		"keyring":   "encodes key ids and the key file",
		"tokenapi":  "encodes key sets",
		"imds":      "encodes secrets",
	}
	for _, p := range packages(t) {
		name, internal := strings.CutPrefix(p.ImportPath, module+"internal/")
		if internal && slices.Contains(p.Imports, "encoding/base64") && allowed[name] == "" {
			t.Errorf("%s imports encoding/base64", p.ImportPath)
		}
	}
}
