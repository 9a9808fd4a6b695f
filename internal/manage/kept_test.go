package manage_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
)

// TestObjectsHaveASize: what clients keep with an object is bounded as a whole,
// however it is spread over members.
func TestObjectsHaveASize(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.apply("tenants: [{name: contoso, applications: [{name: fat}]}]")
	tenant, app := p.tenant("contoso"), p.app("fat")
	fill := func(bytes int) error {
		_, err := p.ChangeApplication(t.Context(), caller, tenant.ID, manage.Key{ID: app.ID}, func(a *directory.Application) error {
			for _, name := range []string{"notes", "description"} {
				a.Kept = a.Kept.With(name, json.RawMessage(`"`+strings.Repeat("x", bytes/2)+`"`))
			}
			return nil
		})
		return err
	}
	if err := fill(200 << 10); err != nil {
		t.Error(err)
	}
	if err := fill(256<<10 + 1); problem.KindOf(err) != problem.Limit {
		t.Errorf("got %v, want a limit", err)
	}
}
