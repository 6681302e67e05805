"""Optional packages: which extra of the project brings them, and what is said where one is missing.

Without extras there is what the networks need, `charmnet harmonize` of pictures of this machine, and
`charmnet export` to safetensors and pt2.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from charmnet.errors import CharmNetError

MODULES = {
    "train": (
        *("ray", "mlflow", "pyarrow", "s3fs", "aiobotocore", "botocore", "psutil", "pynvml", "tomli_w"),
        *("grpc", "matplotlib", "requests", "urllib3"),
    ),
    "render": ("mitsuba", "drjit", "pyoidn", "trimesh", "skimage", "scipy", "mapbox_earcut"),
    "quickstart": ("boto3", "sklearn"),
    "demo": ("gradio", "starlette"),
    "serve": ("ray", "grpc", "prometheus_client", "starlette", "uvicorn"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "heic": ("pillow_heif",),
}
"""Modules that an extra brings, also by way of what it depends on."""

INCLUDED = {"render": ("train",), "quickstart": ("train", "render")}
"""Extras that an extra contains."""


class MissingPackageError(CharmNetError):
    """A package of an extra is not installed."""


def _missing(what: str, modules: Sequence[str], extra: str) -> MissingPackageError:
    return MissingPackageError(
        f"{what} needs {', '.join(modules)}, not installed here: pip install 'charmnet[{extra}]'"
    )


def require(what: str, extra: str, modules: Sequence[str] | None = None) -> None:
    """Check that what an extra brings is installed.

    Args:
        what: subject of the error's message, such as "rendering".
        extra: the extra.
        modules: those of its modules that are needed; by default all.

    Raises:
        MissingPackageError: some are missing; names them and the extra.
    """
    missing = [name for name in modules or MODULES[extra] if find_spec(name) is None]
    if missing:
        raise _missing(what, missing, extra)


def missing_package(what: str, error: ImportError, wanted: str | None = None) -> MissingPackageError | None:
    """Return the error for an import that failed, or None where no extra brings the module.

    Args:
        what: subject of the error's message.
        error: what the import raised.
        wanted: extra to name if it brings the module; else the first that does is named.
    """
    module = (error.name or "").partition(".")[0]
    bringing = [extra for extra, modules in MODULES.items() if module in modules]
    if not bringing:
        return None
    if wanted and not {wanted, *INCLUDED.get(wanted, ())}.isdisjoint(bringing):
        return _missing(what, [module], wanted)
    return _missing(what, [module], bringing[0])
