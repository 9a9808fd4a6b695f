// Package docs_test keeps the documents true: links lead somewhere, what they
// say of the code stands in the code, promises name their tests, and the route
// table is the one that is served.
package docs_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/imds"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/tokenapi"
)

// root is the top of the repository, seen from this package.
const root = ".."

// documents are the files that are checked, by their path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "interop/README.md"}
	found, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		paths = append(paths, "docs/"+name)
	}
	all := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		all[path] = string(text)
	}
	return all
}

// link is a Markdown link; its text has no backquotes.
type link struct {
	line         int
	text, target string
}

var (
	linkPattern  = regexp.MustCompile(`\[([^\[\]]+)\]\(([^()\s]+)\)`)
	fencePattern = regexp.MustCompile("^\\s*```")
)

// linksOf lists the links of a document; what stands in code fences is text.
func linksOf(document string) []link {
	var links []link
	fenced := false
	for i, line := range strings.Split(document, "\n") {
		if fencePattern.MatchString(line) {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		for _, m := range linkPattern.FindAllStringSubmatch(line, -1) {
			links = append(links, link{i + 1, strings.ReplaceAll(m[1], "`", ""), m[2]})
		}
	}
	return links
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := documents(t)
	for path, text := range all {
		for _, l := range linksOf(text) {
			if strings.Contains(l.target, "://") || strings.HasPrefix(l.target, "mailto:") {
				continue
			}
			file, heading, _ := strings.Cut(l.target, "#")
			to := filepath.Join(root, filepath.Dir(path), filepath.FromSlash(file))
			if file == "" {
				to = filepath.Join(root, path)
			}
			info, err := os.Stat(to)
			if err != nil {
				t.Errorf("%s:%d: the link to %s leads nowhere", path, l.line, l.target)
				continue
			}
			if heading == "" || info.IsDir() || filepath.Ext(to) != ".md" {
				continue
			}
			target, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			if !hasHeading(string(target), heading) {
				t.Errorf("%s:%d: %s has no heading #%s", path, l.line, file, heading)
			}
		}
	}
}

func hasHeading(document, anchor string) bool {
	for line := range strings.SplitSeq(document, "\n") {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		var slug strings.Builder
		for _, c := range strings.ToLower(strings.TrimSpace(title)) {
			switch {
			case c == ' ':
				slug.WriteByte('-')
			case c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z':
				slug.WriteRune(c)
			}
		}
		if slug.String() == anchor {
			return true
		}
	}
	return false
}

var (
	testName   = regexp.MustCompile(`^((?:Test|Fuzz|Benchmark)[A-Z]\w*)(?:/.*)?$`)
	identifier = regexp.MustCompile(`^(?:\w+\.)?([A-Za-z_]\w*)(?:\(\))?$`)
	assignment = regexp.MustCompile(`^[A-Za-z_][\w.]*\s*=\s*\S`)
	blanks     = regexp.MustCompile(`\s+`)
)

// TestCodeSaysWhatIsClaimed holds links into Go files to their text: a test
// must be a function there, an identifier must stand there, and so must a
// value such as "maxForm = 64 << 10".
func TestCodeSaysWhatIsClaimed(t *testing.T) {
	for path, text := range documents(t) {
		for _, l := range linksOf(text) {
			to := filepath.Join(root, filepath.Dir(path), filepath.FromSlash(l.target))
			isGo := strings.HasSuffix(l.target, ".go")
			if name := testName.FindStringSubmatch(l.text); name != nil {
				if !isGo {
					t.Errorf("%s:%d: %s must link to the Go file that holds it", path, l.line, l.text)
				} else if !contains(t, to, `(?m)^func `+name[1]+`\(`) {
					t.Errorf("%s:%d: there is no %s in %s", path, l.line, name[1], l.target)
				}
				continue
			}
			switch {
			case !isGo:
			case assignment.MatchString(l.text):
				source, err := os.ReadFile(to)
				if err != nil {
					continue // reported by TestLinksLeadSomewhere
				}
				flat := strings.ReplaceAll(blanks.ReplaceAllString(string(source), " "), ": ", " = ")
				if !strings.Contains(flat, l.text) {
					t.Errorf("%s:%d: %s does not say %q", path, l.line, l.target, l.text)
				}
			case identifier.MatchString(l.text) && !strings.HasSuffix(l.text, ".go"):
				name := identifier.FindStringSubmatch(l.text)[1]
				if !contains(t, to, `\b`+name+`\b`) {
					t.Errorf("%s:%d: there is no %s in %s", path, l.line, name, l.target)
				}
			}
		}
	}
}

func contains(t *testing.T, path, pattern string) bool {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		return true // reported by TestLinksLeadSomewhere
	}
	return regexp.MustCompile(pattern).Match(source)
}

