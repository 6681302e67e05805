"""Running many inputs through a target, in a process whose crash, hang or hunger is a finding and no more."""

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
"""CPU time of one input, of at most 64 KiB, from which on it counts as a hang."""
HUNGRY_BYTES = 400 << 20
"""By how much one input may raise the peak memory."""
HANG_SECONDS = 300.0
"""Wall time after which a process that makes no headway is ended: on a crowded machine it starts slowly."""


@dataclass(frozen=True)
class Finding:
    """
    Attributes:
        kind: what it is told apart by: the error and where it was raised, slow, hungry, hang or crash.
    """

    target: str
    index: int
    kind: str
    details: str = ""


@dataclass
class Outcome:
    """Of one target: inputs run, those that were refused as expected, seconds, and the peak's growth."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    grown_bytes: int = 0


class Judge:
    """Runs inputs in this process and says what is wrong with each."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target, self._seed = target, seed
        self.outcome = Outcome()
        with contextlib.suppress(*target.expected):
            target.read(
                target.corpus[0]
            )  # what is imported and cached at the first use is not the input's doing
        self._first_bytes = self._peak_bytes = _peak_bytes()

    def run(self, index: int) -> Finding | None:
        data = self._target.input(self._seed, index)
        started = time.process_time()
        finding = None
        try:
            self._target.read(data)
        except self._target.expected:
            self.outcome.refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
            last = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            finding = self._finding(index, kind, traceback.format_exc()[-3000:])
        seconds, before = time.process_time() - started, self._peak_bytes
        self._peak_bytes = _peak_bytes()
        self.outcome.inputs += 1
        self.outcome.seconds += seconds
        self.outcome.grown_bytes = self._peak_bytes - self._first_bytes
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


def run_apart(name: str, seed: int, inputs: int) -> Iterator[Finding | Outcome]:
    """Runs inputs 0 to `inputs` - 1 of a target in child processes, each one after the other's death.

    Yields findings, at most one of a kind, and at the end an outcome for each process.
    """
    context = multiprocessing.get_context("spawn")
    at, seen = 0, set[str]()
    while at < inputs:
        folder = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        position = context.Value("q", at, lock=False)
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(
            target=_child, args=(name, seed, inputs, position, sender, folder), daemon=True
        )
        child.start()
        sender.close()
        for found in _received(receiver, child, position, name):
            if isinstance(found, Outcome) or found.kind not in seen:
                yield found
            if isinstance(found, Finding):
                seen.add(found.kind)
        child.join()
        shutil.rmtree(folder, ignore_errors=True)
        at = position.value + 1


def _received(receiver: Connection, child: Any, position: Any, name: str) -> Iterator[Finding | Outcome]:
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
    with open(os.devnull, "w") as nothing:  # noqa: PTH123 - decoders of pictures write to the descriptor itself
        os.dup2(nothing.fileno(), 2)
    judge = Judge(targets(Path(folder), [name])[name], seed)
    kinds = set()
    for index in range(position.value, inputs):
        position.value = index
        finding = judge.run(index)
        if finding and finding.kind not in kinds:
            kinds.add(finding.kind)
            sender.send(finding)
    sender.send(judge.outcome)
    sender.close()
