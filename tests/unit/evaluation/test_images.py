"""Images of a data set, and figures of a model on them."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

import pipelines.evaluation.images
from charmnet.augment import resize
from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.errors import DataError, WeightsError
from charmnet.metrics import Protocol
from charmnet.vocabulary import Domain
from pipelines.evaluation.images import image_count, row_images, selected_rows
from pipelines.evaluation.scoring import Scoring, evaluate_images
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row, scene_row
from pipelines.shards.selection import EVERYTHING, Selection
from pipelines.shards.stratum import Stratum
from tests.evaluation_images import evaluation_images
from tests.factories import foreground, photograph
from tests.synthetic_datasets import colors_of_rows, photograph_rows, write_photographs
from tests.toy_methods import Keep


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, mask = photograph(rng), foreground(rng)
    return np.where(mask[..., None] == 1, truth // 2, truth), truth, mask


def real_row(seed: int = 0, identity: str = "HCOCO/c1_1_1") -> Row:
    composite, truth, mask = pictures(seed)
    encoded = {"composite": encode_jpeg(composite), "ground_truth": encode_jpeg(truth)}
    return pair_row(identity, REAL, {**encoded, "foreground_mask": encode_png(mask * np.uint8(255))})


def rendered_row(pairs: list[Row] | None = None) -> Row:
    _, truth, mask = pictures()
    images = {f"images[{i}]": encode_png((truth * (1 - 0.05 * i)).astype(np.uint8)) for i in range(10)}
    return scene_row("001", RENDERED, {**images, "foreground_mask": encode_png(mask * np.uint8(255))}, pairs)


REAL = Stratum(Domain.REAL, "HCOCO", "car", ("IHD_test", "IHD_nonhuman_test"))


RENDERED = Stratum(Domain.RENDERED, "SHuman", "human", ())


def test_a_pair_is_one_image_as_the_test_protocol_prepares_it() -> None:
    row = real_row()
    (image,) = row_images(row, size=48)
    assert image_count(row) == 1
    assert np.array_equal(image.composite, resize(decode_rgb(row["composite"]), 48))
    assert np.array_equal(image.ground_truth, resize(decode_rgb(row["ground_truth"]), 48))
    assert np.array_equal(image.foreground_mask, resize(decode_mask(row["foreground_mask"]), 48))
    assert image.scoring_mask.shape == (48, 48)
    assert image.foreground_ratio == pytest.approx(decode_mask(row["foreground_mask"]).mean())


def test_a_photograph_is_evaluated_on_the_same_composites_of_each_mask_ever(tmp_path: Path) -> None:
    rows = photograph_rows(10)
    dataset = write_photographs(Location.of(tmp_path), rows, rows_per_shard=10, per_mask=3)
    images = list(evaluation_images(dataset, EVERYTHING, 48))
    expected = [f"{name}:{k}" for row in rows for name in row["foreground_ids"] for k in (1, 2, 3)]
    assert [image.id for image in images] == expected
    assert sum(image_count(row) for row in selected_rows(dataset, EVERYTHING, 0, 0)) == len(images)
    for image in images:
        background = cv2.dilate(image.foreground_mask, np.ones((3, 3), np.uint8)) == 0
        changed = (image.composite != image.ground_truth).any(axis=2)
        assert changed.any()
        assert not changed[background].any()
    for first, second in pairwise(images):  # the variants of a mask differ
        if first.id.rpartition(":")[0] == second.id.rpartition(":")[0]:
            assert (first.composite != second.composite).any()

    selection = Selection("split == 'test' and category == 'tree'")
    again = {image.id: image.composite for image in evaluation_images(dataset, selection, 48)}
    assert sorted(again) == [f"P/p{n:02d}_{k}:{v}" for n, k, v in product([9], (1, 2), (1, 2, 3))]
    for image in images:
        if image.id in again:
            assert np.array_equal(image.composite, again[image.id])


def test_views_of_a_photograph_share_its_name(tmp_path: Path) -> None:
    rows = photograph_rows(10)
    names = {row["id"]: f"view of {number // 5}" for number, row in enumerate(rows)}
    dataset = write_photographs(Location.of(tmp_path), rows, rows_per_shard=10)
    colors = colors_of_rows(rows)
    named = replace(colors, photographs=[names[photo] for photo in colors.photographs])
    replace(dataset.manifest, colors=named.write(dataset.location, 2)).save(dataset.location)
    images = list(evaluation_images(Dataset.open(str(tmp_path)), EVERYTHING, 16))
    assert len(images) == 2 * 15
    assert {image.photograph for image in images} == {"view of 0", "view of 1"}
    for image in images:
        assert image.photograph == names[image.id.rpartition("_")[0]]
    (pair,) = row_images(real_row(), 16)
    assert pair.photograph == "HCOCO/c1"


def test_a_photograph_is_decoded_and_resized_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = photograph_rows(10)
    dataset = write_photographs(Location.of(tmp_path), rows, rows_per_shard=10, per_mask=3)
    row = next(row for row in selected_rows(dataset, EVERYTHING, 0, 0) if len(row["foreground_ids"]) == 2)
    calls: Counter[str] = Counter()

    def counted(name: str) -> None:
        function = getattr(pipelines.evaluation.images, name)

        def call(*arguments: object) -> object:
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(pipelines.evaluation.images, name, call)

    counted("decode_rgb")
    counted("resize")
    assert len(list(row_images(row, 32))) == 6
    assert calls == {"decode_rgb": 1, "resize": 1 + 6}


def test_a_scene_is_all_its_ordered_pairs_always_in_the_same_order() -> None:
    row = rendered_row()
    images = list(row_images(row, size=32))
    assert len(images) == image_count(row) == 90
    assert len({image.id for image in images}) == 90
    assert [image.id for image in images] == [image.id for image in row_images(row, size=32)]
    chosen = next(image for image in images if image.id == "001:3:7")
    full = np.where(
        decode_mask(row["foreground_mask"])[..., None] == 1,
        decode_rgb(row["images"][7]),
        decode_rgb(row["images"][3]),
    )
    assert np.array_equal(chosen.composite, resize(full, 32))
    assert np.array_equal(chosen.ground_truth, resize(decode_rgb(row["images"][3]), 32))


def test_a_scene_with_a_list_is_only_what_is_listed() -> None:
    listed = [{"foreground": 2, "background": 1, "composite_style": [0.1] * 10}]
    assert [image.id for image in row_images(rendered_row(listed), size=32)] == ["001:1:2"]


def test_a_broken_picture_is_named() -> None:
    row = real_row() | {"composite": b"junk"}
    with pytest.raises(DataError, match="HCOCO/c1_1_1"):
        list(row_images(row))
    other_size = real_row() | {"ground_truth": encode_png(np.zeros((8, 8, 3), np.uint8))}
    with pytest.raises(DataError, match="sizes differ"):
        list(row_images(other_size))


@pytest.mark.parametrize("protocol", Protocol)
def test_a_model_that_changes_nothing_has_the_composites_figures(protocol: Protocol) -> None:
    images = [image for seed in range(3) for image in row_images(real_row(seed), size=64)]
    for result in evaluate_images(Keep(), images, Scoring(protocol)):
        assert result.harmonized == result.composite
        assert result.composite.fmse is not None
        assert result.composite.fmse > 100
        assert result.stratum == REAL


def test_an_output_that_is_not_finite_has_no_figures() -> None:
    images = [image for seed in range(3) for image in row_images(real_row(seed, f"picture{seed}"), size=64)]

    class Broken(Keep):
        def harmonize_with_attention(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
            output = composite.clone()
            output[1, 0, 5, 5] = float("nan")
            return output, None

    with pytest.raises(WeightsError, match="for picture1 holds NaN"):
        evaluate_images(Broken(), images)


def test_batches_do_not_change_results() -> None:
    images = [image for seed in range(4) for image in row_images(real_row(seed, str(seed)), size=64)]

    class Dim(Keep):
        def harmonize_with_attention(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
            return torch.where(foreground_mask > 0, composite * 0.5, composite), None

    whole = evaluate_images(Dim(), images)
    assert whole == [result for image in images for result in evaluate_images(Dim(), [image])]
    assert [result.id for result in whole] == ["0", "1", "2", "3"]
