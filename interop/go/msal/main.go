// Command msal does with MSAL alone what the program azidentity does: a managed
// identity vouches for an application that has no secret.
package main

import (
	"context"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"

	"github.com/avouch/avouch/interop/go/check"
)

func main() {
	check.Main("github.com/AzureAD/microsoft-authentication-library-for-go", run)
}

func run(ctx context.Context) (blobs []string, resourceToken string, err error) {
	// 1. The managed identity of the host that this program runs on.
	identity, err := managedidentity.New(managedIdentity())
	if err != nil {
		return nil, "", err
	}

	// 2. The application. Its assertion is the identity's token for the token
	// exchange. Instance discovery would ask the public cloud about the authority.
	assertion := func(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
		result, err := identity.AcquireToken(ctx, check.Env("AVOUCH_AUDIENCE"))
		return result.AccessToken, err
	}
	application, err := confidential.New(
		check.Env("AZURE_AUTHORITY_HOST")+"/"+check.Env("AVOUCH_TENANT"),
		check.Env("AVOUCH_CLIENT_ID"),
		confidential.NewCredFromAssertionCallback(assertion),
		confidential.WithInstanceDiscovery(false),
	)
	if err != nil {
		return nil, "", err
	}

	// 3. Use its tokens, here in a client of the Azure SDK.
	storage, err := azblob.NewClient(check.Env("AVOUCH_STORAGE_URL"), credential{application}, nil)
	if err != nil {
		return nil, "", err
	}
	pages := storage.NewListBlobsFlatPager(check.Env("AVOUCH_CONTAINER"), nil)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, "", err
		}
		for _, blob := range page.Segment.BlobItems {
			blobs = append(blobs, *blob.Name)
		}
	}

	result, err := application.AcquireTokenByCredential(ctx, []string{check.Env("AVOUCH_RESOURCE_SCOPE")})
	return blobs, result.AccessToken, err
}

// credential lets clients of the Azure SDK use an MSAL application.
type credential struct{ application confidential.Client }

// GetToken implements azcore.TokenCredential.
func (c credential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	result, err := c.application.AcquireTokenByCredential(ctx, options.Scopes)
	return azcore.AccessToken{Token: result.AccessToken, ExpiresOn: result.ExpiresOn}, err
}

// managedIdentity says which of the host's identities is meant.
func managedIdentity() managedidentity.ID {
	if id := os.Getenv("AVOUCH_IDENTITY_OBJECT_ID"); id != "" {
		return managedidentity.UserAssignedObjectID(id)
	}
	if id := os.Getenv("AVOUCH_IDENTITY_RESOURCE_ID"); id != "" {
		return managedidentity.UserAssignedResourceID(id)
	}
	return managedidentity.UserAssignedClientID(check.Env("AVOUCH_IDENTITY_CLIENT_ID"))
}