// TestRefusalsAreListed: every reason and every code stands in the story of a
// token.
func TestRefusalsAreListed(t *testing.T) {
	story := documents(t)["docs/token-exchange.md"]
	for path, pattern := range map[string]string{
		"internal/trust/reason.go":       `Reason = "([a-z0-9-]+)"`,
		"internal/tokenapi/errors.go":    `(?:invalid\w+|unauthorizedClient)\((\d{5,7}),|code: (\d{5,7}),`,
		"internal/tokenapi/discovery.go": `code: (\d{5,7}),`,
	} {
		source, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1)
		if len(found) == 0 {
			t.Errorf("%s: nothing like %s is found there", path, pattern)
		}
		for _, m := range found {
			word := strings.Join(m[1:], "")
			if !regexp.MustCompile(`[| \x60]` + word + `[| \x60,]`).MatchString(story) {
				t.Errorf("docs/token-exchange.md does not mention %s of %s", word, path)
			}
		}
	}
}

// TestFilesOfTheDocumentsParse holds the directory files in the documents to
// the decoder.
func TestFilesOfTheDocumentsParse(t *testing.T) {
	files := 0
	for path, text := range documents(t) {
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(block[1], "tenants:") {
				continue
			}
			files++
			if _, err := config.ParseDirectory(path, []byte(block[1])); err != nil {
				t.Error(err)
			}
		}
	}
	if files == 0 {
		t.Error("no document shows a directory file")
	}
}

// openRow marks, in a table, a promise that nothing proves yet.
const openRow = "no test yet"

// TestEveryPromiseNamesItsTest: a row of the two tables links to what proves
// it in its last cell, or says plainly that nothing does. A test or a script
// that is named without a link is a mistake, because nobody checks it.
func TestEveryPromiseNamesItsTest(t *testing.T) {
	all := documents(t)
	bareTest := regexp.MustCompile("`(?:Test|Fuzz|Benchmark)[A-Z]\\w*[^`]*`")
	for _, path := range []string{"docs/parity.md", "docs/divergences.md"} {
		rows, open := 0, 0
		for i, line := range strings.Split(all[path], "\n") {
			for _, code := range bareTest.FindAllString(linkPattern.ReplaceAllString(line, ""), -1) {
				t.Errorf("%s:%d: %s is named without a link", path, i+1, code)
			}
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			if !strings.HasPrefix(line, "|") || strings.HasPrefix(strings.TrimSpace(cells[0]), "---") {
				continue
			}
			last := strings.TrimSpace(cells[len(cells)-1])
			if last == "test" {
				continue // the head of a table
			}
			rows++
			switch {
			case strings.Contains(last, openRow):
				open++
			case !linkPattern.MatchString(last):
				t.Errorf("%s:%d: the row names no test", path, i+1)
			}
		}
		if rows == 0 {
			t.Errorf("%s has no rows", path)
		}
		t.Logf("%s: %d rows, %d without a test", path, rows, open)
	}
}

// TestRouteTable compares docs/route-table.md with the routes that are served.
func TestRouteTable(t *testing.T) {
	table := make(map[string]string)
	for line := range strings.SplitSeq(documents(t)["docs/route-table.md"], "\n") {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`/") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		table[cells[0]+" "+cells[1]] = strings.Join(cells[2:5], " | ")
	}

	tokens, err := tokenapi.New(tokenapi.Config{}).Handler()
	if err != nil {
		t.Fatal(err)
	}
	service := imds.New(imds.Config{})
	apps, err := service.AppService(imds.NewSecrets(), "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	machine, err := service.VirtualMachine(directory.NewTenantID(), directory.NewObjectID(), "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	for _, handler := range []http.Handler{tokens, apps, machine} {
		mux, ok := handler.(*route.Mux)
		if !ok {
			t.Fatalf("a surface is a %T, not a route table", handler)
		}
		for _, r := range mux.Routes() {
			served++
			key := r.Method + " " + r.Path
			want := strings.Join([]string{authenticators[r.Auth], size(r.MaxBody), seconds(r.Timeout)}, " | ")
			if got := table[key]; got != want {
				t.Errorf("docs/route-table.md has %q for %s, want %q", got, key, want)
			}
			delete(table, key)
		}
	}
	for key, cells := range table {
		// The control socket's routes are not exported; they are told apart by
		// their authenticator.
		if !strings.HasPrefix(cells, authenticators[route.SameUser]) {
			t.Errorf("docs/route-table.md lists %s, which is not served", key)
		}
	}
	if served == 0 {
		t.Error("no routes are served")
	}
}

var authenticators = map[route.Auth]string{
	route.Public: "none", route.ClientProof: "client assertion", route.HostAddress: "host address",
	route.HostSecret: "host secret", route.SameUser: "same user",
}

func size(n int64) string {
	switch {
	case n == 0:
		return "none read"
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%d s", int(d/time.Second)) }

// TestFrontPageLinksEveryDocument: what the front page does not lead to is not
// found by the people it was written for.
func TestFrontPageLinksEveryDocument(t *testing.T) {
	all := documents(t)
	for path := range all {
		if strings.HasPrefix(path, "docs/") && !strings.Contains(all["README.md"], "("+path) {
			t.Errorf("README.md does not link to %s", path)
		}
	}
}
