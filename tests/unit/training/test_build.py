"""What a configuration makes of data sets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charmnet.vocabulary import Domain
from pipelines.config.recipes import recipe
from pipelines.config.train_config import TrainConfig
from pipelines.runtime.storage import Location
from pipelines.training.build import configured_method, resolve, stream_specs
from tests.synthetic_datasets import photograph_rows, scene_rows, write_dataset, write_photographs


def test_jitter_is_of_the_real_domain_alone(tmp_path: Path) -> None:
    datasets = {
        Domain.REAL: write_photographs(Location.of(tmp_path / "real"), photograph_rows(4), 4),
        Domain.RENDERED: write_dataset(Location.of(tmp_path / "rendered"), scene_rows(1), 1),
    }
    config = TrainConfig(method="charmnet", width=4, color_jitter=0.5)
    specs = stream_specs(config, datasets, configured_method(config))
    assert {name: spec.decode_options.color_jitter for name, spec in specs.items()} == {
        "real": 0.5,
        "rendered": 0.0,
    }


def streams_of(samples: int, batch_size: int) -> dict[str, Any]:
    return {"real": SimpleNamespace(plan=SimpleNamespace(num_samples=samples), batch_size=batch_size)}


@pytest.mark.parametrize(
    ("name", "epochs", "factors"),
    [
        ("idih", 120, {104.9: 1, 105: 0.1, 114.9: 0.1, 115: 0.01, 119.9: 0.01}),
        ("iih", 100, {49.9: 1, 75: 0.5, 99.9: 0.002}),
        ("dht", 60, {29.9: 1, 45: 0.5, 59.9: 0.003}),
        ("released", 200, {0: 1, 199.9: 1}),
    ],
)
def test_recipes_have_the_published_epochs_and_rates(name: str, epochs: int, factors: dict) -> None:
    config = recipe(name)
    plan = resolve(config, streams_of(100 * config.batch_size, config.batch_size))
    assert plan.steps == plan.config.steps == 100 * epochs
    for epoch, factor in factors.items():
        assert plan.schedule.factor(round(100 * epoch)) == pytest.approx(factor, abs=2e-3), epoch
    shorter = resolve(config.override(["steps=7"]), streams_of(100, config.batch_size))
    assert shorter.steps == 7
