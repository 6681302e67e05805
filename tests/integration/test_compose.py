"""`charmnet compose` as a user calls it: scenes in a bucket to pair shards and to the released layout."""

from pathlib import Path

import pytest

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg
from charmnet.composition import exchange_foreground, soft_style_label
from pipelines.commands.cli import main
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from tests.factories import make_rdharmony
from tests.fixtures.datasets import ShardedDatasets
from tests.fixtures.object_store import ObjectStoreForTests

pytestmark = pytest.mark.usefixtures("ray_cluster")


def all_rows(uri: str) -> dict[str, dict]:
    dataset = Dataset.open(uri)
    tables = [dataset.read_row_group(shard, group) for shard, group, _ in dataset.manifest.groups()]
    return {row["id"]: row for table in tables for row in table.to_pylist()}


@pytest.fixture(scope="module")
def scenes(s3: ObjectStoreForTests, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of scene shards: seven scenes in two row groups, without listed pairs."""
    folder, path = tmp_path_factory.mktemp("rdharmony"), f"{s3.prefix()}/scenes"
    make_rdharmony(folder, scenes=7, size=(32, 48), composites=False)
    assert main(["shard", "rdharmony", "--source", str(folder), "--dest", path]) == 0
    return path


def test_pair_shards_hold_exchanges_with_their_labels(
    scenes: str, s3: ObjectStoreForTests, tmp_path: Path
) -> None:
    path = f"{s3.prefix()}/pairs"
    command = ["compose", "--source", scenes, "--dest", path, "--pairs", "5"]
    assert main(command) == 0
    sources, pairs = all_rows(scenes), all_rows(path)
    assert len(pairs) == 35
    for pair_id, pair in pairs.items():
        scene_id, _, numbers = pair_id.rpartition("-")
        background, inserted = (int(number) - 1 for number in numbers.split("_"))
        scene = sources[scene_id]
        assert background != inserted
        assert pair["ground_truth"] == scene["images"][background]
        assert (pair["ground_truth_style"], pair["category"]) == (background, "human")
        label = soft_style_label(inserted, background, scene["foreground_ratio"])
        assert pair["composite_style"] == label.tolist()
        foreground, photo = (decode_rgb(scene["images"][condition]) for condition in (inserted, background))
        exchanged = exchange_foreground(foreground, photo, decode_mask(scene["foreground_mask"]))
        assert pair["composite"] == encode_jpeg(exchanged, 95)
    digest = Dataset.open(path).manifest.digest
    assert main(command) == 0
    for seed, same in (("0", True), ("1", False)):
        again = str(tmp_path / seed)
        assert main([*command[:4], again, *command[5:], "--seed", seed]) == 0
        assert (Dataset.open(again).manifest.digest == digest) is same


def test_the_released_layout_goes_round(
    scenes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released, pairs, back = (str(tmp_path / name) for name in ("released", "pairs", "back"))
    command = ["compose", "--source", scenes, "--pairs", "40"]
    assert main([*command, "--dest", pairs]) == 0
    assert main([*command, "--dest", released, "--layout", "released"]) == 0
    assert "280 composites" in capsys.readouterr().out
    listed = tmp_path / "released/SHuman/SHuman_all_labeled.txt"
    assert len(listed.read_text().splitlines()) == 280
    shard = ["shard", "rdharmony", "--source", released, "--list", "SHuman/SHuman_all_labeled.txt"]
    assert main([*shard, "--dest", back]) == 0
    expected, rows = all_rows(pairs), all_rows(back)
    assert all(row.pop("splits") == ["SHuman_all_labeled"] for row in rows.values())
    assert all(row.pop("splits") == [] for row in expected.values())
    assert rows == expected  # to the byte: pictures, masks, labels

    before = listed.read_bytes()
    assert main([*command, "--dest", released, "--layout", "released"]) == 0
    assert "is finished" in capsys.readouterr().out
    listed.unlink()  # as if it had been stopped before its end
    assert main([*command, "--dest", released, "--layout", "released"]) == 0
    assert listed.read_bytes() == before
    assert main([*command[:4], "41", "--dest", released, "--layout", "released"]) == 1
    assert "differs in pairs (40 there, 41 asked)" in capsys.readouterr().err


def test_a_run_goes_on_after_its_finished_scenes(scenes: str, tmp_path: Path) -> None:
    released = Location.of(tmp_path / "released")
    command = ["compose", "--source", scenes, "--dest", str(released), "--pairs", "all"]
    command += ["--layout", "released"]
    assert main(command) == 0
    listed = released / "SHuman/SHuman_all_labeled.txt"
    lines = listed.read_bytes().decode().splitlines()
    assert len(lines) == 7 * 90
    listed.delete()  # as if it had been killed when one of two tasks was finished
    (released / "_parts/part-00000.json").write_json({"SHuman": ["what it wrote"]})
    assert main(command) == 0
    assert listed.read_bytes().decode().splitlines() == ["what it wrote", *lines[540:]]
    assert sorted(child.name for child in released.children()) == ["SHuman", "_plan.json"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--pairs", "91"], 2, "--pairs is '91', expected 1-90 or all"),
        (["--pairs", "none"], 2, "--pairs is 'none'"),
        (["--pairs", "1", "--quality", "0"], 2, "--quality is 0"),
    ],
)
def test_bad_requests_are_named(
    scenes: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert main(["compose", "--source", scenes, "--dest", str(tmp_path / "out"), *arguments]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pairs_are_no_scenes_and_a_folder_of_other_things_is_refused(
    scenes: str, datasets: ShardedDatasets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compose", "--source", datasets.real, "--dest", str(tmp_path / "out"), "--pairs", "1"]) == 1
    assert "its rows are pairs; expected scenes" in capsys.readouterr().err
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["compose", "--source", scenes, "--dest", str(tmp_path), "--pairs", "1"]) == 1
    assert "thesis.tex" in capsys.readouterr().err
