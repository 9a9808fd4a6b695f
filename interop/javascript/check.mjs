// What the programs of this folder have in common and what has nothing to do
// with the SDK that each of them shows: reading the environment, calling the
// protected resource, printing the result.

import { readFileSync } from "node:fs";

/** Returns a variable that must be set. */
export function env(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/**
 * Runs a program and prints its report as the last line of standard output.
 * `run` returns the names of the blobs and a token for the protected resource.
 * A refusal is a result too: the status is 0 unless the program itself is broken.
 */
export async function main(packageName, run) {
  const report = { sdk: `${packageName} ${version(packageName)}` };
  let result;
  try {
    result = await run();
  } catch (error) {
    report.error = refusal(error);
  }
  if (result) {
    report.blobs = result.blobs;
    report.resource = await call(result.resourceToken);
    report.bad = {};
    for (const [name, token] of Object.entries(JSON.parse(process.env.AVOUCH_BAD_TOKENS || "{}"))) {
      report.bad[name] = (await call(token)).status;
    }
    report.token = claims(result.resourceToken);
  }
  console.log(JSON.stringify(report));
}

/** Presents a token to the protected resource. */
async function call(token) {
  const response = await fetch(env("AVOUCH_RESOURCE_URL"), {
    headers: { Authorization: `Bearer ${token}` },
  });
  return { status: response.status, body: await response.json() };
}

/**
 * Reads a token without verifying it, to show it. Verifying is the resource's
 * business, never the client's.
 */
function claims(token) {
  const payload = Buffer.from(token.split(".")[1], "base64url");
  const { tid, appid, azp, iss } = JSON.parse(payload);
  return { tid, appid, azp, iss };
}

/** Describes an error as the caller of the SDK sees it. */
function refusal(error) {
  const code = /AADSTS\d+/.exec(error.message)?.[0];
  if (!code && !isFromSDK(error)) throw error;
  return { code: code ?? "", message: error.message, class: error.name };
}

// A mistake in a program is a crash, not a refusal.
function isFromSDK(error) {
  return !["Error", "TypeError", "ReferenceError", "SyntaxError", "RangeError"].includes(error.name);
}

/** The version of an installed package. */
export function version(packageName) {
  const file = new URL(`node_modules/${packageName}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(file)).version;
}
