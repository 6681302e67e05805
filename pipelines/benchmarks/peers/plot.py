"""CPU milliseconds per row of each way: python -m pipelines.benchmarks.peers.plot peers.json PICTURE.png"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

TITLES = {"photographs": "photographs of 640x480", "pairs": "renders of 1920x1080"}
_OWN, _PEER, _LIMIT = "#2a6f97", "#b0b0b0", "#e09f3e"


def main(source: str, target: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in json.loads(Path(source).read_text()):
        if entry["cores"] == 1 and "cpu_ms_per_row" in entry:
            name = f"{entry['shards']}, {entry['how']}" if entry["way"] == "own" else entry["way"]
            found[entry["data"]][name].append(entry["cpu_ms_per_row"])
    figure, axes = plt.subplots(1, len(found), figsize=(4.5 * len(found), 3.2), layout="constrained")
    for axis, (data, ways) in zip(axes, found.items(), strict=True):
        best = {name: min(values) for name, values in ways.items()}
        names = sorted(best, key=best.__getitem__, reverse=True)
        axis.barh(names, [best[name] for name in names], color=[_color(name) for name in names])
        axis.set_title(TITLES[data], fontsize=9)
        axis.set_xlabel("CPU ms per row", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)


def _color(name: str) -> str:
    return _LIMIT if name.endswith(", limit") else _OWN if "," in name else _PEER


if __name__ == "__main__":
    main(*sys.argv[1:])
