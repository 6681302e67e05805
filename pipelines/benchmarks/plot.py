"""Plots of benchmarks' results."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import PurePosixPath

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.benchmarks.results import load_result
from pipelines.runtime.storage import Location

_INCHES = (7.0, 3.2)
_MODULES = {
    **{
        subject: f"pipelines.benchmarks.{subject}"
        for subject in ("evaluate", "growth", "scaling", "train", "update", "workers")
    },
    "peers": "pipelines.benchmarks.peers.plot",
}
"""Modules with a function `draw`, by subject."""


def plot(result_file: str, image_file: str) -> None:
    """Draw a result as its subject's `draw` does; the image's format follows from its name.

    Raises:
        ValueError: the file is not a result, or its subject has no plot.
        StorageError: the file cannot be read, or the image not written.
    """
    result = load_result(result_file)
    if result.subject not in _MODULES:
        raise ValueError(
            f"{result_file}: a result of {result.subject}; expected one of {', '.join(_MODULES)}"
        )
    draw = importlib.import_module(_MODULES[result.subject]).draw
    image_format = PurePosixPath(image_file).suffix[1:]
    figure = Figure(figsize=_INCHES, layout="constrained")
    with mpl.rc_context({"svg.hashsalt": "charmnet"}):  # the same bytes from the same figures
        draw(result.figures, figure)
        figure.suptitle(f"{result.subject}, {result.date}", fontsize="medium")
        data = BytesIO()
        figure.savefig(data, format=image_format, metadata={"Date": None} if image_format == "svg" else None)
    Location.of(image_file).write_bytes(data.getvalue())


def draw_bars(axes: Axes, values: Mapping[str, float], unit: str) -> None:
    """Draw a bar for each value with the value beside it, from the top."""
    bars = axes.barh(list(values), list(values.values()))
    axes.bar_label(bars, fmt=" {:.2f}")
    axes.invert_yaxis()
    axes.set(xlabel=unit, xlim=(0, 1.12 * max(values.values())))
