"""Makes an application that trusts a managed identity, through Microsoft Graph,
as an administering application that has no secret itself."""

import asyncio
import importlib.metadata
import json
import os
import urllib.parse
import uuid

from azure.identity import ClientAssertionCredential, ManagedIdentityCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.applications.applications_request_builder import ApplicationsRequestBuilder
from msgraph.generated.applications.item.federated_identity_credentials.federated_identity_credentials_request_builder import (
    FederatedIdentityCredentialsRequestBuilder,
)
from msgraph.generated.models.app_role_assignment import AppRoleAssignment
from msgraph.generated.models.application import Application
from msgraph.generated.models.federated_identity_credential import FederatedIdentityCredential
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.reference_create import ReferenceCreate
from msgraph.generated.models.service_principal import ServicePrincipal
from msgraph.generated.service_principals.service_principals_request_builder import ServicePrincipalsRequestBuilder
from msgraph_core import PageIterator

# 1. The administering application: the managed identity of this host vouches
# for it. The authority comes from AZURE_AUTHORITY_HOST.
identity = ManagedIdentityCredential(client_id=os.environ["AVOUCH_IDENTITY_CLIENT_ID"])
administrator = ClientAssertionCredential(
    os.environ["AVOUCH_TENANT"],
    os.environ["AVOUCH_CLIENT_ID"],
    lambda: identity.get_token("api://AzureADTokenExchange/.default").token,
)

# 2. The client. It sends its token to the allowed hosts only, which are named
# without their port.
platform = os.environ["AZURE_AUTHORITY_HOST"]
adapter = GraphRequestAdapter(
    AzureIdentityAuthenticationProvider(
        administrator,
        scopes=["https://graph.microsoft.com/.default"],
        allowed_hosts=[urllib.parse.urlsplit(platform).hostname],
    )
)
adapter.base_url = platform + "/graph/v1.0"
graph = GraphServiceClient(request_adapter=adapter)


async def main():
    name = os.environ["AVOUCH_NAME"]
    read, refusals = {}, {}

    # 3. An application and its service principal.
    application = await graph.applications.post(Application(display_name=name, sign_in_audience="AzureADMyOrg"))
    principal = await graph.service_principals.post(ServicePrincipal(app_id=application.app_id))
    read["principal"] = principal.service_principal_type
    refusals["principalTwice"] = await refusal(graph.service_principals.post(ServicePrincipal(app_id=application.app_id)))

    found = await graph.applications.get(applications(filter=f"displayName eq '{name}'", select=["id", "displayName"]))
    read["found"] = [a.display_name for a in found.value]

    item = graph.applications.by_application_id(application.id)
    await item.patch(Application(notes="made by a program", sign_in_audience="AzureADMultipleOrgs"))
    changed = await graph.applications_with_app_id(application.app_id).get()
    read["changed"] = [changed.notes, changed.sign_in_audience]

    # 4. It trusts the identity whose principal id is the subject.
    def credential(name, subject):
        return FederatedIdentityCredential(
            name=name,
            issuer=f"https://login.microsoftonline.com/{os.environ['AVOUCH_TENANT']}/v2.0",
            subject=subject,
            audiences=["api://AzureADTokenExchange"],
        )

    credentials = item.federated_identity_credentials
    made = await credentials.post(credential("msi-shop", os.environ["AVOUCH_SUBJECT"]))
    refusals["credentialTwice"] = await refusal(credentials.post(credential("msi-shop", os.environ["AVOUCH_SUBJECT"])))
    await credentials.by_federated_identity_credential_id(made.id).patch(
        FederatedIdentityCredential(description="the shop's own identity")
    )
    query = FederatedIdentityCredentialsRequestBuilder.FederatedIdentityCredentialsRequestBuilderGetQueryParameters
    trusted = await credentials.get(RequestConfiguration(query_parameters=query(filter="name eq 'msi-shop'")))
    read["trusted"] = [c.description for c in trusted.value]

    # A second one, to take it away again.
    await credentials.post(credential("mistaken", "nobody"))
    await credentials.by_federated_identity_credential_id("mistaken").delete()
    read["credentials"] = [c.name for c in (await credentials.get()).value]

    # 5. It may read reports: an app role of the application reports.
    query = ServicePrincipalsRequestBuilder.ServicePrincipalsRequestBuilderGetQueryParameters
    reports = await graph.service_principals.get(RequestConfiguration(query_parameters=query(filter="displayName eq 'reports'")))
    reports = reports.value[0]
    await graph.service_principals.by_service_principal_id(reports.id).app_role_assigned_to.post(
        AppRoleAssignment(
            principal_id=uuid.UUID(principal.id),
            resource_id=uuid.UUID(reports.id),
            app_role_id=next(role.id for role in reports.app_roles if role.value == "Reports.Read"),
        )
    )
    assignments = await graph.service_principals.by_service_principal_id(principal.id).app_role_assignments.get()
    read["assigned"] = [a.resource_display_name for a in assignments.value]

    # 6. Owners.
    await item.owners.ref.post(ReferenceCreate(odata_id=f"{adapter.base_url}/directoryObjects/{principal.id}"))
    read["owners"] = [o.display_name for o in (await item.owners.get()).value]

    # 7. Many: page by page, and away with them.
    for n in (1, 2, 3):
        await graph.applications.post(Application(display_name=f"{name}-spare-{n}"))
    spare = []
    first = await graph.applications.get(applications(filter=f"startswith(displayName,'{name}-spare-')", top=2))
    read["firstPage"] = len(first.value)
    await PageIterator(first, adapter).iterate(lambda a: spare.append(a) is None)
    read["spare"] = sorted(a.display_name for a in spare)
    for a in spare:
        await graph.applications.by_application_id(a.id).delete()
    refusals["deleted"] = await refusal(graph.applications.by_application_id(spare[0].id).get())

    sdk = "msgraph-sdk"
    print(json.dumps({
        "sdk": f"{sdk} {importlib.metadata.version(sdk)}",
        "clientId": application.app_id, "read": read, "refusals": refusals,
    }))


def applications(**options):
    query = ApplicationsRequestBuilder.ApplicationsRequestBuilderGetQueryParameters
    return RequestConfiguration(query_parameters=query(**options))


async def refusal(request):
    """Status and code of a request that must be refused."""
    try:
        await request
    except ODataError as error:
        return f"{error.response_status_code} {error.error.code}"
    return "went through"


asyncio.run(main())
