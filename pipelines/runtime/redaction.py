"""What is not written down: passwords in URLs and the values of the environment's secrets."""

from __future__ import annotations

import json
import os
import re
from functools import cache

_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s@\"']*:[^/\s@\"']*(?=@)")
_SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "RAY_AUTH_TOKEN",
)
_ENDINGS = ("PASSWORD", "PASSWD", "TOKEN", "SECRET", "SECRET_KEY", "ACCESS_KEY", "API_KEY", "PRIVATE_KEY")
# Shorter values would blot out ordinary words.
_SHORTEST_SECRET = 8


def redact(text: str) -> str:
    """The text without the credentials of URLs and without the values of variables that are named as secrets.

    Those are the keys of the store, MLflow and Ray, and whatever the process began with whose name ends in
    TOKEN, PASSWORD, SECRET_KEY and the like.
    """
    text = _URL_CREDENTIALS.sub("***", text)
    for name in _secret_names():
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
    return text


@cache
def _secret_names() -> list[str]:
    return sorted({*_SECRETS, *(name for name in os.environ if name.endswith(_ENDINGS))})
