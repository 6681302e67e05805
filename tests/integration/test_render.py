"""`charmnet render` as a user calls it: tiny scenes to a real store, on a real Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import trimesh

from charmnet.codecs import decode_mask, decode_rgb
from charmnet.image_limits import image_size
from charmnet.vocabulary import CaptureCondition, Domain
from pipelines.commands.cli import main
from pipelines.conversion.build import BuildPlan, DatasetBuild, build_dataset
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.rendering.assets import Assets, read_assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.job import RenderSettings, RenderTask, View, fit_scene
from pipelines.rendering.mitsuba_renderer import VARIANT
from pipelines.runtime.storage import Location
from pipelines.shards import condition_sheet
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row
from pipelines.shards.schema import RowKind
from pipelines.shards.writer import WrittenShard, write_parquet
from tests.fixtures.lost_worker import LosingItsWorker
from tests.fixtures.object_store import ObjectStoreForTests

pytestmark = pytest.mark.usefixtures("ray_cluster")

SIZE = ["--size", "48x32", "--samples", "4"]
TWO_SCENES = ["render", "--scenes", "2", "--kinds", "park,room", *SIZE]


def rows_of(path: str | Location) -> dict[str, Row]:
    dataset = Dataset.open(path)
    tables = [dataset.read_row_group(shard, group) for shard, group, _ in dataset.manifest.groups()]
    return {row["id"]: row for table in tables for row in table.to_pylist()}


@dataclass(frozen=True)
class KeptRow:
    """A task that was finished before: its row is one that rendering would not give."""

    row: Row

    def write(self, destination: Location, path: str) -> WrittenShard:
        return write_parquet(destination, path, RowKind.SCENE, Domain.RENDERED, [self.row])


@pytest.fixture(scope="module")
def rendered(s3: ObjectStoreForTests, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a park and a room with a person in each; sheet.png beside it."""
    path = s3.prefix()
    sheet = f"{path}/sheet.png"
    assert main([*TWO_SCENES, "--dest", f"{path}/scenes", "--contact-sheet", sheet]) == 0
    return f"{path}/scenes"


def test_scenes_are_ten_pictures_and_a_mask(rendered: str) -> None:
    rows = rows_of(rendered)
    assert sorted(rows) == ["SHuman/park0000v00", "SHuman/room0001v00"]
    assert Location.of(rendered).walk_files() == ["manifest.json", "part-00000.parquet"]
    for row in rows.values():
        assert (row["subset"], row["category"], row["splits"]) == ("SHuman", "human", ["render"])
        assert 0.005 < row["foreground_ratio"] < 0.65
        assert decode_mask(row["foreground_mask"]).shape == (32, 48)
        images = np.stack([decode_rgb(data) for data in row["images"]]).astype(float)
        assert images.shape == (10, 32, 48, 3)
    park = np.stack([decode_rgb(data) for data in rows["SHuman/park0000v00"]["images"]]).astype(float)
    brightness = park.mean((1, 2, 3))
    assert brightness[CaptureCondition.NIGHT] == brightness.min()
    assert len(np.unique(brightness)) == 10


def test_training_reads_it(rendered: str) -> None:
    spec = StreamSpec(Dataset.open(rendered), batch_size=4, size=32)
    assert spec.plan.num_samples == 20
    blocks = list(read_window(spec, 0, 5, 4))
    assert {text for block in blocks for text in block["id"]} == {
        f"{scene}:{condition}" for scene in rows_of(rendered) for condition in range(10)
    }
    assert all(np.allclose(block["composite_style"].sum(1), 1) for block in blocks)


def test_the_same_view_is_the_same_bytes_alone_and_among_others(rendered: str, tmp_path: Path) -> None:
    """Rendered in this process, one after the other, as against beside each other in Ray's."""
    settings = RenderSettings(48, 32, 4, 95, Conditions.load(), Assets(), VARIANT)
    for number, kind in enumerate(("park", "room")):
        view = View(kind, "human", number, 0)
        RenderTask(view, settings).write(Location.of(tmp_path), f"{number}.parquet")
        (row,) = pq.read_table(tmp_path / f"{number}.parquet").to_pylist()
        assert row == rows_of(rendered)[view.id]


def test_a_run_goes_on_after_what_is_finished(
    rendered: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = rows_of(rendered)
    destination = DatasetBuild(Location.of(tmp_path / "out"), Dataset.open(rendered).manifest.source)
    destination.start()
    single = DatasetBuild(destination.parts / "scenes", destination.identity)
    single.start()
    kept = {**expected["SHuman/room0001v00"], "id": "SHuman/kept"}
    single.write_part(0, KeptRow(kept))  # as if the run had been killed in its second scene
    command = [*TWO_SCENES, "--dest", str(tmp_path / "out")]
    assert main(command) == 0
    room = "SHuman/room0001v00"
    assert rows_of(tmp_path / "out") == {"SHuman/kept": kept, room: expected[room]}
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        "manifest.json",
        "part-00000.parquet",
    ]
    assert main(command) == 0
    assert "is finished" in capsys.readouterr().out
    assert main([*command, "--seed", "1"]) == 1
    assert "differs in seed (0 there, 1 asked)" in capsys.readouterr().err


def test_a_view_whose_worker_is_lost_is_rendered_again(rendered: str, tmp_path: Path) -> None:
    settings = RenderSettings(48, 32, 4, 95, Conditions.load(), Assets(), VARIANT)
    tasks = [RenderTask(View(kind, "human", i, 0), settings) for i, kind in enumerate(("park", "room"))]
    lost = [LosingItsWorker(task, tmp_path / f"{i}.lost") for i, task in enumerate(tasks)]
    destination = DatasetBuild(Location.of(tmp_path / "out"), {})
    build_dataset(destination, BuildPlan(lost, (), len(lost), "Rendering"), max_rejected=0)
    assert all((tmp_path / f"{i}.lost").exists() for i in range(2))
    assert rows_of(tmp_path / "out") == rows_of(rendered)


