"""Removal of secrets from text: passwords in URLs and the values of secret environment variables."""

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
_SHORTEST_SECRET = 8  # characters; shorter values are found in ordinary words


def redact(text: str) -> str:
    """Return a text with `***` for the credentials of URLs and for the values of secret variables.

    Secret are the keys of the store, MLflow and Ray, and every variable that was set at the first call and
    whose name ends in TOKEN, PASSWORD, SECRET_KEY and the like.
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
