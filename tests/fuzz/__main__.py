"""Feed the project's parsers with inputs that are almost valid; only its own errors may be raised.

  python -m tests.fuzz --inputs 1000000
  python -m tests.fuzz --target tar --seed 7
  python -m tests.fuzz --target tar --only 4711        one input again, with its traceback

Inputs are spread evenly over the targets. An input may neither crash the process, nor take seconds, nor
hundreds of megabytes. The exit code is 1 where there is a finding.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

from tests.fuzz.runner import Finding, TargetSummary, run_in_children
from tests.fuzz.targets import targets


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--inputs", type=int, default=100_000, metavar="N", help="over all targets (default 100,000)"
    )
    parser.add_argument("--target", action="append", metavar="NAME", help="only this one; repeat for several")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--only", type=int, metavar="I", help="the input of this number, in this process")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        chosen = targets(Path(folder), arguments.target)
        if arguments.only is not None:
            for target in chosen.values():
                data = target.input(arguments.seed, arguments.only)
                print(f"{target.name}: {len(data):,} bytes {data[:2000]!r}")
                target.read(data)
            return 0
    each = -(-arguments.inputs // len(chosen))
    findings = [finding for name in chosen for finding in _run(name, arguments.seed, each)]
    print(f"{each * len(chosen):,} inputs, {len(findings)} findings")
    return 1 if findings else 0


def _run(name: str, seed: int, inputs: int) -> list[Finding]:
    findings = []
    total = TargetSummary()
    started = time.monotonic()
    for item in run_in_children(name, seed, inputs):
        if isinstance(item, Finding):
            findings.append(item)
            print(
                f"FOUND in {name}: {item.kind}\n{item.details}\n"
                f"  again: --target '{name}' --seed {seed} --only {item.index}"
            )
        else:
            total.refused += item.refused
            total.grown_bytes = max(total.grown_bytes, item.grown_bytes)
    print(
        f"{name:20} {inputs:>9,} inputs  {total.refused:>9,} refused  "
        f"{total.grown_bytes >> 20:>5,} MiB more at the peak  "
        f"{time.monotonic() - started:6.0f} s  {len(findings)} findings",
        flush=True,
    )
    return findings


if __name__ == "__main__":
    raise SystemExit(main())
