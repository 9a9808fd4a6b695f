// Does with MSAL alone what azure-identity.mjs does: a managed identity vouches
// for an application that has no secret.

import { ConfidentialClientApplication, ManagedIdentityApplication } from "@azure/msal-node";
import { BlobServiceClient } from "@azure/storage-blob";
import { env, main } from "./check.mjs";

await main("@azure/msal-node", async () => {
  // 1. The managed identity of the host that this program runs on.
  const identity = new ManagedIdentityApplication({ managedIdentityIdParams: managedIdentity() });

  // 2. The application. Its assertion is the identity's token for the token
  // exchange. An authority that MSAL does not know from birth is listed in
  // knownAuthorities, with its port; otherwise MSAL asks the public cloud about it.
  const authority = new URL(env("AVOUCH_TENANT"), env("AZURE_AUTHORITY_HOST"));
  const assertion = async () => (await identity.acquireToken({ resource: env("AVOUCH_AUDIENCE") })).accessToken;
  const application = new ConfidentialClientApplication({
    auth: {
      clientId: env("AVOUCH_CLIENT_ID"),
      authority: authority.href,
      knownAuthorities: [authority.host],
      clientAssertion: assertion,
    },
  });

  // 3. Use its tokens, here in a client of the Azure SDK.
  const storage = new BlobServiceClient(env("AVOUCH_STORAGE_URL"), {
    async getToken(scopes) {
      const result = await application.acquireTokenByClientCredential({ scopes: [scopes].flat() });
      return { token: result.accessToken, expiresOnTimestamp: result.expiresOn.getTime() };
    },
  });
  const blobs = [];
  for await (const blob of storage.getContainerClient(env("AVOUCH_CONTAINER")).listBlobsFlat()) {
    blobs.push(blob.name);
  }

  const result = await application.acquireTokenByClientCredential({ scopes: [env("AVOUCH_RESOURCE_SCOPE")] });
  return { blobs, resourceToken: result.accessToken };
});

/** Says which of the host's identities is meant. */
function managedIdentity() {
  const { AVOUCH_IDENTITY_OBJECT_ID: objectId, AVOUCH_IDENTITY_RESOURCE_ID: resourceId } = process.env;
  if (objectId) return { userAssignedObjectId: objectId };
  if (resourceId) return { userAssignedResourceId: resourceId };
  return { userAssignedClientId: env("AVOUCH_IDENTITY_CLIENT_ID") };
}
