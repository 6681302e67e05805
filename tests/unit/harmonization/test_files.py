from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charmnet.blending import Adjustment
from charmnet.codecs import decode_rgb, encode_jpeg, encode_png
from charmnet.errors import DataError, WeightsError
from charmnet.methods import CharmNetMethod, IDIHMethod
from charmnet.methods.harmonization import HarmonizationMethod
from pipelines.commands.cli import main
from pipelines.harmonization.files import Folders, find_pictures, harmonize_file, match_masks, try_file
from pipelines.runtime.storage import Location
from tests.factories import foreground, photograph


def test_composites_find_their_masks_in_every_layout() -> None:
    pictures = find_pictures(
        [
            "HCOCO/composite_images/c1_2_3.jpg",
            "HCOCO/masks/c1_2.png",
            "HCOCO/real_images/c1.jpg",
            "SHuman/composite_images/001-02_03.jpg",
            "SHuman/masks/001.png",
            "own/composite_images/a_b.PNG",
            "own/masks/a_b.png",
            "own/masks/a.png",
            "deep/er/cat.jpeg",
            "deep/er/cat.mask.png",
            "IHD_test.txt",
        ]
    )
    assert dict(pictures.pairs) == {
        "HCOCO/composite_images/c1_2_3.jpg": "HCOCO/masks/c1_2.png",
        "SHuman/composite_images/001-02_03.jpg": "SHuman/masks/001.png",
        "own/composite_images/a_b.PNG": "own/masks/a_b.png",
        "deep/er/cat.jpeg": "deep/er/cat.mask.png",
    }
    assert pictures.incomplete == []


def test_a_composite_without_a_mask_is_reported_with_the_expected_paths() -> None:
    pictures = find_pictures(["dog.jpg", "HCOCO/composite_images/c1_2_3.jpg", "HCOCO/masks/c1_9.png"])
    assert pictures.pairs == []
    reasons = dict(pictures.incomplete)
    assert "dog.mask.png" in reasons["dog.jpg"]
    assert "HCOCO/masks/c1_2.png" in reasons["HCOCO/composite_images/c1_2_3.jpg"]


@pytest.fixture(scope="module")
def method() -> HarmonizationMethod:
    return CharmNetMethod(width=8, seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    rng = np.random.default_rng(0)
    size = (300, 420)
    (tmp_path / "in.jpg").write_bytes(encode_jpeg(photograph(rng, size)))
    (tmp_path / "mask.png").write_bytes(encode_png(foreground(rng, size) * np.uint8(200)))
    return Location.of(tmp_path)


@pytest.mark.parametrize("background", [False, True])
def test_the_background_changes_only_on_request(
    method: HarmonizationMethod, folder: Location, background: bool
) -> None:
    warning = harmonize_file(
        method, folder / "in.jpg", folder / "mask.png", folder / "out.png", Adjustment(background)
    )
    assert warning is not None  # 200 is neither 0 nor 255
    before, after = (decode_rgb((folder / name).read_bytes()) for name in ("in.jpg", "out.png"))
    outside = decode_rgb((folder / "mask.png").read_bytes())[..., 0] == 0
    assert after.shape == before.shape
    assert not np.array_equal(after[~outside], before[~outside])
    assert np.array_equal(after[outside], before[outside]) != background


def test_the_suffix_decides_the_format(method: HarmonizationMethod, folder: Location) -> None:
    for name, magic in (("out.png", b"\x89PNG"), ("out.jpg", b"\xff\xd8\xff")):
        harmonize_file(method, folder / "in.jpg", folder / "mask.png", folder / name)
        assert (folder / name).read_bytes().startswith(magic)


def test_errors_name_the_files_and_leave_no_result(method: HarmonizationMethod, folder: Location) -> None:
    (folder / "mask.png").write_bytes(encode_png(np.full((10, 10), 255, np.uint8)))
    with pytest.raises(DataError, match=r"in\.jpg with .*mask\.png: .*expected the same"):
        harmonize_file(method, folder / "in.jpg", folder / "mask.png", folder / "out.png")
    assert not (folder / "out.png").exists()


def test_an_error_names_the_file_that_it_is_about(method: HarmonizationMethod, folder: Location) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"^[^ ]*broken\.png: 10 bytes") as refusal:
        harmonize_file(method, folder / "in.jpg", folder / "broken.png", folder / "out.png")
    assert "in.jpg" not in str(refusal.value)
    with pytest.raises(DataError, match=r"^[^ ]*broken\.png: 10 bytes"):
        harmonize_file(method, folder / "broken.png", folder / "mask.png", folder / "out.png")


