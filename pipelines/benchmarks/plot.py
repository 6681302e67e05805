"""Pictures of what benchmarks found, from the files that they wrote."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from pipelines.runtime.storage import Location

_INCHES = (7.0, 3.2)


def plot(figures: str, out: str) -> None:
    """Draws the figures of a file that `--json` wrote, as its subject has it.

    Raises:
        ValueError: they are of a subject that has no picture.
        StorageError: the file cannot be read, or the picture not written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    value = Location.of(figures).read_json()
    module = importlib.import_module(f"pipelines.benchmarks.{value['subject']}")
    if not hasattr(module, "draw"):
        raise ValueError(f"{figures}: figures of {value['subject']}, of which there is no picture")
    figure, axes = pyplot.subplots(figsize=_INCHES, layout="constrained")
    module.draw(value["figures"], axes)
    axes.set_title(f"charmnet bench {value['subject']}, {value['date']}", fontsize="medium")
    data = BytesIO()
    figure.savefig(data, format=PurePosixPath(out).suffix[1:])
    pyplot.close(figure)
    Location.of(out).write_bytes(data.getvalue())


def bars(axes: Any, values: Mapping[str, float], unit: str) -> None:
    """A bar for each value with the value beside it, from the top."""
    drawn = axes.barh(list(values), list(values.values()))
    axes.bar_label(drawn, fmt=" {:.2f}")
    axes.invert_yaxis()
    axes.set(xlabel=unit, xlim=(0, 1.12 * max(values.values())))
