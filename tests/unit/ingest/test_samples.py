"""Samples from released files to blocks of training, without a cluster."""

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from charmnet.augment import AugmentationKind, MaskEdges, draw_augmentation, resize
from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.vocabulary import Domain
from pipelines.conversion.build import ArchiveTask, EntriesTask, Task
from pipelines.conversion.lists import Categories, read_list
from pipelines.conversion.rdharmony import Layout, RdHarmony
from pipelines.ingest.decode_options import DecodeOptions, Decoding
from pipelines.ingest.decoding import decode
from pipelines.ingest.samples import EncodedSample, RowGroupSamples
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.randomness import seeded_rng
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING
from pipelines.shards.stratum import Stratum
from tests.factories import foreground, make_iharmony4, make_rdharmony, photograph


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
    data = RdHarmony(source, (read_list("list.txt", source),), Categories(), requested_layout=Layout.SCENES)
    entries, rejected = data.entries()
    assert rejected == list[Rejection]()
    dataset = made(
        source / "shards", EntriesTask(source, RowKind.SCENE, Domain.RENDERED, tuple(entries), None)
    )
    assert dataset.manifest.samples == 2
    group = RowGroupSamples(dataset, EVERYTHING, 0, 0)
    options = DecodeOptions(seed=0, domain=Domain.RENDERED)
    drawn = [group.sample(offset, epoch, options) for epoch in range(20) for offset in range(2)]
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


def encoded_sample(size: tuple[int, int], scene: bool, suffix: str = "jpeg") -> EncodedSample:
    rng = np.random.default_rng(3)
    encode = encode_jpeg if suffix == "jpeg" else encode_png
    first, second = encode(photograph(rng, size)), encode(photograph(rng, size))
    mask = encode_png(foreground(rng, size) * np.uint8(255))
    return EncodedSample("s", first, mask, None if scene else second, second if scene else None)


def plainly_made(sample: EncodedSample, seed: int, size: int) -> list[np.ndarray]:
    """Make a sample in the released order: decode in full, exchange, then crop, resize and mirror."""

    def read(data: bytes) -> np.ndarray:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)

    mask, ground_truth = decode_mask(sample.foreground_mask), read(sample.ground_truth)
    other = read(sample.composite or sample.foreground or b"")
    composite = np.where(mask[..., None] == 1, other, ground_truth) if sample.composite is None else other
    a = draw_augmentation(seeded_rng("augment", seed, "rendered", 0, sample.id), mask, size)
    made = []
    for image in (composite, ground_truth, mask):
        crop = image[a.top : a.top + a.height, a.left : a.left + a.width]
        resized = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
        made.append(resized[:, ::-1] if a.flip else resized)
    return made


def arrays(
    sample: EncodedSample,
    seed: int,
    size: int,
    decoding: Decoding = "exact",
    augmentation: AugmentationKind = "crop_flip",
    mask_edges: MaskEdges = "hard",
) -> list[np.ndarray]:
    options = DecodeOptions(seed, Domain.RENDERED, size, decoding, augmentation, mask_edges)
    made = decode(sample, 0, options)
    return [made.composite, made.ground_truth, made.foreground_mask]


@pytest.mark.parametrize("scene", [True, False])
def test_exact_decoding_is_the_plain_way_to_the_pixel(scene: bool) -> None:
    sample = encoded_sample((190, 251), scene)
    for seed in range(6):
        for ours, plain in zip(arrays(sample, seed, 256), plainly_made(sample, seed, 256), strict=True):
            np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("scene", [True, False])
def test_fast_decoding_makes_nearly_the_same_of_large_jpegs_and_the_same_of_others(scene: bool) -> None:
    large, lossless = encoded_sample((301, 401), scene), encoded_sample((301, 401), scene, "png")
    small = encoded_sample((70, 90), scene)
    for seed in range(6):
        exact, fast = arrays(large, seed, 64), arrays(large, seed, 64, decoding="fast")
        assert any((ours != other).any() for ours, other in zip(exact, fast, strict=True))
        for ours, other in zip(exact[:2], fast[:2], strict=True):
            assert np.abs(ours.astype(int) - other).mean() < 4
        assert (exact[2] != fast[2]).mean() < 0.01
        outside = fast[2] == 0
        if scene:  # the exchange keeps the background of the ground truth, but for blended edges
            same = (fast[0] == fast[1]).all(-1)
            assert same[outside].mean() > 0.95
        for sample in (lossless, small):
            for ours, other in zip(
                arrays(sample, seed, 64), arrays(sample, seed, 64, decoding="fast"), strict=True
            ):
                np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize("scene", [True, False])
@pytest.mark.parametrize("augmentation", ["flip", "none", "resize_crop"])
def test_other_augmentations_change_all_three_pictures_alike(
    scene: bool, augmentation: AugmentationKind
) -> None:
    sample = encoded_sample((190, 251), scene)
    made = arrays(sample, 1, 64, augmentation=augmentation)
    for name, again in zip(made, arrays(sample, 1, 64, augmentation=augmentation), strict=True):
        np.testing.assert_array_equal(name, again)
    composite, ground_truth, mask = made
    assert composite.shape == ground_truth.shape == (64, 64, 3)
    assert set(np.unique(mask)) == {0, 1}
    if scene:  # the exchange changes nothing outside of the foreground, but for blended edges
        assert (composite == ground_truth).all(-1)[mask == 0].mean() > 0.9
    if augmentation == "none":
        np.testing.assert_array_equal(ground_truth, resize(decode_rgb(sample.ground_truth), 64))


@pytest.mark.parametrize("scene", [True, False])
@pytest.mark.parametrize("augmentation", ["crop_flip", "resize_crop"])
@pytest.mark.parametrize("decoding", ["exact", "fast"])
def test_soft_edges_change_the_mask_alone(
    scene: bool, augmentation: AugmentationKind, decoding: Decoding
) -> None:
    sample = encoded_sample((301, 401), scene)
    hard = arrays(sample, 2, 64, decoding, augmentation)
    soft = arrays(sample, 2, 64, decoding, augmentation, "soft")
    for ours, other in zip(hard[:2], soft[:2], strict=True):
        np.testing.assert_array_equal(ours, other)
    assert len(np.unique(soft[2])) > 2
    assert hard[2][soft[2] > 250].all()
    assert not hard[2][soft[2] < 125].any()
