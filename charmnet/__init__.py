"""CharmNet: image harmonization across the real and the rendered domain. Needs torch, no Ray, no MLflow."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charmnet.networks.charmnet import CharmNet

__all__ = ["CharmNet"]


def __getattr__(name: str) -> object:
    # Processes that only read pictures or parse arguments are spared the seconds that torch takes to import.
    if name == "CharmNet":
        from charmnet.networks.charmnet import CharmNet

        return CharmNet
    raise AttributeError(f"module 'charmnet' has no attribute {name!r}")
