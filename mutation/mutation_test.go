//go:build mutation && unix

// Package mutation breaks the verifier and the trust decision on purpose, one
// place at a time, and looks whether their own tests notice. Where none does, a
// check could be lost unseen (threats J16).
//
//	make mutation
package mutation

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// target is a package whose tests must notice its mutants.
type target struct {
	name string
	// whole are files that are left as they are.
	whole []string
	// absent are tests that are not run, as a regular expression. A mutant that only
	// they would notice is not noticed.
	absent string
	// extra writes a test file that the package gets in addition; nil for none.
	extra func(*testing.T) string
	// equal are the mutants that no test can notice, because nothing that can be
	// called behaves differently. The reason says why.
	equal map[site]string
}

var targets = []target{
	{
		name: "assertion",
		// The vectors take two seconds and notice nothing that the other tests miss;
		// the imports are read from the tree, where no mutant is.
		absent: "^(TestWycheproofSignatures|TestImports)$",
		extra:  readyKeys,
		equal: map[site]string{
			{"Parse", "defer recovered(&u, &err)", "left out", 1}: "no input is known that panics; the guard is for the unknown one",

			{"ParseKeySet", "defer recovered(&set, &err)", "left out", 1}:                                       "as in Parse",
			{"ParseKeySet", "defer func() { if err != nil { set, skipped = KeySet{}, nil } }()", "left out", 1}: "only after a panic is there anything to clear",
			{"ParseKeySet", "if err != nil { set, skipped = KeySet{}, nil", "dropped", 1}:                       "as above",
			{"ParseKeySet", "set, skipped = KeySet{}, nil", "left out", 1}:                                      "as above",

			{"newUsableKey", `if err != nil { return nil, errors.New("EC key is not on its curve")`, "dropped", 1}: "a point that is missing is not parsed either",
			{"newUsableKey", `if err != nil { return nil, errors.New("EC key is not on its curve")`, "dropped", 2}: "pointOf has already looked at the curve",
			{"newUsableKey", `return nil, errors.New("EC key is not on its curve")`, "returns nil", 2}:             "as above",

			{"validateRSA", "k.N.Sign() <= 0", "< for <=", 1}:           "zero is shorter than 2048 bits as well",
			{"ecFromJWK", "errX != nil || errY != nil", "&& for ||", 1}: "what does not decode does not have the curve's length",
			{"newMemory", "capacity < n", "<= for <", 1}:                "sixteen tokens fit into one shard as into sixteen",

			{"stringArray", "if raw[0] != '[' { return nil, false", "dropped", 1}: "parseArray refuses it; this saves the attempt",
			{"export", "if len(members) == 0 { return nil", "dropped", 1}:         "an empty slice is no members as well",
		},
	},
	{
		name: "trust",
		// They explain and lint. They decide nothing.
		whole: []string{"explain.go", "lint.go"},
		equal: map[site]string{
			{"foreignCloud", "if other.Name == own.Name { continue", "dropped", 1}: "at this point the issuer is not of the own cloud",
		},
	},
}

func TestMutantsAreKilled(t *testing.T) {
	for _, p := range targets {
		t.Run(p.name, func(t *testing.T) {
			began := time.Now()
			binary, mutants := build(t, p)
			killed := run(t, binary, mutants, testsOf(t, binary, p.absent))

			equal := 0
			missing := make(map[site]bool)
			for s := range p.equal {
				missing[s] = true
			}
			for i, m := range mutants {
				delete(missing, m.site)
				reason, listed := p.equal[m.site]
				switch {
				case listed && killed[i]:
					t.Errorf("%s: %s: a test notices %q %s, which is listed as %q: take it off the list", m.position, m.function, m.text, m.change, reason)
				case listed:
					equal++
				case !killed[i]:
					t.Errorf("%s: %s: no test notices %q %s", m.position, m.function, m.text, m.change)
				}
			}
			for s := range missing {
				t.Errorf("%s: %q %s is listed, but there is no such mutant", s.function, s.text, s.change)
			}
			t.Logf("%d mutants, %d of them equal to the original, in %v", len(mutants), equal, time.Since(began).Round(time.Second))
		})
	}
}

// run says of each mutant whether a test fails with it.
func run(t *testing.T, binary string, mutants []mutant, tests []timed) (killed []bool) {
	t.Helper()
	suites := make(map[string][]suite)
	for _, m := range mutants {
		if path := m.position.Filename; suites[path] == nil {
			suites[path] = suitesFor(t, path, tests)
		}
	}
	killed = make([]bool, len(mutants))
	queue := make(chan int)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for i := range queue {
				killed[i] = slices.ContainsFunc(suites[mutants[i].position.Filename], func(s suite) bool {
					return s.command(binary, mutants[i].number).Run() != nil
				})
			}
		})
	}
	for i := range mutants {
		queue <- i
	}
	close(queue)
	workers.Wait()
	return killed
}

