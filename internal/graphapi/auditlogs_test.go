package graphapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
)

func TestSignIns(t *testing.T) {
	w := newTown(t)
	app, credential := directory.NewClientID(), directory.NewObjectID()
	at := w.clock
	var batch []audit.SignIn
	add := func(s audit.SignIn) {
		at = at.Add(time.Minute)
		s.ID, s.Time, s.Tenant = directory.NewObjectID().String(), at, w.tenant
		batch = append(batch, s)
	}
	for i := range 5 {
		code, outcome := 0, audit.Succeeded
		if i == 4 {
			code, outcome = 700213, audit.Refused
		}
		add(audit.SignIn{Kind: audit.ApplicationSignIn, Outcome: outcome, Code: code, ClientID: app, ClientName: "orders", CredentialID: credential, Assertion: "0123abcd"})
	}
	add(audit.SignIn{Kind: audit.IdentitySignIn, Outcome: audit.Succeeded, ClientName: "worker"})
	add(audit.SignIn{Kind: audit.OperatorSignIn, Outcome: audit.Succeeded})
	add(audit.SignIn{Kind: audit.OperatorSignIn, Outcome: audit.Succeeded})
	batch[len(batch)-1].Tenant = w.callers["foreign"].Tenant
	if err := w.db.RecordSignIns(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	admin := w.as("admin")
	const beta = "/beta/auditLogs/signIns"
	kind := "$filter=signInEventTypes/any(t: t eq 'servicePrincipal')"
	for _, tt := range []struct {
		name, path string
		n          int
	}{
		{"only those of people without a filter", beta, 1},
		{"of v1.0 too", "/auditLogs/signIns", 1},
		{"of applications", beta + "?" + kind, 5},
		{"of identities", beta + "?$filter=signInEventTypes/any(t:t eq 'managedIdentity')", 1},
		{"of one application", beta + "?" + kind + " and appId eq '" + app.String() + "'", 5},
		{"of another one", beta + "?" + kind + " and appId eq '" + w.ids["mary"] + "'", 0},
		{"with a code", beta + "?" + kind + " and status/errorCode eq 700213", 1},
		{"since a moment", beta + "?" + kind + " and createdDateTime ge 2026-03-01T12:04:00Z", 2},
		{"between moments", beta + "?" + kind + " and createdDateTime ge 2026-03-01T12:02:00Z and createdDateTime lt 2026-03-01T12:04:00Z", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := admin.want(200, "GET", tt.path, "").values("id"); len(got) != tt.n {
				t.Errorf("got %d, want %d", len(got), tt.n)
			}
		})
	}
	t.Run("newest first, page by page", func(t *testing.T) {
		var got []string
		for path := beta + "?" + kind + "&$top=2"; path != ""; {
			a := admin.want(200, "GET", path, "")
			got = append(got, a.values("id")...)
			next, _ := a["@odata.nextLink"].(string)
			path = strings.TrimPrefix(next, "https://graph.test")
		}
		want := []string{batch[4].ID, batch[3].ID, batch[2].ID, batch[1].ID, batch[0].ID}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("what a record says", func(t *testing.T) {
		a := admin.want(200, "GET", beta+"/"+batch[0].ID, "")
		if a["clientCredentialType"] != "federatedIdentityCredential" || a["federatedCredentialId"] != credential.String() || fmt.Sprint(a["signInEventTypes"]) != "[servicePrincipal]" || a["appId"] != app.String() {
			t.Errorf("got %v", a)
		}
	})
	t.Run("v1.0 knows no kinds", func(*testing.T) {
		admin.refused(400, "GET", "/auditLogs/signIns?"+kind, "", "signInEventTypes")
		admin.refused(404, "GET", "/auditLogs/signIns/"+batch[0].ID, "", "does not exist")
	})
	t.Run("rights", func(*testing.T) {
		w.as("mary").refused(403, "GET", beta, "", insufficient)
		w.as("admin").want(204, "POST", "/directoryRoles/4a5d8f65-41da-4de4-8968-e035b65339cf/members/$ref", ref(w.ids["mary"]))
		w.as("mary").want(200, "GET", beta, "")
		w.as("app").refused(403, "GET", beta, "", insufficient)
		w.as("foreign").refused(404, "GET", beta+"/"+batch[0].ID, "", "does not exist")
	})
}

func TestDirectoryAudits(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	app := admin.want(200, "GET", "/applications?$filter=displayName eq 'orders'", "").values("id")[0]
	w.clock = w.clock.Add(time.Hour)
	admin.want(201, "POST", "/applications/"+app+"/federatedIdentityCredentials", `{"name":"by-hand","issuer":"https://i.example","subject":"s","audiences":["api://AzureADTokenExchange"]}`)
	admin.want(204, "POST", "/directoryRoles/"+reader+"/members/$ref", ref(w.ids["mary"]))
	w.as("mary").want(403, "DELETE", "/users/{grace}", "")
	since := "activityDateTime ge 2026-03-01T13:00:00Z"
	for filter, want := range map[string][]string{
		since: {"Delete user", "Add member to role", "Update application"},
		since + " and category eq 'RoleManagement'":                           {"Add member to role"},
		"activityDisplayName eq 'Update application'":                         {"Update application"},
		"targetResources/any(t:t/id eq '" + app + "') and " + since:           {"Update application"},
		"initiatedBy/user/id eq '" + w.ids["mary"] + "'":                      {"Delete user"},
		"activityDateTime lt 2026-03-01T11:00:00Z":                            {},
		"result eq 'failure' and activityDateTime le 2026-03-01T13:00:00.00Z": {"Delete user"},
	} {
		if got := admin.want(200, "GET", "/auditLogs/directoryAudits?$filter="+filter, "").values("activityDisplayName"); !slices.Equal(got, want) {
			t.Errorf("%s gives %q, want %q", filter, got, want)
		}
	}
	a := admin.want(200, "GET", "/auditLogs/directoryAudits?$filter=activityDisplayName eq 'Update application'", "")
	text := fmt.Sprint(a["value"])
	for _, want := range []string{"FederatedIdentityCredentials", "oldValue:[]", `"subject":"s"`, "Included Updated Properties", "Core Directory", "ApplicationManagement"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	w.as("mary").refused(403, "GET", "/auditLogs/directoryAudits", "", insufficient)
	if got := w.as("foreign").want(200, "GET", "/auditLogs/directoryAudits?$filter="+since, "").values("id"); len(got) != 0 {
		t.Errorf("another tenant reads %v", got)
	}
}
