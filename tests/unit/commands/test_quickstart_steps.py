"""Length of the quickstart's run."""

from __future__ import annotations

import os

import pytest

from pipelines.commands import quickstart_steps


def test_steps_fill_the_time_that_cores_and_workers_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart_steps, "_seconds_per_update", lambda pairs: 0.01 * pairs)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    step = quickstart_steps.STEP_OVERHEAD * (0.32 + 32 * quickstart_steps.PAIR_SECONDS) / 2
    assert quickstart_steps.steps_within(100 * step + 1e-6, workers=2) == 100
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    assert quickstart_steps.steps_within(100 * step + 1e-6, workers=2) == 50


def test_an_update_of_the_recipe_is_measured() -> None:
    assert 0 < quickstart_steps._seconds_per_update(2) < 60
