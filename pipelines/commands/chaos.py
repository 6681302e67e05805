"""Run fault-injection scenarios on a local cluster and check the results.

  charmnet chaos --real s3://bucket/real --rendered s3://bucket/rendered --times 20 --json chaos.json

Starts Ray, an S3 server behind a proxy that fails on request, and MLflow on this machine, all in the state
folder; copies the first shards of the data sets there (or makes small ones); trains once undisturbed, and
once for each fault. Prints which samples were lost or delivered twice, and whether the weights have the same
bits as those of the undisturbed run. Where a result is not the expected one, it is named and the exit code
is 1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict

from charmnet.errors import CharmNetError
from pipelines.chaos.checks import Reference, ScenarioRun, check, collect_artifacts
from pipelines.chaos.environment import Environment, Options, open_environment
from pipelines.chaos.report import Outcome, markdown, print_table, write_json
from pipelines.chaos.scenarios import SCENARIOS, Scenario
from pipelines.chaos.soak import seconds_of, soak
from pipelines.commands.cli import EXIT_FAILED
from pipelines.runtime.console import results
from pipelines.runtime.paths import state_folder
from pipelines.runtime.storage import Location

UNDISTURBED = "undisturbed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--real", metavar="URI", help="data set of the real domain, from `charmnet shard`")
    parser.add_argument("--rendered", metavar="URI", help="data set of the rendered domain")
    parser.add_argument(
        "--scenario",
        nargs="+",
        metavar="NAME",
        choices=list(SCENARIOS),
        help=f"scenarios to run (default: all): {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--times", type=int, default=3, help="how many times workers are killed (default 3)")
    parser.add_argument("--steps", type=int, default=40, help="steps of every run (default 40)")
    parser.add_argument("--workers", type=int, default=2, help="workers of every run (default 2)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the runs and of the times of faults (default 0)"
    )
    parser.add_argument(
        "--soak", metavar="DURATION", help="in place of scenarios: train so long under random faults, as 60m"
    )
    parser.add_argument(
        "--mtbf", metavar="DURATION", default="60s", help="mean time between faults of --soak (default 60s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the table to this file, too")
    parser.add_argument("--markdown", metavar="FILE", help="write the table to this file as Markdown, too")


def run(arguments: argparse.Namespace) -> int:
    """Run the scenarios and print a table of their results; return the exit code.

    Raises:
        ValueError: an option is out of range, or the data do not fit.
        CharmNetError: the cluster or a server does not start.
    """
    names = ("steps", "workers", "times", "seed", "real", "rendered")
    options = Options(**{name: getattr(arguments, name) for name in names})
    if min(options.steps // 4, options.workers, options.times) < 1:
        raise ValueError("expected --steps of at least 4, and --workers and --times of at least 1")
    if arguments.soak:
        return _soak(arguments, options)
    outcomes: list[Outcome] = []
    scenarios = {name: SCENARIOS[name] for name in arguments.scenario or SCENARIOS}
    with open_environment(state_folder() / "chaos", options) as environment:
        for outcome in run_scenarios(environment, scenarios):
            verdict = "; ".join(outcome.problems) or "as it should"
            results.print(f"{outcome.scenario}: {outcome.ended} after {outcome.seconds:.0f} s, {verdict}")
            outcomes.append(outcome)
            _write(arguments, outcomes, options)  # so that nothing is lost where this is stopped
    print_table(outcomes, f"{options.steps} steps with {options.workers} workers")
    return EXIT_FAILED if any(outcome.problems for outcome in outcomes) else 0


def _soak(arguments: argparse.Namespace, options: Options) -> int:
    """Run the soak, print its goodput and return the exit code."""
    seconds, mtbf_seconds = seconds_of(arguments.soak), seconds_of(arguments.mtbf)
    if arguments.scenario or arguments.markdown:
        raise ValueError("--soak runs no scenarios: leave out --scenario and --markdown")
    with open_environment(state_folder() / "chaos", options) as environment:
        result = soak(environment, seconds, mtbf_seconds)
    for line in result.lines():
        results.print(line)
    if arguments.json:
        Location.of(arguments.json).write_json({**asdict(result), "goodput": result.goodput})
    return EXIT_FAILED if result.problems else 0


def _write(arguments: argparse.Namespace, outcomes: list[Outcome], options: Options) -> None:
    if arguments.json:
        write_json(Location.of(arguments.json), outcomes, options)
    if arguments.markdown:
        Location.of(arguments.markdown).write_bytes(f"{markdown(outcomes)}\n".encode())


def run_scenarios(environment: Environment, scenarios: dict[str, Scenario]) -> Iterator[Outcome]:
    """Yield the outcome of the undisturbed run, then of each scenario; a failed one has an outcome, too."""
    undisturbed = environment.start(UNDISTURBED)
    undisturbed.wait_for_end()
    _keep_log(environment)
    reference = Reference(collect_artifacts(environment, UNDISTURBED), undisturbed.seconds)
    steps = environment.options.steps
    yield check(UNDISTURBED, "none", ScenarioRun(undisturbed, 1), reference.artifacts, reference, steps)
    for name, scenario in scenarios.items():
        yield _run_scenario(environment, name, scenario, reference)


def _run_scenario(environment: Environment, name: str, scenario: Scenario, reference: Reference) -> Outcome:
    started = time.monotonic()
    try:
        scenario_run = scenario.play(environment)
        artifacts = collect_artifacts(environment, name)
        return check(name, scenario.fault, scenario_run, artifacts, reference, environment.options.steps)
    except CharmNetError as error:
        seconds = time.monotonic() - started
        environment.recover()
        return Outcome.broke_down(name, scenario.fault, seconds=seconds, error=error)
    finally:
        _keep_log(environment)


def _keep_log(environment: Environment) -> None:
    """Save the log of the last run, which Ray deletes with the cluster."""
    if run := environment.last_run:
        (environment.folder / f"{run.name}.log").write_text(run.log())
