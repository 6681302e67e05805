"""Settings that are closed by default: tokens, interfaces, permissions, and ways to run stored data."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "charmnet").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
RUNS_DATA = {
    "eval", "exec", "pickle.load", "pickle.loads", "cloudpickle.loads", "marshal.loads", "shelve.open",
    "np.load", "numpy.load", "torch.load", "joblib.load", "yaml.load", "os.system",
}  # fmt: skip
REVIEWED = {
    ("charmnet/released_weights.py", "torch.load"),  # weights_only=True
    ("pipelines/benchmarks/manifests.py", "pickle.loads"),  # what it has just written, to be timed
    ("pipelines/ingest/probe.py", "pickle.load"),  # what a process writes to its own child
}

# Ways to start Ray, up to the moment when it would begin.
COMMAND = "from pipelines.commands.cli import main\nmain(['train', '--help-fields'])"
LIBRARY = """
from pipelines.runtime import cluster
import ray
ray.init = lambda **_: None
cluster.check_reachable = lambda *_: None
cluster.connect()
"""
LIBRARY_AFTER_RAY = f"import ray\n{LIBRARY}"


def _calls(path: Path) -> list[tuple[str, ast.Call]]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in calls]


def test_nothing_stored_is_run() -> None:
    uses = {
        (str(path.relative_to(ROOT)), name)
        for path in SOURCES
        for name, _ in _calls(path)
        if name in RUNS_DATA or name.rpartition(".")[2] in ("extractall", "load_module")
    }
    assert uses == REVIEWED
    (load,) = [call for name, call in _calls(ROOT / "charmnet/released_weights.py") if name == "torch.load"]
    (only,) = [keyword.value for keyword in load.keywords if keyword.arg == "weights_only"]
    assert ast.literal_eval(only) is True


def test_no_shell_is_asked() -> None:
    keywords = [key for path in SOURCES for _, call in _calls(path) for key in call.keywords]
    assert not any(key.arg == "shell" for key in keywords)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry", [COMMAND, LIBRARY, LIBRARY_AFTER_RAY], ids=["command", "connect", "after ray"]
)
@pytest.mark.parametrize(("address", "mode"), [(None, "token"), ("local", "token"), ("10.0.0.1:6379", None)])
def test_a_ray_that_is_started_here_has_a_token_of_its_own(
    entry: str, address: str | None, mode: str | None
) -> None:
    printed = _run_without_ray_variables(
        f"{entry}\nimport os\n"
        "from ray._raylet import get_authentication_mode\n"
        "print(os.getenv('RAY_AUTH_MODE'), len(os.getenv('RAY_AUTH_TOKEN', '')), get_authentication_mode())",
        {"RAY_ADDRESS": address} if address else {},
    )
    assert printed.splitlines()[-1].split() == [str(mode), "64" if mode else "0", "1" if mode else "0"]


def test_importing_changes_no_environment_variable() -> None:
    modules = "pipelines, pipelines.commands.cli, pipelines.runtime.cluster, pipelines.services.local"
    changed = _run_without_ray_variables(
        f"import os\nbefore = dict(os.environ)\nimport {modules}\nprint(before != os.environ)", {}
    )
    assert changed.strip() == "False"


def _run_without_ray_variables(code: str, variables: dict[str, str]) -> str:
    """Run Python code in a process that has none of Ray's variables but these; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_scripts_ask_for_tokens_and_listen_on_loopback() -> None:
    head, mlflow = ((ROOT / "infra" / name).read_text() for name in ("head.sh", "mlflow.sh"))
    assert "RAY_AUTH_MODE=token" in head
    assert "--dashboard-host 127.0.0.1" in head
    for option in ("--app-name basic-auth", "--host 127.0.0.1", "--allowed-hosts"):
        assert option in mlflow
    cluster = (ROOT / "ray_cluster.yaml").read_text()
    assert "use_internal_ips: true" in cluster
    assert "--dashboard-host=127.0.0.1" in cluster


def test_the_image_runs_as_no_administrator_and_opens_no_port() -> None:
    image = (ROOT / "infra" / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", image, re.M)[-1:] == ["ray"]
    assert image.rindex("\nUSER ") > image.rindex("\nRUN ")
    assert "RAY_AUTH_MODE=token" in image
    assert "EXPOSE" not in image


@pytest.mark.parametrize(("name", "written"), [("trainer", "runs"), ("sharder", "data")])
def test_a_policy_gives_no_more_than_its_work_needs(name: str, written: str) -> None:
    policy = json.loads((ROOT / "infra" / "access" / f"{name}-policy.json").read_text())
    for statement in policy["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not any("*" in action for action in actions)
        if {"s3:PutObject", "s3:DeleteObject"} & set(actions):
            assert statement["Resource"] == f"arn:aws:s3:::BUCKET/{written}/*"
