"""Request of `charmnet render`: its options, checked against the packages that render."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mitsuba
import torch

from charmnet.errors import CharmNetError, ClusterError
from charmnet.vocabulary import RDHARMONY_CATEGORIES
from pipelines.rendering.assets import Assets, asset_categories, read_assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.job import SCENES_PER_SEED, RenderSettings
from pipelines.rendering.mitsuba_renderer import SAMPLES_PER_PIXEL, VARIANT
from pipelines.rendering.scenes import KINDS, kinds_for
from pipelines.runtime.cluster import LOCAL, ClusterCapacity, cluster_address, connect

_SIDES = range(16, 8193)  # pixels
_LIMITS: dict[str, tuple[int, int | None]] = {
    "scenes": (1, SCENES_PER_SEED),
    "views": (1, None),
    "seed": (0, None),
    "samples": (1, None),
    "quality": (1, 100),
    "max_rejected": (0, 1),
}


@dataclass(frozen=True)
class RenderRequest:
    """Scenes to render and how.

    Attributes:
        kinds: kinds of 3D scenes by category of the foreground.
        settings: size, quality and renderer.
        identity: everything that the bytes of the result depend on.
    """

    kinds: dict[str, tuple[str, ...]]
    settings: RenderSettings
    identity: dict[str, Any]

    @classmethod
    def of(cls, args: argparse.Namespace) -> RenderRequest:
        """Check the options of the command line.

        Raises:
            ValueError: an option is out of range or names what is not known.
            DataError: an asset is unfit.
        """
        kinds = _kinds_by_category(args)
        _check_numbers(args)
        settings = _settings(args, list(kinds))
        return cls(kinds, settings, _identity(args, kinds, settings))

    def check_variant(self, *, alone: bool = False) -> None:
        """Check that the variant of Mitsuba can run.

        Args:
            alone: start no Ray and join no cluster: look at this machine alone, where the work would be here.

        Raises:
            ClusterError: the variant is for GPUs and the cluster has none: its tasks would wait for ever.
            CharmNetError: the variant needs another LLVM than there is here.
        """
        variant = self.settings.variant
        if self.settings.gpus_per_task:
            _check_gpus(variant, alone=alone)
        if variant.startswith("llvm"):
            _check_llvm(variant)


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) in pixels of a text such as "512x288".

    Raises:
        ValueError: the text is no size or out of range.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = tuple(map(int, match.groups())) if match else ()
    if len(sides) != 2 or not all(side in _SIDES for side in sides):
        raise ValueError(
            f"--size is {text!r}, expected WIDTHxHEIGHT in pixels, each {_SIDES.start} to {_SIDES.stop - 1}, "
            "such as 512x288"
        )
    return sides[0], sides[1]


def _kinds_by_category(args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Return the requested kinds that suit each requested category."""
    known_categories = [*RDHARMONY_CATEGORIES, *asset_categories(args.assets)]
    kinds = _names("--kinds", args.kinds, KINDS) if args.kinds else KINDS
    suitable: dict[str, tuple[str, ...]] = {}
    for category in _names("--category", args.category, known_categories):
        known_kinds = kinds_for(category)
        suitable[category] = tuple(kind for kind in kinds if kind in known_kinds)
        if not suitable[category]:
            raise ValueError(
                f"--kinds {args.kinds}: none suits {category}; expected some of {', '.join(known_kinds)}"
            )
    return suitable


def _names(option: str, text: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the names of a comma-separated list, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise ValueError(f"{option} {name!r} is not known; expected some of {', '.join(known)}")
    return names


def _check_numbers(args: argparse.Namespace) -> None:
    for name, (least, most) in _LIMITS.items():
        value = getattr(args, name)
        if value is None:
            continue
        if value < least or (most is not None and value > most):
            expected = f"at least {least}" if most is None else f"{least} to {most}"
            raise ValueError(f"--{name.replace('_', '-')} is {value}, expected {expected}")


def _settings(args: argparse.Namespace, categories: list[str]) -> RenderSettings:
    width, height = parse_size(args.size)
    variant = args.variant or VARIANT
    _names("--variant", variant, mitsuba.variants())
    return RenderSettings(
        width=width,
        height=height,
        samples=args.samples or SAMPLES_PER_PIXEL,
        quality=args.quality,
        conditions=Conditions.load(Path(args.conditions) if args.conditions else None),
        assets=read_assets(args.assets, categories) if args.assets else Assets(),
        variant=variant,
    )


def _check_gpus(variant: str, *, alone: bool) -> None:
    if alone and cluster_address() != LOCAL:
        return
    if not alone:
        connect()
    if not (torch.cuda.device_count() if alone else ClusterCapacity.current().gpus):
        raise ClusterError(
            f"--variant {variant} is for GPUs and the cluster has none now: start its GPU nodes, or "
            "use scalar_rgb or llvm_ad_rgb"
        )


def _check_llvm(variant: str) -> None:
    """Try a small picture in a separate process, since an LLVM that is too old ends its process."""
    trial = (
        f"import mitsuba as mi; mi.set_variant({variant!r}); "
        "mi.render(mi.load_dict(mi.cornell_box()), spp=1).numpy()"
    )
    if subprocess.run([sys.executable, "-c", trial], capture_output=True, check=False).returncode:
        raise CharmNetError(
            f"--variant {variant} does not run here: it needs LLVM 16 or newer, and DRJIT_LIBLLVM_PATH to "
            "say where its libLLVM lies; or use scalar_rgb"
        )


def _identity(
    args: argparse.Namespace, kinds: dict[str, tuple[str, ...]], settings: RenderSettings
) -> dict[str, Any]:
    return {
        "command": "render",
        "scenes": args.scenes,
        "views": args.views,
        "categories": {category: list(names) for category, names in kinds.items()},
        "seed": args.seed,
        "width": settings.width,
        "height": settings.height,
        "samples": settings.samples,
        "quality": settings.quality,
        "conditions": hashlib.sha256(repr(settings.conditions).encode()).hexdigest(),
        "assets": settings.assets.sha256,
        "variant": settings.variant,
        "mitsuba": importlib.metadata.version("mitsuba"),
    }
