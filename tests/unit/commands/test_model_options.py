import argparse
from pathlib import Path

import pytest

from pipelines.commands.cli import main
from pipelines.commands.model_options import add_model_option, chosen_model
from tests.fixtures.pretrained import make_pretrained


def chosen(*options: str) -> str:
    parser = argparse.ArgumentParser()
    add_model_option(parser)
    return chosen_model(parser.parse_args(options))


def test_the_model_of_the_package_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charmnet.pretrained.FOLDER", tmp_path)
    assert chosen("--model", "runs/a") == "runs/a"
    with pytest.raises(ValueError, match="quickstart"):
        chosen()
    make_pretrained(tmp_path, "small")
    assert chosen() == "charmnet://small"


def test_a_page_without_a_model_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("charmnet.pretrained.FOLDER", tmp_path)
    assert main(["demo"]) == 2
    assert "charmnet quickstart" in capsys.readouterr().err
    assert main(["demo", "--model", str(tmp_path), "--port", "70000"]) == 2
