package armapi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/armapi"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

// assignment is the body that assigns a role; rest is further properties.
func assignment(role, principal, rest string) string {
	return fmt.Sprintf(`{"properties":{"roleDefinitionId":"%s/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":%q%s}}`, sub, role, principal, rest)
}

func TestIdentities(t *testing.T) {
	w := newWorld(t)
	id := web + uami + "fresh"
	w.refused(404, "ResourceGroupNotFound", "owner", "PUT", sub+"/resourceGroups/absent"+uami+"fresh"+v, `{"location":"westus"}`)
	w.refused(400, "LocationRequired", "owner", "PUT", id+v, `{}`)
	a := w.ok(201, "idmanager", "PUT", lower+uami+"fresh"+v, `{"location":"West US","tags":{"a":"b"}}`)
	principal, client := a.at("properties", "principalId"), a.at("properties", "clientId")
	if diff := cmp.Diff(map[string]any{
		"id": lower + uami + "fresh", "name": "fresh", "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "location": "westus", "tags": map[string]any{"a": "b"},
		"properties": map[string]any{"tenantId": contoso, "principalId": principal, "clientId": client, "isolationScope": "None"},
	}, a.body); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	if got := a.header.Get("Location"); got != lower+uami+"fresh"+v {
		t.Errorf("Location %q", got)
	}
	// Ids never change; what is sent back as it was read is accepted.
	again := w.ok(200, "owner", "PUT", strings.ToUpper(id)+v, a.raw)
	if diff := cmp.Diff(a.body, again.body); diff != "" {
		t.Errorf("after a second PUT (-first +second):\n%s", diff)
	}
	for _, body := range []string{
		`{"location":"westus","properties":{"clientId":"` + msiClient + `"}}`, `{"location":"westus","properties":{"principalId":"` + msi + `"}}`,
		`{"location":"westus","properties":{"tenantId":"` + fabrikam + `"}}`,
	} {
		w.refused(400, "BadRequest", "owner", "PUT", id+v, body)
		w.refused(400, "BadRequest", "owner", "PUT", id+"2"+v, body)
	}
	w.refused(400, "InvalidRequestContent", "owner", "PUT", id+v, `{"location":"westus","name":"other"}`)
	w.refused(400, "InvalidRequestContent", "owner", "PUT", id+v, `{"location":"westus","id":"`+web+uami+`other"}`)
	w.refused(409, "InvalidResourceLocation", "owner", "PUT", id+v, `{"location":"eastus"}`)
	w.refused(400, "BadRequest", "owner", "PUT", web+uami+"a"+v, `{"location":"westus"}`)
	w.refused(400, "InvalidTag", "owner", "PUT", id+v, `{"location":"westus","tags":{"a":1}}`)

	a = w.ok(200, "owner", "PATCH", id+v, `{"tags":{"c":"d"},"properties":{"isolationScope":"regional"}}`)
	if a.at("tags", "c") != "d" || a.at("tags", "a") != "" || a.at("properties", "isolationScope") != "Regional" || a.at("properties", "clientId") != client {
		t.Errorf("after PATCH: %s", a.raw)
	}
	w.refused(404, "ResourceNotFound", "owner", "PATCH", web+uami+"absent"+v, `{}`)
	if diff := cmp.Diff([]string{"fresh", "msi-webapp1"}, w.ok(200, "webreader", "GET", sub+strings.TrimSuffix(uami, "/")+v, "").names()); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	w.refused(403, "AuthorizationFailed", "reader", "PUT", id+v, `{"location":"westus"}`)
	w.refused(403, "AuthorizationFailed", "reader", "DELETE", id+v, "")
	a = w.ok(200, "owner", "POST", web+uami+"msi-webapp1/listAssociatedResources"+v, "")
	if a.body["totalCount"] != 1.0 || fmt.Sprint(a.names()) != "[web-app]" {
		t.Errorf("associated resources: %s", a.raw)
	}

	gone := w.ok(200, "owner", "DELETE", id+v, "")
	if gone.raw != "" || gone.header.Get("Content-Length") != "0" {
		t.Errorf("DELETE: %q %v", gone.raw, gone.header)
	}
	w.ok(204, "owner", "DELETE", id+v, "")
	w.refused(404, "ResourceNotFound", "owner", "GET", id+v, "")
	if a := w.ok(201, "owner", "PUT", id+v, `{"location":"westus"}`); a.at("properties", "principalId") == principal || a.at("properties", "clientId") == client {
		t.Error("an id came back (threats X6)")
	}
}

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	all := web + uami + "msi-webapp1/federatedIdentityCredentials"
	body := func(issuer, subject string) string {
		return fmt.Sprintf(`{"properties":{"issuer":%q,"subject":%q,"audiences":["api://AzureADTokenExchange"]}}`, issuer, subject)
	}
	good := body("https://issuer.example", "repo:a")
	a := w.ok(201, "idmanager", "PUT", all+"/First"+v, good)
	if diff := cmp.Diff(map[string]any{
		"id": lower + uami + "msi-webapp1/federatedIdentityCredentials/First", "name": "First", "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
		"properties": map[string]any{"issuer": "https://issuer.example", "subject": "repo:a", "audiences": []any{"api://AzureADTokenExchange"}},
	}, a.body); diff != "" {
		t.Errorf("credential (-want +got):\n%s", diff)
	}
	if a.header.Get("Location") == "" {
		t.Error("no Location")
	}
	// Names compare without case, here as in every resource id.
	if got := w.ok(200, "owner", "PUT", all+"/first"+v, body("https://issuer.example", "repo:b")).at("name"); got != "First" {
		t.Errorf("name %q", got)
	}
	if got := w.ok(200, "reader", "GET", strings.ToUpper(all)+"/FIRST"+v, "").at("properties", "subject"); got != "repo:b" {
		t.Errorf("subject %q", got)
	}
	if got := fmt.Sprint(w.ok(200, "reader", "GET", all+v, "").names()); got != "[First]" {
		t.Errorf("list %s", got)
	}
	format := "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and 'audience'."
	for _, bad := range []string{`{}`, `{"properties":{}}`, `{"properties":{"issuer":"i","subject":"s"}}`, `{"properties":{"issuer":"i","subject":"s","audiences":[]}}`, `{"properties":{"subject":"s","audiences":["a"]}}`} {
		if got := w.refused(400, "BadRequest", "owner", "PUT", all+"/second"+v, bad).at("error", "message"); got != format {
			t.Errorf("%s: %q", bad, got)
		}
	}
	w.refused(400, "BadRequest", "owner", "PUT", all+"/second"+v, `{"properties":{"issuer":"i","subject":"s","audiences":["a","b"]}}`)
	w.refused(400, "BadRequest", "owner", "PUT", all+"/second"+v, `{"properties":{"issuer":"i","claimsMatchingExpression":{"value":"x","languageVersion":1},"audiences":["a"]}}`)
	if got := w.refused(400, "BadRequest", "owner", "PUT", all+"/a"+v, good).at("error", "message"); !strings.HasPrefix(got, "The name of a federated identity credentials must be within 3 and 120 characters") {
		t.Errorf("name rule %q", got)
	}
	w.refused(409, "Conflict", "owner", "PUT", all+"/other"+v, body("https://issuer.example", "repo:b"))
	w.refused(404, "ParentResourceNotFound", "owner", "PUT", web+uami+"absent/federatedIdentityCredentials/abc"+v, good)
	w.refused(404, "ResourceNotFound", "owner", "GET", all+"/absent"+v, "")
	w.refused(403, "AuthorizationFailed", "reader", "PUT", all+"/second"+v, good)
	for i := 1; i < directory.MaxCredentials; i++ {
		w.ok(201, "owner", "PUT", fmt.Sprintf("%s/more%02d%s", all, i, v), body("https://issuer.example", fmt.Sprint("more", i)))
	}
	w.refused(400, "BadRequest", "owner", "PUT", all+"/toomany"+v, body("https://issuer.example", "x"))
	w.ok(200, "owner", "DELETE", all+"/FIRST"+v, "")
	w.ok(204, "owner", "DELETE", all+"/first"+v, "")
}

