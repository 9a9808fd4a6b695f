package access

import (
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	subscription = "/subscriptions/11111111-1111-4111-8111-111111111111"
	groupA       = subscription + "/resourceGroups/a"
	groupB       = subscription + "/resourceGroups/b"
	machine      = groupA + "/providers/Microsoft.Compute/virtualMachines/vm1"
	identityOfA  = groupA + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi"
	account      = groupA + "/providers/Microsoft.Storage/storageAccounts/files"
	container    = account + "/blobServices/default/containers/c1"

	identities = "Microsoft.ManagedIdentity/userAssignedIdentities/"
	machines   = "Microsoft.Compute/virtualMachines/"
	assignment = "Microsoft.Authorization/roleAssignments/"
)

func assigned(t *testing.T, pairs ...string) *Rights {
	t.Helper()
	r := new(Rights)
	for i := 0; i < len(pairs); i += 2 {
		r.Assignments = append(r.Assignments, HeldAssignment{Role: azureRole(t, pairs[i]), Scope: pairs[i+1]})
	}
	return r
}

func TestResourceAndData(t *testing.T) {
	yes, no := true, false
	decide := map[string]func(*Rights, string, string) *Refusal{"control": Resource, "data": Data}
	tests := []struct {
		role, at      string
		may           bool
		plane, action string
		on            string
	}{
		{"Owner", subscription, yes, "control", machines + "write", machine},
		{"Owner", subscription, yes, "control", assignment + "write", groupA},
		{"Owner", "/", yes, "control", machines + "write", machine},
		{"Owner", groupB, no, "control", machines + "write", machine},
		{"Owner", machine, no, "control", machines + "write", groupA},
		{"Owner", subscription, no, "data", blobs + "read", container},
		{"Owner", "", no, "control", machines + "write", machine},
		{"Owner", "/", no, "control", machines + "write", ""},
		{"Owner", subscription, no, "control", "", machine},

		{"Contributor", groupA, yes, "control", machines + "write", machine},
		{"Contributor", groupA, yes, "control", machines + "delete", machine},
		{"Contributor", groupA, yes, "control", assignment + "read", machine},
		{"Contributor", groupA, no, "control", assignment + "write", machine},
		{"Contributor", groupA, no, "control", "microsoft.authorization/ROLEASSIGNMENTS/delete", machine},
		{"Contributor", "/", no, "control", "Microsoft.Authorization/elevateAccess/action", "/"},
		{"Contributor", groupA, no, "data", blobs + "read", container},

		{"Reader", subscription, yes, "control", machines + "read", machine},
		{"Reader", subscription, yes, "control", strings.ToUpper(machines + "read"), strings.ToUpper(machine)},
		{"Reader", subscription, no, "control", machines + "write", machine},
		{"Reader", subscription, no, "control", "Microsoft.Storage/storageAccounts/listKeys/action", account},
		{"Reader", subscription, no, "data", blobs + "read", container},

		{"User Access Administrator", subscription, yes, "control", assignment + "write", machine},
		{"User Access Administrator", subscription, yes, "control", "Microsoft.Authorization/roleDefinitions/write", subscription},
		{"User Access Administrator", subscription, no, "control", machines + "write", machine},
		{"Role Based Access Control Administrator", subscription, yes, "control", assignment + "delete", machine},
		{"Role Based Access Control Administrator", subscription, no, "control", "Microsoft.Authorization/roleDefinitions/write", subscription},

		{"Managed Identity Contributor", groupA, yes, "control", identities + "write", identityOfA},
		{"Managed Identity Contributor", groupA, yes, "control", identities + "federatedIdentityCredentials/write", identityOfA},
		{"Managed Identity Contributor", groupA, no, "control", identities + "assign/action", identityOfA},
		{"Managed Identity Operator", groupA, yes, "control", identities + "assign/action", identityOfA},
		{"Managed Identity Operator", groupA, yes, "control", identities + "read", identityOfA},
		{"Managed Identity Operator", groupA, yes, "control", identities + "federatedIdentityCredentials/read", identityOfA},
		{"Managed Identity Operator", groupA, no, "control", identities + "federatedIdentityCredentials/write", identityOfA},
		{"Managed Identity Operator", groupA, no, "control", identities + "write", identityOfA},

		{"Virtual Machine Contributor", groupA, yes, "control", machines + "write", machine},
		{"Virtual Machine Contributor", groupA, no, "control", identities + "assign/action", identityOfA},
		{"Website Contributor", groupA, yes, "control", "Microsoft.Web/sites/config/list/action", groupA},
		{"Website Contributor", groupA, no, "control", "Microsoft.Web/serverFarms/write", groupA},

		{"Storage Blob Data Reader", account, yes, "data", blobs + "read", container},
		{"Storage Blob Data Reader", account, yes, "control", containers + "read", container},
		{"Storage Blob Data Reader", account, no, "data", blobs + "write", container},
		{"Storage Blob Data Reader", container, no, "data", blobs + "read", account},
		{"Storage Blob Data Contributor", container, yes, "data", blobs + "write", container},
		{"Storage Blob Data Contributor", container, yes, "data", blobs + "add/action", container},
		{"Storage Blob Data Contributor", container, no, "data", blobs + "modifyPermissions/action", container},
		{"Storage Blob Data Owner", container, yes, "data", blobs + "modifyPermissions/action", container},
		{"Storage Blob Delegator", account, yes, "control", delegationKey, account},
		{"Storage Blob Delegator", account, no, "data", blobs + "read", container},

		{"Key Vault Secrets User", groupA, yes, "data", secrets + "getSecret/action", groupA},
		{"Key Vault Secrets User", groupA, no, "data", secrets + "setSecret/action", groupA},
		{"Key Vault Secrets Officer", groupA, yes, "data", secrets + "setSecret/action", groupA},
		{"Key Vault Secrets Officer", groupA, no, "data", "Microsoft.KeyVault/vaults/keys/read", groupA},
		{"Key Vault Reader", groupA, yes, "control", "Microsoft.KeyVault/vaults/read", groupA},
		{"Key Vault Reader", groupA, no, "data", secrets + "getSecret/action", groupA},
		{"Key Vault Administrator", groupA, yes, "data", "Microsoft.KeyVault/vaults/keys/create/action", groupA},
		{"Key Vault Administrator", groupA, no, "control", "Microsoft.KeyVault/vaults/write", groupA},
	}
	for _, tt := range tests {
		refusal := decide[tt.plane](assigned(t, tt.role, tt.at), tt.action, tt.on)
		if got := refusal == nil; got != tt.may {
			t.Errorf("%s at %s, %s action %s on %s: %v, want %v", tt.role, tt.at, tt.plane, tt.action, tt.on, got, tt.may)
		}
	}
	if Resource(&Rights{Assignments: []HeldAssignment{{Role: custom, Scope: "/"}}}, machines+"read", machine) == nil {
		t.Error("a role that is not built in allows something")
	}
}

