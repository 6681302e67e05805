"""Settings of all tests, and their marks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.update(
    OMP_NUM_THREADS="1",
    RAY_worker_niceness="0",  # else, at 15, they wait for whatever the tests beside them compute
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",
    MLFLOW_DISABLE_TELEMETRY="true",
)

# How long an example takes says nothing on a machine that others use too.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

pytest_plugins = [  # each after those that it imports
    "tests.fixtures.object_store",
    "tests.fixtures.cluster",
    "tests.fixtures.browser",
    "tests.fixtures.example_files",
    "tests.fixtures.datasets",
    "tests.fixtures.mlflow",
    "tests.fixtures.authenticated_mlflow",
]


@pytest.fixture(autouse=True)
def _questions_end_with_their_test() -> Iterator[None]:
    """Wait for a thread that asks a tracking server: it may be loading MLflow when the next test begins."""
    yield
    for thread in threading.enumerate():
        if thread.name == "tracking-check":
            thread.join(60)


MARK_OF_FOLDER = {"distributed": "cluster", "gpu": "gpu", "integration": "servers"}
MARK_OF_FIXTURE = {
    "authenticated_server": "servers",
    "mlflow_server": "servers",
    "ray_cluster": "cluster",
    "s3": "servers",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they lie in and by the fixtures they use."""
    here = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        fixtures = MARK_OF_FIXTURE.keys() & set(getattr(item, "fixturenames", ()))
        names = {MARK_OF_FOLDER.get(folder), *(MARK_OF_FIXTURE[name] for name in fixtures)}
        for name in names - {None}:
            item.add_marker(name)