func TestSystemIdentity(t *testing.T) {
	w := newWorld(t)
	vm := web + "/providers/Microsoft.Compute/virtualMachines/web-vm"
	suffix := "/providers/Microsoft.ManagedIdentity/identities/default"
	a := w.ok(200, "reader", "GET", vm+suffix+v, "")
	if a.at("name") != "default" || a.at("id") != vm+suffix || a.at("properties", "principalId") == "" || a.at("properties", "tenantId") != contoso {
		t.Errorf("identity %s", a.raw)
	}
	w.refused(404, "ResourceNotFound", "reader", "GET", web+"/providers/Microsoft.Web/sites/web-app"+suffix+v, "")
	w.refused(404, "ResourceNotFound", "reader", "GET", web+suffix+v, "")
	w.refused(403, "AuthorizationFailed", "nobody", "GET", vm+suffix+v, "")
}

// TestVirtualMachine does what az vm identity assign does: read, patch, read.
func TestVirtualMachine(t *testing.T) {
	w := newWorld(t)
	vm := sub + "/resourceGroups/vms/providers/Microsoft.Compute/virtualMachines/one"
	created := w.ok(201, "vmmaker", "PUT", vm+v, `{"location":"westus","zones":["1"],"tags":{"a":"b"},"properties":{"hardwareProfile":{"vmSize":"B1"},"osProfile":{"adminUsername":"ada","adminPassword":"geheim"},"provisioningState":"Made up"}}`)
	if created.at("properties", "provisioningState") != "Succeeded" || created.at("properties", "vmId") == "" || created.at("id") != vm || created.body["identity"] != nil {
		t.Errorf("created %s", created.raw)
	}
	if strings.Contains(created.raw, "geheim") {
		t.Error("the password is answered")
	}
	if got := w.ok(200, "vmmaker", "PATCH", vm+v, `{"identity":{"type":"SystemAssigned"},"properties":{"hardwareProfile":{"vmSize":"B2"}}}`); got.at("identity", "principalId") == "" ||
		got.at("identity", "type") != "SystemAssigned" || got.at("properties", "hardwareProfile", "vmSize") != "B2" || got.at("properties", "osProfile", "adminUsername") != "ada" || got.at("tags", "a") != "b" {
		t.Errorf("patched %s", got.raw)
	}
	// A foreign identity, an absent one and one that the caller may not assign.
	both := func(id string) string {
		return `{"identity":{"type":"SystemAssigned, UserAssigned","userAssignedIdentities":{"` + id + `":{}}}}`
	}
	w.refused(403, "LinkedAuthorizationFailed", "vmmaker", "PATCH", vm+v, both(web+uami+"msi-webapp1"))
	w.refused(403, "LinkedAuthorizationFailed", "vmmaker", "PATCH", vm+v, both(web+uami+"absent"))
	w.refused(403, "LinkedAuthorizationFailed", "owner", "PATCH", vm+v, both("/subscriptions/"+theirs+"/resourceGroups/fab"+uami+"msi-fabrikam"))
	w.refused(400, "FailedIdentityOperation", "owner", "PATCH", vm+v, both(web+uami+"absent"))
	w.refused(400, "InvalidIdentityValues", "owner", "PATCH", vm+v, both(web))
	for _, block := range []string{
		`{}`, `{"type":"Other"}`, `{"type":"SystemAssigned","userAssignedIdentities":{"` + web + uami + `msi-webapp1":{}}}`,
	} {
		w.refused(400, "InvalidIdentityValues", "owner", "PATCH", vm+v, `{"identity":`+block+`}`)
	}
	w.refused(400, "InvalidIdentityValues", "owner", "PUT", vm+v, `{"location":"westus","identity":{"type":"UserAssigned"}}`)

	a := w.ok(200, "owner", "PATCH", vm+v, both(strings.ToLower(web+uami+"MSI-webapp1")))
	key := web + uami + "msi-webapp1"
	if a.at("identity", "type") != "SystemAssigned, UserAssigned" || a.at("identity", "userAssignedIdentities", key, "principalId") != msi || a.at("identity", "userAssignedIdentities", key, "clientId") != msiClient {
		t.Errorf("assigned %s", a.raw)
	}
	system := a.at("identity", "principalId")
	// Who writes the machine may leave on it what is on it.
	a = w.ok(200, "vmmaker", "PUT", vm+v, `{"location":"westus","identity":{"type":"SystemAssigned,UserAssigned","principalId":"`+msi+`","userAssignedIdentities":{"`+key+`":{"clientId":"x"}}}}`)
	if a.at("identity", "principalId") != system || a.at("properties", "osProfile", "adminUsername") != "" {
		t.Errorf("after PUT %s", a.raw)
	}
	if a = w.ok(200, "vmmaker", "PUT", vm+v, `{"location":"westus"}`); a.at("identity", "principalId") != system {
		t.Errorf("a PUT without an identity block took the identity away: %s", a.raw)
	}
	if a = w.ok(200, "vmmaker", "PATCH", vm+v, `{"identity":{"type":"SystemAssigned, UserAssigned","userAssignedIdentities":{"`+key+`":null}}}`); a.at("identity", "type") != "SystemAssigned" {
		t.Errorf("after removing one: %s", a.raw)
	}
	if a = w.ok(200, "vmmaker", "PATCH", vm+v, `{"identity":{"type":"None"}}`); a.body["identity"] != nil {
		t.Errorf("after None: %s", a.raw)
	}
	w.ok(200, "reader", "GET", vm+"/instanceView"+v, "")
	if got := w.ok(200, "reader", "GET", vm+v+"&$expand=instanceView", "").raw; !strings.Contains(got, "PowerState/running") {
		t.Error("no instance view")
	}
	w.refused(409, "InvalidResourceLocation", "owner", "PUT", vm+v, `{"location":"eastus"}`)
	w.refused(409, "Conflict", "owner", "PUT", web+"/providers/Microsoft.Compute/virtualMachines/one"+v, `{"location":"westus"}`)
	w.refused(404, "ResourceGroupNotFound", "owner", "PUT", sub+"/resourceGroups/absent/providers/Microsoft.Compute/virtualMachines/one"+v, `{"location":"westus"}`)
	w.ok(200, "vmmaker", "DELETE", vm+v, "")
	w.ok(204, "vmmaker", "DELETE", vm+v, "")
	w.refused(404, "ResourceNotFound", "owner", "GET", vm+v, "")
}

