from __future__ import annotations

import pytest

from pipelines.commands.cli import main

SEARCH = ["tune", "--storage", "runs", "--name", "rates", "--search", "learning_rate=1e-4:1e-2"]


@pytest.mark.parametrize("option", ["--dry-run", "--print-config", "--help-fields", "--register=model"])
def test_options_of_a_single_run_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*SEARCH, option, "steps=8", "validate_splits=validation"])
    assert ended.value.code == 2
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["tune", "steps=8"], "--storage and --name are needed"),
        (SEARCH[:-2], "--search is missing"),
        ([*SEARCH, "--trials", "0"], "--trials 0: expected 1 or more"),
        ([*SEARCH, "steps=8", "validate_splits="], "steps and validate_splits are needed"),
        (
            [*SEARCH, "--search", "colour=1,2", "steps=8", "validate_splits=a"],
            "expected field=value",
        ),
    ],
)
def test_a_search_that_does_not_fit_is_refused_before_anything_is_trained(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert message in capsys.readouterr().err
