"""ray_cluster.yaml and the image: what can be said of them without an account."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SECRET = re.compile(r"\b[A-Za-z0-9+=]{24,}\b")  # as long as the keys of clouds and the tokens of Ray are


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def _validate(cluster: dict[str, Any]) -> dict[str, Any]:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    return prepared


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    prepared = _validate(cluster)
    assert prepared["available_node_types"]["gpu_worker"]["min_workers"] == 0
    assert prepared["max_workers"] >= 1


def test_ray_would_refuse_a_mistake(cluster: dict[str, Any]) -> None:
    wrong = copy.deepcopy(cluster)
    wrong["available_node_types"]["gpu_worker"]["max_worker"] = 8
    with pytest.raises(Exception, match="max_worker"):
        _validate(wrong)


def test_versions_are_the_locks(cluster: dict[str, Any], locked: dict[str, str]) -> None:
    dockerfile = (ROOT / "infra/Dockerfile").read_text()
    assert cluster["docker"]["image"].endswith(f"-ray{locked['ray']}")
    assert f"-ray{locked['ray']} " in dockerfile
    assert f"startswith('{locked['torch']}')" in dockerfile
    assert "requirements.lock" in dockerfile


def test_the_lock_pins_everything_and_names_no_host(locked: dict[str, str]) -> None:
    text = (ROOT / "requirements.lock").read_text()
    pinned = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(pinned) == len(locked) > 100
    assert "://" not in text
    assert "+" not in locked["torch"]


def test_nothing_is_open_and_nothing_secret_is_written(cluster: dict[str, Any]) -> None:
    text = (ROOT / "ray_cluster.yaml").read_text()
    assert not SECRET.search(text)
    assert cluster["provider"]["use_internal_ips"] is True
    start = " ".join(cluster["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    for node in cluster["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"]  # without any, Ray makes a group that is open for SSH
        assert node["node_config"]["IamInstanceProfile"]["Name"]