// TestSite does what az webapp identity assign does: read, put the whole back.
func TestSite(t *testing.T) {
	w := newWorld(t)
	site := web + "/providers/Microsoft.Web/sites/shop"
	plan := web + "/providers/Microsoft.Web/serverfarms/plan"
	a := w.ok(200, "owner", "PUT", plan+v, `{"location":"West Europe","sku":{"name":"B1"},"kind":"linux","properties":{"reserved":true}}`)
	if a.at("sku", "name") != "B1" || a.at("properties", "status") != "Ready" || a.at("id") != plan {
		t.Errorf("plan %s", a.raw)
	}
	a = w.ok(200, "owner", "PUT", site+v, `{"location":"westeurope","kind":"app,linux","properties":{"serverFarmId":"`+plan+`","siteConfig":{"linuxFxVersion":"GO|1.26","appSettings":[{"name":"A","value":"geheim"}]}}}`)
	if a.at("properties", "defaultHostName") != "shop.azurewebsites.net" || a.at("properties", "serverFarmId") != plan || a.at("kind") != "app,linux" || strings.Contains(a.raw, "geheim") {
		t.Errorf("site %s", a.raw)
	}
	a = w.ok(200, "reader", "GET", site+v, "")
	a.body["identity"] = map[string]any{"type": "SystemAssigned"}
	whole := strings.Replace(a.raw, `"id":`, `"identity":{"type":"SystemAssigned"},"id":`, 1)
	a = w.ok(200, "owner", "PUT", site+v, whole)
	if a.at("identity", "principalId") == "" || a.at("properties", "siteConfig", "linuxFxVersion") != "GO|1.26" {
		t.Errorf("after assign: %s", a.raw)
	}
	if got := w.ok(200, "reader", "GET", site+"/config/web"+v, "").at("properties", "linuxFxVersion"); got != "GO|1.26" {
		t.Errorf("config/web: %q", got)
	}
	if got := fmt.Sprint(w.ok(200, "reader", "GET", web+"/providers/Microsoft.Web/sites"+v, "").names()); got != "[shop web-app]" {
		t.Errorf("sites %s", got)
	}
	if got := fmt.Sprint(w.ok(200, "reader", "GET", sub+"/providers/Microsoft.Web/serverFarms"+v, "").names()); got != "[plan]" {
		t.Errorf("plans %s", got)
	}
	w.ok(200, "owner", "PATCH", plan+v, `{"tags":{"a":"b"}}`)
	if got := w.ok(200, "reader", "GET", plan+v, ""); got.at("tags", "a") != "b" || got.at("sku", "name") != "B1" {
		t.Errorf("plan %s", got.raw)
	}
	// Writing the group leaves what is stored in it.
	w.ok(200, "owner", "PUT", web+v, `{"location":"westeurope","tags":{}}`)
	w.ok(200, "reader", "GET", plan+v, "")
	w.ok(200, "owner", "DELETE", plan+v, "")
	w.ok(204, "owner", "DELETE", plan+v, "")
	w.refused(404, "ResourceNotFound", "reader", "GET", plan+v, "")
	w.ok(200, "owner", "DELETE", site+v, "")
}

