package docs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/armapi"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/graphapi"
)

// permissionRows are the two tables of docs/permissions.md as they should be.
func permissionRows() (graph, resources []string) {
	list := func(values []string) string {
		if len(values) == 0 {
			return "–"
		}
		return "`" + strings.Join(values, "`, `") + "`"
	}
	for _, op := range graphapi.New(graphapi.Config{Cloud: directory.Global()}).Routes() {
		var besides []string
		if op.Need.Action != "" {
			besides = append(besides, "`"+strings.TrimPrefix(op.Need.Action, "microsoft.directory/")+"`")
		}
		for what, is := range map[string]bool{"owner": op.Need.Owner, "self": op.Need.Self, "member": op.Need.Member} {
			if is {
				besides = append(besides, what)
			}
		}
		right := strings.Join(slices.Sorted(slices.Values(besides)), ", ")
		if op.Public {
			right = "any caller of the tenant"
		}
		path := op.Path
		if len(op.Versions) == 1 {
			path += "` (" + op.Versions[0] + ")`"
		}
		row := fmt.Sprintf("| %s | `%s` | %s | %s | %s |", op.Method, path, list(op.Need.Application), list(op.Need.Delegated), right)
		graph = append(graph, strings.ReplaceAll(row, ")`` |", ") |"))
	}
	for _, r := range armapi.New(armapi.Config{Cloud: directory.Global()}).Routes() {
		need := "`" + r.Action + "`"
		switch {
		case r.Public:
			need = "nothing"
		case r.Anyone:
			need = "any caller of the tenant"
		}
		resources = append(resources, fmt.Sprintf("| %s | `%s` | %s |", r.Method, r.Path, need))
	}
	return graph, resources
}

// TestPermissions compares docs/permissions.md with what the routes state.
func TestPermissions(t *testing.T) {
	page := documents(t)["docs/permissions.md"]
	graph, resources := permissionRows()
	for _, row := range append(graph, resources...) {
		if !strings.Contains(page, row+"\n") {
			t.Errorf("docs/permissions.md lacks the row\n%s", row)
		}
		page = strings.Replace(page, row+"\n", "", 1)
	}
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, "| GET ") || strings.HasPrefix(line, "| P") || strings.HasPrefix(line, "| DELETE ") || strings.HasPrefix(line, "| HEAD ") {
			t.Errorf("docs/permissions.md lists what is not served: %s", line)
		}
	}
	if len(graph) == 0 || len(resources) == 0 {
		t.Error("no routes are served")
	}
}
