"""The flow of announcement.py for a managed identity that is named by any kind
of id: client id, object (principal) id or resource id."""

import os

from azure.identity import ClientAssertionCredential, ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient

import check


def run():
    # 1. The managed identity of the host that this program runs on.
    identity = ManagedIdentityCredential(identity_config=managed_identity())

    # 2. The application. Its assertion is the identity's token for the token
    # exchange. The authority comes from AZURE_AUTHORITY_HOST.
    def assertion():
        return identity.get_token(os.environ["AVOUCH_AUDIENCE"] + "/.default").token

    application = ClientAssertionCredential(os.environ["AVOUCH_TENANT"], os.environ["AVOUCH_CLIENT_ID"], assertion)

    # 3. Use it. Asking for a token first tells at once when the credential is
    # refused; the storage client would try four times, over 84 seconds.
    token = application.get_token(os.environ["AVOUCH_RESOURCE_SCOPE"]).token

    # Any SDK client takes the credential.
    storage = BlobServiceClient(os.environ["AVOUCH_STORAGE_URL"], application)
    blobs = list(storage.get_container_client(os.environ["AVOUCH_CONTAINER"]).list_blob_names())
    return blobs, token


def managed_identity():
    """Says which of the host's identities is meant."""
    for kind in ("object_id", "resource_id"):
        if value := os.environ.get("AVOUCH_IDENTITY_" + kind.upper()):
            return {kind: value}
    return {"client_id": os.environ["AVOUCH_IDENTITY_CLIENT_ID"]}


check.main("azure-identity", run)
