"""The ingest beside other ways to feed a training loop: same pictures, same store, same augmentation.

  python -m venv PEERS && PEERS/bin/pip install albumentations webdataset mosaicml-streaming litdata \\
      boto3 psutil pyarrow "ray[data]==2.60.0"
  python -m pipelines.benchmarks.peers s3://BUCKET/bench --python PEERS/bin/python --json peers.json

The data are what `charmnet bench ingest` put into the store. Everything runs one after the other, `--times`
times round. A peer that fails is named with its error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

OWN = {
    "photographs": ["limit:photographs", "exact:photographs", "exact:small-photographs"],
    "pairs": [
        *("limit:pairs", "exact:pairs", "fast:pairs", "exact:scenes", "fast:scenes"),
        *("limit:small-scenes", "exact:small-pairs", "exact:small-scenes"),
    ],
}
"""What the project is asked for beside the peers on the same pictures; small ones are never reduced."""

_PATIENCE_SECONDS = 600


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", help="of the data in the store")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument("--data", nargs="+", choices=list(OWN), default=list(OWN))
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="these peers; `own` is the project")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        run_peer(arguments)
        return
    found = compare(arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1))


def run_peer(arguments: argparse.Namespace) -> None:
    """In a process of the peers' interpreter: one peer's figures on standard output."""
    import os

    from pipelines.benchmarks.peers.common import measured
    from pipelines.benchmarks.peers.loaders import PEERS

    cores = arguments.cores[0]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    batches = PEERS[arguments.peer](arguments.root, arguments.data[0], cores)
    print(json.dumps(measured(batches, arguments.rows)))


def compare(arguments: argparse.Namespace) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for turn in range(arguments.times):
        for cores in arguments.cores:
            for data in arguments.data:
                for name, command in _commands(arguments, data, cores):
                    for figures in _run(command):
                        found.append({"way": name, "data": data, "cores": cores, "turn": turn, **figures})
                        print(json.dumps(found[-1]), flush=True)
    return found


def _commands(arguments: argparse.Namespace, data: str, cores: int) -> list[tuple[str, list[str]]]:
    from pipelines.benchmarks.peers.loaders import PEERS

    wanted = set(arguments.only or [*PEERS, "own"])
    size = ["--cores", str(cores), "--rows", str(arguments.rows)]
    peer = [arguments.python, "-m", "pipelines.benchmarks.peers", arguments.root, "--data", data, *size]
    stream = [sys.executable, "-m", "pipelines.benchmarks.ingest_stream", f"{arguments.root}/shards"]
    return [
        *((name, [*peer, "--peer", name]) for name in PEERS if name in wanted),
        *((name, [*stream, *OWN[data], *size]) for name in ("own",) if name in wanted),
    ]


def _run(command: list[str]) -> list[dict[str, object]]:
    """The figures that it printed, one a line; what went wrong in their place."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return [{"error": f"more than {_PATIENCE_SECONDS} s"}]
    if ended.returncode:
        return [{"error": (ended.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]}]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


if __name__ == "__main__":
    main()
