"""Translation of a data set of scenes over a cluster: actors with the model take a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from charmnet.codecs import decode_rgb, encode_jpeg
from charmnet.errors import CharmNetError, DataError, StorageError, WeightsError
from charmnet.methods import TranslationMethod
from charmnet.metrics import to_uint8
from charmnet.weights import weights_digest
from pipelines.conversion.build import BuildPlan, BuildResult, DatasetBuild
from pipelines.conversion.gather import build_in_pieces
from pipelines.runtime.actors import map_with_actors
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect
from pipelines.runtime.console import progress
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import with_remedy
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.shards.schema import RowKind
from pipelines.shards.writer import WrittenShard, write_parquet

_THREADS = 1  # with other numbers sums may round otherwise


@dataclass(frozen=True)
class RowGroupTask:
    """A task that translates a row group of scenes, as a shard of its own.

    Attributes:
        method: translator, on `device`.
        source: data set of scenes.
        shard: number of the row group's shard.
        group: number of the row group in its shard.
        quality: JPEG quality of the pictures.
        device: device of the translator.
    """

    method: TranslationMethod
    source: Dataset
    shard: int
    group: int
    quality: int
    device: torch.device | str

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the shard at `path` beneath the destination."""
        domain = self.source.manifest.domain
        return write_parquet(destination, path, RowKind.SCENE, domain, map(self._translated, self._rows()))

    def _rows(self) -> list[Row]:
        rows: list[Row] = self.source.read_row_group(self.shard, self.group).to_pylist()
        return rows

    def _translated(self, scene: Row) -> Row:
        """Return a scene whose ten pictures are translated, and all else as it was."""
        try:
            return {**scene, "images": [self._translate(data) for data in scene["images"]]}
        except (DataError, WeightsError) as error:
            raise type(error)(f"{self.source.location}: scene {scene['id']}: {error}") from error

    def _translate(self, data: bytes) -> bytes:
        pixels = torch.from_numpy(decode_rgb(data))[None]
        output = self.method.translate(self.method.network_inputs(pixels, self.device))
        if not output.isfinite().all():
            raise WeightsError("the translator's output holds NaN or infinite values; choose another model")
        (translated,) = to_uint8(output, value_range=self.method.requirements.value_range)
        return encode_jpeg(translated, self.quality)


@dataclass(frozen=True)
class SceneTranslation:
    """A data set of scenes to be translated.

    Attributes:
        method: translator.
        source: data set of scenes.
        quality: JPEG quality of the translated pictures, 1 to 100.
        workers: number of models at work; None for one per GPU, or one per CPU without GPUs.

    Raises:
        DataError: the source's rows are not scenes, or not of the domain that the method translates.
    """

    method: TranslationMethod
    source: Dataset
    quality: int = 95
    workers: int | None = None

    def __post_init__(self) -> None:
        manifest = self.source.manifest
        if manifest.kind is not RowKind.SCENE or manifest.domain is not self.method.source:
            raise DataError(
                f"{self.source.location}: its rows are {manifest.kind}s of the {manifest.domain} domain; "
                f"expected {self.method.source} scenes, as made by `charmnet render` or `charmnet shard "
                "rdharmony --layout scenes`"
            )

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the translated bytes depend on; the manifest keeps it."""
        return {
            "command": "translate",
            "source": str(self.source.location),
            "source_digest": self.source.manifest.digest,
            "translator": self.method.options.model_dump(mode="json"),
            "weights_sha256": weights_digest(self.method),
            "quality": self.quality,
        }

    def destination(self, location: Location) -> DatasetBuild:
        """Return the data set to make at a location; nothing is written.

        Raises:
            DataError: the location holds something else.
        """
        return DatasetBuild(location, self.identity)

    def write(self, destination: DatasetBuild) -> BuildResult:
        """Make what is missing of the data set; shards hold the scenes that the source's shards hold.

        Raises:
            DataError: a scene is broken.
            StorageError: a store cannot be reached, or an actor failed; finished row groups stay.
        """
        plan = BuildPlan([self.task(*place) for place in self._places()], title="Translating")
        return build_in_pieces(destination, plan, 0, lambda _: _by_shard(self._places()), self._make)

    def _places(self) -> list[tuple[int, int]]:
        """Return (shard, row group in it) of the source's row groups, each of which is a piece."""
        return [(shard, group) for shard, group, _ in self.source.manifest.groups()]

    def task(self, shard: int, group: int, device: torch.device | str = "cpu") -> RowGroupTask:
        """Return the task of a row group, whose translator is on a device."""
        return RowGroupTask(self.method, self.source, shard, group, self.quality, device)

    def _make(self, pieces: DatasetBuild) -> None:
        """Translate the row groups that are missing among the pieces."""
        places = self._places()
        items = [
            (number, shard, group)
            for number, (shard, group) in enumerate(places)
            if pieces.part(number) is None
        ]
        if not items:
            return
        connect()
        capacity = ClusterCapacity.current()
        actors = capacity.actor_count(self.workers, len(items))
        with progress("Translating", total=len(places)) as advance:
            advance(len(places) - len(items))
            for _, error in map_with_actors(
                _Translate, (self, pieces), items, actors=actors, on_gpus=bool(capacity.gpus)
            ):
                if error:
                    raise StorageError(error)
                advance(1)


class _Translate:
    """Translates row groups in an actor."""

    def __init__(self, translation: SceneTranslation, pieces: DatasetBuild) -> None:
        torch.set_num_threads(_THREADS)
        self.translation = translation
        self.pieces = pieces
        self.device = assigned_device()
        self.translation.method.to(self.device)

    def __call__(self, place: tuple[int, int, int]) -> str:
        number, shard, group = place
        try:
            self.pieces.write_part(number, self.translation.task(shard, group, self.device))
        except CharmNetError as error:
            return with_remedy(error)
        return ""


def _by_shard(places: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield the numbers of the places of each shard."""
    for _, numbered in groupby(enumerate(places), key=lambda entry: entry[1][0]):
        yield [number for number, _ in numbered]
