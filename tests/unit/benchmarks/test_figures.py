"""Figures that benchmarks compute from times; nothing is timed here."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pipelines.benchmarks.evaluate import PictureTimings, counted_range, evaluation_figures
from pipelines.benchmarks.growth import growth_figures
from pipelines.benchmarks.plot import plot
from pipelines.benchmarks.processes import CpuTimes, process_kind
from pipelines.benchmarks.results import BenchmarkResult, Machine
from pipelines.benchmarks.synthetic_data import write_pairs
from pipelines.benchmarks.train import TrainTimings, Window, run_figures
from pipelines.benchmarks.workers import worker_figures
from pipelines.commands.cli import main

MACHINE = Machine(processor="a processor", cores=2)


def test_a_run_is_held_against_the_update_before_and_after_it() -> None:
    """Two of eight windows are warm-up: the rest have 4 and 2 pairs/s by turns, which is 2.67 on average."""
    windows = [Window(0.1, 0.9)] * 2 + [Window(4.0, 0.01), Window(2.0, 0.04)] * 3
    run = TrainTimings(
        windows, {"imports": 2.0, "first step": 1.0}, {"models": 60.0, "data tasks": 4.0}, cpu_steps=8
    )
    bare = [{"pairs_per_second": rate, "cpu_seconds_a_pair": 1.8} for rate in (3.0, 3.4)]
    figures = run_figures(run, bare, batch_size=4)
    assert figures["pairs_per_second"] == pytest.approx(8 / 3)
    assert figures["ratio"] == pytest.approx(8 / 3 / 3.2)
    assert figures["data_wait_fraction"] == pytest.approx(0.03)
    assert figures["cpu_seconds_a_pair"] == {"models": 1.875, "data tasks": 0.125}
    assert figures["cpu_ratio"] == pytest.approx(0.9)


def test_pictures_count_between_a_quarter_and_nine_tenths() -> None:
    first, last = counted_range(101)
    assert (first, last) == (25, 90)
    done = [10.0 + number / 4 for number in range(91)] + [100.0] * 10  # 4 a second, and a slow end
    course = PictureTimings(3.0, done, {"models": 0.04, "driver": 0.01})
    forward = [{"pictures_per_second": 5.0, "cpu_seconds_a_picture": 0.045}] * 2
    figures = evaluation_figures(course, forward)
    assert figures["pictures_per_second"] == pytest.approx(4)
    assert figures["ratio"] == pytest.approx(0.8)
    assert figures["cpu_ratio"] == pytest.approx(0.9)
    assert figures["seconds_to_the_first"] == 7


def test_a_rate_of_few_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(tmp_path / "data", 20)
    assert main(["bench", "evaluate", "--data", data, "--scratch", str(tmp_path / "scratch")]) == 2
    assert "20 pairs; expected 500 or more" in capsys.readouterr().err


def test_two_workers_are_held_against_one_round_by_round() -> None:
    spent = {
        "one worker": [(1.0, 1.0), (2.0, 1.0)],
        "two, each for itself": [(1.0, 1.0), (2.0, 1.0)],
        "two, gradients averaged": [(1.25, 1.25), (2.5, 1.25)],
    }
    turns = worker_figures(spent, batch=4)["turns"]
    assert turns["one worker"]["ratio"] == 1
    assert turns["two, each for itself"]["ratio"] == 2
    averaged = turns["two, gradients averaged"]
    assert (averaged["ratio"], averaged["cpu_ratio"]) == (pytest.approx(1.6), pytest.approx(1.6))
    assert averaged["pairs_per_second"] == pytest.approx(8 / 1.875)


def test_processes_are_told_apart_by_what_they_are_for() -> None:
    assert process_kind(["ray::RayTrainWorker"]) == "models"
    assert process_kind(["ray::read_rendered"]) == "data tasks"
    assert process_kind(["ray::SplitCoordinator"]) == "actors of Ray Data and Train"
    assert process_kind(["python", "-m", "pipelines", "train", "--real"]) == "driver"
    assert process_kind(["/x/raylet"]) == process_kind([]) == "Ray's servers"
    before = CpuTimes({(1, "models"): 5.0, (2, "driver"): 1.0})
    after = CpuTimes({(1, "models"): 7.0, (3, "models"): 1.0, (2, "driver"): 1.5})
    assert after.since(before) == {"models": 3.0, "driver": 0.5}


def test_growth_is_by_row_and_has_a_picture(tmp_path: Path) -> None:
    spent = {rows: {"cpu_seconds": rows / 100, "peak_bytes": 5} for rows in (10, 40, 160)}
    sizes = [{"rows": rows, "write": each, "read": each} for rows, each in spent.items()]
    figures = growth_figures(sizes)
    assert figures["grown"]["read"] == {"cpu_seconds_a_row_ratio": pytest.approx(1), "peak_ratio": 1}
    result = BenchmarkResult(
        subject="growth",
        date=date(2026, 1, 1),
        command="charmnet bench growth",
        machine=MACHINE,
        figures=figures,
    )
    (tmp_path / "growth.json").write_text(result.model_dump_json())
    plot(str(tmp_path / "growth.json"), str(tmp_path / "growth.svg"))
    assert (tmp_path / "growth.svg").read_bytes().startswith(b"<?xml")
