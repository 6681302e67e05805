"""Run every step on this machine, with a small data set that the command makes itself.

Starts an S3 server and MLflow on the loopback interface, makes a small real-domain set from photographs,
renders a few scenes, trains the small recipe on both with two workers, evaluates it on photographs that it
neither was trained on nor chosen by, and harmonizes ten of their composites. Every step is a command that is
shown before it runs. The servers stay up until

  charmnet quickstart --stop

A second run reuses what is there. `--real DIR --rendered DIR` does the same with your own data in the
released layouts; where there is no list of validation, a tenth of the photographs in those of training
chooses the model. It shows that every part works; quality takes more photographs than its eight.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charmnet.errors import CharmNetError
from pipelines.commands import cli
from pipelines.quickstart.data import Examples, Pictures, pictures
from pipelines.runtime.cluster import ADDRESS_VARIABLE
from pipelines.runtime.console import console, results
from pipelines.runtime.signals import EXIT_STOPPED
from pipelines.services.local import Services, use_servers
from pipelines.shards.reading import Dataset
from pipelines.tracking.server import connect, experiment_link

WORKERS = 2
LAST_STEPS_SECONDS = 90.0  # left of --minutes for evaluating and harmonizing
STEPS = (20, 3000)
"""Shortest and longest training run."""

VALIDATIONS = 4  # besides the one at step 0
VALIDATION_IMAGES = 32
VALIDATION_FRACTION = "0.1"  # of the photographs in your lists of training, where you have none of validation
SAMPLE_ROWS = 5  # pictures of validation that MLflow shows over the steps
COMPOSING = ("--masks", "auto", "--views", "--layout", "photographs", "--per-mask", "2")
SCENES = ("--scenes", "4", "--views", "2", "--size", "192x108")


class QuickstartError(CharmNetError):
    """One of the commands failed; it has printed why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--real", metavar="DIR", help="your iHarmony4-like folder, with its lists")
    parser.add_argument("--rendered", metavar="DIR", help="your RdHarmony-like folder")
    parser.add_argument(
        "--minutes",
        type=float,
        default=9.0,
        help="time for everything; training takes what is left of it (default 9)",
    )
    parser.add_argument("--name", help="name of the run (default: quickstart, or one made from your folders)")
    parser.add_argument("--stop", action="store_true", help="stop the servers; data and runs are kept")


def run(arguments: argparse.Namespace) -> int:
    """Run the quickstart, or stop its servers; return 0.

    Raises:
        ValueError: a Ray cluster is named in the environment.
        CharmNetError: a step failed.
    """
    services = Services()
    if arguments.stop:
        services.stop()
        _say(f"Stopped. Data, runs and keys are kept in {services.folder}.")
        return 0
    if os.environ.get(ADDRESS_VARIABLE):
        raise ValueError(
            f"{ADDRESS_VARIABLE} is set, but the quickstart runs on this machine alone; unset it"
        )
    deadline = time.monotonic() + 60 * arguments.minutes
    data = pictures(services.folder / "quickstart" / "pictures", arguments.real, arguments.rendered)
    with console.status("Starting the object store and MLflow"):
        services.start()
    use_servers(services.environment())  # before Ray starts, whose workers inherit it
    _say(f"MLflow is at {services.tracking.url}; servers, data and keys are in {services.folder}")
    Quickstart(services, arguments.name or _default_name(arguments)).run(data, deadline)
    return 0


def _default_name(arguments: argparse.Namespace) -> str:
    folders = [str(Path(folder).resolve()) for folder in (arguments.real, arguments.rendered) if folder]
    return "-".join(["quickstart", *(hashlib.sha256(folder.encode()).hexdigest()[:8] for folder in folders)])


