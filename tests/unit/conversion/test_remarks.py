"""What is dropped of pictures is said, and pictures that are turned differently are refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charmnet.codecs import encode_png
from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.conversion import remarks
from pipelines.conversion.build import BuildPlan, DatasetBuild, EntriesTask, build_dataset
from pipelines.conversion.entries import LayoutEntry
from pipelines.conversion.remarks import picture_remarks
from pipelines.conversion.report import show_result
from pipelines.runtime.storage import Location
from pipelines.shards.rows import Row, pair_row
from pipelines.shards.schema import RowKind
from pipelines.shards.stratum import Stratum

SIZE = (24, 32)
RNG = np.random.default_rng(0)
PHOTO = np.kron(RNG.integers(0, 256, (3, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
SHAPE = np.zeros(SIZE, np.uint8)
SHAPE[8:16, 8:20] = 255
STRATUM = Stratum(Domain.REAL, "HCOCO", None, ("train",))


def png(pixels: np.ndarray, turned: int = 1) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = turned
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def row(mask: bytes | None = None, composite: bytes | None = None, ground_truth: bytes | None = None) -> Row:
    pictures = {"composite": composite, "ground_truth": ground_truth}
    photographs = {role: data or encode_png(PHOTO) for role, data in pictures.items()}
    return pair_row("a", STRATUM, {**photographs, "foreground_mask": mask or encode_png(SHAPE)})


def test_an_ordinary_pair_has_no_remarks() -> None:
    assert picture_remarks(row()) == []


def test_what_is_dropped_of_masks_is_said() -> None:
    blurred = np.minimum(SHAPE, 254)
    blurred[11, 11] = 255
    assert picture_remarks(row(encode_png(blurred))) == [remarks.GREY_MASK, remarks.THIN_MASK]
    edge = SHAPE.copy()
    edge[8] //= 2
    assert picture_remarks(row(encode_png(edge))) == [remarks.GREY_MASK]
    assert picture_remarks(row(encode_png(np.full(SIZE, 255, np.uint8)))) == [remarks.FULL_MASK]
    both = np.dstack([SHAPE] * 3 + [np.maximum(SHAPE, 9)])
    assert picture_remarks(row(png(both))) == [remarks.TRANSPARENT_MASK]
    opaque = np.dstack([SHAPE] * 3 + [np.full_like(SHAPE, 255)])
    assert picture_remarks(row(png(opaque))) == []


@pytest.mark.parametrize("color", [255, 0])
def test_a_shape_in_the_transparency_is_refused(color: int) -> None:
    mask = np.dstack([np.full_like(SHAPE, color)] * 3 + [SHAPE])
    with pytest.raises(DataError, match="foreground_mask: "):
        picture_remarks(row(png(mask)))


def test_dropped_transparency_of_pictures_is_said() -> None:
    see_through = png(np.dstack([PHOTO, SHAPE]))
    found = picture_remarks(row(composite=see_through, ground_truth=see_through))
    assert found == [remarks.TRANSPARENT_PICTURE] * 2
    assert picture_remarks(row(composite=png(np.dstack([PHOTO, np.full_like(SHAPE, 255)])))) == []


@pytest.mark.parametrize("turned", [2, 3, 4])
def test_pictures_that_are_turned_differently_are_refused_where_their_pixels_say_so(turned: int) -> None:
    assert picture_remarks(row(composite=png(PHOTO, turned), ground_truth=png(PHOTO, turned))) == []
    assert picture_remarks(row(ground_truth=png(PHOTO, turned))) == []  # a tag that a program left behind
    stored = {2: PHOTO[:, ::-1], 3: PHOTO[::-1, ::-1], 4: PHOTO[::-1]}[turned]
    with pytest.raises(DataError, match=rf"ground_truth: its EXIF orientation is {turned} .*composite 1"):
        picture_remarks(row(ground_truth=png(np.ascontiguousarray(stored), turned)))


def test_the_summary_counts_what_was_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blurred = np.minimum(SHAPE, 254)
    blurred[11, 11] = 255
    for name, data in (("c.png", PHOTO), ("m.png", blurred)):
        (tmp_path / name).write_bytes(encode_png(data))
    files = {"composite": "c.png", "ground_truth": "c.png", "foreground_mask": "m.png"}
    entries = tuple(LayoutEntry(name, STRATUM, files) for name in ("one", "two"))
    task = EntriesTask(Location.of(tmp_path), RowKind.PAIR, Domain.REAL, entries, None)
    build = DatasetBuild(Location.of(tmp_path / "made"), {})
    build.start()
    build.write_part(0, task)
    show_result(build, build_dataset(build, BuildPlan([task], items=2), 0.0))
    printed = capsys.readouterr().out
    assert f"note: {remarks.GREY_MASK}: 2" in printed
    assert f"note: {remarks.THIN_MASK}: 2" in printed
