"""The Python sample of the product announcement of May 2025, "managed identity
as a federated identity credential", statement for statement.

Two things differ. The values that the sample asks the reader to fill in come
from the environment. And the third parameter of ClientAssertionCredential is
called func: the sample's client_assertion_callback does not exist, and raises
TypeError.
"""

import os

from azure.identity import ManagedIdentityCredential, ClientAssertionCredential
from azure.storage.blob import BlobServiceClient

# What the reader fills in
APP_CLIENT_ID      = os.environ["AVOUCH_CLIENT_ID"]
MI_CLIENT_ID       = os.environ["AVOUCH_IDENTITY_CLIENT_ID"]
AUDIENCE           = os.environ["AVOUCH_AUDIENCE"]
RESOURCE_TENANT_ID = os.environ["AVOUCH_TENANT"]
STORAGE_ACCOUNT    = os.environ["AVOUCH_STORAGE_URL"]
CONTAINER_NAME     = os.environ["AVOUCH_CONTAINER"]

# 1. The managed identity's token for the token exchange
mi_credential = ManagedIdentityCredential(client_id=MI_CLIENT_ID)
def get_mi_token():
    token = mi_credential.get_token(f"{AUDIENCE}/.default")
    return token.token

# 2. The application's credential, with that token as its assertion
credential = ClientAssertionCredential(
    tenant_id=RESOURCE_TENANT_ID,
    client_id=APP_CLIENT_ID,
    func=get_mi_token
)

# 3. A storage client that uses it
blob_service_client = BlobServiceClient(
    account_url=STORAGE_ACCOUNT,
    credential=credential
)
container_client = blob_service_client.get_container_client(CONTAINER_NAME)

# 4. What is in the container
print(f"Blobs in container '{CONTAINER_NAME}':")
for blob in container_client.list_blobs():
    print(f"- {blob.name}")
