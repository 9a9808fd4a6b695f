// Makes the container AVOUCH_CONTAINER with two blobs in a fresh Azurite.
// It uses the shared key of Azurite's development account, which Azurite
// publishes and which opens nothing else.

import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { env } from "./check.mjs";

const account = "devstoreaccount1";
const publishedKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const storage = new BlobServiceClient(
  env("AVOUCH_STORAGE_URL"),
  new StorageSharedKeyCredential(account, publishedKey),
);
const container = storage.getContainerClient(env("AVOUCH_CONTAINER"));
await container.createIfNotExists();
for (const name of ["a.txt", "b.txt"]) {
  const text = `this is ${name}\n`;
  await container.getBlockBlobClient(name).upload(text, Buffer.byteLength(text));
}
