"""Break a run in every way there is, on a cluster of its own, and see what comes of it.

  charmnet chaos --real s3://bucket/real --rendered s3://bucket/rendered --times 20 --json chaos.json

Starts Ray, an S3 server behind a proxy that fails when told to, and MLflow on this machine, all in the state
folder; copies the first shards of the data sets there (or makes small ones); trains once undisturbed, and
once for each fault. Prints what was lost, what came twice, and whether the weights are the undisturbed
run's to the bit. Exits with 1 where an outcome is not the wanted one, and says which.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Iterator
from typing import Any

from charmnet.errors import CharmNetError
from pipelines.chaos.lab import Lab, Options, opened
from pipelines.chaos.scenarios import SCENARIOS, Scenario
from pipelines.chaos.table import markdown, print_table, write_json
from pipelines.chaos.verdict import Evidence, Outcome, Played, evidence, judge
from pipelines.commands.cli import EXIT_FAILED
from pipelines.runtime.console import results
from pipelines.runtime.paths import state_folder
from pipelines.runtime.storage import Location

UNDISTURBED = "undisturbed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", metavar="URI", help="data set of the real domain, from `charmnet shard`")
    parser.add_argument("--rendered", metavar="URI", help="data set of the rendered domain")
    parser.add_argument(
        "--scenario", nargs="+", metavar="NAME", choices=list(SCENARIOS), help=f"of {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--times", type=int, default=3, help="how often workers are killed (default 3)")
    parser.add_argument("--steps", type=int, default=40, help="of every run (default 40)")
    parser.add_argument("--workers", type=int, default=2, help="of every run (default 2)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the runs and of what happens when (default 0)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the table there, too")
    parser.add_argument("--markdown", metavar="FILE", help="and as a table for a page")


def run(arguments: argparse.Namespace) -> int:
    names = ("steps", "workers", "times", "seed", "real", "rendered")
    options = Options(**{name: getattr(arguments, name) for name in names})
    if min(options.steps // 4, options.workers, options.times) < 1:
        raise ValueError("expected --steps of at least 4, and --workers and --times of at least 1")
    outcomes: list[Outcome] = []
    signal.signal(signal.SIGTERM, _leave)
    with opened(state_folder() / "chaos", options) as lab:
        for outcome in play(lab, {name: SCENARIOS[name] for name in arguments.scenario or SCENARIOS}):
            said = "; ".join(outcome.problems) or "as it should"
            results.print(f"{outcome.scenario}: {outcome.ended} after {outcome.seconds:.0f} s, {said}")
            outcomes.append(outcome)
            _write(arguments, outcomes, options)  # so that nothing is lost where this is stopped
    print_table(outcomes, f"{options.steps} steps with {options.workers} workers")
    return EXIT_FAILED if any(outcome.problems for outcome in outcomes) else 0


def _write(arguments: argparse.Namespace, outcomes: list[Outcome], options: Options) -> None:
    if arguments.json:
        write_json(Location.of(arguments.json), outcomes, options)
    if arguments.markdown:
        Location.of(arguments.markdown).write_bytes(f"{markdown(outcomes)}\n".encode())


def _leave(*_: Any) -> None:
    """The way out on SIGTERM: what was started must not be left behind."""
    raise KeyboardInterrupt


def play(lab: Lab, scenarios: dict[str, Scenario]) -> Iterator[Outcome]:
    """The undisturbed run, then each scenario; one that breaks down is a line of the table, too."""
    undisturbed = lab.start(UNDISTURBED)
    undisturbed.wait_for_end()
    _keep_log(lab)
    reference = evidence(lab, UNDISTURBED), undisturbed.seconds
    yield judge(lab, UNDISTURBED, "none", Played(undisturbed, 1), reference[0], reference)
    for name, scenario in scenarios.items():
        yield _play_one(lab, name, scenario, reference)


def _play_one(lab: Lab, name: str, scenario: Scenario, reference: tuple[Evidence, float]) -> Outcome:
    started = time.monotonic()
    try:
        played = scenario.play(lab)
        return judge(lab, name, scenario.fault, played, evidence(lab, name), reference)
    except CharmNetError as error:
        seconds = time.monotonic() - started
        lab.recover()
        return Outcome(
            name, scenario.fault, 0, "BROKE DOWN", None, None, "", "", 0, seconds, None, [str(error)]
        )
    finally:
        _keep_log(lab)


def _keep_log(lab: Lab) -> None:
    """Of the last run; what Ray keeps ends with the cluster."""
    if run := lab.last_run:
        (lab.folder / f"{run.name}.log").write_text(run.log())
