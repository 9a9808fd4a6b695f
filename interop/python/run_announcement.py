"""Runs the sample announcement.py as it stands, takes the blob names from what
it prints, and calls the protected resource with the credential it made."""

import contextlib
import io
import os
import unittest.mock

import check


def run():
    printed = io.StringIO()
    # The storage client tries a refused credential four times over 84 seconds.
    # It may try, but nobody needs to wait.
    with contextlib.redirect_stdout(printed), unittest.mock.patch("time.sleep"):
        import announcement
    print(printed.getvalue(), end="")
    blobs = [line.removeprefix("- ") for line in printed.getvalue().splitlines() if line.startswith("- ")]
    return blobs, announcement.credential.get_token(os.environ["AVOUCH_RESOURCE_SCOPE"]).token


check.main("azure-identity", run)