func TestAnotherAssignmentMayGrantWhatNotActionsLeaveOut(t *testing.T) {
	both := assigned(t, "Contributor", groupA, "Role Based Access Control Administrator", groupA)
	if no := Resource(both, assignment+"write", machine); no != nil {
		t.Errorf("refused: %s", no.Reason)
	}
	if no := Resource(both, "Microsoft.Authorization/policyAssignments/write", machine); no == nil {
		t.Error("neither role allows it, both together do")
	}
}

func TestRefusalOfResourceAndData(t *testing.T) {
	r := assigned(t, "Reader", subscription)
	want := &Refusal{
		Reason: ActionMissing, Action: assignment + "write", Scope: groupA,
		Roles: []string{"Role Based Access Control Administrator", "User Access Administrator", "Owner"},
		Mend:  "assign the Azure role Role Based Access Control Administrator at " + groupA + " or above",
	}
	if diff := cmp.Diff(want, Resource(r, assignment+"write", groupA)); diff != "" {
		t.Error(diff)
	}
	want = &Refusal{
		Reason: DataActionMissing, Action: blobs + "read", Scope: container,
		Roles: []string{"Storage Blob Data Reader", "Storage Blob Data Contributor", "Storage Blob Data Owner"},
		Mend:  "assign the Azure role Storage Blob Data Reader at " + container + " or above",
	}
	if diff := cmp.Diff(want, Data(r, blobs+"read", container)); diff != "" {
		t.Error(diff)
	}
	want = &Refusal{Reason: DataActionMissing, Action: "Microsoft.Nothing/read", Scope: groupA}
	if diff := cmp.Diff(want, Data(r, "Microsoft.Nothing/read", groupA)); diff != "" {
		t.Error(diff)
	}
}

