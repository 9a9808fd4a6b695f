package config

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

func TestSampleOfTheIssue(t *testing.T) {
	data, err := os.ReadFile("testdata/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := ParseDirectory("sample.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	contoso := dir.Tenants.Items[0]
	if got := contoso.ID.V.String(); got != "3d1e2be9-a10a-4a0c-8380-7ce190f98ed9" {
		t.Errorf("tenant id = %q", got)
	}
	orders := contoso.Applications.Items[0]
	if got := orders.Audience; got != (Value[directory.Audience]{directory.MultiTenant, true}) {
		t.Errorf("audience = %v", got)
	}
	if orders.IdentifierURIs.Set {
		t.Error("identifierUris of orders is absent, but decoded as stated")
	}
	if got := contoso.Applications.Items[1].IdentifierURIs; !cmp.Equal(got, List[string]{[]string{"api://reports"}, true}) {
		t.Errorf("identifierUris of reports = %v", got)
	}
	by := orders.FederatedIdentityCredentials.Items[1]
	if got, want := by.At("subject").String(), "sample.yaml:17:22: tenants[0].applications[0].federatedIdentityCredentials[1].subject"; got != want {
		t.Errorf("position of subject = %q, want %q", got, want)
	}
	if got, want := by.At("description").String(), "sample.yaml:15:13: tenants[0].applications[0].federatedIdentityCredentials[1].description"; got != want {
		t.Errorf("position of an absent field = %q, want %q", got, want)
	}
}

func TestAbsentIsNotEmpty(t *testing.T) {
	parse := func(text string) Tenant {
		t.Helper()
		dir, err := ParseDirectory("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return dir.Tenants.Items[0]
	}
	absent, empty := parse("tenants: [{name: a}]"), parse("tenants: [{name: a, hosts: [], displayName: ''}]")
	if absent.Hosts.Set || absent.DisplayName.Set {
		t.Error("an absent key counts as stated")
	}
	if !empty.Hosts.Set || !empty.DisplayName.Set {
		t.Error("a stated empty value counts as absent")
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty file", "", "f.yaml: is empty; a directory file begins with the key tenants"},
		{"comment only", "# nothing\n", "f.yaml: is empty; a directory file begins with the key tenants"},
		{"no mapping", "- a", "f.yaml:1:1: must be an object with the keys tenants; here is a list"},
		{"no tenants", "{}", "f.yaml:1:1: tenants: is required; write tenants: [] for a file that describes nothing"},
		{"not YAML", "tenants:\n  - name: [a\nb: 1", "f.yaml:2: is not valid YAML: did not find expected ',' or ']'"},
		{"two documents", "tenants: []\n---\ntenants: []\n", "f.yaml:2:1: a second document begins here; put everything into one document, without '---' between"},
		{"not UTF-8", "tenants:\n- name: \xff", "f.yaml:2:9: is not UTF-8 text from here on; save the file as UTF-8"},
		{"misspelt key", "tenants: [{name: a, domain: [x]}]", "f.yaml:1:21: tenants[0].domain: is not a known key. Did you mean domains?"},
		{"key in other case", "tenants: [{name: a, managedidentities: []}]", "f.yaml:1:21: tenants[0].managedidentities: is not a known key. Did you mean managedIdentities?"},
		{"strange key", "tenants: [{name: a, applications: [{name: b, clientSecretsAreNotStored: x}]}]", "f.yaml:1:46: tenants[0].applications[0].clientSecretsAreNotStored: is not a known key. Known keys are name, id, clientId, signInAudience, identifierUris, requestedAccessTokenVersion, disabled, assignmentRequired, appRoles, owners, federatedIdentityCredentials."},
		{"escape in a key", "tenants: []\n\"\\e[2J\": 1", `f.yaml:2:1: \x1b[2J: is not a known key. Known keys are tenants.`},
		{"duplicate key", "tenants: []\ntenants: []", "f.yaml:2:1: tenants: stands twice; first in line 1. Keep one of them."},
		{"anchor", "tenants: &x []", "f.yaml:1:10: tenants: has an anchor (&x); anchors are not supported, remove it"},
		{"alias", "tenants: [&x {name: a}, *x]", "f.yaml:1:11: tenants[0]: has an anchor (&x); anchors are not supported, remove it\nf.yaml:1:25: tenants[1]: is an alias (*x); aliases are not supported, write the value out"},
		{"merge key", "tenants:\n- name: a\n  <<: {id: b}", "f.yaml:3:3: tenants[0]: has a merge key (<<); merge keys are not supported, write the keys out"},
		{"tag", "tenants: !!seq []", "f.yaml:1:10: tenants: has a tag (!!seq); tags are not supported, remove it"},
		{"list as key", "tenants: []\n? [a]\n: b", "f.yaml:2:3: has a list for a key; keys are plain words"},
		{"null list", "tenants: [{name: a, hosts: }]", "f.yaml:1:28: tenants[0].hosts: has no value; write one ([] for an empty list), or remove the key to leave it as it is"},
		{"object for a list", "tenants: {name: a}", "f.yaml:1:10: tenants: must be a list; here is an object"},
		{"number for a string", "tenants: [{name: 12}]", `f.yaml:1:18: tenants[0].name: must be a string, and YAML reads this as the number 12; put it in quotes: "12"`},
		{"truth for a string", "tenants: [{name: true}]", `f.yaml:1:18: tenants[0].name: must be a string, and YAML reads this as the truth value true; put it in quotes: "true"`},
		{"list for a string", "tenants: [{name: [a]}]", "f.yaml:1:18: tenants[0].name: must be a string; here is a list"},
		{"name missing", "tenants: [{id: 3d1e2be9-a10a-4a0c-8380-7ce190f98ed9}]", "f.yaml:1:11: tenants[0].name: is required"},
		{"name empty", "tenants: [{name: ''}]", "f.yaml:1:18: tenants[0].name: must not be empty"},
		{"id no GUID", "tenants: [{name: a, id: abc}]", `f.yaml:1:25: tenants[0].id: "abc" is not a GUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`},
		{"string for a truth value", "tenants: [{name: a, applications: [{name: b, disabled: 'yes'}]}]", `f.yaml:1:56: tenants[0].applications[0].disabled: must be true or false; here is the string "yes"`},
		{"audience unknown", "tenants: [{name: a, applications: [{name: b, signInAudience: AzureADMultipleOrg}]}]", `f.yaml:1:62: tenants[0].applications[0].signInAudience: "AzureADMultipleOrg" is not one of AzureADMyOrg, AzureADMultipleOrgs, AzureADandPersonalMicrosoftAccount, PersonalMicrosoftAccount. Did you mean AzureADMultipleOrgs?`},
		{"token version 3", "tenants: [{name: a, applications: [{name: b, requestedAccessTokenVersion: 3}]}]", "f.yaml:1:75: tenants[0].applications[0].requestedAccessTokenVersion: must be the number 1 or 2; here is the number 3"},
		{"token version as hex", "tenants: [{name: a, applications: [{name: b, requestedAccessTokenVersion: 0x2}]}]", "f.yaml:1:75: tenants[0].applications[0].requestedAccessTokenVersion: must be the number 1 or 2; here is the number 0x2"},
		{"kind missing", "tenants: [{name: a, hosts: [{name: b}]}]", "f.yaml:1:29: tenants[0].hosts[0].kind: is required: virtualMachine or webApp"},
		{"kind unknown", "tenants: [{name: a, hosts: [{name: b, kind: vm}]}]", `f.yaml:1:45: tenants[0].hosts[0].kind: "vm" is not one of virtualMachine, webApp.`},
		{"URI twice", "tenants: [{name: a, applications: [{name: b, identifierUris: [api://x, api://x]}]}]", `f.yaml:1:72: tenants[0].applications[0].identifierUris[1]: "api://x" is listed twice; first in line 1`},
		{"URI a number", "tenants: [{name: a, applications: [{name: b, identifierUris: [1]}]}]", `f.yaml:1:63: tenants[0].applications[0].identifierUris[0]: must be a string, and YAML reads this as the number 1; put it in quotes: "1"`},
		{"tenant twice", "tenants:\n- name: a\n- name: a", "f.yaml:3:3: tenants[1]: name a is listed twice; first in line 2"},
		{"identity twice in another case", "tenants: [{name: a, managedIdentities: [{name: abc}, {name: ABC}]}]", "f.yaml:1:54: tenants[0].managedIdentities[1]: name abc is listed twice; first in line 1"},
		{"id twice", "tenants: [{name: a, hosts: [{name: b, kind: webApp, id: 3d1e2be9-a10a-4a0c-8380-7ce190f98ed9}, {name: c, kind: webApp, id: 3D1E2BE9-a10a-4a0c-8380-7ce190f98ed9}]}]", "f.yaml:1:96: tenants[0].hosts[1]: id 3d1e2be9-a10a-4a0c-8380-7ce190f98ed9 is listed twice; first in line 1"},
		{"identity and issuer", fic("name: abc, managedIdentity: m, issuer: i"), "f.yaml:1:117: tenants[0].applications[0].federatedIdentityCredentials[0].issuer: cannot stand beside managedIdentity, which fills it; remove one of the two"},
		{"no audience", fic("name: abc, issuer: i, subject: s"), "f.yaml:1:77: tenants[0].applications[0].federatedIdentityCredentials[0].audiences: is required, unless managedIdentity names an identity of this tenant"},
		{"two audiences", fic("name: abc, issuer: i, subject: s, audiences: [a, b]"), "f.yaml:1:123: tenants[0].applications[0].federatedIdentityCredentials[0].audiences: must list exactly one audience; here are 2. For more, write one credential for each."},
		{"no audience in the list", fic("name: abc, issuer: i, subject: s, audiences: []"), "f.yaml:1:123: tenants[0].applications[0].federatedIdentityCredentials[0].audiences: must list exactly one audience; here are 0. For more, write one credential for each."},
		{"foreign application without tenant", "tenants: [{name: a, servicePrincipals: [{application: orders}]}]", `f.yaml:1:55: tenants[0].servicePrincipals[0].application: must be written tenant/name, such as contoso/orders, or be a client id; here is "orders"`},
		{"many at once", "tenants:\n- {name: a, x: 1, hosts: 3}\n- {applications: [{name: b, appRoles: [{value: v}]}]}",
			"f.yaml:2:13: tenants[0].x: is not a known key. Known keys are name, id, displayName, domains, subscription, managedIdentities, hosts, applications, servicePrincipals, appRoleAssignments, users, groups, directoryRoleAssignments, roleAssignments.\n" +
				"f.yaml:2:26: tenants[0].hosts: must be a list; here is the number 3\n" +
				"f.yaml:3:3: tenants[1].name: is required\n" +
				"f.yaml:3:40: tenants[1].applications[0].appRoles[0].displayName: is required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseDirectory("f.yaml", []byte(tt.text))
			var list Errors
			if !errors.As(err, &list) {
				t.Fatalf("error %v is not Errors", err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			var p *problem.Error
			if !errors.As(err, &p) || p.Kind != problem.Invalid || p.Public() != err.Error() {
				t.Errorf("as a problem: %+v", p)
			}
		})
	}
}

func fic(fields string) string {
	return "tenants: [{name: a, applications: [{name: b, federatedIdentityCredentials: [{" + fields + "}]}]}]"
}

func TestTooLargeIsRefusedUnread(t *testing.T) {
	_, err := ParseDirectory("f", make([]byte, MaxFileSize+1))
	if err == nil || !strings.Contains(err.Error(), "may have at most 16777216") {
		t.Errorf("got %v", err)
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	for _, text := range []string{strings.Repeat("[", 100_000), "tenants: " + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000), strings.Repeat("- ", 9_000) + "a"} {
		if _, err := ParseDirectory("f", []byte(text)); err == nil {
			t.Error("accepted")
		}
	}
}

func TestManyErrorsAreCut(t *testing.T) {
	_, err := ParseDirectory("f", []byte("tenants: ["+strings.Repeat("1,", 60)+"]"))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 51 || lines[50] != "… and 10 more" {
		t.Errorf("%d lines, last %q", len(lines), lines[len(lines)-1])
	}
}

func TestNear(t *testing.T) {
	known := []string{"orders", "Reports", "order-api", "web"}
	for word, want := range map[string][]string{
		"order": {"orders"}, "reports": {"Reports"}, "odrers": {"orders"}, "zzz": nil, "": nil,
	} {
		if got := Near(word, known); !cmp.Equal(got, want) {
			t.Errorf("Near(%q) = %v, want %v", word, got, want)
		}
	}
}

func FuzzParseDirectory(f *testing.F) {
	sample, err := os.ReadFile("testdata/sample.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	for _, s := range []string{"", "tenants: []", "{tenants: [{name: a}]}", "tenants: &a [*a]", "tenants:\n- <<: *x", "---\n---", "? a\n: b", "tenants: [{name: \"\\xff\"}]",
		"#\n- - #\n  -\n #", "tenants:\n  - name: a\n    hosts: [{name: h, kind: webApp, systemAssigned: TRUE}]", fic("name: abc, managedIdentity: m"), "%YAML 1.1\n---\ntenants: []", "\xef\xbb\xbftenants: []", "tenants: ! []"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := ParseDirectory("fuzz", data)
		if (first == nil) == (err == nil) {
			t.Fatalf("result %v with error %v", first, err)
		}
		second, again := ParseDirectory("fuzz", data)
		if !reflect.DeepEqual(first, second) {
			t.Fatal("parsing twice gives two results")
		}
		if err != nil && (again == nil || err.Error() != again.Error()) {
			t.Fatalf("parsing twice gives two errors: %v and %v", err, again)
		}
	})
}
