"""A long run under random faults: how much of its time is kept, and what each kind of fault costs."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.chaos.checks import collect_artifacts
from pipelines.chaos.environment import Environment
from pipelines.chaos.nodes import kill
from pipelines.chaos.process_faults import TASK_TITLE
from pipelines.chaos.submitted_run import SubmittedRun
from pipelines.runs.checkpoints import registered_checkpoints
from pipelines.runs.run_folder import checkpoint_step

KINDS = ("worker", "data task", "node")
_CHECKPOINT_SECONDS = 5.0
_LONGEST_REFERENCE_SECONDS = 60.0
_POLL_SECONDS = 0.5
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class FaultCost:
    """A fault that was injected.

    Attributes:
        kind: one of `KINDS`.
        seconds: from the fault to a step that had not been made before; None where the next fault came first.
    """

    kind: str
    seconds: float | None


@dataclass(frozen=True)
class SoakResult:
    """Outcome of a soak.

    Attributes:
        seconds: duration, from the first step to the last fault's end.
        steps_kept: steps that the last checkpoint holds, without those before the first moment.
        undisturbed_rate: steps per second of a run without faults, in its steady state.
        costs: faults in order.
        problems: what is not as it should be.
    """

    seconds: float
    steps_kept: int
    undisturbed_rate: float
    costs: tuple[FaultCost, ...]
    problems: tuple[str, ...]

    @property
    def goodput(self) -> float:
        """Steps kept per second, over the undisturbed run's."""
        return self.steps_kept / self.seconds / self.undisturbed_rate

    def lines(self) -> Iterator[str]:
        """Yield the result in lines for a person."""
        yield (
            f"goodput {self.goodput:.3f}: {self.steps_kept:,} steps kept in {self.seconds:.0f} s, "
            f"{self.undisturbed_rate:.2f} steps/s undisturbed"
        )
        for kind in KINDS:
            costs = [cost for cost in self.costs if cost.kind == kind]
            known = [cost.seconds for cost in costs if cost.seconds is not None]
            mean = f", {sum(known) / len(known):.1f} s each" if known else ""
            yield f"{kind} killed {len(costs)} times{mean}"
        yield from self.problems


def seconds_of(text: str) -> float:
    """Return a duration such as 90, 60s, 5m or 1h in seconds.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{text!r} is no duration; expected one such as 60s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def planned_faults(seed: int, mtbf_seconds: float, seconds: float) -> list[tuple[float, str]]:
    """Return moments, in seconds from the start, and kinds of faults whose intervals are exponential."""
    rng = random.Random(seed)  # noqa: S311 - a plan that can be repeated
    faults, at = [], rng.expovariate(1 / mtbf_seconds)
    while at < seconds:
        faults.append((at, rng.choice(KINDS)))
        at += rng.expovariate(1 / mtbf_seconds)
    return faults


def soak(environment: Environment, seconds: float, mtbf_seconds: float) -> SoakResult:
    """Train for so long while workers, data tasks and nodes are killed.

    Args:
        environment: environment with one node.
        seconds: duration from the first step.
        mtbf_seconds: mean time between two faults.

    Raises:
        CharmNetError: the run hangs, or a node does not start.
    """
    rate = _undisturbed_rate(environment, min(_LONGEST_REFERENCE_SECONDS, seconds))
    every = max(1, round(_CHECKPOINT_SECONDS * rate))
    fields = ("steps=1000000", f"checkpoint_every={every}", "max_failures=100000")
    run = environment.start("soak", *fields)
    run.wait_for_step(1)
    began, first = time.monotonic(), run.step
    plan = planned_faults(environment.options.seed, mtbf_seconds, seconds)
    costs = _play(environment, run, plan, began, seconds)
    lasted = time.monotonic() - began
    ended_early = run.has_ended
    saved = registered_checkpoints(environment.run_folder(run.name))
    kept = max(map(checkpoint_step, saved), default=0) - first
    run.stop()
    artifacts = collect_artifacts(environment, run.name)
    problems = {
        f"the run ended by itself: {run.error}": ended_early,
        "the audit does not hold": artifacts.audit is None or not artifacts.audit.holds,
        f"{artifacts.dropped} entries of the tracker were dropped": artifacts.dropped > 0,
    }
    found = tuple(problem for problem, holds in problems.items() if holds)
    return SoakResult(lasted, max(0, kept), rate, tuple(costs), found)


def _undisturbed_rate(environment: Environment, seconds: float) -> float:
    """Return the steps per second of a run without faults, once it trains."""
    run = environment.start("soak-undisturbed", "steps=1000000", "checkpoint_every=100")
    run.wait_for_step(1)
    began, first = time.monotonic(), run.step
    run.wait(lambda: time.monotonic() - began > seconds)
    rate = (run.step - first) / (time.monotonic() - began)
    run.stop()
    return rate


def _play(
    environment: Environment,
    run: SubmittedRun,
    plan: Sequence[tuple[float, str]],
    began: float,
    seconds: float,
) -> list[FaultCost]:
    """Inject faults as planned and see what each costs."""
    rng = random.Random(environment.options.seed)  # noqa: S311 - as the plan
    costs = []
    _sleep_until(run, began + (plan[0][0] if plan else seconds))
    for (_, kind), following in zip(plan, [at for at, _ in plan[1:]] + [seconds], strict=True):
        if run.has_ended:
            break
        reached, at = run.step, time.monotonic()
        _inject(environment, kind, rng)
        cost: float | None = None
        while time.monotonic() < began + following and not run.has_ended:
            if cost is None and run.step > reached:
                cost = time.monotonic() - at
            time.sleep(_POLL_SECONDS)
        costs.append(FaultCost(kind, cost))
    return costs


def _sleep_until(run: SubmittedRun, moment: float) -> None:
    while time.monotonic() < moment and not run.has_ended:
        time.sleep(_POLL_SECONDS)


def _inject(environment: Environment, kind: str, rng: random.Random) -> None:
    """Kill one process, or a node, which is replaced by another."""
    if kind == "node":
        environment.cluster.lose(rng.choice(environment.cluster.nodes))
        environment.cluster.add_node()
        return
    is_task = kind == "data task"
    processes = environment.cluster.processes(TASK_TITLE) if is_task else environment.workers()
    if processes:
        kill(rng.choice(processes))