func TestAllowedAnywhere(t *testing.T) {
	const read = machines + "read"
	tests := []struct {
		name   string
		rights *Rights
		below  string
		want   []string
	}{
		{"nothing held", new(Rights), subscription, nil},
		{"held there", assigned(t, "Reader", subscription), subscription, []string{subscription}},
		{"held above", assigned(t, "Reader", "/"), subscription, []string{subscription}},
		{"held below", assigned(t, "Reader", groupA, "Owner", groupB), subscription, []string{groupA, groupB}},
		{"held elsewhere", assigned(t, "Reader", "/subscriptions/other"), subscription, nil},
		{"held twice, in another case", assigned(t, "Reader", groupA, "Owner", strings.ToUpper(groupA)), subscription, []string{groupA}},
		{"the lower of two is left out", assigned(t, "Reader", machine, "Reader", groupA, "Reader", identityOfA), subscription, []string{groupA}},
		{"the role does not allow it", assigned(t, "Managed Identity Contributor", groupA), subscription, nil},
		{"everywhere that anything is held", assigned(t, "Reader", groupA, "Reader", "/subscriptions/other"), "/", []string{groupA, "/subscriptions/other"}},
		{"a name that only begins alike", assigned(t, "Reader", groupA+"bc"), groupA, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, AllowedAnywhere(tt.rights, read, tt.below)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		assigned, scope string
		want            bool
	}{
		{"/", "/", true},
		{"/", subscription, true},
		{subscription, "/", false},
		{subscription, machine, true},
		{strings.ToUpper(subscription), machine, true},
		{"/subscriptions/1", "/subscriptions/11", false},
		{"/subscriptions/1/", "/subscriptions/1", false},
		{"", subscription, false},
		{"", "", false},
		{"/", "", false},
		{"subscriptions/1", "subscriptions/1", false},
		{"/subscriptions/k", "/subscriptions/\u212a", false}, // Kelvin, which Unicode folds to k
		{"/subscriptions/\xff", "/subscriptions/\xfe", false},
	}
	for _, tt := range tests {
		if got := covers(tt.assigned, tt.scope); got != tt.want {
			t.Errorf("%q covers %q: %v, want %v", tt.assigned, tt.scope, got, tt.want)
		}
	}
}

// scopes draws resource ids of few segments, so that they often meet.
func scopes() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "A", "ab", "b", "rg"}), 0, 4), func(segments []string) string {
		return "/" + strings.Join(segments, "/")
	})
}

func TestScopeInheritance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := scopes().Draw(t, "a"), scopes().Draw(t, "b"), scopes().Draw(t, "c")
		if !covers(a, a) || !covers("/", a) {
			t.Fatalf("%s is not covered by itself or the root", a)
		}
		if covers(a, b) && covers(b, c) && !covers(a, c) {
			t.Fatalf("%s covers %s covers %s, but not the last", a, b, c)
		}
		if covers(a, b) && covers(b, a) && !strings.EqualFold(a, b) {
			t.Fatalf("%s and %s cover one another", a, b)
		}
		if covers(a, b) != covers(strings.ToUpper(a), strings.ToLower(b)) {
			t.Fatalf("case counts between %s and %s", a, b)
		}
		if child := strings.TrimSuffix(b, "/") + "/child"; covers(a, b) && !covers(a, child) {
			t.Fatalf("%s covers %s, but not %s", a, b, child)
		}
		segments := func(s string) []string {
			return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == '/' })
		}
		above, below := segments(a), segments(b)
		if want := len(above) <= len(below) && cmp.Equal(above, below[:min(len(above), len(below))]); covers(a, b) != want {
			t.Fatalf("%s covers %s: %v, want %v", a, b, !want, want)
		}
	})
}

// TestAllowedAnywhereAgreesWithResource: what a list shows is what a read of
// each resource would show.
func TestAllowedAnywhereAgreesWithResource(t *testing.T) {
	reader, contributor := azureRole(t, "Reader"), azureRole(t, "Managed Identity Contributor")
	rapid.Check(t, func(t *rapid.T) {
		r := new(Rights)
		for range rapid.IntRange(0, 4).Draw(t, "count") {
			r.Assignments = append(r.Assignments, HeldAssignment{
				Role:  rapid.SampledFrom([]directory.ObjectID{reader, contributor, custom}).Draw(t, "role"),
				Scope: scopes().Draw(t, "scope"),
			})
		}
		below, resource := scopes().Draw(t, "below"), scopes().Draw(t, "resource")
		listed := AllowedAnywhere(r, machines+"read", below)
		for i, s := range listed {
			if Resource(r, machines+"read", s) != nil || !covers(below, s) {
				t.Fatalf("%s is listed below %s", s, below)
			}
			for j, other := range listed {
				if i != j && covers(s, other) {
					t.Fatalf("%s covers %s", s, other)
				}
			}
		}
		if !covers(below, resource) {
			return
		}
		if got, want := coveredByAny(listed, resource), Resource(r, machines+"read", resource) == nil; got != want {
			t.Fatalf("%s below %s: listed %v, readable %v", resource, below, got, want)
		}
	})
}

