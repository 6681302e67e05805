"""Translate the pictures of rendered scenes into the look of real photographs, by a trained translator.

  charmnet translate --model s3://bucket/runs/NAME --source s3://bucket/rendered --dest s3://bucket/translated
  charmnet translate --model ./runs/NAME --source ./rendered --dest ./translated --contact-sheet sheet.png

A scene's ten pictures are translated once, at their size; masks, names and labels stay. The result is a data
set of scenes: foregrounds are exchanged between translated pictures when it is read, so that backgrounds are
the same in composite and ground truth. The manifest keeps the translator's digest. An interrupted command
continues when it is started again; a finished one only writes the contact sheet, which shows some scenes
beside their originals.
"""

from __future__ import annotations

import argparse

from pipelines.commands.count_options import add_workers_option, check_counts
from pipelines.conversion.report import show_finished, show_result
from pipelines.runs.models import load_translation_model
from pipelines.runtime.console import results
from pipelines.runtime.storage import Location
from pipelines.shards.condition_sheet import write_sheet
from pipelines.shards.reading import Dataset

_SHOWN = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--model",
        metavar="M",
        required=True,
        help="trained translator: a run, a checkpoint or models:/NAME/1",
    )
    parser.add_argument("--source", metavar="URI", required=True, help="data set of rendered scenes")
    parser.add_argument(
        "--dest", metavar="URI", required=True, help="folder or bucket for the translated set"
    )
    parser.add_argument(
        "--quality", type=int, default=95, help="JPEG quality of the pictures, 1 to 100 (default 95)"
    )
    parser.add_argument(
        "--contact-sheet", metavar="FILE", help="write a picture of some scenes beside their originals"
    )
    add_workers_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Translate what is missing, and write a contact sheet; return the exit code.

    Raises:
        ValueError: a number is out of range, or the model does not translate.
        DataError: the source holds no scenes, or the destination something else.
        CharmNetError: the model, the source or the destination is not usable.
    """
    check_counts(arguments, "workers")
    if not 1 <= arguments.quality <= 100:
        raise ValueError(f"--quality is {arguments.quality}, expected 1-100")
    source = Dataset.open(arguments.source)
    method = load_translation_model(arguments.model)
    from pipelines.translation.scenes import SceneTranslation  # Ray

    translation = SceneTranslation(method, source, arguments.quality, arguments.workers)
    destination = translation.destination(Location.of(arguments.dest))
    if (manifest := destination.manifest()) is not None:
        show_finished(destination, manifest)
    else:
        show_result(destination, translation.write(destination))
    if arguments.contact_sheet:
        file = Location.of(arguments.contact_sheet)
        translated = Dataset.open(destination.location)
        write_sheet({"": source, "translated": translated}, file, _SHOWN)
        results.print(f"contact sheet: {file.local_path or file}")
    return 0
