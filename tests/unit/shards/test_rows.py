import numpy as np
import pytest

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.errors import DataError
from charmnet.image_limits import image_size
from charmnet.vocabulary import Domain
from pipelines.shards.rows import (
    PictureError,
    check_pictures,
    check_style_label,
    conditions_of,
    pair_row,
    samples_of,
    scene_row,
    shrink,
)
from pipelines.shards.stratum import Stratum
from tests.factories import SIZE, foreground, photograph

REAL = Stratum(Domain.REAL, "HCOCO", None, ("train",))
RENDERED = Stratum(Domain.RENDERED, "SHuman", "human", ())


def pair_pictures(**changed: bytes) -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    image = encode_jpeg(photograph(rng))
    mask = encode_png(foreground(rng) * np.uint8(255))
    return {"composite": image, "ground_truth": image, "foreground_mask": mask, **changed}


def scene_pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(2)
    pictures = {f"images[{c}]": encode_jpeg(photograph(rng)) for c in range(10)}
    return {**pictures, "foreground_mask": encode_png(foreground(rng) * np.uint8(255))}


def test_a_pair_has_its_size_and_foreground_ratio() -> None:
    pictures = pair_pictures()
    row = pair_row("HCOCO/c1_1_1", REAL, pictures)
    check_pictures(row)
    assert (row["height"], row["width"]) == SIZE
    assert row["foreground_ratio"] == pytest.approx(decode_mask(pictures["foreground_mask"]).mean())
    assert row["composite"] is pictures["composite"]  # stored as it came
    assert (samples_of(row), conditions_of(row)) == (1, [])


def test_only_255_is_foreground() -> None:
    mask = np.full(SIZE, 254, np.uint8)
    with pytest.raises(PictureError, match=r"foreground_mask: empty: no pixel is 255, the brightest is 254$"):
        pair_row("x", REAL, pair_pictures(foreground_mask=encode_png(mask)))
    with pytest.raises(PictureError, match="the brightest is 1; multiply its values by 255"):
        pair_row("x", REAL, pair_pictures(foreground_mask=encode_png(mask // 254)))
    mask[0, 0] = 255
    row = pair_row("x", REAL, pair_pictures(foreground_mask=encode_png(mask)))
    assert row["foreground_ratio"] == pytest.approx(1 / mask.size)


def _broken(kind: str) -> tuple[str, dict[str, bytes]]:
    pictures = pair_pictures()
    if kind == "truncated":
        return "ground_truth", {**pictures, "ground_truth": pictures["ground_truth"][:-200]}
    if kind == "no picture":
        return "composite", {**pictures, "composite": b"<html>404</html>"}
    if kind == "empty file":
        return "composite", {**pictures, "composite": b""}
    if kind == "missing":
        del pictures["foreground_mask"]
        return "foreground_mask", pictures
    smaller = encode_jpeg(photograph(np.random.default_rng(0), (64, 95)))
    return "ground_truth", {**pictures, "ground_truth": smaller}


@pytest.mark.parametrize("kind", ["truncated", "no picture", "empty file", "missing", "sizes differ"])
def test_an_unfit_picture_is_named(kind: str) -> None:
    role, pictures = _broken(kind)
    with pytest.raises(PictureError, match=role) as caught:
        check_pictures(pair_row("x", REAL, pictures))
    assert caught.value.role == role


def test_styles_belong_to_the_rendered_domain() -> None:
    label = [0.9, 0.1, *[0.0] * 8]
    row = pair_row("x", RENDERED, pair_pictures(), label, 3)
    assert (row["composite_style"], row["ground_truth_style"]) == (label, 3)
    assert conditions_of(row) == [3]
    for stratum, style, condition in ((REAL, label, 3), (RENDERED, None, 3), (RENDERED, label, 10)):
        with pytest.raises(DataError, match="style"):
            pair_row("x", stratum, pair_pictures(), style, condition)


@pytest.mark.parametrize(
    "label", [[0.1] * 9, [0.1] * 11, [0.11] * 10, [1.5, -0.5, *[0.0] * 8], [float("nan"), 1, *[0.0] * 8], []]
)
def test_a_label_must_be_a_distribution(label: list[float]) -> None:
    with pytest.raises(DataError, match="style label"):
        check_style_label(label)
    check_style_label([0.9785, 0.0220, *[0.0] * 8])  # four digits, as released


def test_a_scene_is_ten_samples_or_as_many_as_its_list_has() -> None:
    row = scene_row("SHuman/001", RENDERED, scene_pictures())
    check_pictures(row)
    assert samples_of(row) == 10
    pairs = [{"foreground": f, "background": b, "composite_style": None} for f, b in ((1, 4), (2, 4), (4, 1))]
    listed = scene_row("SHuman/001", RENDERED, scene_pictures(), pairs)
    assert (samples_of(listed), conditions_of(listed)) == (2, [1, 4])
    pictures = scene_pictures()
    del pictures["images[7]"]
    with pytest.raises(PictureError, match=r"images\[7\]: missing"):
        scene_row("SHuman/001", RENDERED, pictures)


def test_pictures_are_shrunk_to_the_longer_side() -> None:
    row = pair_row("x", REAL, pair_pictures())
    assert shrink(row, 96) is row
    small = shrink(row, 48)
    assert (small["height"], small["width"]) == (32, 48)
    for role in ("composite", "ground_truth", "foreground_mask"):
        assert image_size(small[role]) == (32, 48)
    assert set(np.unique(decode_rgb(small["foreground_mask"]))) == {0, 255}
    assert small["foreground_ratio"] == pytest.approx(row["foreground_ratio"], abs=0.03)
    before, after = (decode_rgb(r["composite"]).mean((0, 1)) for r in (row, small))
    np.testing.assert_allclose(before, after, atol=2)
    scene = shrink(scene_row("s", RENDERED, scene_pictures()), 48)
    assert {image_size(image) for image in scene["images"]} == {(32, 48)}


def test_a_mask_that_vanishes_when_shrunk_is_refused() -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[1, 1] = 255
    row = pair_row("x", REAL, pair_pictures(foreground_mask=encode_png(mask)))
    with pytest.raises(PictureError, match="empty"):
        shrink(row, 8)
