"""Models that the package ships: a folder each, as `weights.save_model` writes it, with its model card.

model = load_pretrained("small")
harmonized = harmonize_full_size(model, composite, foreground_mask)
"""

from __future__ import annotations

from pathlib import Path

import torch

from charmnet.methods import HarmonizationMethod
from charmnet.weights import CHECKPOINT_FILE, load_checkpoint

FOLDER = Path(__file__).parent
"""Folder of the models' folders."""


def pretrained_names() -> list[str]:
    """Return the names of the models that the package ships."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CHECKPOINT_FILE}"))


def load_pretrained(name: str, device: torch.device | str = "cpu") -> HarmonizationMethod:
    """Return a model that the package ships, which its folder's README.md describes.

    Raises:
        ValueError: there is none of this name; lists those that there are.
        WeightsError: its files are damaged; install the package again.
    """
    names = pretrained_names()
    if name not in names:
        known = f"expected one of {', '.join(names)}" if names else "there is none"
        raise ValueError(f"charmnet://{name}: no model of this name comes with the package; {known}")
    method, _ = load_checkpoint(FOLDER / name, device)
    assert isinstance(method, HarmonizationMethod)
    return method