// build compiles the tests of a package with all its mutants. The tree stays as it
// is: the compiler is told to read other files in its place.
func build(t *testing.T, p target) (binary string, mutants []mutant) {
	t.Helper()
	dir := t.TempDir()
	pkg, err := filepath.Abs(filepath.Join("..", "internal", p.name))
	if err != nil {
		t.Fatal(err)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	write := func(name string, text []byte) (path string) {
		path = filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(pkg, name)] = path
		return path
	}
	files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") || slices.Contains(p.whole, name) {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text, more, err := mutate("internal/"+p.name+"/"+name, source, len(mutants)+1)
		if err != nil {
			t.Fatal(err)
		}
		mutants = append(mutants, more...)
		write(name, text)
	}
	write("mutated.go", fmt.Appendf(nil, switchboard, p.name))
	if p.extra != nil {
		write("mutated_test.go", []byte(p.extra(t)))
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, p.name+".test")
	out, err := exec.Command("go", "test", "-c", "-overlay", write("overlay.json", list), "-o", binary, pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("the mutants do not compile: %v\n%s", err, out)
	}
	return binary, mutants
}

// readyKeys gives the verifier's tests the two RSA keys that they otherwise make in
// each run, which takes longer than most of them.
func readyKeys(t *testing.T) string {
	var keys []any
	for range 2 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)))
	}
	return fmt.Sprintf(`package assertion

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"sync"
)

func init() {
	ready := func(text string) func() *rsa.PrivateKey {
		return sync.OnceValue(func() *rsa.PrivateKey {
			return must(x509.ParsePKCS1PrivateKey(must(base64.StdEncoding.DecodeString(text))))
		})
	}
	rsaKey, otherRSA = ready(%q), ready(%q)
}
`, keys...)
}

// timed is a test of a package, and the seconds that it takes without a mutant.
type timed struct {
	name string
	took float64
}

var passed = regexp.MustCompile(`(?m)^--- PASS: (\w+) \(([0-9.]+)s\)$`)

// testsOf runs the tests without a mutant.
func testsOf(t *testing.T, binary, absent string) []timed {
	t.Helper()
	out, err := suite{{".*", 10}}.command(binary, 0, "-test.v", "-test.skip="+absent).CombinedOutput()
	if err != nil {
		t.Fatalf("the tests fail without a mutant: %v\n%s", err, out)
	}
	var tests []timed
	for _, match := range passed.FindAllSubmatch(out, -1) {
		seconds, err := strconv.ParseFloat(string(match[2]), 64)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, timed{string(match[1]), seconds})
	}
	return tests
}

// suite is what runs together.
type suite []timed

// suitesFor sorts the tests into those that stand beside a file and are likely to
// notice its mutants, quick ones and slow ones. Later suites run only for mutants
// that the earlier ones let pass.
func suitesFor(t *testing.T, path string, tests []timed) []suite {
	t.Helper()
	beside, err := os.ReadFile(filepath.Join("..", strings.TrimSuffix(path, ".go")+"_test.go"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	suites := make([]suite, 4)
	for _, test := range tests {
		i := 3
		switch {
		case test.took < 0.1 && bytes.Contains(beside, []byte("func "+test.name+"(")):
			i = 0
		case test.took < 0.01:
			i = 1
		case test.took < 0.1:
			i = 2
		}
		suites[i] = append(suites[i], test)
	}
	return slices.DeleteFunc(suites, func(s suite) bool { return len(s) == 0 })
}

// command runs the suite with one mutant alive, 0 for none. A mutant that runs away
// is ended when it has used a multiple of the usual time. It is time used, not time
// passed, so that a busy machine makes no difference.
func (s suite) command(binary string, mutant int, args ...string) *exec.Cmd {
	var names []string
	took := 0.0
	for _, test := range s {
		names = append(names, test.name)
		took += test.took
	}
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -t "$0" && exec "$@"`, strconv.Itoa(1 + int(3*took)), binary,
		"-test.run=^(" + strings.Join(names, "|") + ")$", "-test.failfast", "-test.short", "-test.timeout=60s",
		"-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=0s"}, args...)...)
	cmd.Dir = filepath.Dir(binary)
	// Two runs at a time fill two cores. Most end before it is worth collecting garbage.
	cmd.Env = append(os.Environ(), "AVOUCH_MUTANT="+strconv.Itoa(mutant), "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=512MiB")
	return cmd
}
