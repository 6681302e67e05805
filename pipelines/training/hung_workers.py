"""Ending workers that hang, after their stacks were read; Ray then starts the group again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.training.hangs import Beat, Hang
from pipelines.training.heartbeat import STACK_SIGNAL

_STACK_SECONDS = 1.0
_ANSWER_SECONDS = 60.0
_MOST_CHARACTERS = 6000
_START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class Finding:
    """What was found of a worker.

    Attributes:
        beat: last sign of life.
        status: status of its process, such as `stopped`; None where it has ended, or its node is lost.
        stack: stacks of its threads, the one that trains among them.
    """

    beat: Beat
    status: str | None
    stack: str = ""


def end_hung(hang: Hang) -> list[Finding]:
    """Read the stacks of a group's workers and kill those that hang; return what was found of all."""
    nodes: dict[str, list[Beat]] = {}
    for beat in hang.group:
        nodes.setdefault(beat.node, []).append(beat)
    examining: Any = ray.remote(examine)
    answers = {}
    for node, beats in nodes.items():
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        task = examining.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        answers[node] = task.remote(beats, [beat.process for beat in hang.workers])
    findings = []
    deadline = time.monotonic() + _ANSWER_SECONDS
    for node, answer in answers.items():
        try:
            findings += ray.get(answer, timeout=max(0.0, deadline - time.monotonic()))
        except ray.exceptions.RayError:  # the node is lost, or does not answer: Ray finds out
            findings += [Finding(beat, None) for beat in nodes[node]]
    return sorted(findings, key=lambda finding: finding.beat.rank)


def examine(beats: Sequence[Beat], hanging: Sequence[tuple[str, int, float]]) -> list[Finding]:
    """Read the stacks of workers of this node, and kill those that hang.

    Args:
        beats: last signs of life of workers of this node.
        hanging: processes of those that hang.
    """
    found = [(beat, process) for beat in beats if (process := _process(beat))]
    statuses = {}
    for beat, process in found:
        with suppress(psutil.NoSuchProcess):
            statuses[beat.process] = process.status()
            process.send_signal(STACK_SIGNAL)
            if statuses[beat.process] == psutil.STATUS_STOPPED:
                process.send_signal(signal.SIGCONT)  # or it would not write
    time.sleep(_STACK_SECONDS)
    findings = [Finding(beat, statuses.get(beat.process), _stack(beat)) for beat in beats]
    for beat, process in found:
        if beat.process in hanging:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            Path(beat.stack_file).unlink(missing_ok=True)
    return findings


def describe(hang: Hang, findings: Sequence[Finding]) -> tuple[str, str]:
    """Return a hang in one line, and at length with the stacks."""
    stopped = [f for f in findings if f.status == psutil.STATUS_STOPPED]
    why = "".join(f"; rank {f.beat.rank} is stopped by a signal" for f in stopped)
    line = (
        f"hang: {hang.reason} after step {hang.step}{why}; their processes are ended and the workers start "
        "again from the last checkpoint"
    )
    parts = [line]
    for finding in findings:
        beat = finding.beat
        state = f"{finding.status or 'gone'}, {beat.phase} after step {beat.step}"
        parts.append(f"\nrank {beat.rank}, process {beat.pid} on node {beat.node[:8]} ({state}):\n")
        parts.append(finding.stack or "no stack")
    return line, "".join(parts)


def _process(beat: Beat) -> psutil.Process | None:
    """Return the process of a worker, if it is there; another may have been given its number."""
    try:
        process = psutil.Process(beat.pid)
        same = abs(process.create_time() - beat.started_seconds) < _START_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return None
    return process if same and beat.pid != os.getpid() else None


def _stack(beat: Beat) -> str:
    """Return the stacks that a worker wrote, those of its own code first, without what Ray's threads do."""
    try:
        text = Path(beat.stack_file).read_text(errors="replace")
    except OSError:
        return ""
    threads = [thread.strip() for thread in text.split("\n\n") if thread.strip()]
    own = [thread for thread in threads if "train_worker" in thread]
    return "\n\n".join(own or threads)[:_MOST_CHARACTERS]
