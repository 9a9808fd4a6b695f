#!/bin/sh
# Configures a platform with the az command, from an empty tenant to an exchange
# that succeeds, and takes it apart again. The commands are those of
# docs/az-cli.md. It is called with az on the PATH and in the environment that
# avouch env prints for a host with an administering managed identity, and:
#
#	MANAGEMENT   address of the resource manager, such as https://localhost:8443/arm
#	ADMIN        client id of the administering identity
#	TENANT       tenant id
#	HOST_ID      resource id of a virtual machine, SITE_ID of a web app
#	AVOUCH_TOKEN command that prints a token for the exchange as the identity named by $1
#
# Every answer that matters is compared; the first difference ends it.
set -eu

export AZURE_CORE_INSTANCE_DISCOVERY=false AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_SURVEY_MESSAGE=false
export AZURE_CORE_ONLY_SHOW_ERRORS=true AZURE_CORE_LOGIN_EXPERIENCE_V2=false AZURE_CORE_OUTPUT=tsv

step() { echo "== $*"; }

# same WHAT GOT WANT
same() {
	if [ "$2" != "$3" ]; then
		echo "$1: got '$2', want '$3'" >&2
		exit 1
	fi
}

# fails WHAT TEXT COMMAND...: the command fails and says the text.
fails() {
	what=$1 text=$2
	shift 2
	if said=$("$@" 2>&1); then
		echo "$what: it went through, and should not have: $said" >&2
		exit 1
	fi
	case $said in
	*"$text"*) ;;
	*)
		echo "$what: it said '$said', not '$text'" >&2
		exit 1
		;;
	esac
}

step cloud
az cloud register --name Avouch --endpoint-resource-manager "$MANAGEMENT"
az cloud set --name Avouch
same "cloud" "$(az cloud show --query name)" Avouch

step login with the managed identity
az login --identity --client-id "$ADMIN" >/dev/null
same "tenant" "$(az account show --query tenantId)" "$TENANT"
same "accounts" "$(az account list --query 'length(@)')" 1
SUBSCRIPTION=$(az account show --query id)
az account get-access-token --query expiresOn >/dev/null
az account get-access-token --resource-type ms-graph --query tokenType >/dev/null

step group and identity
az group create --name orders --location westeurope >/dev/null
az identity create --name msi-orders --resource-group orders >/dev/null
same "identities" "$(az identity list --resource-group orders --query '[].name')" msi-orders
PRINCIPAL=$(az identity show --name msi-orders --resource-group orders --query principalId)
IDENTITY_CLIENT=$(az identity show --name msi-orders --resource-group orders --query clientId)
IDENTITY=$(az identity show --name msi-orders --resource-group orders --query id)

step credentials of the identity
az identity federated-credential create --name build --identity-name msi-orders --resource-group orders \
	--issuer https://token.example/ci --subject repo:one --audiences api://AzureADTokenExchange >/dev/null
az identity federated-credential update --name build --identity-name msi-orders --resource-group orders \
	--issuer https://token.example/ci --subject repo:two --audiences api://AzureADTokenExchange >/dev/null
same "subject" "$(az identity federated-credential show --name build --identity-name msi-orders --resource-group orders --query subject)" repo:two
same "credentials" "$(az identity federated-credential list --identity-name msi-orders --resource-group orders --query 'length(@)')" 1
az identity federated-credential delete --name build --identity-name msi-orders --resource-group orders --yes

step hosts
az vm identity assign --ids "$HOST_ID" --identities "$IDENTITY" >/dev/null
same "the machine's identities" "$(az vm identity show --ids "$HOST_ID" --query 'length(userAssignedIdentities)')" 1
az webapp identity assign --ids "$SITE_ID" --identities "$IDENTITY" >/dev/null
same "the app's identities" "$(az webapp identity show --ids "$SITE_ID" --query 'length(userAssignedIdentities)')" 1

