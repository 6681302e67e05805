"""From the released files to what training is given, without a cluster."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from charmnet.vocabulary import Domain
from pipelines.ingest.samples import RowGroupSamples
from pipelines.ingest.window import StreamSpec, read_window
from pipelines.shards.entries import Rejection
from pipelines.shards.job import ArchiveTask, EntriesTask, Task
from pipelines.shards.lists import Categories, read_list
from pipelines.shards.manifest import Manifest, Stratum
from pipelines.shards.rdharmony import Layout, RdHarmony
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING
from pipelines.storage import Location
from tests.factories import make_iharmony4, make_rdharmony


def made(folder: Location, *tasks: Task) -> Dataset:
    parts = [task.write(folder, f"part-{index}.parquet") for index, task in enumerate(tasks)]
    assert [part.rejected for part in parts] == [[] for _ in parts]
    Manifest.merged([part.manifest for part in parts], {}).save(folder)
    return Dataset.open(folder)


def test_of_listed_scenes_only_listed_pairs_are_drawn_with_their_labels(tmp_path: Path) -> None:
    source, label = Location.of(tmp_path), "0.5_0.25_0.25_0_0_0_0_0_0_0"
    make_rdharmony(tmp_path, scenes=1, size=(16, 24), composites=False)
    pairs = [(1, 3), (1, 7), (4, 2)]  # background, foreground as released
    lines = [f"SHuman/composite_images/001-{b:02d}_{f:02d}.jpg\t{label}\t{b}\n" for b, f in pairs]
    (tmp_path / "list.txt").write_text("".join(lines))
    data = RdHarmony(source, (read_list("list.txt", source),), Categories(), asked_layout=Layout.SCENES)
    entries, rejected = data.entries()
    assert rejected == list[Rejection]()
    dataset = made(
        source / "shards", EntriesTask(source, RowKind.SCENE, Domain.RENDERED, tuple(entries), None)
    )
    assert dataset.manifest.samples == 2
    group = RowGroupSamples(dataset, EVERYTHING, 0, 0)
    drawn = [group.sample(offset, 0, Domain.RENDERED, epoch) for epoch in range(20) for offset in range(2)]
    images = {(tmp_path / f"SHuman/real_images/001-{n:02d}.jpg").read_bytes(): n for n in range(1, 11)}
    assert {(images[s.ground_truth], images[s.foreground or b""]) for s in drawn} == set(pairs)
    for sample in drawn:
        assert sample.ground_truth_style == images[sample.ground_truth] - 1
        assert sample.composite_style == pytest.approx([0.5, 0.25, 0.25, 0, 0, 0, 0, 0, 0, 0])


def test_archives_in_place_deliver_what_their_parquet_does(tmp_path: Path) -> None:
    lines = make_iharmony4(tmp_path, photographs=2)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for line in (line for listed in lines.values() for line in listed):
            composite = tmp_path / line
            image = composite.stem.partition("_")[0]
            tar.add(composite, f"{composite.stem}.composite.jpg")
            tar.add(tmp_path / f"HCOCO/masks/{image}_1.png", f"{composite.stem}.mask.png")
            tar.add(tmp_path / f"HCOCO/real_images/{image}.jpg", f"{composite.stem}.ground_truth.jpg")
    source, defaults = Location.of(tmp_path), Stratum(Domain.REAL, "HCOCO", None, ())
    datasets = (
        made(source, ArchiveTask(source, "a.tar", defaults, None, True)),
        made(source / "parquet", ArchiveTask(source, "a.tar", defaults, None, False)),
    )
    in_place, parquet = (
        list(read_window(StreamSpec(dataset, batch_size=4, size=32), 0, 3, 4)) for dataset in datasets
    )
    assert len(in_place) == 3
    for block, other in zip(in_place, parquet, strict=True):
        assert block.keys() == other.keys()
        for name, values in block.items():
            np.testing.assert_array_equal(values, other[name])
