"""Makes a managed identity, gives it to a host and grants it a role, through
the resource manager, as a managed identity that administers the subscription."""

import importlib.metadata
import json
import os
import uuid

from azure.core.exceptions import HttpResponseError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient

# 1. The managed identity of this host.
administrator = ManagedIdentityCredential(client_id=os.environ["AVOUCH_IDENTITY_CLIENT_ID"])

# 2. The clients. Where they call, and whom they get tokens for.
subscription = os.environ["AVOUCH_SUBSCRIPTION"]
where = {
    "base_url": os.environ["AZURE_AUTHORITY_HOST"] + "/arm",
    "credential_scopes": ["https://management.azure.com/.default"],
}
resources = ResourceManagementClient(administrator, subscription, **where)
msi = ManagedServiceIdentityClient(administrator, subscription, **where)
authorization = AuthorizationManagementClient(administrator, subscription, **where)


def main():
    name, host = os.environ["AVOUCH_NAME"], os.environ["AVOUCH_HOST_ID"]
    read, refusals = {}, {}

    # 3. A resource group and an identity in it.
    group = resources.resource_groups.create_or_update(name, {"location": "westeurope"})
    read["group"] = [group.location, group.properties.provisioning_state]
    identity = msi.user_assigned_identities.create_or_update(name, "msi-orders", {"location": "westeurope"})
    again = msi.user_assigned_identities.get(name, "msi-orders")
    read["identity"] = [again.name, again.type]
    read["identities"] = [i.name for i in msi.user_assigned_identities.list_by_resource_group(name)]
    refusals["missing"] = refusal(lambda: msi.user_assigned_identities.get(name, "nobody"))

    # 4. Whom the identity trusts to speak for it.
    def credential(subject):
        issuer = "https://token.example/ci"
        return {"issuer": issuer, "subject": subject, "audiences": ["api://AzureADTokenExchange"]}

    credentials = msi.federated_identity_credentials
    credentials.create_or_update(name, "msi-orders", "build", credential("repo:one"))
    credentials.create_or_update(name, "msi-orders", "build", credential("repo:two"))
    read["credentials"] = [f"{c.name} {c.subject}" for c in credentials.list(name, "msi-orders")]
    credentials.delete(name, "msi-orders", "build")
    read["credentialsLeft"] = [c.name for c in credentials.list(name, "msi-orders")]
    refusals["badName"] = refusal(lambda: credentials.create_or_update(name, "msi-orders", "c", credential("repo:one")))

    # 5. A role on the resource group.
    definitions = authorization.role_definitions.list(group.id, filter="roleName eq 'Storage Blob Data Reader'")
    role = {
        "role_definition_id": next(definitions).id,
        "principal_id": identity.principal_id,
        "principal_type": "ServicePrincipal",
    }
    authorization.role_assignments.create(group.id, str(uuid.uuid4()), role)
    refusals["roleTwice"] = refusal(lambda: authorization.role_assignments.create(group.id, str(uuid.uuid4()), role))
    assignments = authorization.role_assignments.list_for_scope(group.id, filter=f"principalId eq '{identity.principal_id}'")
    read["roles"] = [a.principal_type for a in assignments]

    # 6. The identity goes to the host.
    resources.resources.begin_update_by_id(
        host,
        {"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}}},
        api_version="2024-07-01",
    ).result()
    assigned = resources.resources.get_by_id(host, api_version="2024-07-01").identity
    read["host"] = [assigned.type, *(i.principal_id for i in assigned.user_assigned_identities.values())]

    print("principal id:", identity.principal_id)

    sdk = "azure-mgmt-msi"
    print(json.dumps({
        "sdk": f"{sdk} {importlib.metadata.version(sdk)}",
        "principalId": again.principal_id, "read": read, "refusals": refusals,
    }))


def refusal(call):
    """Status and code of a call that must be refused."""
    try:
        call()
    except HttpResponseError as error:
        return f"{error.status_code} {error.error.code}"
    return "went through"


main()
