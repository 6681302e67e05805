"""Composites that exchange foregrounds between the capture conditions of rendered scenes.

They are written as pair shards, or in the layout that RdHarmony is released in for code that reads that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg
from charmnet.composition import exchange_foreground, soft_style_label
from charmnet.errors import DataError
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.conversion.build import DEFAULT_SHARD_SAMPLES, DatasetBuild
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.randomness import seeded_rng
from pipelines.runtime.recorded import run_recorded
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row, stratum_of
from pipelines.shards.schema import RowKind
from pipelines.shards.writer import WrittenShard, write_parquet


@dataclass(frozen=True)
class Exchange:
    """The foreground of one condition in front of the background of another.

    Attributes:
        foreground: condition of the foreground, 0 to 9.
        background: condition of the background, 0 to 9.
        style: probability of each of the ten conditions.
    """

    foreground: int
    background: int
    style: tuple[float, ...]


@dataclass(frozen=True)
class SceneCompositesTask:
    """A task that makes the composites of some row groups of scenes.

    Attributes:
        dataset: data set of scenes.
        groups: (shard index, row group index) in `dataset`.
        pairs: composites of each scene at most; `PAIRS_PER_SCENE` for all.
        seed: seed that draws the pairs.
        quality: JPEG quality of the composites.
    """

    dataset: Dataset
    groups: tuple[tuple[int, int], ...]
    pairs: int
    seed: int
    quality: int

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the composites as one shard of pairs at `path` beneath the destination."""
        rows = (row for scene in self._scenes() for row in self._pair_rows(scene))
        return write_parquet(destination, path, RowKind.PAIR, Domain.RENDERED, rows)

    def write_released(self, destination: Location) -> dict[str, list[str]]:
        """Write pictures, masks and composites in RdHarmony's folders.

        Returns:
            The lines of the composites' lists by subset.
        """
        lines = defaultdict(list)
        for scene in self._scenes():
            files = _released_files(scene)
            for name, exchange, composite in self._composites(scene):
                path = f"{scene['subset']}/composite_images/{name}.jpg"
                files[path] = composite
                lines[scene["subset"]].append(_line(path, exchange))
            for _ in read_ahead(lambda file: (destination / file[0]).write_bytes(file[1]), files.items()):
                pass
        return dict(lines)

    def _scenes(self) -> Iterator[Row]:
        for shard, group in self.groups:
            yield from self.dataset.read_row_group(shard, group).to_pylist()

    def _pair_rows(self, scene: Row) -> Iterator[Row]:
        for name, exchange, composite in self._composites(scene):
            pictures = {
                "composite": composite,
                "ground_truth": scene["images"][exchange.background],
                "foreground_mask": scene["foreground_mask"],
            }
            sample_id = f"{scene['subset']}/{name}"
            yield pair_row(sample_id, stratum_of(scene), pictures, exchange.style, exchange.background)

    def _composites(self, scene: Row) -> Iterator[tuple[str, Exchange, bytes]]:
        """Yield each composite: file name without extension, the conditions exchanged, JPEG bytes."""
        chosen = draw_exchanges(scene, self.pairs, self.seed)
        name = scene_name(scene)
        try:
            mask = decode_mask(scene["foreground_mask"])
            needed = {condition for pair in chosen for condition in (pair.foreground, pair.background)}
            images = {condition: decode_rgb(scene["images"][condition]) for condition in needed}
        except DataError as error:
            raise DataError(f"{self.dataset.location}: scene {scene['id']}: {error}") from error
        for pair in chosen:
            composite = exchange_foreground(images[pair.foreground], images[pair.background], mask)
            numbers = f"{pair.background + 1:02d}_{pair.foreground + 1:02d}"
            yield f"{name}-{numbers}", pair, encode_jpeg(composite, self.quality)


def draw_exchanges(scene: Row, count: int, seed: int) -> list[Exchange]:
    """Draw up to `count` of a scene's ordered pairs, or of the pairs that it lists, without repetition."""
    if scene["pairs"] is None:
        possible = [
            Exchange(inserted, background, tuple(_soft_label(inserted, background, scene)))
            for background, inserted in np.ndindex(NUM_CONDITIONS, NUM_CONDITIONS)
            if background != inserted
        ]
    else:
        possible = [
            Exchange(pair["foreground"], pair["background"], tuple(pair["composite_style"]))
            for pair in scene["pairs"]
        ]
    drawn = seeded_rng("compose", seed, scene["id"]).permutation(len(possible))[:count]
    return [possible[index] for index in sorted(drawn)]


