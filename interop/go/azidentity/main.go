// Command azidentity lists the blobs of a container as an application that has
// no secret: a managed identity vouches for it.
package main

import (
	"context"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/avouch/avouch/interop/go/check"
)

func main() {
	check.Main("github.com/Azure/azure-sdk-for-go/sdk/azidentity", run)
}

func run(ctx context.Context) (blobs []string, resourceToken string, err error) {
	// 1. The managed identity of the host that this program runs on.
	identity, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ID: managedIdentity(),
	})
	if err != nil {
		return nil, "", err
	}

	// 2. The application. Its assertion is the identity's token for the token
	// exchange. The authority comes from AZURE_AUTHORITY_HOST; instance
	// discovery would ask the public cloud about it.
	assertion := func(ctx context.Context) (string, error) {
		token, err := identity.GetToken(ctx, policy.TokenRequestOptions{
			Scopes: []string{check.Env("AVOUCH_AUDIENCE") + "/.default"},
		})
		return token.Token, err
	}
	application, err := azidentity.NewClientAssertionCredential(
		check.Env("AVOUCH_TENANT"), check.Env("AVOUCH_CLIENT_ID"), assertion,
		&azidentity.ClientAssertionCredentialOptions{DisableInstanceDiscovery: true},
	)
	if err != nil {
		return nil, "", err
	}

	// 3. Use it: any SDK client takes the credential.
	storage, err := azblob.NewClient(check.Env("AVOUCH_STORAGE_URL"), application, nil)
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

	// Without an SDK client, ask for a token and put it into the request.
	token, err := application.GetToken(ctx, policy.TokenRequestOptions{
		Scopes: []string{check.Env("AVOUCH_RESOURCE_SCOPE")},
	})
	return blobs, token.Token, err
}

// managedIdentity says which of the host's identities is meant.
func managedIdentity() azidentity.ManagedIDKind {
	if id := os.Getenv("AVOUCH_IDENTITY_OBJECT_ID"); id != "" {
		return azidentity.ObjectID(id)
	}
	if id := os.Getenv("AVOUCH_IDENTITY_RESOURCE_ID"); id != "" {
		return azidentity.ResourceID(id)
	}
	return azidentity.ClientID(check.Env("AVOUCH_IDENTITY_CLIENT_ID"))
}