func TestRoleAssignments(t *testing.T) {
	w := newWorld(t)
	name := func(n int) string { return fmt.Sprintf("77777777-0000-4000-8000-%012d", n) }
	blob := web + "/providers/Microsoft.Storage/storageAccounts/a/blobServices/default/containers/c"
	at := func(scope string, n int) string { return scope + roles + "roleAssignments/" + name(n) + v }

	// Create, and what a second one meets.
	a := w.ok(201, "owner", "PUT", at(blob, 1), assignment(blobReader, msi, `,"principalType":"ServicePrincipal"`))
	caller := w.callers["owner"].Principal.String()
	if a.at("id") != strings.TrimSuffix(at(blob, 1), v) || a.at("name") != name(1) || a.at("properties", "scope") != blob || a.at("properties", "principalType") != "ServicePrincipal" ||
		a.at("properties", "createdBy") != "" || a.at("properties", "updatedBy") != caller || a.at("properties", "roleDefinitionId") != sub+roles+"roleDefinitions/"+blobReader {
		t.Errorf("created %s", a.raw)
	}
	if got := w.ok(200, "reader", "GET", at(strings.ToLower(blob), 1), "").at("properties", "createdBy"); got != caller {
		t.Errorf("createdBy %q", got)
	}
	w.ok(200, "owner", "PUT", at(blob, 1), assignment(blobReader, msi, `,"description":"why"`))
	if got := w.ok(200, "reader", "GET", at(blob, 1), "").at("properties", "description"); got != "why" {
		t.Errorf("description %q", got)
	}
	exists := w.refused(409, "RoleAssignmentExists", "owner", "PUT", at(strings.ToUpper(blob), 2), assignment(blobReader, msi, ""))
	if !strings.Contains(strings.ToLower(exists.at("error", "message")), "role assignment already exists") {
		t.Errorf("text %q", exists.at("error", "message"))
	}
	for _, row := range []struct {
		status                    int
		code, caller, target, raw string
	}{
		{400, "RoleAssignmentUpdateNotPermitted", "owner", at(blob, 1), assignment(reader, msi, "")},
		{400, "RoleAssignmentUpdateNotPermitted", "owner", at(web, 1), assignment(blobReader, msi, "")},
		{400, "PrincipalNotFound", "owner", at(web, 3), assignment(reader, "12121212-0000-4000-8000-000000000001", "")},
		{400, "PrincipalNotFound", "owner", at(web, 3), assignment(reader, w.callers["fab-owner"].Principal.String(), "")},
		{400, "UnmatchedPrincipalType", "owner", at(web, 3), assignment(reader, msi, `,"principalType":"User"`)},
		{400, "UnmatchedPrincipalType", "owner", at(web, 3), assignment(reader, msi, `,"principalType":"Device"`)},
		{404, "RoleDefinitionDoesNotExist", "owner", at(web, 3), assignment(name(1), msi, "")},
		{404, "RoleDefinitionDoesNotExist", "owner", at(web, 3), strings.Replace(assignment(reader, msi, ""), ours, theirs, 1)},
		{404, "ResourceGroupNotFound", "owner", at(sub+"/resourceGroups/absent", 3), assignment(reader, msi, "")},
		{404, "SubscriptionNotFound", "owner", at("/subscriptions/"+theirs, 3), assignment(reader, msi, "")},
		{404, "InvalidScope", "owner", at("/providers/Microsoft.Management/managementGroups/root", 3), assignment(reader, msi, "")},
		{400, "InvalidRoleAssignmentId", "owner", web + roles + "roleAssignments/first" + v, assignment(reader, msi, "")},
		{400, "InvalidPrincipalId", "owner", at(web, 3), assignment(reader, "me", "")},
		{400, "BadRequest", "owner", at(web, 3), assignment(reader, msi, `,"condition":"@Resource[x] StringEquals 'y'"`)},
		{400, "InvalidRequestContent", "owner", at(web, 3), assignment(reader, msi, `,"scope":"/"`)},
		{403, "AuthorizationFailed", "contributor", at(web, 3), assignment(reader, msi, "")},
		{403, "AuthorizationFailed", "owner", at("", 3), assignment(owner, msi, "")},
	} {
		a := w.refused(row.status, row.code, row.caller, "PUT", row.target, row.raw)
		if row.code == "PrincipalNotFound" && !strings.Contains(a.at("error", "message"), " does not exist in the directory ") {
			t.Errorf("text %q", a.at("error", "message"))
		}
	}

	// Lists: above, here, below; by principal; by group.
	w.ok(201, "owner", "PUT", at(web, 4), assignment(reader, msi, ""))
	count := func(want int, scope, filter string) {
		t.Helper()
		target := scope + roles + "roleAssignments" + v
		if filter != "" {
			target += "&$filter=" + strings.ReplaceAll(filter, " ", "%20")
		}
		if got := w.ok(200, "reader", "GET", target, "").names(); len(got) != want {
			t.Errorf("%s of %s: %d, want %d", filter, scope, len(got), want)
		}
	}
	count(9, sub, "")          // five at the subscription, two in web, one in vms, one below web
	count(7, web, "atScope()") // five inherited, two of its own
	count(2, web, "principalId eq '"+msi+"'")
	count(1, web, "atScope() and assignedTo('"+msi+"')")
	count(1, sub, "assignedTo('"+w.callers["ada"].Principal.String()+"')")
	count(0, sub, "principalId eq '"+w.callers["ada"].Principal.String()+"'")
	for _, filter := range []string{"principalId eq 'me'", "atScope() or atScope()", "principalId eq '" + msi + "' and atScope()", "scope eq '/'", "atScope(", "1"} {
		w.refused(400, "UnsupportedQuery", "reader", "GET", web+roles+"roleAssignments"+v+"&$filter="+strings.ReplaceAll(filter, " ", "%20"), "")
	}

	// Delete answers what was there.
	w.refused(403, "AuthorizationFailed", "contributor", "DELETE", at(blob, 1), "")
	w.refused(404, "RoleAssignmentNotFound", "reader", "GET", at(web, 1), "")
	if got := w.ok(200, "owner", "DELETE", at(blob, 1), "").at("name"); got != name(1) {
		t.Errorf("deleted %q", got)
	}
	w.ok(204, "owner", "DELETE", at(blob, 1), "")
}

