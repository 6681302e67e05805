"""The one rule for --tracking in the commands that record in MLflow."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pipelines.commands import evaluate, train
from pipelines.commands.cli import EXIT_USAGE, main
from pipelines.commands.tracking_options import add_tracking_options, tracking_uri

SERVER, OTHER_SERVER = "http://127.0.0.1:5000", "https://mlflow.example.org"
WITH_PASSWORD = "https://user:password-1@mlflow.example.org"
COMMANDS = {
    "train": ["train", "--storage", "/nowhere"],
    "evaluate": ["evaluate", "--model", "/nowhere", "--data", "/nowhere"],
}


def _tracking_uri(*options: str) -> str | None:
    parser = argparse.ArgumentParser()
    add_tracking_options(parser)
    return tracking_uri(parser.parse_args(options))


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_without_a_word_it_is_a_database_in_the_state_folder(state_folder: Path) -> None:
    assert _tracking_uri() == f"sqlite:///{state_folder}/mlflow.db"


@pytest.mark.usefixtures("state_folder")
def test_the_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert _tracking_uri() == SERVER
    assert _tracking_uri("--tracking", OTHER_SERVER) == OTHER_SERVER
    assert _tracking_uri("--tracking", "none") is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    assert _tracking_uri() is None


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("given_by", ["option", "environment"])
@pytest.mark.usefixtures("state_folder")
def test_every_command_refuses_a_password_in_the_address(
    command: str, given_by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    option = ["--tracking", WITH_PASSWORD] if given_by == "option" else []
    if given_by == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", WITH_PASSWORD)
    assert main([*COMMANDS[command], *option]) == EXIT_USAGE
    message = capsys.readouterr().err
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in message
    assert "password-1" not in message


def test_the_commands_describe_the_option_alike() -> None:
    helps = []
    for command in (train, evaluate):
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        helps.append({action.dest: action.help for action in parser._actions}["tracking"])
    assert helps[0] == helps[1]
    assert "$MLFLOW_TRACKING_URI, else a database in the state folder" in str(helps[0])
