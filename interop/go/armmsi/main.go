// Command armmsi makes a managed identity, gives it to a host and grants it a
// role, through the resource manager, as an application that has no secret.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/google/uuid"

	"github.com/avouch/avouch/interop/go/check"
)

// report is what the program prints: what it read back, and the refusals that
// it met.
type report struct {
	SDK         string            `json:"sdk"`
	PrincipalID string            `json:"principalId"`
	Read        map[string]any    `json:"read"`
	Refusals    map[string]string `json:"refusals"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	// 1. The platform, as the SDK is told of a cloud.
	platform := os.Getenv("AZURE_AUTHORITY_HOST")
	options := policy.ClientOptions{Cloud: cloud.Configuration{
		ActiveDirectoryAuthorityHost: platform,
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: platform + "/arm", Audience: "https://management.azure.com"},
		},
	}}

	// 2. The administering application: the managed identity of this host
	// vouches for it.
	identity, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ID: azidentity.ClientID(os.Getenv("AVOUCH_IDENTITY_CLIENT_ID")),
	})
	if err != nil {
		return err
	}
	assertion := func(ctx context.Context) (string, error) {
		token, err := identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"api://AzureADTokenExchange/.default"}})
		return token.Token, err
	}
	administrator, err := azidentity.NewClientAssertionCredential(
		os.Getenv("AVOUCH_TENANT"), os.Getenv("AVOUCH_CLIENT_ID"), assertion,
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true},
	)
	if err != nil {
		return err
	}
	return configure(ctx, administrator, &arm.ClientOptions{ClientOptions: options})
}

func configure(ctx context.Context, administrator azcore.TokenCredential, options *arm.ClientOptions) error {
	// 3. The clients.
	subscription := os.Getenv("AVOUCH_SUBSCRIPTION")
	groups, err := armresources.NewResourceGroupsClient(subscription, administrator, options)
	if err != nil {
		return err
	}
	resources, err := armresources.NewClient(subscription, administrator, options)
	if err != nil {
		return err
	}
	msi, err := armmsi.NewClientFactory(subscription, administrator, options)
	if err != nil {
		return err
	}
	authorization, err := armauthorization.NewClientFactory(subscription, administrator, options)
	if err != nil {
		return err
	}
	identities, credentials := msi.NewUserAssignedIdentitiesClient(), msi.NewFederatedIdentityCredentialsClient()
	definitions, assignments := authorization.NewRoleDefinitionsClient(), authorization.NewRoleAssignmentsClient()

	name, host := os.Getenv("AVOUCH_NAME"), os.Getenv("AVOUCH_HOST_ID")
	r := &report{
		SDK:  check.Version("github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"),
		Read: make(map[string]any), Refusals: make(map[string]string),
	}

	// 4. A resource group and an identity in it.
	group, err := groups.CreateOrUpdate(ctx, name, armresources.ResourceGroup{Location: to.Ptr("westeurope")}, nil)
	if err != nil {
		return err
	}
	r.Read["group"] = []string{*group.Location, *group.Properties.ProvisioningState}
	identity, err := identities.CreateOrUpdate(ctx, name, "msi-orders", armmsi.Identity{Location: to.Ptr("westeurope")}, nil)
	if err != nil {
		return err
	}
	again, err := identities.Get(ctx, name, "msi-orders", nil)
	if err != nil {
		return err
	}
	r.Read["identity"] = []string{*again.Name, *again.Type}
	r.PrincipalID = *again.Properties.PrincipalID
	found := []string{}
	for pages := identities.NewListByResourceGroupPager(name, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, i := range page.Value {
			found = append(found, *i.Name)
		}
	}
	r.Read["identities"] = found
	_, err = identities.Get(ctx, name, "nobody", nil)
	r.Refusals["missing"] = refusal(err)

	// 5. Whom the identity trusts to speak for it.
	write := func(credential, subject string) error {
		_, err := credentials.CreateOrUpdate(ctx, name, "msi-orders", credential, armmsi.FederatedIdentityCredential{
			Properties: &armmsi.FederatedIdentityCredentialProperties{
				Issuer:    to.Ptr("https://token.example/ci"),
				Subject:   to.Ptr(subject),
				Audiences: []*string{to.Ptr("api://AzureADTokenExchange")},
			},
		}, nil)
		return err
	}
	list := func() ([]string, error) {
		listed := []string{}
		for pages := credentials.NewListPager(name, "msi-orders", nil); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, c := range page.Value {
				listed = append(listed, *c.Name+" "+*c.Properties.Subject)
			}
		}
		return listed, nil
	}
	if err := write("build", "repo:one"); err != nil {
		return err
	}
	if err := write("build", "repo:two"); err != nil {
		return err
	}
	if r.Read["credentials"], err = list(); err != nil {
		return err
	}
	if _, err := credentials.Delete(ctx, name, "msi-orders", "build", nil); err != nil {
		return err
	}
	if r.Read["credentialsLeft"], err = list(); err != nil {
		return err
	}
	r.Refusals["badName"] = refusal(write("c", "repo:one"))

	// 6. A role on the resource group.
	definition, err := definitions.NewListPager(*group.ID, &armauthorization.RoleDefinitionsClientListOptions{
		Filter: to.Ptr("roleName eq 'Storage Blob Data Reader'"),
	}).NextPage(ctx)
	if err != nil {
		return err
	}
	if len(definition.Value) != 1 {
		return fmt.Errorf("%d roles are named Storage Blob Data Reader", len(definition.Value))
	}
	role := armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
		RoleDefinitionID: definition.Value[0].ID,
		PrincipalID:      identity.Properties.PrincipalID,
		PrincipalType:    to.Ptr(armauthorization.PrincipalTypeServicePrincipal),
	}}
	if _, err := assignments.Create(ctx, *group.ID, uuid.NewString(), role, nil); err != nil {
		return err
	}
	_, err = assignments.Create(ctx, *group.ID, uuid.NewString(), role, nil)
	r.Refusals["roleTwice"] = refusal(err)
	var granted []string
	for pages := assignments.NewListForScopePager(*group.ID, &armauthorization.RoleAssignmentsClientListForScopeOptions{
		Filter: to.Ptr("principalId eq '" + r.PrincipalID + "'"),
	}); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, a := range page.Value {
			granted = append(granted, string(*a.Properties.PrincipalType))
		}
	}
	r.Read["roles"] = granted

	// 7. The identity goes to the host.
	update, err := resources.BeginUpdateByID(ctx, host, "2024-04-01", armresources.GenericResource{
		Identity: &armresources.Identity{
			Type: to.Ptr(armresources.ResourceIdentityTypeUserAssigned),
			UserAssignedIdentities: map[string]*armresources.IdentityUserAssignedIdentitiesValue{
				*identity.ID: {},
			},
		},
	}, nil)
	if err != nil {
		return err
	}
	if _, err := update.PollUntilDone(ctx, nil); err != nil {
		return err
	}
	fmt.Println("principal id:", *identity.Properties.PrincipalID)

	assigned, err := resources.GetByID(ctx, host, "2024-04-01", nil)
	if err != nil {
		return err
	}
	has := []string{string(*assigned.Identity.Type)}
	for _, i := range assigned.Identity.UserAssignedIdentities {
		has = append(has, *i.PrincipalID)
	}
	r.Read["host"] = has
	if err := r.print(); err != nil {
		return err
	}
	return nil
}

// print prints the report as the last line of standard output.
func (r *report) print() error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}

// refusal is the status and code of a call that must be refused.
func refusal(err error) string {
	var refused *azcore.ResponseError
	switch {
	case err == nil:
		return "went through"
	case errors.As(err, &refused):
		return fmt.Sprintf("%d %s", refused.StatusCode, refused.ErrorCode)
	}
	return err.Error()
}
