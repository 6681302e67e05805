"""The configuration that `charmnet train` makes of a recipe or file and its options."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from charmnet.methods import METHODS
from charmnet.vocabulary import Domain
from pipelines.commands.cli import main
from pipelines.commands.train import add_arguments, configuration
from pipelines.config.recipes import parse_toml
from tests.toy_methods import ToyHarmonizer


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def test_a_file_is_started_from_and_the_command_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('steps = 9\n[method]\nname = "idih"\nwidth = 8\n[data]\nreal = ["s3://a", "s3://b"]\n')
    config, uris = configuration(parsed("--config", str(path), "steps=4"))
    assert (config.steps, config.method.name) == (4, "idih")
    assert uris == {Domain.REAL: ["s3://a", "s3://b"]}
    _, uris = configuration(parsed("--config", str(path), "--real", "s3://c", "--rendered", "s3://d"))
    assert uris == {Domain.REAL: ["s3://c"], Domain.RENDERED: ["s3://d"]}
    with pytest.raises(ValueError, match="--config and --recipe: choose one"):
        configuration(parsed("--config", str(path), "--recipe", "small"))


@pytest.mark.parametrize(("name", "batch_size"), [("dovenet", 1), ("rainnet", 11), ("idih", 16)])
def test_a_method_starts_from_its_own_recipe_unless_another_is_chosen(name: str, batch_size: int) -> None:
    config, _ = configuration(parsed("--method", name, "width=8"))
    assert config == configuration(parsed("--recipe", name, "width=8"))[0]
    assert (config.method.name, config.batch_size) == (name, batch_size)
    chosen, _ = configuration(parsed("--method", name, "--recipe", "debug"))
    assert (chosen.method.name, chosen.batch_size) == (name, 4)


def test_the_printed_configuration_repeats_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--recipe", "small", "--real", "s3://a", "steps=7", "ema_decay=0.99")
    assert main(["train", *arguments, "--print-config"]) == 0
    assert parse_toml(capsys.readouterr().out, "printed") == (
        configuration(parsed(*arguments))[0],
        {"real": ["s3://a"]},
    )


def test_the_fields_of_a_method_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "toy", ToyHarmonizer)
    assert main(["train", "--method", "toy", "--help-fields", "dropout=0.25"]) == 0
    listed = capsys.readouterr().out
    assert "dropout=0.25  (a number of at least 0 below 1)" in listed
    assert "Share of channels that are dropped in training." in listed
    assert "domain_statistics" not in listed
    assert "max_gradient_norm=0.0  (a number of at least 0)" in listed


def test_what_is_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.toml"
    path.write_text("stepz = 4")
    assert main(["train", "--config", str(path)]) == 2
    assert f"{path}: there is no field stepz" in capsys.readouterr().err
    assert main(["train", "--config", str(tmp_path / "none.toml")]) == 1
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["team/name", "a:b", " ", "..", "a\nb"])
def test_a_name_that_no_model_can_be_registered_under_is_refused_before_training(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--real", "/none", "--storage", "/none", "--tracking", "http://127.0.0.1:9"]
    assert main(["train", *sets, "--register", name]) == 2
    assert "--register" in capsys.readouterr().err
