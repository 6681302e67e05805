r"""The ingest beside other ways to feed a training loop: same pictures, same store, same augmentation.

  python -m venv PEERS && PEERS/bin/pip install -e . albumentations boto3 litdata \
      mosaicml-streaming webdataset
  python -m pipelines.benchmarks.peers s3://BUCKET/bench --python PEERS/bin/python --json peers.json

The data are those that `charmnet bench ingest --keep-store` put into the store. Everything runs one after the
other, `--times` times round. A peer that fails is named with its error.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.benchmarks.measurement import this_machine
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.peers.common import OWN_NAME, measure_batches
from pipelines.benchmarks.peers.loaders import PEERS
from pipelines.benchmarks.results import BenchmarkResult, Comparison

RELEASED_WAY = "files"
"""The peer that reads as the released code does."""

OWN_STREAMS = {
    "photographs": ["limit:photographs", "exact:photographs", "exact:small-photographs"],
    "pairs": [
        *("limit:pairs", "exact:pairs", "fast:pairs", "exact:scenes", "fast:scenes"),
        *("limit:small-scenes", "exact:small-pairs", "exact:small-scenes"),
    ],
}
"""Streams of this project beside the peers on the same pictures; small pictures are never decoded reduced."""

_TIMEOUT_SECONDS = 600
_LONGEST_ERROR = 300  # characters


def main() -> None:
    """Measure all ways in turns, or one peer where the command names it."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("root", help="of the data in the store")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument("--data", nargs="+", choices=list(OWN_STREAMS), default=list(OWN_STREAMS))
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--only", nargs="*", help=f"these peers; `{OWN_NAME}` is the project")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        measure_peer(arguments)
        return
    entries = compare(arguments)
    if arguments.json:
        result = BenchmarkResult(
            subject="peers",
            date=datetime.now().astimezone().date(),
            command=shlex.join(["python", "-m", "pipelines.benchmarks.peers", *sys.argv[1:]]),
            machine=this_machine(),
            comparisons=tuple(comparisons(entries)),
            figures={"entries": entries},
        )
        Path(arguments.json).write_text(result.model_dump_json(indent=1))


def measure_peer(arguments: argparse.Namespace) -> None:
    """Print one peer's figures, in a process of the peers' interpreter."""
    cores = arguments.cores[0]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    batches = PEERS[arguments.peer](arguments.root, arguments.data[0], cores)
    print(json.dumps(measure_batches(batches, arguments.rows)))


def compare(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all ways in turns; return the figures of each turn, or its error."""
    entries: list[dict[str, Any]] = []
    for turn in range(arguments.times):
        for cores in arguments.cores:
            for data in arguments.data:
                for name, command in _commands(arguments, data, cores):
                    for figures in _run(command):
                        entry = {"way": name, "data": data, "cores": cores, "turn": turn, **figures}
                        entries.append(entry)
                        print(json.dumps(entry), flush=True)
    return entries


def comparisons(entries: Sequence[dict[str, Any]]) -> list[Comparison]:
    """Return this project's exact streams beside torch's loader over files, the released way."""
    by_way: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for entry in entries:
        released = entry["way"] == RELEASED_WAY
        exact = (entry.get("shards"), entry.get("how")) == (entry["data"], "exact")
        if (released or exact) and "cpu_ms_per_row" in entry:
            by_way[entry["data"], entry["cores"], entry["way"]].append(entry["cpu_ms_per_row"])
    rows = []
    for (data, cores, way), values in by_way.items():
        released_values = by_way.get((data, cores, RELEASED_WAY), [])
        if way != OWN_NAME or len(released_values) != len(values):
            continue
        rows.append(
            Comparison(
                question=f"ingest of {data}, {cores} cores",
                values=tuple(values),
                unit="CPU ms a row",
                beside="the released loader (torch's DataLoader over files)",
                beside_values=tuple(released_values),
                ratios=tuple(own / other for own, other in zip(values, released_values, strict=True)),
            )
        )
    return rows


def _commands(arguments: argparse.Namespace, data: str, cores: int) -> list[tuple[str, list[str]]]:
    wanted = set(arguments.only or [*PEERS, OWN_NAME])
    size = ["--cores", str(cores), "--rows", str(arguments.rows)]
    peer = [arguments.python, "-m", "pipelines.benchmarks.peers", arguments.root, "--data", data, *size]
    stream = [sys.executable, "-m", "pipelines.benchmarks.ingest_stream", f"{arguments.root}/shards"]
    commands = [(name, [*peer, "--peer", name]) for name in PEERS]
    commands.append((OWN_NAME, [*stream, *OWN_STREAMS[data], *size]))
    return [(name, command) for name, command in commands if name in wanted]


def _run(command: list[str]) -> list[dict[str, Any]]:
    """Return the figures that a command prints, one a line, or its error in their place."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [{"error": f"more than {_TIMEOUT_SECONDS} s"}]
    if ended.returncode:
        last_line = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        return [{"error": last_line[:_LONGEST_ERROR]}]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


if __name__ == "__main__":
    main()
