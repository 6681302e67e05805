"""Removal of secrets from text: passwords in URLs and the values of secret environment variables.

A key's id is no secret. A password that is an ordinary word or number also stands in names, addresses and
figures that have nothing to do with it: it is removed from messages only where it stands alone, and from what
programs read (JSON, tags, tables) never.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s@\"']*:[^/\s@\"']*(?=@)")
_SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "RAY_AUTH_TOKEN",
)
_ENDINGS = ("PASSWORD", "PASSWD", "TOKEN", "SECRET", "SECRET_KEY", "ACCESS_KEY", "API_KEY", "PRIVATE_KEY")
_SHORTEST_SECRET = 8  # characters; shorter values are found in ordinary words
_SHORTEST_DISTINCTIVE = 12  # of capitals, small letters and digits, or with characters that no name has
_SHORTEST_OF_ONE_CASE = 20  # of digits and letters of one case, as in the names of buckets
_NOT_OF_NAMES = re.compile(r"[^\w./ -]")
_ALONE = r"(?<![\w/.@-]){}(?![\w/@-]|\.\w)"  # not a part of a word, a number, a path or an address


def redact(text: str) -> str:
    """Return a text for people with `***` for the credentials of URLs and the values of secret variables.

    Secret are the keys of the store, MLflow and Ray, and every variable that was set at the first call and
    whose name ends in TOKEN, PASSWORD, SECRET_KEY and the like.
    """
    text = redact_structure(text)
    for value in _secret_values():
        if not _is_distinctive(value):
            text = re.sub(_ALONE.format(re.escape(value)), "***", text)
    return text


def redact_structure(text: str) -> str:
    """Return a text that programs read, such as JSON, without secrets that cannot be a part of its structure.

    These are the credentials of URLs, and the values of secret variables that occur nowhere by chance.
    """
    text = _URL_CREDENTIALS.sub("***", text)
    for value in _secret_values():
        if _is_distinctive(value):
            text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
    return text


def redact_values(value: Any) -> Any:
    """Return a JSON value with `redact_structure` of every text in it; names of fields stay as they are."""
    if isinstance(value, str):
        return redact_structure(value)
    if isinstance(value, dict):
        return {key: redact_values(item) for key, item in value.items()}
    return [redact_values(item) for item in value] if isinstance(value, list | tuple) else value


def _secret_values() -> Iterator[str]:
    for name in _secret_names():
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            yield value


def _is_distinctive(value: str) -> bool:
    """Tell whether a value is so long and mixed that nothing else is called so by chance."""
    small, capital, digit = (any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit))
    if _NOT_OF_NAMES.search(value) or (small and capital and digit):
        return len(value) >= _SHORTEST_DISTINCTIVE
    return len(value) >= _SHORTEST_OF_ONE_CASE and (small or capital) and digit


@cache
def _secret_names() -> list[str]:
    return sorted({*_SECRETS, *(name for name in os.environ if name.endswith(_ENDINGS))})