func TestMatches(t *testing.T) {
	tests := []struct {
		pattern, action string
		want            bool
	}{
		{"*", "Microsoft.Compute/virtualMachines/write", true},
		{"*/read", "Microsoft.Compute/virtualMachines/read", true},
		{"*/read", "microsoft.compute/virtualmachines/READ", true},
		{"*/read", "Microsoft.Compute/virtualMachines/readAll", false},
		{"*/read", "read", false},
		{"Microsoft.Authorization/*/Write", "Microsoft.Authorization/roleAssignments/write", true},
		{"Microsoft.Authorization/*/Write", "Microsoft.Authorization/policies/rules/write", true},
		{"Microsoft.Authorization/*/Write", "Microsoft.Authorization/roleAssignments/read", false},
		{"Microsoft.Authorization/*/Write", "Microsoft.Compute/roleAssignments/write", false},
		{"Microsoft.Support/*", "Microsoft.Support/supportTickets/write", true},
		{"Microsoft.Support/*", "Microsoft.Support", false},
		{"Microsoft.Support/*", "Microsoft.SupportX/supportTickets/write", false},
		{"Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/read", true},
		{"Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaultsread", false},
		{identities + "*/assign/action", identities + "assign/action", true},
		{identities + "*/assign/action", identities + "any/assign/action", true},
		{"Microsoft.Compute/disks/read", "Microsoft.Compute/disks/read", true},
		{"Microsoft.Compute/disks/read", "Microsoft.Compute/disks/reads", false},
		{"Microsoft.Compute/disks/read", "Microsoft.Compute/disks/rea", false},
		{"Microsoft.Compute/disks/read", "Microsoft.Compute/disks/*", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"", "", true},
		{"", "read", false},
		{"*", "", true},
	}
	for _, tt := range tests {
		if got := matches(tt.pattern, tt.action); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.action, got, tt.want)
		}
	}
}

// TestAzureRolesAreWellFormed holds the ids of reference/resource-manager.md,
// 5.2, and bounds the patterns that matches recurses into.
func TestAzureRolesAreWellFormed(t *testing.T) {
	ids := map[string]string{
		"Owner":                     "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
		"Contributor":               "b24988ac-6180-42a0-ab88-20f7382dd24c",
		"Reader":                    "acdd72a7-3385-48ef-bd42-f606fba81ae7",
		"User Access Administrator": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
		"Role Based Access Control Administrator": "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
		"Managed Identity Contributor":            "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
		"Managed Identity Operator":               "f1a07417-d97a-45cb-824c-7a7467783830",
		"Storage Blob Data Reader":                "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
		"Storage Blob Data Contributor":           "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
		"Storage Blob Data Owner":                 "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
		"Storage Blob Delegator":                  "db58b8e5-c6ad-4a2a-8342-4190687cbf4a",
		"Key Vault Secrets User":                  "4633458b-17de-408a-b874-0445c86b69e6",
		"Key Vault Secrets Officer":               "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
		"Key Vault Reader":                        "21090545-7ca7-4776-b22c-e363652d74d2",
		"Key Vault Administrator":                 "00482a5a-887f-4fb3-b363-3b7fe8e74483",
		"Virtual Machine Contributor":             "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
		"Website Contributor":                     "de139f84-1756-47ae-9be6-808fbbe84772",
	}
	all := AzureRoles()
	if len(all) != len(ids) {
		t.Errorf("%d roles, want %d", len(all), len(ids))
	}
	for _, r := range all {
		if r.ID.String() != ids[r.Name] {
			t.Errorf("%s has id %s", r.Name, r.ID)
		}
		if r.Description == "" || len(r.Actions)+len(r.DataActions) == 0 {
			t.Errorf("%s says or allows nothing", r.Name)
		}
		for _, list := range [][]string{r.Actions, r.NotActions, r.DataActions, r.NotDataActions} {
			for _, pattern := range list {
				if pattern == "" || strings.Count(pattern, "*") > 2 {
					t.Errorf("%s: pattern %q", r.Name, pattern)
				}
			}
		}
	}
}
