"""Render 3D scenes under the ten capture conditions, as shards of scenes for the rendered domain.

  charmnet render --scenes 4 --views 2 --category human,car --dest ./rendered --contact-sheet sheet.png
  charmnet render --scenes 30 --views 50 --category human --size 1920x1080 --dest s3://bucket/rendered
  charmnet render --dest ./rendered --contact-sheet sheet.png

A 3D scene is made up from its number; each of its views has a foreground and a camera of its own and is
rendered ten times in one geometry. A run that was interrupted goes on when it is started again and loses only
the views that were being rendered; one that is finished does nothing but write the contact sheet, for which
--dest alone is enough. The same request gives the same bytes, however many machines work on it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charmnet.errors import CharmNetError, ClusterError
from charmnet.vocabulary import RDHARMONY_CATEGORIES
from pipelines.conversion.build import DatasetBuild
from pipelines.conversion.report import show_finished, show_result
from pipelines.runtime.cluster import ClusterCapacity, connect
from pipelines.runtime.console import results
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

if TYPE_CHECKING:  # the renderer is an extra
    from pipelines.rendering.job import RenderSettings

EXTRA_PACKAGES = ("mitsuba", "pyoidn", "trimesh", "skimage", "mapbox_earcut")
_SIDES = range(16, 8193)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dest", required=True, metavar="URI", help="folder or bucket for the shards")
    _add_content(parser)
    parser.add_argument("--size", default="512x288", metavar="WxH", help="in pixels (default 512x288)")
    parser.add_argument(
        "--samples",
        type=int,
        metavar="SPP",
        help="light paths per pixel and source of light: time against noise (default: enough to see none)",
    )
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="of Mitsuba, such as cuda_ad_rgb where there is a GPU (default: one for any CPU)",
    )
    parser.add_argument("--quality", type=int, default=95, help="of the JPEG files (default 95)")
    parser.add_argument(
        "--max-rejected",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="of views that found no fit foreground; fail above it (default 0.1)",
    )
    parser.add_argument(
        "--contact-sheet", metavar="FILE", help="a picture of some scenes: conditions down, scenes across"
    )


def _add_content(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, metavar="N", help="3D scenes for each category")
    parser.add_argument("--views", type=int, default=1, metavar="V", help="of each 3D scene (default 1)")
    parser.add_argument(
        "--category",
        default="human",
        metavar="A,B,...",
        help=f"of the foregrounds (default human): {', '.join(RDHARMONY_CATEGORIES)}",
    )
    parser.add_argument(
        "--kinds", metavar="A,B,...", help="of 3D scenes, in turn (default: all that suit the category)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another one gives other scenes (default 0)")
    parser.add_argument(
        "--assets",
        metavar="DIR",
        help="meshes as foregrounds: DIR/CATEGORY/*.obj, .ply, .gltf or .glb, readable by every machine",
    )
    parser.add_argument("--conditions", metavar="FILE", help="another conditions.toml than the project's own")


def run(args: argparse.Namespace) -> int:
    """
    Raises:
        ValueError: an option is out of range or names what is not known.
        DataError: an asset is unfit, the destination holds something else, or too much was rejected.
        ClusterError: the variant is for GPUs and the cluster has none.
        CharmNetError: the variant needs another LLVM than there is here.
    """
    if args.scenes is None:
        return _write_sheet_only(args)
    require_extra()
    from pipelines.rendering.job import render, views_of

    categories = _kinds_by_category(args)
    _check_numbers(args)
    settings = _settings(args, list(categories))
    destination = DatasetBuild(Location.of(args.dest), _identity(args, categories, settings))
    if (manifest := destination.manifest()) is not None:
        show_finished(destination, manifest)
    else:
        _check_gpus(settings)
        _check_llvm(settings.variant)
        views = views_of(categories, args.scenes, args.views, args.seed)
        show_result(destination, render(destination, views, settings, args.max_rejected))
    if args.contact_sheet:
        _write_sheet(Dataset.open(destination.location), args.contact_sheet)
    return 0


def require_extra() -> None:
    """
    Raises:
        CharmNetError: the packages that rendering needs are not installed.
    """
    missing = [name for name in EXTRA_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise CharmNetError(
            f"rendering needs {', '.join(missing)}, not installed here: pip install 'charmnet[render]'"
        )


def _write_sheet_only(args: argparse.Namespace) -> int:
    if not args.contact_sheet:
        raise ValueError(
            "--scenes is missing: how many 3D scenes (or --contact-sheet, to show what is finished)"
        )
    _write_sheet(Dataset.open(args.dest), args.contact_sheet)
    return 0


def _write_sheet(dataset: Dataset, file: str) -> None:
    from pipelines.rendering.contact_sheet import write_sheet

    place = Location.of(file)
    write_sheet(dataset, place)
    results.print(f"contact sheet: {place.local_path or place}")


def _check_numbers(args: argparse.Namespace) -> None:
    from pipelines.rendering.job import SCENES_PER_SEED

    limits = {
        "scenes": (1, SCENES_PER_SEED),
        "views": (1, None),
        "seed": (0, None),
        "samples": (1, None),
        "quality": (1, 100),
        "max_rejected": (0, 1),
    }
    for name, (least, most) in limits.items():
        value = getattr(args, name)
        if value is None:
            continue
        if value < least or (most is not None and value > most):
            expected = f"at least {least}" if most is None else f"{least} to {most}"
            raise ValueError(f"--{name.replace('_', '-')} is {value}, expected {expected}")


def _kinds_by_category(args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """The kinds that suit each category that is asked for."""
    from pipelines.rendering.assets import asset_categories
    from pipelines.rendering.scenes import KINDS, kinds_for

    asked = _names("--category", args.category, [*RDHARMONY_CATEGORIES, *asset_categories(args.assets)])
    kinds = _names("--kinds", args.kinds, KINDS) if args.kinds else tuple(KINDS)
    suited = {}
    for category in asked:
        known = kinds_for(category)
        suited[category] = tuple(kind for kind in kinds if kind in known)
        if not suited[category]:
            raise ValueError(
                f"--kinds {args.kinds}: none suits {category}; expected some of {', '.join(known)}"
            )
    return suited


def _names(option: str, text: str, known: Any) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise ValueError(f"{option} {name!r} is not known; expected some of {', '.join(known)}")
    return names


def _settings(args: argparse.Namespace, categories: list[str]) -> RenderSettings:
    import mitsuba

    from pipelines.rendering.assets import Assets, read_assets
    from pipelines.rendering.conditions import Conditions
    from pipelines.rendering.job import RenderSettings
    from pipelines.rendering.mitsuba_renderer import SAMPLES_PER_PIXEL, VARIANT

    width, height = parse_size(args.size)
    samples, variant = args.samples or SAMPLES_PER_PIXEL, args.variant or VARIANT
    _names("--variant", variant, mitsuba.variants())
    conditions = Conditions.load(Path(args.conditions) if args.conditions else None)
    assets = read_assets(args.assets, categories) if args.assets else Assets()
    return RenderSettings(width, height, samples, args.quality, conditions, assets, variant)


def _check_gpus(settings: RenderSettings) -> None:
    """Tasks that ask for what no node has would wait for ever."""
    if not settings.gpus_per_task:
        return
    connect()
    if not ClusterCapacity.current().gpus:
        raise ClusterError(
            f"--variant {settings.variant} is for GPUs and the cluster has none now: start its GPU nodes, or "
            "use scalar_rgb or llvm_ad_rgb"
        )


def _check_llvm(variant: str) -> None:
    """By a trial in a process of its own, as an LLVM that is too old ends the process."""
    if not variant.startswith("llvm"):
        return
    trial = (
        f"import mitsuba as mi; mi.set_variant({variant!r}); "
        "mi.render(mi.load_dict(mi.cornell_box()), spp=1).numpy()"
    )
    if subprocess.run([sys.executable, "-c", trial], capture_output=True).returncode:
        raise CharmNetError(
            f"--variant {variant} does not run here: it needs LLVM 16 or newer, and DRJIT_LIBLLVM_PATH to "
            "say where its libLLVM lies; or use scalar_rgb"
        )


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) in pixels of "512x288".

    Raises:
        ValueError: it is no size or out of range.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = tuple(map(int, match.groups())) if match else ()
    if len(sides) != 2 or not all(side in _SIDES for side in sides):
        raise ValueError(
            f"--size is {text!r}, expected WIDTHxHEIGHT in pixels, each {_SIDES.start} to {_SIDES.stop - 1}, "
            "such as 512x288"
        )
    return sides[0], sides[1]


def _identity(
    args: argparse.Namespace, categories: dict[str, tuple[str, ...]], settings: RenderSettings
) -> dict[str, Any]:
    """All that the bytes depend on."""
    return {
        "command": "render",
        "scenes": args.scenes,
        "views": args.views,
        "categories": {category: list(kinds) for category, kinds in categories.items()},
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
