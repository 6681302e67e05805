"""Prove that a run's weights descend from every sample of each epoch once.

  charmnet audit s3://bucket/runs/first --json first-audit.json

For runs that were started with `charmnet train --audit`. Compares what the workers logged with what the plan
says, over the history that the last checkpoint descends from: steps that were lost and run again count once.
Exits with 1 where anything differs, and names it.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.audit.domain_audit import DomainAudit, DomainReport
from pipelines.audit.logs import (
    history,
    last_checkpoint,
    log_files,
    rows_of,
    superseded_steps,
)
from pipelines.commands.cli import EXIT_FAILED
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.window import StreamSpec
from pipelines.runs.attempts import Attempt, read_attempts
from pipelines.runs.delivery_log import read_quarantine
from pipelines.runs.run_folder import RunFolder, RunRecord
from pipelines.runtime.console import progress
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

_CHUNK_ROWS = 1 << 16
_COLUMNS = ("domain", "samples", "epochs", "rows", "missing", "twice", "substitutes", "differing")


@dataclass(frozen=True)
class Report:
    """
    Attributes:
        steps: of the last checkpoint. attempts: that its history consists of.
        superseded_steps: that were logged, lost and run again.
    """

    run_folder: str
    steps: int
    attempts: list[int]
    superseded_steps: int
    domains: list[DomainReport]

    @property
    def holds(self) -> bool:
        return not any(domain.differing for domain in self.domains)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="the run's folder: --storage/--name of `charmnet train`")
    parser.add_argument("--json", metavar="FILE", help="write the figures and what differs there, too")


def run(arguments: argparse.Namespace) -> int:
    report = audit(Location.of(arguments.uri))
    if arguments.json:
        Location.of(arguments.json).write_json({**asdict(report), "holds": report.holds})
    _print(report)
    return 0 if report.holds else EXIT_FAILED


def audit(folder: Location) -> Report:
    """
    Raises:
        DataError: the folder is no run's, its data sets are other ones by now, or its logs are none.
        StorageError: something cannot be read.
    """
    attempts, files = read_attempts(folder), log_files(folder)
    step, number = last_checkpoint(folder)
    spans = history(attempts, step, number)
    quarantined = {entry.id for entry in read_quarantine(folder)}
    specs = _specs(RunFolder(folder).record(), attempts[spans[-1].attempt])
    audits = {domain: DomainAudit(spec, quarantined) for domain, spec in specs.items()}
    chunk_steps = max(1, _CHUNK_ROWS // sum(spec.batch_size for spec in specs.values()))
    with progress("Auditing", total=step) as advance:
        for span in spans:
            for first, last, rows in rows_of(files.get(span.attempt, []), span, chunk_steps):
                _refuse_strangers(rows["domain"], list(audits))
                for domain, domain_audit in audits.items():
                    domain_audit.check(rows.filter(pc.equal(rows["domain"], domain)), first, last)
                advance(last - first + 1)
    reports = [domain_audit.finish() for domain_audit in audits.values()]
    superseded = superseded_steps(files, spans)
    return Report(str(folder), step, [span.attempt for span in spans], superseded, reports)


def _specs(record: RunRecord, attempt: Attempt) -> dict[str, StreamSpec]:
    """What was streamed, from the run's configuration and where its data sets were last.

    Raises:
        DataError: a data set is not the one that the run was started with.
    """
    from pipelines.training.driver import stream_specs
    from pipelines.training.job import method_of

    config = replace(TrainConfig.from_json(record.config), init=None)
    datasets = {Domain(domain): Dataset.open(uri) for domain, uri in attempt.datasets.items()}
    for domain, dataset in datasets.items():
        if dataset.manifest.digest != record.digests.get(domain):
            raise DataError(
                f"{dataset.location}: another data set than the run's by now; the plan cannot be known"
            )
    return stream_specs(config, datasets, method_of(config).domains)


def _refuse_strangers(domains: pa.ChunkedArray, known: list[str]) -> None:
    strangers = sorted(set(pc.unique(domains).to_pylist()) - set(known))
    if strangers:
        raise DataError(f"the logs speak of the domains {strangers}, the run trains on {known}")


def _print(report: Report) -> None:
    console = Console(emoji=False)
    table = Table(
        "domain", *_COLUMNS[1:], "superseded steps", title=f"{report.run_folder}: {report.steps} steps"
    )
    for domain in report.domains:
        figures = [f"{getattr(domain, name):,}" for name in _COLUMNS[1:]]
        table.add_row(domain.domain, *figures, f"{report.superseded_steps:,}")
    console.print(table)
    for domain in report.domains:
        for problem in domain.problems:
            print(f"{domain.domain}: {problem}")
        if domain.differing > len(domain.problems):
            print(f"{domain.domain}: and {domain.differing - len(domain.problems)} more")
    print("exactly once: " + ("holds" if report.holds else "does NOT hold"))
