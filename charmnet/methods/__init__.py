"""Methods that can be trained, by name."""

from __future__ import annotations

from typing import Any

from charmnet.methods.base import Method, MethodOptions, Requirements, metric_path
from charmnet.methods.charmnet import CharmNetMethod
from charmnet.methods.cuda_graph import CudaGraphUpdate
from charmnet.methods.cut import CUTMethod
from charmnet.methods.cyclegan import CycleGANMethod
from charmnet.methods.dht import HarmonyTransformerMethod
from charmnet.methods.dovenet import DoveNetMethod
from charmnet.methods.harmonization import HarmonizationMethod
from charmnet.methods.idih import IDIHMethod
from charmnet.methods.iih import IntrinsicMethod
from charmnet.methods.rainnet import RainNetMethod
from charmnet.methods.translation import TranslationMethod
from charmnet.methods.unit import UNITMethod

__all__ = [
    "METHODS",
    "CUTMethod",
    "CharmNetMethod",
    "CudaGraphUpdate",
    "CycleGANMethod",
    "DoveNetMethod",
    "HarmonizationMethod",
    "HarmonyTransformerMethod",
    "IDIHMethod",
    "IntrinsicMethod",
    "Method",
    "MethodOptions",
    "RainNetMethod",
    "Requirements",
    "TranslationMethod",
    "UNITMethod",
    "build_method",
    "metric_path",
]

_HARMONIZERS = (
    CharmNetMethod,
    IDIHMethod,
    DoveNetMethod,
    RainNetMethod,
    IntrinsicMethod,
    HarmonyTransformerMethod,
)
_TRANSLATORS = (CycleGANMethod, CUTMethod, UNITMethod)

METHODS: dict[str, type[Method]] = {method.name: method for method in (*_HARMONIZERS, *_TRANSLATORS)}
"""Methods by name; a new one is a class and its entry here."""


def method_class(name: str) -> type[Method]:
    """Return a method's class.

    Raises:
        ValueError: there is no method of this name; lists those that there are.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}, expected one of {', '.join(METHODS)}")
    return METHODS[name]


def build_method(name: str, /, **arguments: Any) -> Method:
    """Return a fresh method by its name.

    Args:
        name: key of `METHODS`.
        arguments: `seed`, and fields of the method's options.

    Raises:
        ValueError: the name, an option or a value is unknown; says which are known.
    """
    return method_class(name)(**arguments)