step application
APP=$(az ad app create --display-name shop --sign-in-audience AzureADMultipleOrgs --query appId)
same "created again" "$(az ad app create --display-name shop --sign-in-audience AzureADMultipleOrgs --query appId)" "$APP"
OBJECT=$(az ad app show --id "$APP" --query id)
az ad app update --id "$APP" --identifier-uris "api://$APP"
same "identifier URI" "$(az ad app show --id "api://$APP" --query appId)" "$APP"
same "applications named shop" "$(az ad app list --display-name shop --query '[].appId')" "$APP"
SP=$(az ad sp create --id "$APP" --query id 2>/dev/null || az ad sp show --id "$APP" --query id)
same "service principal" "$(az ad sp show --id "$APP" --query id)" "$SP"
same "service principals of shop" "$(az ad sp list --display-name shop --query '[].id')" "$SP"
az ad app owner add --id "$APP" --owner-object-id "$SP"
same "owners" "$(az ad app owner list --id "$APP" --query "[?id=='$SP'].id")" "$SP"

step the credential that names the identity
cat >credential.json <<JSON
{"name": "msi-orders", "issuer": "https://login.microsoftonline.com/$TENANT/v2.0",
 "subject": "$PRINCIPAL", "audiences": ["api://AzureADTokenExchange"], "description": "made with az"}
JSON
CREDENTIAL=$(az ad app federated-credential create --id "$APP" --parameters credential.json --query id)
fails "a second one of the name" "already exists" az ad app federated-credential create --id "$APP" --parameters credential.json
sed 's/made with az/changed with az/' credential.json >changed.json
az ad app federated-credential update --id "$APP" --federated-credential-id "$CREDENTIAL" --parameters changed.json
same "description" "$(az ad app federated-credential show --id "$APP" --federated-credential-id msi-orders --query description)" "changed with az"
same "credentials" "$(az ad app federated-credential list --id "$APP" --query '[].name')" msi-orders

step roles
READER="Storage Blob Data Reader"
az role definition list --name "$READER" --query '[].roleName' >/dev/null
az role assignment create --assignee "$APP" --role "$READER" --scope "/subscriptions/$SUBSCRIPTION/resourceGroups/orders" >/dev/null
same "assigned twice" "$(az role assignment create --assignee-object-id "$SP" --assignee-principal-type ServicePrincipal --role "$READER" \
	--scope "/subscriptions/$SUBSCRIPTION/resourceGroups/orders" --query principalId)" "$SP"
same "assignments" "$(az role assignment list --assignee "$APP" --all --query '[].roleDefinitionName')" "$READER"

step anything else
same "az rest" "$(az rest --method get --url "$GRAPH/v1.0/applications/$OBJECT" --query displayName)" shop
same "az rest, resource manager" "$(az rest --method get --url "$IDENTITY?api-version=2023-01-31" --query name)" msi-orders
fails "a secret" "federated" az ad app credential reset --id "$APP"

step the exchange
eval "$AVOUCH_TOKEN" >token.jwt

step login as the application
az login --service-principal --username "$APP" --tenant "$TENANT" --federated-token "$(cat token.jwt)" --allow-no-subscriptions >/dev/null
same "user" "$(az account list --query "[?user.name=='$APP'].user.type" | sort -u)" servicePrincipal
fails "an application without rights" "Insufficient privileges" az ad app delete --id "$APP"

step away with it
az login --identity --client-id "$ADMIN" >/dev/null
az role assignment delete --assignee "$APP" --role "$READER" --scope "/subscriptions/$SUBSCRIPTION/resourceGroups/orders"
az ad app federated-credential delete --id "$APP" --federated-credential-id "$CREDENTIAL"
same "credentials" "$(az ad app federated-credential list --id "$APP" --query 'length(@)')" 0
az ad app delete --id "$APP"
fails "a deleted application" "does not exist" az ad app show --id "$APP"
az vm identity remove --ids "$HOST_ID" --identities "$IDENTITY" >/dev/null
az identity delete --name msi-orders --resource-group orders
az group delete --name orders --yes
step done
