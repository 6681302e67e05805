"""Several data sets as one, for the stream of one domain."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from charmnet.vocabulary import Domain
from pipelines.ingest.samples import Reference, RowGroupSamples
from pipelines.runtime.storage import Location
from pipelines.shards.foreground_colors import ForegroundColors
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.shards.shard_table import Shard


@dataclass(frozen=True)
class MemberShard:
    """A shard of a union's member.

    Attributes:
        dataset: the member.
        member: place of the member in the union.
        index: index of the shard in the member's manifest.
        prefix: text before the names of the member's shards and samples; empty where there is one member.
    """

    dataset: Dataset
    member: int
    index: int
    prefix: str

    @property
    def entry(self) -> Shard:
        """Entry of the manifest."""
        return self.dataset.manifest.shards[self.index]

    @property
    def name(self) -> str:
        """Path within the data set, which names the shard within the union."""
        return f"{self.prefix}{self.entry.path}"

    @property
    def location(self) -> Location:
        """Where the shard lies."""
        return self.dataset.location / self.entry.path


@dataclass(frozen=True)
class DatasetUnion:
    """Data sets that are streamed as one: an epoch has every sample of each once.

    Members may differ in kind of rows, in container and in domain. Where there are several, the ids of their
    samples and the paths of their shards are preceded by `1:`, `2:` and so on, since members may share them.

    Attributes:
        members: the data sets; their order is part of the union's identity.
        domain: domain of the stream.

    Raises:
        ValueError: there are no data sets, or one of them is there twice.
    """

    members: tuple[Dataset, ...]
    domain: Domain

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("a union of no data sets, expected at least one")
        locations: dict[str, Location] = {}
        for member in self.members if len(self.members) > 1 else ():
            digest = member.manifest.digest
            if digest in locations:
                raise ValueError(
                    f"{member.location}: the same data as {locations[digest]}; expected different data sets"
                )
            locations[digest] = member.location

    @classmethod
    def of(cls, dataset: Dataset | DatasetUnion) -> DatasetUnion:
        """Return a single data set as a union of its own domain; a union as it is."""
        if isinstance(dataset, DatasetUnion):
            return dataset
        return cls((dataset,), dataset.manifest.domain)

    @classmethod
    def open(cls, uris: Iterable[str | Location], domain: Domain) -> DatasetUnion:
        """Open the data sets at some URIs.

        Raises:
            ValueError: there are no data sets, or one of them is there twice.
            DataError: there is no manifest at one, or not one of this project.
            StorageError: one cannot be read.
        """
        return cls(tuple(map(Dataset.open, uris)), domain)

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Manifests of the members."""
        return tuple(member.manifest for member in self.members)

    @property
    def digest(self) -> str:
        """Identity of what the members hold, wherever they lie; of one member its manifest's digest."""
        return union_digest(self.manifests)

    @property
    def uris(self) -> list[str]:
        """Where the members lie."""
        return [str(member.location) for member in self.members]

    @property
    def has_styles(self) -> bool:
        """Whether every sample has labels of its capture conditions: all members are rendered."""
        return all(manifest.domain is Domain.RENDERED for manifest in self.manifests)

    @cached_property
    def _first_shards(self) -> list[int]:
        return [0, *accumulate(len(manifest.shards) for manifest in self.manifests)]

    @property
    def num_shards(self) -> int:
        """Number of shards of all members."""
        return self._first_shards[-1]

    def shard(self, index: int) -> MemberShard:
        """Return the shard with an index among all members' shards."""
        number = bisect_right(self._first_shards, index) - 1
        prefix = f"{number + 1}:" if len(self.members) > 1 else ""
        return MemberShard(self.members[number], number, index - self._first_shards[number], prefix)

    def shards_of(self, member: int) -> tuple[int, int]:
        """Return the first of a member's shards among all members' and the one after its last."""
        return self._first_shards[member], self._first_shards[member + 1]

    def read_row_group(
        self,
        shard: int,
        group: int,
        selection: Selection,
        *,
        ids_only: bool = False,
        colors: Sequence[ForegroundColors | None] = (),
    ) -> RowGroupSamples:
        """Read the samples of a row group; see `RowGroupSamples`.

        Args:
            colors: colours of each member's foregrounds; without any they are read where needed.

        Raises:
            DataError, StorageError: see `Dataset.read_row_group`.
        """
        found = self.shard(shard)
        return RowGroupSamples(
            found.dataset,
            selection,
            found.index,
            group,
            ids_only=ids_only,
            id_prefix=found.prefix,
            colors=colors[found.member] if colors else None,
        )

    def reference_name(self, reference: Reference) -> str:
        """Return a name for a sample whose id cannot be read: `SHARD#ROW_GROUP:OFFSET`."""
        shard, group, offset = reference
        return f"{self.shard(shard).name}#{group}:{offset}"

    def __getstate__(self) -> dict[str, Any]:
        return {"members": self.members, "domain": self.domain}


def union_digest(manifests: Sequence[Manifest]) -> str:
    """Return the identity of what data sets hold together, in this order; of one its own digest."""
    digests = [manifest.digest for manifest in manifests]
    return digests[0] if len(digests) == 1 else hashlib.sha256(json.dumps(digests).encode()).hexdigest()
