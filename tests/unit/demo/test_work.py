import zipfile
from pathlib import Path

import numpy as np
import pytest

from charmnet.blending import Adjustment
from charmnet.codecs import decode_mask, decode_rgb, encode_mask, encode_png
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.errors import DataError
from charmnet.methods import CharmNetMethod
from pipelines.demo.examples import write_examples
from pipelines.demo.work import MOST_PICTURES, PageWork
from tests.fixtures.pretrained import make_pretrained


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> CharmNetMethod:
    return make_pretrained(tmp_path_factory.mktemp("models"), "any")


@pytest.fixture
def work(method: CharmNetMethod, tmp_path: Path) -> PageWork:
    (tmp_path / "results").mkdir()
    return PageWork(method, "cpu", tmp_path / "results")


def test_one_picture_is_what_the_library_makes_of_it(
    method: CharmNetMethod, work: PageWork, tmp_path: Path
) -> None:
    composite, mask = write_examples(tmp_path)[0]
    adjustment = Adjustment(strength=0.5, feather=4)
    result = work.harmonize_one(str(composite), str(mask), adjustment, "JPEG")
    picture, its_mask = (EncodedPicture(path.read_bytes(), path.name) for path in (composite, mask))
    assert result.file.name == "dusk-harmonized.jpg"
    assert result.file.read_bytes() == harmonize_encoded(method, picture, its_mask, "a.jpg", adjustment).data
    assert result.mask.read_bytes() == mask.read_bytes()
    assert decode_rgb(result.before.read_bytes()).shape == (360, 480, 3)


def test_a_painted_mask_is_handed_back_and_is_what_was_used(work: PageWork, tmp_path: Path) -> None:
    composite, _ = write_examples(tmp_path)[0]
    strokes = np.zeros((180, 240, 4), np.uint8)
    strokes[80:120, 120:180, 3] = 255
    result = work.harmonize_one(str(composite), [strokes], Adjustment(), "PNG")
    mask = decode_mask(result.mask.read_bytes())
    assert mask.shape == (360, 480)
    assert mask[170:230, 250:350].all()
    again = work.harmonize_one(str(composite), str(result.mask), Adjustment(), "PNG")
    assert again.file.read_bytes() == result.file.read_bytes()


@pytest.mark.parametrize(
    ("composite", "mask", "message"),
    [
        (None, "m.png", "there is no picture yet"),
        ("c.png", None, "there is no mask yet"),
        ("c.png", [], "nothing is painted"),
        ("c.png", "small.png", "of its mask"),
        ("text.png", "m.png", "no picture"),
        ("c.png", "text.png", "text.png: "),
    ],
)
def test_what_is_missing_or_does_not_fit_is_said(
    work: PageWork, tmp_path: Path, composite: str | None, mask: str | list | None, message: str
) -> None:
    (tmp_path / "c.png").write_bytes(encode_png(np.zeros((8, 9, 3), np.uint8)))
    (tmp_path / "m.png").write_bytes(encode_mask(np.ones((8, 9), np.uint8)))
    (tmp_path / "small.png").write_bytes(encode_mask(np.ones((4, 9), np.uint8)))
    (tmp_path / "text.png").write_bytes(b"text")
    picture, its_mask = (
        str(tmp_path / name) if isinstance(name, str) else name for name in (composite, mask)
    )
    with pytest.raises(DataError, match=message):
        work.harmonize_one(picture, its_mask, Adjustment(), "PNG")


def test_of_several_one_that_fails_stops_no_other(work: PageWork, tmp_path: Path) -> None:
    (composite, mask), _ = write_examples(tmp_path)
    for name in ("a/x.png", "b/x.png", "b/broken.png", "b/alone.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(composite.read_bytes()[: 100 if "broken" in name else None])
    for name in ("x.png", "broken.png"):
        (tmp_path / "m").mkdir(exist_ok=True)
        (tmp_path / "m" / name).write_bytes(mask.read_bytes())
    steps: list[tuple[int, int]] = []
    results = work.harmonize_several(
        [str(tmp_path / name) for name in ("a/x.png", "b/broken.png", "b/x.png", "b/alone.png")],
        [str(tmp_path / "m" / name) for name in ("x.png", "broken.png")],
        Adjustment(),
        "PNG",
        lambda done, total: steps.append((done, total)),
    )
    assert steps == [(0, 3), (1, 3), (2, 3)]
    assert [path.name for _, path in results.finished] == ["x-harmonized.png", "x-harmonized-2.png"]
    assert sorted(problem.split(":")[0] for problem in results.problems) == ["alone.png", "broken.png"]
    with zipfile.ZipFile(results.archive) as archive:
        assert archive.namelist() == ["x-harmonized.png", "x-harmonized-2.png"]
        assert archive.read("x-harmonized.png") == results.finished[0][1].read_bytes()
    before, after = work.compare(*results.finished[0])
    assert before.read_bytes() != after.read_bytes()


def test_too_many_or_none_are_refused(work: PageWork) -> None:
    for composites, masks, message in (
        ([], ["m.png"], "one or more pictures"),
        (["a.png"], [], "a mask for each"),
        (["a.png"] * (MOST_PICTURES + 1), ["m.png"], "at most"),
    ):
        with pytest.raises(DataError, match=message):
            work.harmonize_several(composites, masks, Adjustment(), "PNG", lambda done, total: None)


def test_old_results_are_deleted(work: PageWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.demo.work._KEPT_RESULTS", 2)
    composite, mask = write_examples(tmp_path)[0]
    made = [work.harmonize_one(str(composite), str(mask), Adjustment(), "PNG").file for _ in range(3)]
    assert [path.exists() for path in made] == [False, True, True]
