"""Image shards (.tar) in the WebDataset convention: into parquet, or indexed where they lie.

A sample is a run of members with one NAME: `NAME.composite.jpg`, `NAME.ground_truth.jpg`, `NAME.mask.png`
(each .jpg, .jpeg or .png) and, if wanted, `NAME.json` with any of subset, category, splits, composite_style
and ground_truth_style. With --in-place only manifest.json is written, and archives are read by byte range:
after archives were added or replaced, delete manifest.json and run the command again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from charmnet.errors import DataError
from pipelines.conversion.entries import prepare_row
from pipelines.conversion.lists import names_digest
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest, Stratum
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, samples_of
from pipelines.shards.schema import RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.tar import HashingReader, TarSample, sample_row, tar_samples
from pipelines.shards.writer import GroupLimit, StratumCounter, WrittenShard


@dataclass(frozen=True)
class WebDataset:
    """
    Attributes:
        source: the folder of the archives. defaults: what holds where a sample does not say.
    """

    source: Location
    defaults: Stratum

    def identity(self) -> dict[str, Any]:
        return {
            "command": "shard webdataset",
            "source": str(self.source),
            "archives": names_digest(self.archives),
            "subset": self.defaults.subset,
            "category": self.defaults.category,
            "splits": list(self.defaults.splits),
            "domain": str(self.defaults.domain),
        }

    @cached_property
    def archives(self) -> list[str]:
        """Paths of the archives beneath the source, sorted.

        Raises:
            DataError: there is none.
        """
        archives = [path for path in self.source.walk_files() if path.endswith(".tar")]
        if not archives:
            raise DataError(f"{self.source}: no .tar files beneath; expected image shards")
        return archives


@dataclass(frozen=True)
class ArchiveRow:
    row: Row
    sample: TarSample


def rows_of_archive(
    reader: HashingReader, path: str, defaults: Stratum, longest_side: int | None = None
) -> Iterator[ArchiveRow | Rejection]:
    """Every sample of an archive, checked.

    An archive that breaks off is rejected as a whole for as many samples as were read before it did, since
    how many are lost cannot be known.
    """
    seen: set[str] = set()
    try:
        for sample in tar_samples(reader):
            file = f"{path}:{sample.name}"
            try:
                if sample.name in seen:
                    raise DataError("duplicate id: a second sample of that name in the archive")
                seen.add(sample.name)
                yield ArchiveRow(prepare_row(sample_row(sample, path, defaults), longest_side), sample)
            except DataError as error:
                yield Rejection(f"{path.removesuffix('.tar')}/{sample.name}", file, str(error))
    except DataError as error:
        yield Rejection(path.removesuffix(".tar"), path, str(error), max(1, len(seen)))


def index_archive(folder: Location, path: str, defaults: Stratum) -> WrittenShard:
    """The manifest of an archive as it lies: row groups are byte ranges of whole, fit samples.

    A sample that is unfit stands between two row groups, so that no reader ever meets it.
    """
    rejected: list[Rejection] = []
    counter = StratumCounter()
    groups: list[RowGroup] = []
    run: list[ArchiveRow] = []
    limit = GroupLimit()

    def close() -> None:
        if run:
            start, end = run[0].sample.offset, run[-1].sample.end
            groups.append(counter.row_group((found.row for found in run), end - start, start))
            run.clear()

    with (folder / path).open("rb") as stream:
        reader = HashingReader(stream)
        for found in rows_of_archive(reader, path, defaults):
            if isinstance(found, Rejection):
                rejected.append(found)
                close()
                continue
            size = found.sample.end - (run[-1].sample.end if run else found.sample.offset)
            if not run or not limit.fits(samples_of(found.row), size):
                close()
                limit, size = GroupLimit(), found.sample.end - found.sample.offset
            run.append(found)
            limit.add(samples_of(found.row), size)
        close()
        size_bytes, sha256 = reader.finish()
    shards = (Shard(path, size_bytes, sha256, tuple(groups)),) if groups else ()
    manifest = Manifest(
        RowKind.PAIR,
        Container.TAR,
        defaults.domain,
        tuple(counter.numbers),
        shards,
        dict(counter.conditions),
        tar_defaults=defaults,
    )
    return WrittenShard(manifest, rejected)
