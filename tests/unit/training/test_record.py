"""What a run's page in MLflow says of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipelines.config.recipes import recipe
from pipelines.runtime.storage import Location
from pipelines.training import record


def test_a_description_names_the_data_and_commands_that_can_be_pasted() -> None:
    data = {"real": ["s3://b/real", "s3://b/more"], "rendered": ["s3://b/rendered"]}
    text = record.description(recipe("small"), 2000, Location.of("s3://b/runs/first of May"), data)
    assert text.startswith("`charmnet`, 2,000 steps of 32 samples a domain, trained on\n")
    assert "- real: `s3://b/more`\n- rendered: `s3://b/rendered`\n" in text
    resume = "--config 's3://b/runs/first of May/config.toml' --storage s3://b/runs --name 'first of May'"
    assert f"    charmnet train {resume}\n" in text
    assert "    charmnet evaluate --model 's3://b/runs/first of May' --data s3://b/real\n" in text


def test_changes_beside_the_commit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    monkeypatch.delenv("CHARMNET_GIT_COMMIT", raising=False)
    monkeypatch.setattr(record, "_CODE", tmp_path)
    assert (record.git_commit(), record.git_changes()) == (None, None)
    git("init")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-m", "one")
    (tmp_path / "notes").write_text("not tracked")
    assert len(record.git_commit() or "") == 40
    assert record.git_changes() is None
    (tmp_path / "a.py").write_text("2")
    assert record.git_changes() == "M a.py"
    monkeypatch.setenv("CHARMNET_GIT_COMMIT", "0123abc")
    assert (record.git_commit(), record.git_changes()) == ("0123abc", None)