@dataclass(frozen=True)
class Quickstart:
    """Steps of the quickstart and where their results are.

    Attributes:
        services: object store and MLflow server.
        name: name of the run, of its data sets in the store and of its folder of results.
    """

    services: Services
    name: str

    @property
    def folder(self) -> Path:
        """Folder of the results on this machine."""
        return self.services.folder / "quickstart" / self.name

    @property
    def real(self) -> str:
        """URI of the data set of the real domain."""
        return f"{self.services.store.uri}/{self.name}/real"

    @property
    def rendered(self) -> str:
        """URI of the data set of the rendered domain."""
        return f"{self.services.store.uri}/{self.name}/rendered"

    @property
    def storage(self) -> str:
        """URI of the folder of runs."""
        return f"{self.services.store.uri}/runs"

    @property
    def model(self) -> str:
        """URI of the trained run."""
        return f"{self.storage}/{self.name}"

    def run(self, data: Pictures, deadline: float) -> None:
        """Take all steps; `deadline` is a time of `time.monotonic()` in seconds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.shard(data)
        self.train(data, deadline)
        self.evaluate(data)
        self.report(self.harmonize(data))

    def shard(self, data: Pictures) -> None:
        """Make the data sets of both domains."""
        if data.real_lists:
            lists = [f"--list={path}" for path in data.real_lists]
            if data.derived_validation_splits:
                lists += ["--validation-fraction", VALIDATION_FRACTION]
            _command("shard", "iharmony4", "--source", str(data.real), *lists, "--dest", self.real)
        else:
            _command("compose-real", "--photos", str(data.real), *COMPOSING, "--dest", self.real)
        if data.rendered:
            lists = [f"--list={path}" for path in data.rendered_lists]
            _command("shard", "rdharmony", "--source", str(data.rendered), *lists, "--dest", self.rendered)
        else:
            sheet = str(self.folder / "scenes.jpg")
            _command("render", *SCENES, "--dest", self.rendered, "--contact-sheet", sheet)

    def train(self, data: Pictures, deadline: float) -> None:
        """Train the small recipe, unless that was done before."""
        plan = self._plan(deadline)
        if plan["trained"]:
            _say(f"\nThe run {self.name} is trained already, {plan['steps']} steps.")
            return
        splits = {name for stratum in Dataset.open(self.real).manifest.strata for name in stratum.splits}
        _command(
            "train",
            *("--real", self.real, "--rendered", self.rendered, "--storage", self.storage),
            *("--name", self.name, "--experiment", "quickstart"),
            *("--recipe", "small", "--workers", str(WORKERS)),
            f"steps={plan['steps']}",
            f"real_select={_in_splits(data.train_splits)}",
            f"validate_splits={data.validation_split(splits)}",
            f"validate_images={VALIDATION_IMAGES}",
            f"validate_every={max(1, plan['steps'] // VALIDATIONS)}",
            f"sample_rows={SAMPLE_ROWS}",
        )
        self._write("plan.json", {**plan, "trained": True})

    def evaluate(self, data: Pictures) -> None:
        """Evaluate the run on the test splits, unless that was done before."""
        if (self.folder / "figures.json").exists():
            return
        _command(
            "evaluate",
            *("--model", self.model, "--data", self.real, "--select", _in_splits(data.evaluation_splits)),
            *("--per-image", str(self.folder / "per-image.parquet"), "--experiment", "quickstart"),
            *("--json", str(self.folder / "figures.json")),
        )

    def harmonize(self, data: Pictures) -> Examples:
        """Harmonize ten composites of the test splits."""
        from pipelines.commands.quickstart_examples import write_examples  # torch

        select = _in_splits(data.evaluation_splits)
        per_image = self.folder / "per-image.parquet"
        examples = write_examples(self.real, select, per_image, self.folder / "examples")
        if not examples.are_harmonized:
            source, dest = str(examples.inputs), str(examples.harmonized)
            _command("harmonize", "--model", self.model, "--source", source, "--dest", dest)
        return examples

    def report(self, examples: Examples) -> None:
        """Print the figures and where to look further."""
        from pipelines.tracking.runs import experiment_id_of  # MLflow

        sheet = self.folder / "comparison.jpg"
        examples.write_sheet(sheet)
        figures = json.loads((self.folder / "figures.json").read_text())["all"]
        composite, harmonized = figures["composite"], figures["harmonized"]
        better = figures["against_composite"]["harmonized"]["better"]["value"]
        address = self.services.tracking.url
        client = connect(address)
        experiment = experiment_id_of(client, "quickstart")
        for run in client.search_runs([experiment], f"tags.run_folder = '{self.model}'"):
            client.log_artifact(run.info.run_id, str(sheet), "images")
        page = experiment_link(address, experiment)
        _say(
            f"\n{figures['count']} unseen pictures, composites → harmonized: "
            f"fMSE {composite['fmse']:.1f} → {harmonized['fmse']:.1f}, "
            f"MSE {composite['mse']:.1f} → {harmonized['mse']:.1f}; {better:.0%} got better. "
            "The model saw few photographs for a few minutes: its figures are no benchmark.\n"
            f"Runs, losses, sample pictures: {page}\n"
            f"Ten of them (composite, mask, harmonized, ground truth), kept with the run, too: {sheet}\n"
            f"To use the servers from a shell: source {self.services.environment_file}\n"
            "The servers stay up until: charmnet quickstart --stop "
            "(in a checkout: ./infra/quickstart.sh --stop)"
        )

    def _plan(self, deadline: float) -> dict[str, Any]:
        """Return the run's steps, chosen at the first start by the time left, and whether it is trained."""
        path = self.folder / "plan.json"
        if not path.exists():
            available = deadline - time.monotonic() - LAST_STEPS_SECONDS
            self._write("plan.json", {"steps": _steps_within(available), "trained": False})
        result: dict[str, Any] = json.loads(path.read_text())
        return result

    def _write(self, name: str, value: Any) -> None:
        (self.folder / name).write_text(json.dumps(value))


def _in_splits(splits: tuple[str, ...]) -> str:
    names = [f'"{split}"' for split in splits]
    return f"split == {names[0]}" if len(names) == 1 else f"split in ({', '.join(names)})"


def _steps_within(seconds: float) -> int:
    """Return how many steps to train in a time, within the limits of `STEPS`."""
    from pipelines.commands.quickstart_steps import steps_within  # torch

    least, most = STEPS
    with console.status("Measuring this machine"):
        return max(least, min(most, steps_within(seconds, WORKERS)))


def _command(*arguments: str) -> None:
    """Show a command of `charmnet` and run it.

    Raises:
        QuickstartError: the command failed.
    """
    _say(f"\n$ charmnet {shlex.join(arguments)}")
    status = cli.main(arguments)
    if status == EXIT_STOPPED:
        raise SystemExit(status)
    if status != 0:
        raise QuickstartError(f"`charmnet {arguments[0]}` failed; what was done so far is kept")


def _say(text: str) -> None:
    results.print(text, markup=False, highlight=False)
