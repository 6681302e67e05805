"""Run many inputs through a target in child processes, whose crashes and hangs are findings."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz.targets import Target, targets

SLOW_SECONDS = 3.0
"""CPU time of one input, of at most 64 KiB, above which it is a finding."""
HUNGRY_BYTES = 400 << 20
"""Growth of the peak memory by one input, above which it is a finding."""
HANG_SECONDS = 300.0
"""Wall time after which a process that makes no progress is ended: on a busy machine it starts slowly."""


@dataclass(frozen=True)
class Finding:
    """Input that a target does not read as it should.

    Attributes:
        target: name of the target.
        index: number of the input.
        kind: the error and where it was raised, or slow, hungry, hang or crash.
        details: the traceback, or the figures.
    """

    target: str
    index: int
    kind: str
    details: str = ""


@dataclass
class TargetSummary:
    """Totals of one target in one process.

    Attributes:
        inputs: number of inputs.
        refused: number of those that raised an expected error.
        seconds: CPU time.
        grown_bytes: growth of the peak memory.
    """

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    grown_bytes: int = 0


class InputRunner:
    """Run inputs of a target in this process.

    Attributes:
        summary: totals so far.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._seed = seed
        self.summary = TargetSummary()
        with contextlib.suppress(*target.expected):  # imports and caches of the first use are no finding
            target.read(target.corpus[0])
        self._first_bytes = _peak_bytes()
        self._peak_bytes = self._first_bytes

    def run(self, index: int) -> Finding | None:
        """Read one input; return a finding if it is not read as it should be."""
        data = self._target.input(self._seed, index)
        started = time.process_time()
        finding = None
        try:
            self._target.read(data)
        except self._target.expected:
            self.summary.refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
            last = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            finding = self._finding(index, kind, traceback.format_exc()[-3000:])
        seconds, before = time.process_time() - started, self._peak_bytes
        self._peak_bytes = _peak_bytes()
        self.summary.inputs += 1
        self.summary.seconds += seconds
        self.summary.grown_bytes = self._peak_bytes - self._first_bytes
        if finding is None and seconds > SLOW_SECONDS:
            finding = self._finding(index, "slow", f"{seconds:.1f} s for {len(data):,} bytes")
        if finding is None and self._peak_bytes - before > HUNGRY_BYTES:
            finding = self._finding(
                index, "hungry", f"{(self._peak_bytes - before) >> 20:,} MiB for {len(data):,} bytes"
            )
        return finding

    def _finding(self, index: int, kind: str, details: str) -> Finding:
        return Finding(self._target.name, index, kind, details)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_in_children(name: str, seed: int, inputs: int) -> Iterator[Finding | TargetSummary]:
    """Run inputs 0 to `inputs` - 1 of a target in a child process, and in another one after each crash.

    Yields:
        Findings, at most one of a kind, and the totals of each process that ended well.
    """
    context = multiprocessing.get_context("spawn")
    at = 0
    seen: set[str] = set()
    while at < inputs:
        folder = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        position = context.Value("q", at, lock=False)
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(
            target=_child, args=(name, seed, inputs, position, sender, folder), daemon=True
        )
        child.start()
        sender.close()
        for result in _received(receiver, child, position, name):
            if isinstance(result, TargetSummary) or result.kind not in seen:
                yield result
            if isinstance(result, Finding):
                seen.add(result.kind)
        child.join()
        shutil.rmtree(folder, ignore_errors=True)
        at = position.value + 1


def _received(
    receiver: Connection, child: Any, position: Any, name: str
) -> Iterator[Finding | TargetSummary]:
    last, moved = position.value, time.monotonic()
    while True:
        try:
            if receiver.poll(1.0):
                yield receiver.recv()
                continue
        except EOFError:
            child.join()
            if child.exitcode != 0:
                yield Finding(name, position.value, f"crash {child.exitcode}")
            return
        if position.value != last:
            last, moved = position.value, time.monotonic()
        elif time.monotonic() - moved > HANG_SECONDS:
            child.kill()
            child.join()
            yield Finding(name, position.value, "hang")
            return


def _child(name: str, seed: int, inputs: int, position: Any, sender: Connection, folder: str) -> None:
    with open(os.devnull, "w") as discard:  # noqa: PTH123 - decoders of pictures write to the descriptor itself
        os.dup2(discard.fileno(), 2)
    runner = InputRunner(targets(Path(folder), [name])[name], seed)
    kinds = set()
    for index in range(position.value, inputs):
        position.value = index
        finding = runner.run(index)
        if finding and finding.kind not in kinds:
            kinds.add(finding.kind)
            sender.send(finding)
    sender.send(runner.summary)
    sender.close()
