"""What `charmnet doctor` finds, and its exit code for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.commands.cli import main


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def found(file: Path) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in json.loads(file.read_text())}


def test_a_machine_that_is_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 90)))
    monkeypatch.setenv("https_proxy", "http://someone:secret-word@proxy:3128")
    (tmp_path / "store").mkdir()
    options = [
        "--store",
        str(tmp_path / "store"),
        "--tracking",
        "none",
        "--json",
        str(tmp_path / "found.json"),
    ]
    assert main(["doctor", *options]) == 0
    findings = found(tmp_path / "found.json")
    assert {finding["state"] for finding in findings.values()} <= {"fine", "warning"}
    assert {"python", "torch", "ray", "MLflow", "Ray", "GPUs", "memory", "proxies"} <= findings.keys()
    assert findings["store: write"]["found"] == "works"
    assert "bytes too long" in findings["sockets"]["found"]
    output = capsys.readouterr().out
    assert "0 wrong" in output
    assert "secret-word" not in output + (tmp_path / "found.json").read_text()
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.servers
def test_what_is_wrong_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    options = ["--store", str(tmp_path / "file" / "folder"), "--json", str(tmp_path / "found.json")]
    assert main(["doctor", *options, "--tracking", "http://127.0.0.1:9"]) == 1
    findings = found(tmp_path / "found.json")
    wrong = {name for name, finding in findings.items() if finding["state"] == "wrong"}
    assert {"Ray", "MLflow", "store: write"} <= wrong
    assert "ray job submit" in findings["Ray"]["remedy"]
    assert "does not answer" in findings["MLflow"]["found"]
    assert f"{len(wrong)} wrong" in capsys.readouterr().out
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert main(["doctor", "--store", "s3://bucket/x", "--tracking", "none", "--json", options[-1]]) == 1
    findings = found(tmp_path / "found.json")
    assert "AWS_ENDPOINT_URL is '127.0.0.1:9'" in findings["store"]["remedy"]
    assert findings["Ray"]["found"] == "auto: not tried"
