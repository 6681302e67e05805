"""MLflow's client is imported when it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_a_worker_without_records_does_not_load_mlflow(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipelines.tracking import RunIdentity, open_tracker;"
        "identity = RunIdentity(experiment='experiment', run_key='key', run_name='name');"
        "tracker = open_tracker('http://127.0.0.1:9', identity, Path(sys.argv[1]), role='worker');"
        "assert tracker.close();"
        "assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_commands_and_the_driver_are_imported_without_mlflow() -> None:
    """MLflow takes more than a second to load: `--help`, and a run until its server is needed, go without."""
    script = (
        "import sys; import pipelines.commands.train, pipelines.commands.evaluate;"
        "import pipelines.commands.harmonize, pipelines.training.driver;"
        "assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