def test_contact_sheet_of_a_finished_run(rendered: str, tmp_path: Path) -> None:
    width = condition_sheet.CAPTION_WIDTH + 2 * (condition_sheet.TILE_WIDTH + condition_sheet.GAP)
    height = condition_sheet.CAPTION_HEIGHT + 11 * (
        condition_sheet.TILE_WIDTH * 32 // 48 + 1 + condition_sheet.GAP
    )
    first = (Location.of(rendered).parent / "sheet.png").read_bytes()
    assert image_size(first) == (height, width)
    assert main(["render", "--dest", rendered, "--contact-sheet", str(tmp_path / "new/sheet.png")]) == 0
    assert (tmp_path / "new/sheet.png").read_bytes() == first
    assert main(["render", "--dest", rendered]) == 2


def test_meshes_of_ones_own_are_rendered(tmp_path: Path) -> None:
    folder = tmp_path / "assets/crate"
    folder.mkdir(parents=True)
    trimesh.creation.box((0.8, 0.8, 1.2)).export(folder / "crate.ply")
    command = ["render", "--category", "crate", "--assets", str(tmp_path / "assets"), "--scenes", "1"]
    assert main([*command, "--kinds", "hall", "--dest", str(tmp_path / "out"), *SIZE]) == 0
    (row,) = rows_of(tmp_path / "out").values()
    assert (row["id"], row["subset"], row["category"]) == ("SCrate/hall0000v00", "SCrate", "crate")
    asset = read_assets(str(tmp_path / "assets"), ["crate"]).meshes["crate"][0]
    assert asset.heights == pytest.approx((1.2, 1.2))


def test_a_foreground_that_cannot_be_fit_is_rejected_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.rendering import job

    monkeypatch.setattr(job, "foreground_coverage", lambda *_: 0.7)
    monkeypatch.setattr(job, "ATTEMPTS", 2)
    settings = RenderSettings(48, 32, 1, 95, Conditions.load(), Assets(), VARIANT)
    rejection = fit_scene(View("park", "dog", 3, 1), settings)
    assert isinstance(rejection, Rejection)
    assert rejection.id == "SDog/park0003v01"
    assert "none of 2 draws was accepted; the last one: its foreground covers 70.0%" in rejection.reason


def flat(path: Path) -> None:
    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 2]]).export(path)


def leaky(path: Path) -> None:
    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 1]], [[0, 1, 2]]).export(path)


def only_points(path: Path) -> None:
    trimesh.PointCloud([[0, 0, 0], [1, 0, 0]]).export(path)


def no_mesh(path: Path) -> None:
    path.write_text("mine")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (flat, "flat"),
        (leaky, "not watertight"),
        (only_points, "no faces"),
        (no_mesh, "cannot be read"),
    ],
)
def test_unfit_meshes_are_named_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], None], message: str
) -> None:
    (tmp_path / "assets/dog").mkdir(parents=True)
    write(tmp_path / "assets/dog/broken.ply")
    command = ["render", "--category", "dog", "--assets", str(tmp_path / "assets"), "--scenes", "1"]
    assert main([*command, "--dest", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "broken.ply" in error
    assert message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--category", "unicorn"], 2, "--category 'unicorn' is not known; expected some of human, bottle"),
        (["--kinds", "street,moon"], 2, "--kinds 'moon' is not known; expected some of street"),
        (["--category", "cow", "--kinds", "room"], 2, "none suits cow"),
        (["--variant", "gpu"], 2, "--variant 'gpu' is not known; expected some of "),
        (["--samples", "0"], 2, "--samples is 0, expected at least 1"),
        (["--size", "512"], 2, "--size is '512', expected WIDTHxHEIGHT"),
        (["--size", "512x9"], 2, "--size is '512x9'"),
        (["--scenes", "0"], 2, "--scenes is 0, expected 1 to 10000"),
        (["--max-rejected", "2"], 2, "--max-rejected is 2.0, expected 0 to 1"),
        (["--assets", "nowhere"], 1, "no folder of a category there; expected human/"),
        (["--conditions", "nowhere.toml"], 1, "nowhere.toml"),
    ],
)
def test_bad_requests_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    command = ["render", "--scenes", "1", "--dest", str(tmp_path / "out"), *arguments]
    assert main(command) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_the_cluster_lacks_is_not_waited_for(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    if ray.cluster_resources().get("GPU"):
        pytest.skip("a GPU is here")
    command = ["render", "--scenes", "1", "--dest", str(tmp_path / "out"), "--variant", "cuda_ad_rgb"]
    assert main(command) == 1
    assert "--variant cuda_ad_rgb is for GPUs and the cluster has none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_llvm_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(tmp_path / "none.so"))
    command = ["render", "--scenes", "1", "--dest", str(tmp_path / "out"), "--variant", "llvm_ad_rgb"]
    assert main(command) == 1
    assert "--variant llvm_ad_rgb does not run here: it needs LLVM 16" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["render", "--scenes", "1", "--dest", str(tmp_path), *SIZE]) == 1
    assert "thesis.tex" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pipelines.commands.render

    monkeypatch.setattr(pipelines.commands.render, "EXTRA_PACKAGES", ("mitsuba", "no_such_package"))
    assert main(["render", "--scenes", "1", "--dest", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "rendering needs no_such_package, not installed here: pip install 'charmnet[render]'" in error
