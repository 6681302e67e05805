"""A function mapped over a real Ray."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import ray
from ray.exceptions import RayTaskError

from pipelines.runtime.cluster import map_on_cluster

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_results_come_in_the_order_of_the_items() -> None:
    def late(item: int) -> int:
        time.sleep(0.5 if item == 0 else 0)
        return -item

    assert list(map_on_cluster(late, range(150))) == [-item for item in range(150)]
    assert list(map_on_cluster(late, [])) == []


def test_results_come_while_later_items_are_at_work(tmp_path: Path) -> None:
    def wait_for_file(item: int) -> int:
        while item and not (tmp_path / "go").exists():
            time.sleep(0.05)
        return item

    results = map_on_cluster(wait_for_file, range(3))
    assert next(results) == 0
    (tmp_path / "go").touch()
    assert list(results) == [1, 2]


def test_an_item_whose_worker_is_lost_is_done_again_and_once(tmp_path: Path) -> None:
    def die_at_first(item: int) -> int:
        marker = tmp_path / f"tried-{item}"
        if item == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert list(map_on_cluster(die_at_first, range(4))) == [0, 1, 2, 3]


def test_no_more_tasks_run_at_a_time_than_there_are_cpus(tmp_path: Path) -> None:
    def count_running(item: int) -> int:
        marker = tmp_path / str(item)
        marker.touch()
        time.sleep(0.1)
        running = len(list(tmp_path.iterdir()))
        marker.unlink()
        return running

    assert max(map_on_cluster(count_running, range(12))) <= ray.cluster_resources()["CPU"]


def test_an_exception_reaches_the_caller_and_ends_the_work(tmp_path: Path) -> None:
    def fail(item: int) -> int:
        if item == 0:
            raise ZeroDivisionError("of item 0")
        time.sleep(0.2)
        (tmp_path / str(item)).touch()
        return item

    with pytest.raises(RayTaskError, match="of item 0"):
        list(map_on_cluster(fail, range(60)))
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) < 60
