"""Write a model for other programs: ONNX, torch.export (pt2) or safetensors, in a folder with a model card.

  charmnet export --model s3://bucket/runs/NAME --to onnx --dest NAME-onnx --license cc-by-4.0
  charmnet export --model charmnet://small --to onnx pt2 --dest small --figures figures.json

The folder has the layout that the Hugging Face Hub takes: README.md tells data, figures and licence, and how
to load the model in ten lines. It holds the weights, too: --model takes it. ONNX and pt2 take pictures of
any size where the model has colour maps (head=affine), else of 256x256. Needs the extra `export`:
pip install 'charmnet[export]'.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from charmnet.errors import StorageError
from charmnet.export import EXPORT_FILES, export_model
from charmnet.model_card import CARD_FILE, CardFacts, card_text
from pipelines.runs.models import load_with_provenance
from pipelines.runs.provenance import Provenance
from pipelines.runtime.console import console
from pipelines.runtime.storage import Location

_NEEDED = ("onnx", "onnxscript")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", metavar="M", required=True, help="model, as for `charmnet evaluate`")
    parser.add_argument("--to", nargs="+", choices=list(EXPORT_FILES), required=True, help="formats")
    parser.add_argument("--dest", metavar="DIR", required=True, help="folder to write, on this machine")
    parser.add_argument("--name", metavar="NAME", help="name in the card (default: that of DIR)")
    parser.add_argument(
        "--license",
        metavar="ID",
        default="unknown",
        help="licence of the weights, as the Hub spells it; it depends on the data (default: unknown)",
    )
    parser.add_argument("--data", metavar="TEXT", help="what it was trained on, for the card")
    parser.add_argument(
        "--figures", metavar="FILE", help="figures for the card, as `charmnet evaluate --json` writes them"
    )
    parser.add_argument("--figures-of", metavar="TEXT", default="evaluation", help="data set of the figures")


def run(arguments: argparse.Namespace) -> int:
    """Export a model; return 0.

    Raises:
        ValueError: a package of the extra `export` is missing.
        CharmNetError: the model, the figures or the destination is not usable.
    """
    missing = [name for name in _NEEDED if "onnx" in arguments.to and find_spec(name) is None]
    if missing:
        raise ValueError(f"--to onnx needs {', '.join(missing)}: pip install 'charmnet[export]'")
    folder = Location.of(arguments.dest).local_path
    if folder is None:
        raise ValueError(f"--dest {arguments.dest}: expected a folder on this machine")
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is no folder; choose another --dest")
    if folder.exists() and any(folder.iterdir()):
        raise StorageError(f"{folder} holds something; choose another --dest")
    figures = _figures(arguments.figures)
    method, provenance = load_with_provenance(arguments.model)
    data = _data(arguments.data, provenance)
    export_model(folder, method, arguments.to, {"exported_from": arguments.model, "data": data})
    facts = CardFacts(
        name=arguments.name or folder.name,
        license=arguments.license,
        data=data,
        figures=figures,
        figures_of=arguments.figures_of,
    )
    (folder / CARD_FILE).write_text(card_text(method, arguments.to, facts))
    _print(folder)
    return 0


def _data(said: str | None, provenance: Provenance) -> list[str]:
    lines = [said] if said else []
    for domain, selection in provenance.selections.items():
        digest = provenance.digests.get(domain, "not known")
        where = f"where {selection.expression}" if selection.expression else "all of it"
        lines.append(f"{domain} domain: {where}; digest of the data set: {digest}")
    if provenance.chosen_by:
        lines.append(f"the best of its run on the split {provenance.chosen_by}")
    return lines


def _figures(uri: str | None) -> dict[str, dict[str, float]]:
    """Return the errors over all images by whose they are."""
    if uri is None:
        return {}
    value: Any = Location.of(uri).read_json()
    whole = value.get("all") if isinstance(value, dict) else None
    if not isinstance(whole, dict) or not isinstance(whole.get("harmonized"), dict):
        raise StorageError(f"{uri}: no figures; expected a file as `charmnet evaluate --json` writes it")
    return {
        whose: {name: float(error) for name, error in errors.items() if isinstance(error, int | float)}
        for whose, errors in whole.items()
        if isinstance(errors, dict) and whose in ("composite", "harmonized")
    }


def _print(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        console.print(f"{path}: {path.stat().st_size:,} bytes", markup=False)
