"""Proof from a run's logs that its weights descend from every sample of each epoch once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.audit.domain_audit import DomainAudit, DomainReport
from pipelines.audit.logs import history, log_files, rows_of, superseded_steps
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion
from pipelines.runs.attempts import Attempt, read_attempts
from pipelines.runs.checkpoints import newest_metadata
from pipelines.runs.delivery_log import read_quarantine
from pipelines.runs.run_folder import RunFolder, RunRecord
from pipelines.runtime.console import progress
from pipelines.runtime.storage import Location
from pipelines.training.build import configured_method, stream_specs

_CHUNK_ROWS = 1 << 16


@dataclass(frozen=True)
class Report:
    """Result of the audit of a run.

    Attributes:
        run_folder: URI of the run's folder.
        steps: step of the last checkpoint.
        attempts: numbers of the attempts that its history consists of.
        superseded_steps: number of steps that were logged, lost and run again.
        domains: results by domain.
    """

    run_folder: str
    steps: int
    attempts: list[int]
    superseded_steps: int
    domains: list[DomainReport]

    @property
    def holds(self) -> bool:
        """Whether nothing differs from the plan."""
        return not any(domain.differing for domain in self.domains)


def audit(folder: Location) -> Report:
    """Compare a run's logs with the plan, over the history that its last checkpoint descends from.

    Raises:
        DataError: the folder is no run's, its data sets are other ones by now, or its logs are none.
        StorageError: something cannot be read.
    """
    attempts = read_attempts(folder)
    files = log_files(folder)
    newest = newest_metadata(folder)
    if newest is None:
        raise DataError(f"{folder}: no checkpoint there; expected the folder of a run (STORAGE/NAME)")
    _, metadata = newest
    step = metadata["step"]
    spans = history(attempts, step, metadata.get("attempt"))
    quarantined = {entry.id for entry in read_quarantine(folder)}
    specs = _specs(RunFolder(folder).record(), attempts[spans[-1].attempt])
    audits = {domain: DomainAudit(spec, quarantined) for domain, spec in specs.items()}
    chunk_steps = max(1, _CHUNK_ROWS // sum(spec.batch_size for spec in specs.values()))
    with progress("Auditing", total=step) as advance:
        for span in spans:
            for first, last, rows in rows_of(files.get(span.attempt, []), span, chunk_steps):
                _refuse_other_domains(rows["domain"], list(audits))
                for domain, domain_audit in audits.items():
                    domain_audit.check(rows.filter(pc.equal(rows["domain"], domain)), first, last)
                advance(last - first + 1)
    reports = [domain_audit.finish() for domain_audit in audits.values()]
    superseded = superseded_steps(files, spans)
    return Report(str(folder), step, [span.attempt for span in spans], superseded, reports)


def _specs(record: RunRecord, attempt: Attempt) -> dict[str, StreamSpec]:
    """Return the run's streams, from its configuration and where its data sets were last.

    Raises:
        DataError: a data set is not the one that the run was started with.
    """
    config = TrainConfig.from_json(record.config).replaced(init=None)
    datasets = {
        Domain(domain): DatasetUnion.open(_uris(value), Domain(domain))
        for domain, value in attempt.datasets.items()
    }
    for domain, union in datasets.items():
        if union.digest != record.digests.get(domain):
            raise DataError(
                f"{', '.join(union.uris)}: another data set than the run's by now; the plan cannot be known"
            )
    return stream_specs(config, datasets, configured_method(config))


def _uris(value: str | Sequence[str]) -> list[str]:
    """Return the URIs of one data set or of several, as an attempt names them."""
    return [value] if isinstance(value, str) else list(value)


def _refuse_other_domains(domains: pa.ChunkedArray, known: list[str]) -> None:
    others = sorted(set(pc.unique(domains).to_pylist()) - set(known))
    if others:
        raise DataError(f"the logs speak of the domains {others}, the run trains on {known}")