def test_a_picture_that_is_turned_without_its_mask_is_refused(
    method: HarmonizationMethod, folder: Location
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    path = folder.local_path / "in.jpg"
    Image.open(path).save(path, exif=exif)
    with pytest.raises(DataError, match=r"in\.jpg with .*mask\.png: .*EXIF orientation is 3 \(upside down\)"):
        harmonize_file(method, folder / "in.jpg", folder / "mask.png", folder / "out.png")


def test_dropped_transparency_is_said(method: HarmonizationMethod, folder: Location) -> None:
    pixels = decode_rgb((folder / "in.jpg").read_bytes())
    Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save(folder.local_path / "in.png")
    warning = harmonize_file(method, folder / "in.png", folder / "mask.png", folder / "out.jpg")
    assert warning is not None
    assert "in.png: " in warning
    assert "transparent" in warning


def test_suffixes_may_be_in_capitals() -> None:
    paths = ["a/cat.JPG", "a/cat.mask.PNG", "b/composite_images/c1_2_3.JPG", "b/masks/c1_2.PNG"]
    paths += ["c/DOG.JPEG", "c/DOG.MASK.PNG"]
    assert find_pictures(paths).pairs == [tuple(paths[start : start + 2]) for start in (0, 2, 4)]
    assert find_pictures(paths).incomplete == []


@pytest.mark.slow
def test_a_result_that_its_format_cannot_hold_is_one_failure(
    method: HarmonizationMethod, folder: Location
) -> None:
    (folder / "wide.png").write_bytes(encode_png(np.full((2, 65_536, 3), 90, np.uint8)))
    (folder / "wide_mask.png").write_bytes(encode_png(np.full((2, 65_536), 255, np.uint8)))
    composite, mask = (folder / "wide.png", folder / "wide_mask.png")
    with pytest.raises(DataError, match=r"wide\.png .*does not fit a JPEG"):
        harmonize_file(method, composite, mask, folder / "out.jpg")


def test_an_empty_mask_is_refused(method: HarmonizationMethod, folder: Location) -> None:
    (folder / "mask.png").write_bytes(encode_png(np.zeros((300, 420), np.uint8)))
    with pytest.raises(DataError, match="no foreground"):
        harmonize_file(method, folder / "in.jpg", folder / "mask.png", folder / "out.png")


def test_a_model_whose_output_is_not_finite_harmonizes_nothing(folder: Location) -> None:
    broken = IDIHMethod(width=8, seed=0)
    next(broken.modules["generator"].parameters()).data.fill_(float("nan"))
    with pytest.raises(WeightsError, match=r"in\.jpg .*NaN"):
        harmonize_file(broken, folder / "in.jpg", folder / "mask.png", folder / "out.png")
    pair = ("in.jpg", "mask.png")
    result = try_file(broken, Folders(folder, folder, folder / "results"), pair)
    assert "NaN" in result.problem


def test_a_picture_is_not_written_over_itself(folder: Location) -> None:
    path = str(folder / "in.jpg")
    command = ["harmonize", "--model", "none", "--composite", path, "--mask", f"{folder}/mask.png"]
    before = (folder / "in.jpg").read_bytes()
    assert main([*command, "--out", path]) == 2
    assert main([*command, "--out", f"{folder}/out.png", "--workers", "0"]) == 2
    assert (folder / "in.jpg").read_bytes() == before


def test_masks_of_another_folder_are_found_by_the_words_of_their_names() -> None:
    masks = ["cat_mask.png", "mask-0012.TIF", "dog.png", "dog_big.png", "sub/cat.png", "notes.txt"]
    pictures = match_masks(
        [
            "cat.jpg",
            "cat_2.jpg",
            "IMG_0012.heic",
            "dog_big_03.png",
            "dog_small.webp",
            "sub/cat-9.jpg",
            "list.csv",
        ],
        masks,
    )
    assert dict(pictures.pairs) == {
        "cat.jpg": "cat_mask.png",
        "cat_2.jpg": "cat_mask.png",
        "IMG_0012.heic": "mask-0012.TIF",
        "dog_big_03.png": "dog_big.png",
        "dog_small.webp": "dog.png",
        "sub/cat-9.jpg": "sub/cat.png",
    }
    assert pictures.incomplete == []


def test_a_mask_that_is_missing_or_not_the_only_one_is_said() -> None:
    pictures = match_masks(["cat.jpg", "dog.jpg", "catalogue.jpg"], ["a/cat.png", "b/cat_mask.png"])
    assert pictures.pairs == []
    reasons = dict(pictures.incomplete)
    assert reasons["cat.jpg"].startswith("several masks fit its name: a/cat.png, b/cat_mask.png")
    assert reasons["dog.jpg"] == "no mask fits its name; expected one such as dog_mask.png"
    assert "no mask fits" in reasons["catalogue.jpg"]
