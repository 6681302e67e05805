"""A short run of `python -m tests.fuzz` over every parser."""

from __future__ import annotations

import pytest

from tests.fuzz.runner import InputRunner
from tests.fuzz.targets import Target, targets

INPUTS = 200
SEED = 1  # the long run begins with seed 0


@pytest.fixture(scope="module")
def all_targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(tmp_path_factory.mktemp("fuzz"))


NAMES = (
    "picture", "manifest", "parquet pairs", "parquet scenes", "tar", "range",
    "list iharmony4", "list rdharmony", "categories", "selection", "uri", "override", "run record",
    "checkpoint", "checkpoint method", "safetensors", "released pth", "spool", "spool identity", "best",
)  # fmt: skip


def test_every_target_is_run(all_targets: dict[str, Target]) -> None:
    assert tuple(all_targets) == NAMES


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # warnings of parsers are not under test
@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_the_projects_own_errors(name: str, all_targets: dict[str, Target]) -> None:
    runner = InputRunner(all_targets[name], SEED)
    findings = [finding for index in range(INPUTS) if (finding := runner.run(index))]
    assert not findings, findings[0].details
