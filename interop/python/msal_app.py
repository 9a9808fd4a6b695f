"""Does with MSAL alone what identity_app.py does: a managed identity vouches
for an application that has no secret."""

import os
import time

import msal
import requests
from azure.core.credentials import AccessToken
from azure.storage.blob import BlobServiceClient

import check


def run():
    # 1. The managed identity of the host that this program runs on.
    identity = msal.ManagedIdentityClient(managed_identity(), http_client=requests.Session())

    # 2. The application. Its assertion is the identity's token for the token
    # exchange. Instance discovery would ask the public cloud about the authority.
    def assertion():
        return access_token(identity.acquire_token_for_client(resource=os.environ["AVOUCH_AUDIENCE"]))

    application = msal.ConfidentialClientApplication(
        os.environ["AVOUCH_CLIENT_ID"],
        authority=os.environ["AZURE_AUTHORITY_HOST"] + "/" + os.environ["AVOUCH_TENANT"],
        client_credential={"client_assertion": assertion},
        instance_discovery=False,
    )

    # 3. Use its tokens.
    token = access_token(application.acquire_token_for_client([os.environ["AVOUCH_RESOURCE_SCOPE"]]))

    # A client of the Azure SDK takes them too.
    storage = BlobServiceClient(os.environ["AVOUCH_STORAGE_URL"], Credential(application))
    blobs = list(storage.get_container_client(os.environ["AVOUCH_CONTAINER"]).list_blob_names())
    return blobs, token


def managed_identity():
    """Says which of the host's identities is meant."""
    for kind in ("object_id", "resource_id"):
        if value := os.environ.get("AVOUCH_IDENTITY_" + kind.upper()):
            return msal.UserAssignedManagedIdentity(**{kind: value})
    return msal.UserAssignedManagedIdentity(client_id=os.environ["AVOUCH_IDENTITY_CLIENT_ID"])


class Refused(Exception):
    """MSAL returns errors instead of raising them."""


def access_token(result):
    if "access_token" not in result:
        raise Refused(f"{result.get('error')}: {result.get('error_description')}")
    return result["access_token"]


class Credential:
    """Lets clients of the Azure SDK use an MSAL application."""

    def __init__(self, application):
        self.application = application

    def get_token(self, *scopes, **kwargs):
        result = self.application.acquire_token_for_client(list(scopes))
        return AccessToken(access_token(result), int(time.time()) + result["expires_in"])


check.main("msal", run)
