"""Image archives (.tar) in the WebDataset convention: converted to parquet, or indexed in place.

A sample is a run of members with the same NAME: `NAME.composite.jpg`, `NAME.ground_truth.jpg`,
`NAME.mask.png` (each .jpg, .jpeg or .png) and, optionally, `NAME.json` with any of subset, category, splits,
composite_style and ground_truth_style. With --in-place only manifest.json is written, and archives are read
by byte range: after adding or replacing archives, delete manifest.json and run the command again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from charmnet.errors import DataError
from pipelines.conversion.entries import prepare_row
from pipelines.conversion.lists import names_digest
from pipelines.runtime.storage import Location
from pipelines.runtime.user_files import ARCHIVES, walk_user_files, warn_of_others
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, samples_of
from pipelines.shards.schema import RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum
from pipelines.shards.tar import HashingReader, TarSample, sample_row, tar_samples
from pipelines.shards.writer import GroupLimit, StratumCounter, WrittenShard

_LACKS = ": missing"  # what `rows.pair_row` says of a picture that a sample does not have
_SCATTERED = (
    "its files do not stand next to each other in the archive; write it again with its files in order, as "
    "`tar --sort=name` does"
)


@dataclass(frozen=True)
class WebDataset:
    """A folder of archives.

    Attributes:
        source: the folder.
        defaults: values for what a sample's JSON does not give.
    """

    source: Location
    defaults: Stratum

    def identity(self) -> dict[str, Any]:
        """Return the request that a data set is built from (see `DatasetBuild`)."""
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
            DataError: there are none.
        """
        files = walk_user_files(self.source)
        warn_of_others(self.source, files, (".tar",), ARCHIVES)
        archives = [path for path in files if path.lower().endswith(".tar")]
        if not archives:
            raise DataError(f"{self.source}: no .tar files beneath; expected image shards")
        return archives


@dataclass(frozen=True)
class ArchiveRow:
    """A checked row and the sample in the archive that it was made from."""

    row: Row
    sample: TarSample


def rows_of_archive(
    reader: HashingReader,
    path: str,
    defaults: Stratum,
    longest_side: int | None = None,
    remarks: list[str] | None = None,
) -> Iterator[ArchiveRow | Rejection]:
    """Yield the row of every sample of an archive, or the reason for rejecting it.

    The number of samples lost in an archive that is cut short is unknown: it is rejected as one more item for
    each sample that was read before the cut.

    Args:
        path: path of the archive beneath the source.
        defaults: values for what a sample's JSON does not give.
        longest_side: limit for the longer side of the pictures in pixels; None for no limit.
        remarks: see `prepare_row`.
    """
    seen: set[str] = set()
    try:
        for sample in tar_samples(reader):
            try:
                _check_new(sample.name, seen)
                row = prepare_row(sample_row(sample, path, defaults), longest_side, remarks=remarks)
                yield ArchiveRow(row, sample)
            except DataError as error:
                rejected_id = f"{path.removesuffix('.tar')}/{sample.name}"
                yield Rejection(rejected_id, f"{path}:{sample.name}", str(error))
    except DataError as error:
        yield Rejection(path.removesuffix(".tar"), path, str(error), max(1, len(seen)))


def _check_new(name: str, seen: set[str]) -> None:
    """Add a name to those that an archive had.

    Raises:
        DataError: it had it before.
    """
    if name in seen:
        raise DataError("duplicate id: a second sample of that name in the archive")
    seen.add(name)


def explain_scattered(rejected: Sequence[Rejection]) -> list[Rejection]:
    """Return rejections with one for each sample whose files are scattered over its archive, and that reason.

    Read in order, such a sample lacks files at first and is a duplicate later.
    """
    times = Counter(rejection.file for rejection in rejected)
    lacking = {rejection.file for rejection in rejected if _LACKS in rejection.reason}
    explained: dict[str, Rejection] = {}
    for index, rejection in enumerate(rejected):
        scattered = times[rejection.file] > 1 and rejection.file in lacking
        key = rejection.file if scattered else f"{index}"
        explained.setdefault(key, replace(rejection, reason=_SCATTERED) if scattered else rejection)
    return list(explained.values())


def index_archive(folder: Location, path: str, defaults: Stratum) -> WrittenShard:
    """Make the manifest of an archive in place: row groups are byte ranges of whole samples.

    A rejected sample lies between two row groups, so that no reader fetches it.
    """
    rejected: list[Rejection] = []
    remarks: list[str] = []
    counter = StratumCounter()
    groups: list[RowGroup] = []
    run: list[ArchiveRow] = []
    limit = GroupLimit()

    def close_row_group() -> None:
        if run:
            start = run[0].sample.offset
            end = run[-1].sample.end
            groups.append(counter.row_group((item.row for item in run), end - start, start))
            run.clear()

    with (folder / path).open("rb") as stream:
        reader = HashingReader(stream)
        for item in rows_of_archive(reader, path, defaults, remarks=remarks):
            if isinstance(item, Rejection):
                rejected.append(item)
                close_row_group()
                continue
            size = item.sample.end - (run[-1].sample.end if run else item.sample.offset)
            if not run or not limit.fits(samples_of(item.row), size):
                close_row_group()
                limit = GroupLimit()
                size = item.sample.end - item.sample.offset
            run.append(item)
            limit.add(samples_of(item.row), size)
        close_row_group()
        size_bytes, sha256 = reader.finish()
    shards = (Shard(path, size_bytes, sha256, tuple(groups)),) if groups else ()
    manifest = Manifest(
        kind=RowKind.PAIR,
        container=Container.TAR,
        domain=defaults.domain,
        strata=tuple(counter.numbers),
        shards=shards,
        conditions=dict(counter.conditions),
        tar_defaults=defaults,
    )
    return WrittenShard(manifest, explain_scattered(rejected), Counter(remarks))
