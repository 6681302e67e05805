"""CharmNet: image harmonization across the real and the rendered domain. Needs torch, no Ray, no MLflow.

The package itself names the network and the version; everything else is imported from its modules, as
docs/python.md shows.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charmnet.networks.charmnet import CharmNet

    __version__: str

__all__ = ["CharmNet", "__version__"]


def __getattr__(name: str) -> object:
    # Processes that only read pictures or parse arguments do not pay for importing torch (seconds) and
    # importlib.metadata (a tenth of a second).
    if name == "CharmNet":
        from charmnet.networks.charmnet import CharmNet  # noqa: PLC0415 - see above

        return CharmNet
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - see above

        try:
            return version("charmnet")
        except PackageNotFoundError:  # a checkout on the path that was not installed
            return "unknown"
    raise AttributeError(f"module 'charmnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
