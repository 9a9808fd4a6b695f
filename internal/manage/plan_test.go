package manage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/manage"
)

func TestWriteDiff(t *testing.T) {
	p := newPlatform(t)
	p.apply(`tenants:
- name: alpha
  applications:
  - {name: orders, identifierUris: [api://one], disabled: true}
  - {name: old}
`)
	file := parse(t, "f.yaml", `tenants:
- name: alpha
  managedIdentities: [{name: msi-one}]
  applications:
  - name: orders
    disabled: false
    identifierUris: [api://two]
    federatedIdentityCredentials:
    - {name: odd, issuer: 'https://i.example', subject: "a\e[31m", audiences: [api://AzureADTokenExchange], description: "x\u202ey"}
    - {name: from-msi, managedIdentity: msi-one, audiences: [api://azureadtokenexchange]}
`)
	plan, err := p.Apply(t.Context(), caller, []*config.Directory{file}, manage.ApplyOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := plan.WriteDiff(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `- application alpha/old
+ managedIdentity alpha/msi-one
    principalId: (known after apply)
    clientId: (known after apply)
    kind: UserAssigned
    name: msi-one
    resourceGroup: default
    location: local
    resourceId: /subscriptions/SUBSCRIPTION/resourcegroups/default/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-one
~ application alpha/orders
    identifierUris: api://one -> api://two
    disabled: true -> false
+ federatedIdentityCredential alpha/orders/odd
    id: (known after apply)
    name: odd
    issuer: https://i.example
    subject: "a\x1b[31m"
    audiences: api://AzureADTokenExchange
    description: "x\u202ey"
+ federatedIdentityCredential alpha/orders/from-msi
    id: (known after apply)
    name: from-msi
    issuer: https://login.microsoftonline.com/TENANT/v2.0
    subject: (known after apply)
    audiences: api://azureadtokenexchange
! f.yaml:10:61: tenants[0].applications[0].federatedIdentityCredentials[1].audiences: differs from api://AzureADTokenExchange in upper and lower case only; the comparison is case-sensitive
    mend: set audiences to [api://AzureADTokenExchange]
3 to create, 1 to update, 1 to delete. Nothing was changed. 1 warning.
`
	want = strings.NewReplacer("TENANT", p.tenant("alpha").ID.String(), "SUBSCRIPTION", p.tenant("alpha").Subscription.String()).Replace(want)
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}

	b.Reset()
	if err := plan.WriteDiff(&b, true); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "\x1b[31m- application alpha/old\x1b[0m\n\x1b[32m+ managedIdentity") {
		t.Errorf("coloured: %q", b.String())
	}
	b.Reset()
	if err := (&manage.Plan{}).WriteDiff(&b, false); err != nil || b.String() != "No changes: the directory already matches.\n" {
		t.Errorf("empty plan: %q, %v", b.String(), err)
	}
}

func TestALargeTenant(t *testing.T) {
	p := newPlatform(t)
	var b strings.Builder
	b.WriteString("tenants:\n- name: big\n  managedIdentities: [{name: msi-one}]\n  applications:\n")
	for i := range largeTenant {
		fmt.Fprintf(&b, "  - {name: app%d, identifierUris: [api://app%d], federatedIdentityCredentials: [{name: msi-one, managedIdentity: msi-one}]}\n", i, i)
	}
	if plan := p.apply(b.String()); len(plan.Steps) != 2*largeTenant+2 {
		t.Errorf("%d steps", len(plan.Steps))
	}
	if plan := p.apply(b.String()); !plan.Empty() {
		t.Errorf("again: %d steps", len(plan.Steps))
	}
	if plan := p.apply("tenants: [{name: big, applications: []}]"); len(plan.Steps) != 2*largeTenant {
		t.Errorf("deleting: %d steps", len(plan.Steps))
	}
}
