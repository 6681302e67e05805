"""Look at this machine and what a run needs, and say what is wrong and what mends it.

  charmnet doctor
  charmnet doctor --store s3://bucket/runs --tracking http://mlflow:5000

Looks at versions, the MLflow server, the Ray cluster, GPUs, disk, memory, the temporary folder and proxies;
with --store it tries to list, write, read and delete beneath that folder. Starts nothing and leaves nothing
behind. The exit code is 1 where something is wrong; warnings leave it at 0.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from rich.table import Table

from charmnet.errors import CharmNetError, in_words
from pipelines.commands.cli import EXIT_FAILED
from pipelines.commands.tracking_options import add_tracking_options, tracking_uri
from pipelines.runtime.cluster import ADDRESS_VARIABLE, LOCAL, cluster_address
from pipelines.runtime.console import results
from pipelines.runtime.paths import state_folder
from pipelines.runtime.ray_address import check_reachable
from pipelines.runtime.ray_folders import room_for_sockets, temporary_folder
from pipelines.runtime.redaction import redact
from pipelines.runtime.storage import Location
from pipelines.runtime.store_check import store_settings, try_store
from pipelines.tracking.server_check import ServerCheck

_PACKAGES = ("charmnet", "torch", "ray", "mlflow", "pyarrow", "s3fs", "opencv-python-headless")
_GIB = 1 << 30
_LITTLE_DISK, _NO_DISK = 10 * _GIB, 1 * _GIB
_LITTLE_MEMORY = 4 * _GIB
_LITTLE_SHARED_MEMORY = 2 * _GIB
_FEW_FILES = 4096
_REACH_SECONDS = 10.0


class State(StrEnum):
    """How something is."""

    FINE = "fine"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes:
        name: what was looked at.
        found: what it is.
        state: how that is.
        remedy: what mends it; empty where nothing has to be.
    """

    name: str
    found: str
    state: State = State.FINE
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--store", metavar="URI", help="folder of a store to try, such as s3://bucket/runs")
    add_tracking_options(parser)
    parser.add_argument("--json", metavar="FILE", help="write what was found to this file, too")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything, print one table and return the exit code."""
    findings = list(_findings(arguments))
    table = Table("", "found", "what mends it", title="charmnet doctor")
    for finding in findings:
        mark = "" if finding.state is State.FINE else f"{finding.state}: "
        table.add_row(finding.name, f"{mark}{redact(finding.found)}", redact(finding.remedy))
    results.print(table)
    wrong = [finding for finding in findings if finding.state is State.WRONG]
    warnings = sum(finding.state is State.WARNING for finding in findings)
    results.print(f"{len(wrong)} wrong, {warnings} warnings, {len(findings) - len(wrong) - warnings} fine")
    if arguments.json:
        values = [{name: redact(text) for name, text in asdict(finding).items()} for finding in findings]
        Location.of(arguments.json).write_json(values)
    return EXIT_FAILED if wrong else 0


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    yield from _versions()
    yield from _store(arguments.store)
    yield from _tracking(arguments)
    yield from _ray()
    yield from _gpus()
    yield from _disks()
    yield from _memory()
    yield from _sockets()
    yield from _open_files()
    yield from _proxies()


def _versions() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPUs")
    for package in _PACKAGES:
        try:
            yield Finding(package, version(package))
        except PackageNotFoundError:
            yield Finding(package, "not installed", State.WRONG, f"pip install {package}")


def _store(uri: str | None) -> Iterator[Finding]:
    if uri is None:
        yield Finding("store", "not tried (--store URI)")
        return
    location = Location.of(uri)
    try:
        for name, value in store_settings(location).items():
            yield Finding(f"store: {name}", value)
        for trial in try_store(location):
            state = State.WRONG if trial.problem else State.FINE
            yield Finding(
                f"store: {trial.act}", "refused" if trial.problem else "works", state, trial.problem or ""
            )
    except (CharmNetError, ValueError) as error:  # a profile or an endpoint that is none
        yield Finding("store", "cannot be tried", State.WRONG, str(error))


def _tracking(arguments: argparse.Namespace) -> Iterator[Finding]:
    try:
        uri = tracking_uri(arguments, create=False)
        if uri is None:
            yield Finding("MLflow", "nothing is recorded (--tracking none)")
            return
        outage = ServerCheck(uri, arguments.experiment).raise_refusal()
    except (CharmNetError, ValueError) as error:
        yield Finding("MLflow", "refuses", State.WRONG, str(error))
        return
    if outage is None:
        yield Finding("MLflow", f"{uri}, experiment {arguments.experiment!r}")
    else:
        remedy = (
            f"start it, or correct --tracking or MLFLOW_TRACKING_URI; runs wait for it meanwhile ({outage})"
        )
        yield Finding("MLflow", f"{uri} does not answer", State.WRONG, remedy)


def _ray() -> Iterator[Finding]:
    address = cluster_address()
    if address == LOCAL:
        yield Finding("Ray", f"each command starts its own on this machine ({ADDRESS_VARIABLE} names none)")
        return
    try:
        asked = check_reachable(address, _REACH_SECONDS)
    except (CharmNetError, OSError) as error:
        remedy = f"{in_words(error)}; without {ADDRESS_VARIABLE} this machine is used"
        yield Finding("Ray", f"no cluster at {address}", State.WRONG, remedy)
        return
    yield Finding("Ray", f"a cluster answers at {address}" if asked else f"{address}: not tried")


def _gpus() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Finding("GPUs", names)
    elif shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        remedy = "install a torch build for the driver's CUDA version (nvidia-smi names it)"
        yield Finding("GPUs", "there, and torch cannot use them", State.WARNING, remedy)
    else:
        yield Finding("GPUs", "none; runs use CPUs")


def _disks() -> Iterator[Finding]:
    for name, folder, variable in (
        ("state folder", state_folder(), "CHARMNET_STATE"),
        ("temporary folder", Path(temporary_folder()), "RAY_TMPDIR or TMPDIR"),
    ):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        found = f"{folder}: {free / _GIB:,.1f} GiB free"
        if not os.access(existing, os.W_OK | os.X_OK):
            yield Finding(name, f"{folder} cannot be written", State.WRONG, f"choose another: {variable}")
        elif free < _LITTLE_DISK:
            state = State.WRONG if free < _NO_DISK else State.WARNING
            yield Finding(name, found, state, f"free some space, or choose another: {variable}")
        else:
            yield Finding(name, found)


def _memory() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    found = f"{memory.available / _GIB:,.1f} of {memory.total / _GIB:,.1f} GiB available"
    little = memory.available < _LITTLE_MEMORY
    state = State.WARNING if little else State.FINE
    yield Finding("memory", found, state, "end other programs; a run takes some 4 GiB" if little else "")
    shared = Path("/dev/shm")  # noqa: S108 - a mount, in which nothing is made
    if shared.exists():
        size = shutil.disk_usage(shared).total
        small = size < _LITTLE_SHARED_MEMORY
        yield Finding(
            "shared memory",
            f"{size / _GIB:,.1f} GiB",
            State.WARNING if small else State.FINE,
            "Ray keeps blocks on the disk, which is slow; docker run --shm-size=8g" if small else "",
        )


def _sockets() -> Iterator[Finding]:
    folder = temporary_folder()
    room = room_for_sockets()
    found = (
        f"{folder}, room for sockets" if room >= 0 else f"{folder}, {-room} bytes too long: reached by a link"
    )
    yield Finding("sockets", found)


def _open_files() -> Iterator[Finding]:
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = limit != resource.RLIM_INFINITY and limit < _FEW_FILES
    state = State.WARNING if few else State.FINE
    found = "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"
    yield Finding("open files", found, state, f"ulimit -n {min(_FEW_FILES, most)}" if few else "")


def _proxies() -> Iterator[Finding]:
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    given = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in names}
    shown = ", ".join(f"{name}={value}" for name, value in given.items() if value)
    yield Finding("proxies", shown or "none")
