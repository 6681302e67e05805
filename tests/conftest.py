"""What the tests run against: a real S3 server, a real Ray, a real MLflow server, each once a session."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pipelines.chaos.crashing_decoder import install_crashing_decoder
from pipelines.runtime.cluster import start_here
from pipelines.services.local import ObjectStore

os.environ.update(
    OMP_NUM_THREADS="1",
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",
    MLFLOW_DISABLE_TELEMETRY="true",
)

# How long an example takes says nothing on a machine that others use too.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

pytest_plugins = ["tests.fixtures.datasets", "tests.fixtures.authenticated_mlflow", "tests.fixtures.mlflow"]


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


@dataclass(frozen=True)
class ObjectStoreForTests:
    """A running S3 server whose keys and endpoint are in the environment.

    Attributes:
        uri: its bucket, such as s3://charmnet.
        service: the server itself.
    """

    uri: str
    service: ObjectStore

    def prefix(self) -> str:
        """A place in the bucket that no one else uses."""
        return f"{self.uri}/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStoreForTests]:
    store = ObjectStore(tmp_path_factory.mktemp("object-store"))
    store.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in store.environment().items():
                patch.setenv(name, value)
            yield ObjectStoreForTests(store.uri, store)
    finally:
        store.stop(grace_seconds=1)


@pytest.fixture(scope="session")
def ray_cluster(s3: ObjectStoreForTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray of four logical CPUs, started after the store so that its workers know the store.

    A picture that is marked to crash kills its workers.
    """
    import ray

    hook = tmp_path_factory.mktemp("hook")
    install_crashing_decoder(hook)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hook), prepend=os.pathsep)
        start_here(num_cpus=4, object_store_memory=500_000_000, logging_level="ERROR")
    yield
    ray.shutdown()
