"""Render 3D scenes under the ten capture conditions, as shards of scenes for the rendered domain.

  charmnet render --scenes 4 --views 2 --category human,car --dest ./rendered --contact-sheet sheet.png
  charmnet render --scenes 30 --views 50 --category human --size 1920x1080 --dest s3://bucket/rendered
  charmnet render --dest ./rendered --contact-sheet sheet.png

A 3D scene is drawn from its number and the seed; each of its views has its own foreground and camera and is
rendered once under each condition, in the same geometry. An interrupted command continues when it is
started again and loses only the views that were being rendered; a finished one only writes the contact
sheet, which needs no option but --dest. The same request gives the same bytes on any number of machines.
"""

from __future__ import annotations

import argparse

from charmnet.vocabulary import RDHARMONY_CATEGORIES
from pipelines.commands.dry_run import add_dry_run_option, show_rehearsal
from pipelines.conversion.build import DatasetBuild
from pipelines.conversion.rehearsal import rehearse_plan
from pipelines.conversion.report import show_finished, show_result
from pipelines.runtime.console import counted, results
from pipelines.runtime.extras import require
from pipelines.runtime.storage import Location
from pipelines.shards.condition_sheet import write_sheet
from pipelines.shards.reading import Dataset

EXTRA_PACKAGES = ("mitsuba", "pyoidn", "trimesh", "skimage", "mapbox_earcut")
"""Packages of the extra `render`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--dest", required=True, metavar="URI", help="folder or bucket for the shards")
    _add_content(parser)
    parser.add_argument(
        "--size", default="512x288", metavar="WxH", help="size of the pictures in pixels (default 512x288)"
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="SPP",
        help="light paths per pixel and light source: more give less noise and take longer "
        "(default: so many that no noise is visible)",
    )
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="variant of Mitsuba, such as cuda_ad_rgb for GPUs (default: one for any CPU)",
    )
    parser.add_argument(
        "--quality", type=int, default=95, help="quality of the JPEG files, 1 to 100 (default 95)"
    )
    parser.add_argument(
        "--max-rejected",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="fail if more than this share of the views has no suitable foreground (default 0.1)",
    )
    add_dry_run_option(parser)
    parser.add_argument(
        "--contact-sheet",
        metavar="FILE",
        help="write a picture of some scenes: a row per condition, a column per scene",
    )


def _add_content(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, metavar="N", help="3D scenes for each category")
    parser.add_argument(
        "--views", type=int, default=1, metavar="V", help="views of each 3D scene (default 1)"
    )
    parser.add_argument(
        "--category",
        default="human",
        metavar="A,B,...",
        help=f"categories of the foregrounds (default human): {', '.join(RDHARMONY_CATEGORIES)}",
    )
    parser.add_argument(
        "--kinds",
        metavar="A,B,...",
        help="kinds of 3D scenes, used in turn (default: all that suit the category)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes (default 0)")
    parser.add_argument(
        "--assets",
        metavar="DIR",
        help="meshes as foregrounds: DIR/CATEGORY/*.obj, .ply, .gltf or .glb, readable by every machine",
    )
    parser.add_argument(
        "--conditions", metavar="FILE", help="capture conditions in place of the project's conditions.toml"
    )


def run(args: argparse.Namespace) -> int:
    """Render what is missing, and write a contact sheet; return the exit code.

    Raises:
        ValueError: an option is out of range or names what is not known.
        DataError: an asset is unfit, the destination holds something else, or too much was rejected.
        ClusterError: the variant is for GPUs and the cluster has none.
        CharmNetError: the variant needs another LLVM than there is here.
    """
    if args.scenes is not None:
        _render(args)
    elif not args.contact_sheet:
        raise ValueError(
            "--scenes is missing: how many 3D scenes (or --contact-sheet, to show what is finished)"
        )
    if args.contact_sheet:
        file = Location.of(args.contact_sheet)
        if args.dry_run:
            if args.scenes is None:
                Dataset.open(args.dest)
            file.parent.check_writable()
            results.print(f"writes {file.local_path or file}: the contact sheet")
            return 0
        write_sheet({"": Dataset.open(args.dest)}, file)
        results.print(f"contact sheet: {file.local_path or file}")
    return 0


def require_extra() -> None:
    """Check that the packages that rendering needs are installed.

    Raises:
        MissingPackageError: some are missing.
    """
    require("rendering", "render", EXTRA_PACKAGES)


def _render(args: argparse.Namespace) -> None:
    require_extra()
    from pipelines.commands.render_request import RenderRequest
    from pipelines.rendering.job import render, rendering_plan, views_of

    request = RenderRequest.of(args)
    destination = DatasetBuild(Location.of(args.dest), request.identity)
    if (manifest := destination.manifest()) is not None:
        show_finished(destination, manifest, clean=not args.dry_run)
        return
    views = views_of(request.kinds, args.scenes, args.views, args.seed)
    if args.dry_run:
        request.check_variant(alone=True)
        plan = rendering_plan(views, request.settings)
        categories = f"the kinds of scenes of {', '.join(request.kinds)}"
        made = f"{counted(len(views), 'view')} under ten conditions"
        show_rehearsal(rehearse_plan(destination, plan, args.max_rejected, categories, made))
        return
    request.check_variant()
    show_result(destination, render(destination, views, request.settings, args.max_rejected))
