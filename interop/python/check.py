"""What the programs of this folder have in common and what has nothing to do
with the SDK that each of them shows: calling the protected resource and
printing the result."""

import base64
import importlib.metadata
import json
import os
import re

import requests


def main(package, run):
    """Runs a program and prints its report as the last line of standard output.

    run returns the names of the blobs and a token for the protected resource.
    A refusal is a result too: the status is 0 unless the program itself is broken.
    """
    report = {"sdk": f"{package} {importlib.metadata.version(package)}"}
    try:
        blobs, token = run()
    except (NameError, KeyError, TypeError, AttributeError, ImportError):
        raise  # a mistake in a program is a crash, not a refusal
    except Exception as error:
        code = re.search(r"AADSTS\d+", str(error))
        report["error"] = {
            "code": code.group() if code else "",
            "message": str(error),
            "class": type(error).__name__,
        }
    else:
        status, body = call(token)
        report["blobs"] = blobs
        report["resource"] = {"status": status, "body": body}
        report["bad"] = {name: call(bad)[0] for name, bad in bad_tokens().items()}
        report["token"] = claims(token)
    print(json.dumps(report))


def call(token):
    """Presents a token to the protected resource."""
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.get(os.environ["AVOUCH_RESOURCE_URL"], headers=headers, timeout=30)
    return response.status_code, response.json()


def bad_tokens():
    """Tokens that the protected resource must refuse, by name."""
    return json.loads(os.environ.get("AVOUCH_BAD_TOKENS") or "{}")


def claims(token):
    """Reads a token without verifying it, to show it. Verifying is the
    resource's business, never the client's."""
    payload = token.split(".")[1]
    every = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {name: every[name] for name in ("tid", "appid", "azp", "iss") if name in every}
