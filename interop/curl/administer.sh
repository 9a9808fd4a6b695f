#!/bin/sh
# Configures a platform with curl, from a tenant that knows no application to an
# exchange that succeeds. The commands are those of docs/curl.md. It is called
# with avouch, curl and jq on the PATH, AVOUCH_DIR naming the platform's data,
# and in an empty folder, into which it writes.
#
# The last line of standard output is a JSON object: what was read back, and the
# refusals that were met.
set -eu

# Tokens of the administrator, in files that only we can read.
umask 077
eval "$(avouch env)"
bearer() { printf 'Authorization: Bearer %s\n' "$(avouch token --administrator --tenant contoso --resource "$1")"; }
bearer https://graph.microsoft.com >graph.header
bearer https://management.azure.com >arm.header

call() {
	header=$1 method=$2 url=$3
	shift 3
	curl --silent --show-error --fail-with-body --request "$method" --header "@$header" \
		--header 'Content-Type: application/json' "$url" "$@"
}
graph() { method=$1 at=$2; shift 2; call graph.header "$method" "$AZURE_AUTHORITY_HOST/graph/v1.0$at" "$@"; }
arm() { method=$1 at=$2; shift 2; call arm.header "$method" "$AZURE_AUTHORITY_HOST/arm$at" "$@"; }

# A managed identity.
SUBSCRIPTION=$(arm GET '/subscriptions?api-version=2022-12-01' | jq -r '.value[0].subscriptionId')
GROUP=/subscriptions/$SUBSCRIPTION/resourceGroups/shop-curl
IDENTITY=$GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-curl
arm PUT "$GROUP?api-version=2021-04-01" --data '{"location": "westeurope"}'
arm PUT "$IDENTITY?api-version=2023-01-31" --data '{"location": "westeurope"}'
PRINCIPAL=$(arm GET "$IDENTITY?api-version=2023-01-31" | jq -r .properties.principalId)
TENANT=$(arm GET "$IDENTITY?api-version=2023-01-31" | jq -r .properties.tenantId)

# The host that has it.
HOST=/subscriptions/$SUBSCRIPTION/resourceGroups/web/providers/Microsoft.Compute/virtualMachines/web-vm
arm PATCH "$HOST?api-version=2024-07-01" --data '{
  "identity": {"type": "UserAssigned", "userAssignedIdentities": {"'"$IDENTITY"'": {}}}
}'

# An application and its service principal.
APP=$(graph POST /applications --data '{"displayName": "shop-curl", "signInAudience": "AzureADMyOrg"}' | jq -r .appId)
SP=$(graph POST /servicePrincipals --data '{"appId": "'"$APP"'"}' | jq -r .id)

# The application trusts the identity.
cat >credential.json <<JSON
{
  "name": "msi-curl",
  "issuer": "https://login.microsoftonline.com/$TENANT/v2.0",
  "subject": "$PRINCIPAL",
  "audiences": ["api://AzureADTokenExchange"]
}
JSON
graph POST "/applications(appId='$APP')/federatedIdentityCredentials" --data @credential.json

# The application may read blobs of the group. A role assignment has any name
# that is a GUID.
READER=/subscriptions/$SUBSCRIPTION/providers/Microsoft.Authorization/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1
ASSIGNMENT=$GROUP/providers/Microsoft.Authorization/roleAssignments/c0a1e5ce-0000-4000-8000-000000000001
arm PUT "$ASSIGNMENT?api-version=2022-04-01" --data '{
  "properties": {"roleDefinitionId": "'"$READER"'", "principalId": "'"$SP"'", "principalType": "ServicePrincipal"}
}'

# The exchange.
avouch token --application shop-curl --scope https://storage.azure.com/.default --decode

# What stands there now.
graph GET "/applications(appId='$APP')/federatedIdentityCredentials" >credentials.json
arm GET "$HOST?api-version=2024-07-01" >host.json
arm GET "$GROUP/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&\$filter=principalId%20eq%20'$SP'" >roles.json

# The same again is refused: curl ends with status 22, and the answer says why.
graph POST "/applications(appId='$APP')/federatedIdentityCredentials" --data @credential.json >again.json 2>again.txt && exit 1
OTHER=$GROUP/providers/Microsoft.Authorization/roleAssignments/c0a1e5ce-0000-4000-8000-000000000002
arm PUT "$OTHER?api-version=2022-04-01" --data '{
  "properties": {"roleDefinitionId": "'"$READER"'", "principalId": "'"$SP"'", "principalType": "ServicePrincipal"}
}' >role-again.json 2>role-again.txt && exit 1

echo
jq -cn --arg sdk "$(curl --version | head -n 1)" --arg principalId "$PRINCIPAL" --arg clientId "$APP" \
	--slurpfile credentials credentials.json --slurpfile host host.json --slurpfile roles roles.json \
	--slurpfile again again.json --slurpfile roleAgain role-again.json \
	--arg status "$(tr -dc 0-9 <again.txt | tail -c 3)" --arg roleStatus "$(tr -dc 0-9 <role-again.txt | tail -c 3)" '{
	sdk: $sdk, principalId: $principalId, clientId: $clientId,
	read: {
		credentials: [$credentials[0].value[] | .name],
		host: [$host[0].identity.type, ($host[0].identity.userAssignedIdentities[] | .principalId)],
		roles: [$roles[0].value[] | .properties.principalType]
	},
	refusals: {
		credentialTwice: "\($status) \($again[0].error.code)",
		roleTwice: "\($roleStatus) \($roleAgain[0].error.code)"
	}
}'