// TestAssignmentsAreRecorded: a right that changes hands is of high severity,
// given, refused or taken.
func TestAssignmentsAreRecorded(t *testing.T) {
	w := newWorld(t)
	target := web + roles + "roleAssignments/77777777-0000-4000-8000-000000000001" + v
	w.ok(201, "owner", "PUT", target, assignment(reader, msi, ""))
	w.refused(403, "AuthorizationFailed", "contributor", "PUT", target, assignment(owner, msi, ""))
	w.ok(200, "owner", "DELETE", target, "")
	changes, err := w.db.Changes(context.Background(), audit.Query{Tenant: directory.MustTenantID(contoso)})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, c := range changes {
		if c.Target.Kind == "roleAssignment" && c.High {
			got[c.Action+" "+string(c.Outcome)]++
		}
	}
	if diff := cmp.Diff(map[string]int{"create success": 1, "create refused": 1, "delete success": 1}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestRightsEndAtOnce: what was taken away stops working with the next request.
func TestRightsEndAtOnce(t *testing.T) {
	w := newWorld(t)
	w.ok(200, "webreader", "GET", web+v, "")
	a := w.ok(200, "owner", "GET", web+roles+"roleAssignments"+v+"&$filter=assignedTo('"+w.callers["webreader"].Principal.String()+"')", "")
	w.ok(200, "owner", "DELETE", web+roles+"roleAssignments/"+a.names()[0]+v, "")
	w.refused(403, "AuthorizationFailed", "webreader", "GET", web+v, "")
}

func TestRoleDefinitions(t *testing.T) {
	w := newWorld(t)
	all := sub + roles + "roleDefinitions"
	a := w.ok(200, "reader", "GET", all+v+"&$filter=roleName%20eq%20'storage%20blob%20data%20READER'", "")
	if got := fmt.Sprint(a.names()); got != "["+blobReader+"]" {
		t.Errorf("by name: %s", got)
	}
	if got := len(w.ok(200, "reader", "GET", all+v+"&$filter=type%20eq%20'BuiltInRole'", "").names()); got < 10 {
		t.Errorf("%d built-in roles", got)
	}
	if got := len(w.ok(200, "reader", "GET", all+v+"&$filter=type%20eq%20'CustomRole'", "").names()); got != 0 {
		t.Errorf("%d custom roles", got)
	}
	a = w.ok(200, "reader", "GET", all+"/"+strings.ToUpper(reader)+v, "")
	if a.at("id") != all+"/"+reader || a.at("properties", "roleName") != "Reader" || a.at("properties", "type") != "BuiltInRole" {
		t.Errorf("Reader: %s", a.raw)
	}
	w.refused(404, "RoleDefinitionDoesNotExist", "reader", "GET", all+"/"+msi+v, "")
	w.refused(400, "InvalidFilterInQueryString", "reader", "GET", all+v+"&$filter=name%20eq%20'x'", "")
	w.refused(403, "AuthorizationFailed", "reader", "GET", roles+"roleDefinitions"+v, "") // at the root
}

func TestExplain(t *testing.T) {
	plain := newWorld(t).refused(403, "AuthorizationFailed", "nobody", "GET", web+v, "").at("error", "message")
	if strings.Contains(plain, "assign the Azure role") || !strings.Contains(plain, "does not have authorization to perform action 'Microsoft.Resources/subscriptions/resourceGroups/read' over scope '"+web+"'") {
		t.Errorf("text %q", plain)
	}
	w := newWorldWith(t, func(c *armapi.Config) { c.Explain = true })
	if got := w.refused(403, "AuthorizationFailed", "nobody", "GET", web+v, "").at("error", "message"); !strings.Contains(got, "assign the Azure role") {
		t.Errorf("text %q", got)
	}
}

// TestAppliedGroups: a file that names a group makes it.
func TestAppliedGroups(t *testing.T) {
	w := newWorld(t)
	g, err := w.manage.ResourceGroup(context.Background(), operator, manage.Place{
		Tenant: directory.MustTenantID(contoso), Subscription: directory.MustObjectID(ours), Group: "WEB"})
	if err != nil || g.Name != "web" || g.Location != "westeurope" {
		t.Errorf("group %+v, %v", g, err)
	}
}