def scene_name(scene: Row) -> str:
    """Return a scene's name in its subset, the beginning of its file names.

    Raises:
        DataError: the id is not SUBSET/SCENE.
    """
    name = scene["id"].removeprefix(f"{scene['subset']}/")
    if "/" in name or not name:
        raise DataError(f"scene {scene['id']!r} of subset {scene['subset']!r}: expected an id SUBSET/SCENE")
    result: str = name
    return result


def composite_tasks(dataset: Dataset, pairs: int, seed: int, quality: int) -> list[SceneCompositesTask]:
    """Divide a data set of scenes into tasks of about `DEFAULT_SHARD_SAMPLES` pairs each.

    Raises:
        DataError: the data set's rows are not scenes.
    """
    manifest = dataset.manifest
    if manifest.kind is not RowKind.SCENE:
        raise DataError(
            f"{dataset.location}: its rows are {manifest.kind}s; expected scenes, as made by "
            "`charmnet render` or `charmnet shard rdharmony --layout scenes`"
        )
    runs: list[list[tuple[int, int]]] = []
    room = 0
    for shard, group, entry in manifest.groups():
        if room <= 0:
            runs.append([])
            room = DEFAULT_SHARD_SAMPLES
        runs[-1].append((shard, group))
        room -= entry.rows * pairs
    return [_task(dataset, groups, pairs=pairs, seed=seed, quality=quality) for groups in runs]


def write_released(
    destination: DatasetBuild, subsets: Sequence[str], tasks: Sequence[SceneCompositesTask]
) -> int:
    """Write RdHarmony's layout; each finished task is recorded in `_parts/`, and the lists are written last.

    `_plan.json` stays and says what the folder was made of. Where the lists exist, nothing is done.

    Returns:
        The number of listed composites that this call made; 0 if the layout was finished before.

    Raises:
        StorageError: the store cannot be reached, or a scene is broken; finished tasks stay.
    """
    lists = {subset: destination.location / subset / f"{subset}_all_labeled.txt" for subset in subsets}
    made = 0
    if not all(file.exists() for file in lists.values()):
        destination.start()
        lines = _all_lines(destination, tasks)
        for subset, file in lists.items():
            file.write_bytes("".join(f"{line}\n" for line in lines[subset]).encode())
        made = sum(map(len, lines.values()))
    destination.parts.discard()
    return made


def _all_lines(destination: DatasetBuild, tasks: Sequence[SceneCompositesTask]) -> dict[str, list[str]]:
    jobs = {destination.parts / f"part-{index:05d}.json": task for index, task in enumerate(tasks)}
    lines: dict[str, list[str]] = defaultdict(list)
    for part in run_recorded("Composing", partial(_write_released, destination.location), jobs):
        for subset, part_lines in part.items():
            lines[subset] += part_lines
    return lines


def _write_released(destination: Location, task: SceneCompositesTask) -> dict[str, list[str]]:
    return task.write_released(destination)


def _task(
    dataset: Dataset, groups: Sequence[tuple[int, int]], *, pairs: int, seed: int, quality: int
) -> SceneCompositesTask:
    shards = sorted({shard for shard, _ in groups})
    renumbered = tuple((shards.index(shard), group) for shard, group in groups)
    return SceneCompositesTask(dataset.select_shards(shards), renumbered, pairs, seed, quality)


def _released_files(scene: Row) -> dict[str, bytes]:
    folder = scene["subset"]
    name = scene_name(scene)
    pictures = {
        f"{folder}/real_images/{name}-{condition + 1:02d}.jpg": data
        for condition, data in enumerate(scene["images"])
    }
    return {**pictures, f"{folder}/masks/{name}.png": scene["foreground_mask"]}


def _soft_label(inserted: int, background: int, scene: Row) -> list[float]:
    result: list[float] = soft_style_label(inserted, background, scene["foreground_ratio"]).tolist()
    return result


def _line(path: str, exchange: Exchange) -> str:
    """Return a list's line; probabilities in the shortest form that reads back as the same float32."""
    label = "_".join(np.format_float_positional(np.float32(p), trim="-") for p in exchange.style)
    return f"{path}\t{label}\t{exchange.background + 1}"
