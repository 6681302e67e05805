"""Draws what `charmnet bench update --json FILE` found: rates beside their limits, and memory.

python -m pipelines.benchmarks.update_plot FILE docs/images/update.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

MEBIBYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    figures = json.loads(arguments.figures.read_text())["figures"]
    updates, given = figures["updates"], figures["arguments"]
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "charmnet"  # the same bytes from the same figures
    _, (rates, memory) = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True, layout="constrained")
    names = list(updates)
    rates.barh(names, [u["limit_pairs_per_second"] for u in updates.values()], color="0.9", label="limit")
    bars = rates.barh(names, [u["pairs_per_second"] for u in updates.values()], color="tab:blue")
    rates.bar_label(bars, [f" {u['pairs_per_second']:.1f} ({u['ratio']:.2f} x)" for u in updates.values()])
    rates.set_xlabel(f"pairs per second, {given['batch']} a step, {given['threads']} threads")
    rates.legend(loc="lower right", frameon=False)
    bars = memory.barh(names, [u["update_bytes"] / MEBIBYTE for u in updates.values()], color="tab:orange")
    memory.bar_label(bars, fmt=" %.0f")
    memory.set_xlabel(f"MiB at the peak, {given['memory_batch']} pairs a step")
    memory.margins(x=0.15)
    rates.invert_yaxis()
    for axes in (rates, memory):
        axes.spines[["top", "right"]].set_visible(False)
    plt.savefig(arguments.picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
