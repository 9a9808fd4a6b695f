// Makes an application that trusts a managed identity, through Microsoft Graph,
// as an administering application that has no secret itself.

import { ClientAssertionCredential, ManagedIdentityCredential } from "@azure/identity";
import { Client } from "@microsoft/microsoft-graph-client";
import { TokenCredentialAuthenticationProvider } from "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials/index.js";
import { GraphError, PageIterator } from "@microsoft/microsoft-graph-client";
import { version } from "./check.mjs";

// 1. The administering application: the managed identity of this host vouches
// for it. The authority comes from AZURE_AUTHORITY_HOST.
const identity = new ManagedIdentityCredential({ clientId: process.env.AVOUCH_IDENTITY_CLIENT_ID });
const assertion = async () => (await identity.getToken("api://AzureADTokenExchange/.default")).token;
const administrator = new ClientAssertionCredential(process.env.AVOUCH_TENANT, process.env.AVOUCH_CLIENT_ID, assertion, {
  disableInstanceDiscovery: true,
});

// 2. The client. It sends its token to Microsoft's own hosts and to those in
// customHosts, which are named without their port.
const platform = new URL(process.env.AZURE_AUTHORITY_HOST);
const graph = Client.initWithMiddleware({
  authProvider: new TokenCredentialAuthenticationProvider(administrator, { scopes: ["https://graph.microsoft.com/.default"] }),
  baseUrl: `${platform.origin}/graph`,
  customHosts: new Set([platform.hostname]),
});

const name = process.env.AVOUCH_NAME;
const read = {};
const refusals = {};

// 3. An application and its service principal.
const application = await graph.api("/applications").post({ displayName: name, signInAudience: "AzureADMyOrg" });
const principal = await graph.api("/servicePrincipals").post({ appId: application.appId });
read.principal = principal.servicePrincipalType;
refusals.principalTwice = await refusal(graph.api("/servicePrincipals").post({ appId: application.appId }));

const found = await graph.api("/applications").filter(`displayName eq '${name}'`).select(["id", "displayName"]).get();
read.found = found.value.map((a) => a.displayName);

await graph.api(`/applications/${application.id}`).patch({ notes: "made by a program", signInAudience: "AzureADMultipleOrgs" });
const changed = await graph.api(`/applications(appId='${application.appId}')`).get();
read.changed = [changed.notes, changed.signInAudience];

// 4. It trusts the identity whose principal id is the subject.
const credentials = `/applications/${application.id}/federatedIdentityCredentials`;
const credential = {
  name: "msi-shop",
  issuer: `https://login.microsoftonline.com/${process.env.AVOUCH_TENANT}/v2.0`,
  subject: process.env.AVOUCH_SUBJECT,
  audiences: ["api://AzureADTokenExchange"],
};
const { id: credentialId } = await graph.api(credentials).post(credential);
refusals.credentialTwice = await refusal(graph.api(credentials).post(credential));
await graph.api(`${credentials}/${credentialId}`).patch({ description: "the shop's own identity" });
const trusted = await graph.api(credentials).filter("name eq 'msi-shop'").get();
read.trusted = trusted.value.map((c) => c.description);

// A second one, to take it away again.
await graph.api(credentials).post({ ...credential, name: "mistaken", subject: "nobody" });
await graph.api(`${credentials}/mistaken`).delete();
read.credentials = (await graph.api(credentials).get()).value.map((c) => c.name);

// 5. It may read reports: an app role of the application reports.
const reports = (await graph.api("/servicePrincipals").filter("displayName eq 'reports'").get()).value[0];
await graph.api(`/servicePrincipals/${reports.id}/appRoleAssignedTo`).post({
  principalId: principal.id,
  resourceId: reports.id,
  appRoleId: reports.appRoles.find((role) => role.value === "Reports.Read").id,
});
const assignments = await graph.api(`/servicePrincipals/${principal.id}/appRoleAssignments`).get();
read.assigned = assignments.value.map((a) => a.resourceDisplayName);

// 6. Owners.
await graph.api(`/applications/${application.id}/owners/$ref`).post({
  "@odata.id": `${platform.origin}/graph/v1.0/directoryObjects/${principal.id}`,
});
read.owners = (await graph.api(`/applications/${application.id}/owners`).get()).value.map((o) => o.displayName);

// 7. Many: page by page, and away with them.
for (const n of [1, 2, 3]) {
  await graph.api("/applications").post({ displayName: `${name}-spare-${n}` });
}
const spare = [];
const first = await graph.api("/applications").filter(`startswith(displayName,'${name}-spare-')`).top(2).get();
read.firstPage = first.value.length;
await new PageIterator(graph, first, (a) => spare.push(a) > 0).iterate();
read.spare = spare.map((a) => a.displayName).sort();
for (const { id } of spare) {
  await graph.api(`/applications/${id}`).delete();
}
refusals.deleted = await refusal(graph.api(`/applications/${spare[0].id}`).get());

const sdk = "@microsoft/microsoft-graph-client";
console.log(JSON.stringify({ sdk: `${sdk} ${version(sdk)}`, clientId: application.appId, read, refusals }));

/** Status and code of a request that must be refused. */
async function refusal(request) {
  try {
    await request;
  } catch (error) {
    if (error instanceof GraphError) return `${error.statusCode} ${error.code}`;
    throw error;
  }
  return "went through";
}
