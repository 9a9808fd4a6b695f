package directory_test

import (
	"testing"

	"github.com/avouch/avouch/internal/directory"
)

func TestWireIDs(t *testing.T) {
	a, b, c := directory.NewObjectID(), directory.NewObjectID(), directory.NewObjectID()
	t.Run("an app role assignment's is read back", func(t *testing.T) {
		s := directory.AppRoleAssignmentID(a, b)
		if p, own, ok := directory.ParseAppRoleAssignmentID(s); !ok || p != a || own != b || len(s) != 43 {
			t.Errorf("%s is %s, %s, %v", s, p, own, ok)
		}
	})
	t.Run("a role assignment's is read back, with and without a scope", func(t *testing.T) {
		for _, scope := range []directory.ObjectID{{}, c} {
			s := directory.RoleAssignmentID(a, b, scope)
			if role, p, at, ok := directory.ParseRoleAssignmentID(s); !ok || role != a || p != b || at != scope {
				t.Errorf("%s is %s, %s, %s, %v", s, role, p, at, ok)
			}
		}
	})
	t.Run("the sample of the service's documentation", func(t *testing.T) {
		// The Global Administrator's assignment of "List unifiedRoleAssignments".
		const sample = "lAPpYvVpN0KRkAEhdxReEMmO4KwRqtpKkUWt3wOYIz4-1"
		role, _, _, ok := directory.ParseRoleAssignmentID(sample)
		if want := "62e90394-69f5-4237-9190-012177145e10"; !ok || role.String() != want {
			t.Errorf("the role is %s, %v; want %s", role, ok, want)
		}
	})
	t.Run("other things are no ids", func(t *testing.T) {
		for _, s := range []string{"", "-1", "-", "AAAA", a.String(), directory.AppRoleAssignmentID(a, b) + "A", directory.PermissionGrantID(a, b, c),
			"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", directory.RoleAssignmentID(a, b, c) + "0"} {
			if _, _, ok := directory.ParseAppRoleAssignmentID(s); ok {
				t.Errorf("%q is taken for an app role assignment", s)
			}
			if _, _, _, ok := directory.ParseRoleAssignmentID(s); ok {
				t.Errorf("%q is taken for a role assignment", s)
			}
		}
	})
}
