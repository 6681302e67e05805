"""The methods that can be trained, by name."""

from __future__ import annotations

import inspect
from typing import Any

from charmnet.methods.base import Method, metric_path
from charmnet.methods.charmnet import CharmNetMethod
from charmnet.methods.cuda_graph import CudaGraphUpdate
from charmnet.methods.idih import IDIHMethod

__all__ = [
    "METHODS",
    "CharmNetMethod",
    "CudaGraphUpdate",
    "IDIHMethod",
    "Method",
    "build_method",
    "metric_path",
]

METHODS: dict[str, type[Method]] = {method.name: method for method in (CharmNetMethod, IDIHMethod)}


def build_method(name: str, **options: Any) -> Method:
    """A fresh method by its name; ValueError names what is unknown."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}, expected one of {', '.join(METHODS)}")
    known = inspect.signature(METHODS[name]).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"method {name} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return METHODS[name](**options)
