"""Write SeaweedFS's identities (`-s3.config`): administrator, sharder and trainer.

  python infra/access/seaweedfs_identities.py s3-identities.json --bucket charmnet

The rights are those of the two policies beside this file: released/ is read and data/ written by the sharder,
data/ is read and runs/ written by the trainer. Keys are generated; only the file's owner can read it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
from typing import Any

READ, WRITE = ("Read",), ("Read", "Write")
RIGHTS = {"sharder": {"released": READ, "data": WRITE}, "trainer": {"data": READ, "runs": WRITE}}


def identities(bucket: str) -> dict[str, Any]:
    """Return the file's content with new keys; the administrator comes first."""
    limited = [
        _identity(
            name,
            [f"List:{bucket}"] + [f"{act}:{bucket}/{top}/*" for top, acts in rights.items() for act in acts],
        )
        for name, rights in RIGHTS.items()
    ]
    return {"identities": [_identity("administrator", ["Admin", "Read", "Write", "List"]), *limited]}


def _identity(name: str, actions: list[str]) -> dict[str, Any]:
    credentials = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_urlsafe(32)}
    return {"name": name, "credentials": [credentials], "actions": actions}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="a new one: keys that are in use are not overwritten")
    parser.add_argument("--bucket", required=True)
    arguments = parser.parse_args()
    descriptor = os.open(arguments.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(identities(arguments.bucket), stream, indent=1)


if __name__ == "__main__":
    main()
