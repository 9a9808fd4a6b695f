// Lists the blobs of a container as an application that has no secret: a
// managed identity vouches for it.

import { ClientAssertionCredential, ManagedIdentityCredential } from "@azure/identity";
import { BlobServiceClient } from "@azure/storage-blob";
import { env, main } from "./check.mjs";

await main("@azure/identity", async () => {
  // 1. The managed identity of the host that this program runs on.
  const identity = new ManagedIdentityCredential(managedIdentity());

  // 2. The application. Its assertion is the identity's token for the token
  // exchange. The authority comes from AZURE_AUTHORITY_HOST; instance discovery
  // would ask the public cloud about it.
  const assertion = async () => (await identity.getToken(`${env("AVOUCH_AUDIENCE")}/.default`)).token;
  const application = new ClientAssertionCredential(env("AVOUCH_TENANT"), env("AVOUCH_CLIENT_ID"), assertion, {
    disableInstanceDiscovery: true,
  });

  // 3. Use it: any SDK client takes the credential.
  const storage = new BlobServiceClient(env("AVOUCH_STORAGE_URL"), application);
  const blobs = [];
  for await (const blob of storage.getContainerClient(env("AVOUCH_CONTAINER")).listBlobsFlat()) {
    blobs.push(blob.name);
  }

  // Without an SDK client, ask for a token and put it into the request.
  const { token } = await application.getToken(env("AVOUCH_RESOURCE_SCOPE"));
  return { blobs, resourceToken: token };
});

/** Says which of the host's identities is meant. */
function managedIdentity() {
  const { AVOUCH_IDENTITY_OBJECT_ID: objectId, AVOUCH_IDENTITY_RESOURCE_ID: resourceId } = process.env;
  if (objectId) return { objectId };
  if (resourceId) return { resourceId };
  return { clientId: env("AVOUCH_IDENTITY_CLIENT_ID") };
}
