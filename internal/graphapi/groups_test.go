package graphapi

import (
	"slices"
	"testing"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

func (w *town) group(token, name, more string) string {
	w.t.Helper()
	id := w.as(token).created("/groups", `{"displayName":"`+name+`","mailNickname":"`+name+`","mailEnabled":false,"securityEnabled":true`+more+`}`)
	w.ids[name] = id
	return id
}

func TestGroups(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	w.group("admin", "team", `,"@odata.type":"#microsoft.graph.group","members@odata.bind":["https://x/v1.0/directoryObjects/{mary}"],"owners@odata.bind":["https://x/v1.0/directoryObjects/{admin}"],"groupTypes":[],"writebackConfiguration":{"isEnabled":false}`)
	w.group("admin", "outer", "")
	t.Run("members carry their type", func(t *testing.T) {
		a := admin.want(200, "GET", "/groups/{team}/members", "")
		if got := a.values("@odata.type"); !slices.Equal(got, []string{"#microsoft.graph.user"}) || a.values("id")[0] != w.ids["mary"] {
			t.Errorf("got %v", a)
		}
	})
	t.Run("service principals and groups can be members", func(t *testing.T) {
		admin.want(204, "POST", "/groups/{team}/members/$ref", ref(w.ids["worker"]))
		admin.want(204, "POST", "/groups/{outer}/members/$ref", ref(w.ids["team"]))
	})
	t.Run("transitively, also in a circle", func(t *testing.T) {
		admin.want(204, "POST", "/groups/{team}/members/$ref", ref(w.ids["outer"]))
		got := admin.want(200, "GET", "/groups/{outer}/transitiveMembers", "").values("id")
		for _, name := range []string{"mary", "worker", "team"} {
			if !slices.Contains(got, w.ids[name]) {
				t.Errorf("%s is not in %v", name, got)
			}
		}
		in := admin.want(200, "GET", "/users/{mary}/transitiveMemberOf", "").values("id")
		if len(in) != 2 {
			t.Errorf("mary is in %v", in)
		}
		asked := admin.want(200, "POST", "/users/{mary}/checkMemberGroups", `{"groupIds":["{outer}","{mary}"]}`)
		if v, _ := asked["value"].([]any); len(v) != 1 || v[0] != w.ids["outer"] {
			t.Errorf("checked: %v", asked)
		}
	})
	for _, tt := range []struct {
		name, method, path, text string
		status                   int
		message                  string
	}{
		{"a member twice", "POST", "/groups/{team}/members/$ref", ref("{mary}"), 400, "One or more added object references already exist for the following modified properties: 'members'."},
		{"an unknown member", "POST", "/groups/{team}/members/$ref", ref("00000000-0000-4000-8000-000000000001"), 404, "00000000-0000-4000-8000-000000000001"},
		{"a member that is none", "DELETE", "/groups/{team}/members/{grace}/$ref", "", 404, "does not exist"},
		{"a group in itself", "POST", "/groups/{team}/members/$ref", ref("{team}"), 400, "itself"},
		{"a group as an owner", "POST", "/groups/{team}/owners/$ref", ref("{outer}"), 400, "cannot be among them"},
		{"a group with mail", "POST", "/groups", `{"displayName":"m","mailNickname":"m","mailEnabled":true,"securityEnabled":true}`, 400, "mail"},
		{"a dynamic group", "POST", "/groups", `{"displayName":"m","mailNickname":"m","mailEnabled":false,"securityEnabled":true,"groupTypes":["DynamicMembership"]}`, 400, "DynamicMembership"},
		{"isAssignableToRole afterwards", "PATCH", "/groups/{team}", `{"isAssignableToRole":true}`, 400, "immutable"},
		{"roles for a common group", "POST", "/roleManagement/directory/roleAssignments", `{"principalId":"{team}","roleDefinitionId":"88d8e3e3-8f55-4a1e-953a-9b9898b8876b","directoryScopeId":"/"}`, 400, "not enabled for role assignments"},
		{"an unknown property selected", "GET", "/groups?$select=nothing", "", 400, "nothing"},
	} {
		t.Run(tt.name, func(*testing.T) { admin.refused(tt.status, tt.method, tt.path, tt.text, tt.message) })
	}
	t.Run("removal and deletion", func(t *testing.T) {
		admin.want(204, "DELETE", "/groups/{team}/members/{mary}/$ref", "")
		admin.want(204, "DELETE", "/groups/{team}", "")
		admin.want(404, "GET", "/groups/{team}", "")
		if got := admin.want(200, "GET", "/groups/{outer}/members", "").values("id"); len(got) != 0 {
			t.Errorf("members left: %v", got)
		}
	})
	t.Run("a member user makes one and owns it", func(t *testing.T) {
		w.group("mary", "hers", "")
		w.as("mary").want(204, "PATCH", "/groups/{hers}", `{"description":"mine"}`)
		w.as("mary").want(204, "POST", "/groups/{hers}/members/$ref", ref(w.ids["grace"]))
		w.as("grace").refused(403, "POST", "/groups/{hers}/members/$ref", ref(w.ids["worker"]), insufficient)
		w.as("foreign").refused(404, "GET", "/groups/{hers}", "", "does not exist")
	})
}

// Nobody makes himself mighty by joining a group that is (no climbing by
// membership).
func TestNoClimbingByMembership(t *testing.T) {
	w := newTown(t)
	const groupsAdministrator, privileged = "fdd7a751-b60b-444a-984c-02652fe8fa1c", "e8611ab8-c189-46e8-94e1-60213ab1f814"
	admin := w.as("admin")
	admin.want(204, "POST", "/directoryRoles/"+groupsAdministrator+"/members/$ref", ref(w.ids["mary"]))
	w.group("admin", "lords", `,"isAssignableToRole":true`)
	w.group("admin", "azure", "")
	w.group("mary", "inner", "")
	w.group("admin", "plain", "")
	if err := w.db.Change(t.Context(), func(tx manage.Tx) error {
		tenant, err := tx.Tenant(w.tenant)
		if err != nil {
			return err
		}
		return tx.PutAzureAssignment(&directory.AzureAssignment{Tenant: w.tenant, ID: directory.NewObjectID(), Scope: "/subscriptions/" + tenant.Subscription.String(), Role: access.AzureOwner,
			Principal: directory.MustObjectID(w.ids["azure"]), PrincipalKind: directory.GroupObject, Created: w.clock, Updated: w.clock})
	}); err != nil {
		t.Fatal(err)
	}
	admin.want(204, "POST", "/groups/{azure}/members/$ref", ref(w.ids["inner"]))

	mary := w.as("mary")
	mary.want(204, "POST", "/groups/{plain}/members/$ref", ref(w.ids["mary"]))
	for name, path := range map[string]string{
		"role-assignable": "/groups/{lords}/members/$ref", "role-assignable owners": "/groups/{lords}/owners/$ref",
		"holds an Azure role": "/groups/{azure}/members/$ref", "in a group that holds one, though she owns it": "/groups/{inner}/members/$ref",
	} {
		t.Run(name, func(*testing.T) { mary.refused(403, "POST", path, ref(w.ids["mary"]), insufficient) })
	}
	mary.refused(403, "POST", "/groups", `{"displayName":"x","mailNickname":"x","mailEnabled":false,"securityEnabled":true,"isAssignableToRole":true}`, insufficient)
	mary.refused(403, "PATCH", "/groups/{lords}", `{"description":"x"}`, insufficient)
	mary.refused(403, "DELETE", "/groups/{azure}", "", insufficient)

	// Who may assign roles may.
	admin.want(204, "POST", "/directoryRoles/"+privileged+"/members/$ref", ref(w.ids["grace"]))
	w.as("grace").want(204, "POST", "/groups/{lords}/members/$ref", ref(w.ids["mary"]))
	w.as("grace").want(201, "POST", "/roleManagement/directory/roleAssignments", `{"principalId":"{lords}","roleDefinitionId":"`+privileged+`","directoryScopeId":"/"}`)
	// What the group holds, its member holds at once.
	w.as("mary").want(204, "POST", "/groups/{lords}/members/$ref", ref(w.ids["worker"]))
	admin.refused(400, "POST", "/groups/{lords}/members/$ref", ref(w.ids["plain"]), "Groups cannot be members")
}

func TestDirectoryObjects(t *testing.T) {
	w := newTown(t)
	w.group("admin", "team", "")
	admin := w.as("admin")
	for name, want := range map[string]string{"mary": "user", "team": "group", "worker": "servicePrincipal"} {
		if a := admin.want(200, "GET", "/directoryObjects/{"+name+"}", ""); a["@odata.type"] != "#microsoft.graph."+want {
			t.Errorf("%s is %v", name, a)
		}
	}
	ids := `"ids":["{worker}","{mary}","{team}","00000000-0000-4000-8000-000000000001"]`
	if got := admin.want(200, "POST", "/directoryObjects/getByIds", `{`+ids+`}`).values("@odata.type"); !slices.Equal(got, []string{"#microsoft.graph.servicePrincipal", "#microsoft.graph.user", "#microsoft.graph.group"}) {
		t.Errorf("all kinds: %v", got)
	}
	if got := admin.want(200, "POST", "/directoryObjects/microsoft.graph.getByIds", `{`+ids+`,"types":["user","directoryObjectPartnerReference"]}`).values("id"); !slices.Equal(got, []string{w.ids["mary"]}) {
		t.Errorf("users only: %v", got)
	}
	admin.refused(400, "POST", "/directoryObjects/getByIds", `{"ids":["x"]}`, "Invalid GUID")
	if got := w.as("foreign").want(200, "POST", "/directoryObjects/getByIds", `{`+ids+`}`).values("id"); len(got) != 0 {
		t.Errorf("another tenant sees %v", got)
	}
	w.as("foreign").refused(404, "GET", "/directoryObjects/{mary}", "", "does not exist")
}
