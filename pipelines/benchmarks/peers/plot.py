"""Plot of the CPU milliseconds per row of each way on one core."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from matplotlib.figure import Figure

from pipelines.benchmarks.peers.common import OWN_NAME

TITLES = {"photographs": "photographs of 640x480", "pairs": "renders of 1920x1080"}
_OWN_COLOR = "#2a6f97"
_PEER_COLOR = "#b0b0b0"
_LIMIT_COLOR = "#e09f3e"


def draw(figures: dict[str, Any], figure: Figure) -> None:
    """Draw the least of each way's turns, the largest at the bottom."""
    milliseconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in figures["entries"]:
        if entry["cores"] == 1 and "cpu_ms_per_row" in entry:
            way = f"{entry['shards']}, {entry['how']}" if entry["way"] == OWN_NAME else entry["way"]
            milliseconds[entry["data"]][way].append(entry["cpu_ms_per_row"])
    columns = len(milliseconds)
    figure.set_size_inches(4.5 * columns, 3.4)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, (data, ways) in zip(axes, milliseconds.items(), strict=True):
        least = {name: min(values) for name, values in ways.items()}
        names = sorted(least, key=least.__getitem__, reverse=True)
        axis.barh(names, [least[name] for name in names], color=[_color(name) for name in names])
        axis.set_title(TITLES[data], fontsize=9)
        axis.set_xlabel("CPU ms per row", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)


def _color(way: str) -> str:
    if way.endswith(", limit"):
        return _LIMIT_COLOR
    return _OWN_COLOR if "," in way else _PEER_COLOR
