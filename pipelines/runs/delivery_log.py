"""Log of the samples that a worker was given, written before the checkpoint that learned from them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.errors import StorageError
from charmnet.vocabulary import Domain
from pipelines.ingest.quarantine import Quarantined
from pipelines.runs.run_folder import AUDIT_FOLDER, QUARANTINE_FOLDER, log_name
from pipelines.runtime.blocks import Block
from pipelines.runtime.retry import retry_storage
from pipelines.runtime.storage import Location

if TYPE_CHECKING:
    from pipelines.ingest.quarantine_client import QuarantineClient

AUDIT_SCHEMA = pa.schema(
    [
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),  # from 1, as in MLflow
        pa.field("domain", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),  # place in the global batch
        pa.field("id", pa.string(), nullable=False),
        pa.field("substitute_for", pa.string()),  # the planned sample's id; null where it is that one
        pa.field("tries", pa.int32(), nullable=False),  # which substitute of the plan this is; 0 is none
    ]
)

_MOST_ROWS = 1 << 16  # held in memory


@dataclass
class DeliveryLog:
    """Log of one worker's deliveries; every step costs it a few references to arrays.

    Args:
        audited: whether deliveries are logged; quarantined samples always are.
        quarantine: client of the run's quarantine, which counts samples that cannot be decoded.
        timeout_seconds: how long the store is waited for.
    """

    run_folder: Location
    attempt: int
    rank: int
    audited: bool
    quarantine: QuarantineClient
    timeout_seconds: float
    _blocks: list[tuple[int, Domain, Block]] = field(default_factory=list)
    _rows: int = 0
    _quarantined: list[Quarantined] = field(default_factory=list)

    def add(self, step: int, blocks: Mapping[Domain, Block]) -> None:
        """Record the blocks of step `step`, counted from 1."""
        for domain, block in blocks.items():
            found = [Quarantined.from_json(text) for text in block["quarantined"].tolist() if text]
            if found:
                self._quarantined += found
                self.quarantine.quarantine(found)
            if self.audited:
                columns = {name: block[name] for name in ("epoch", "index", "id", "quarantined")}
                self._blocks.append((step, domain, columns))
                self._rows += len(block["id"])
        if self._rows >= _MOST_ROWS:
            self._flush_audit()

    def flush(self) -> None:
        """Write everything; every worker calls it before a checkpoint is registered.

        Raises:
            StorageError: the store did not answer for as long as it is waited for.
        """
        self._flush_audit()
        if self._quarantined:
            entries = [asdict(entry) for entry in self._quarantined]
            first_step = min(entry.step for entry in self._quarantined)
            path = self.run_folder / QUARANTINE_FOLDER / f"{self._name(first_step)}.jsonl"
            self._retry(partial(path.write_jsonl, entries))
            self._quarantined = []

    def _flush_audit(self) -> None:
        if not self._blocks:
            return
        table = _table(self.attempt, self._blocks)
        data = io.BytesIO()
        pq.write_table(table, data, compression="zstd")
        path = self.run_folder / AUDIT_FOLDER / f"{self._name(self._blocks[0][0])}.parquet"
        self._retry(partial(path.write_bytes, data.getvalue()))
        self._blocks, self._rows = [], 0

    def _name(self, first_step: int) -> str:
        return log_name(self.attempt, self.rank, first_step)

    def _retry(self, write: Callable[[], None]) -> None:
        retry_storage(write, self.timeout_seconds, self.quarantine.notify)


def _table(attempt: int, blocks: list[tuple[int, Domain, Block]]) -> pa.Table:
    rows = [len(block["id"]) for _, _, block in blocks]
    block = {name: np.concatenate([part[name] for _, _, part in blocks]) for name in blocks[0][2]}
    replaced = [Quarantined.from_json(text) if text else None for text in block["quarantined"].tolist()]
    columns = {
        "attempt": np.full(sum(rows), attempt),
        "step": np.repeat([step for step, _, _ in blocks], rows),
        "domain": np.repeat([str(domain) for _, domain, _ in blocks], rows).tolist(),
        "epoch": block["epoch"],
        "index": block["index"],
        "id": block["id"].tolist(),
        "substitute_for": [entry.id if entry else None for entry in replaced],
        "tries": [entry.tries if entry else 0 for entry in replaced],
    }
    return pa.table(columns, schema=AUDIT_SCHEMA)


def read_quarantine(run_folder: Location) -> list[Quarantined]:
    """Return every sample that the run's workers wrote down as quarantined, each time that it was.

    Raises:
        StorageError: a file holds something else, or cannot be read.
    """
    entries = []
    for path in (run_folder / QUARANTINE_FOLDER).children():
        try:
            entries += [Quarantined(**value) for value in path.read_jsonl()]
        except TypeError as error:
            raise StorageError(f"{path}: no list of quarantined samples ({error})") from error
    return entries
