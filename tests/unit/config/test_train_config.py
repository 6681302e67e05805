"""Overrides are typed, mistakes are named, and a resumed run may change only where it runs and how far."""

import json

import pytest

from pipelines.config.recipes import RECIPES, recipe
from pipelines.config.train_config import TrainConfig


def test_overrides_are_typed() -> None:
    config = TrainConfig().override(
        [
            "steps=400",
            "learning_rate=3e-4",
            "domain_statistics=true",
            "validate=a, b",
            "init=none",
            "workers=1:4",
        ]
    )
    assert (config.steps, config.learning_rate, config.domain_statistics) == (400, 3e-4, True)
    assert (config.validate, config.init, config.worker_range) == (("a", "b"), None, (1, 4))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepz=4", r"'stepz=4': expected field=value with one of .*steps"),
        ("steps", "expected field=value"),
        ("steps=many", "steps=many: expected a whole number"),
        ("learning_rate=fast", "learning_rate=fast: expected a number"),
        ("learning_rate=0", "learning_rate=0.0: expected a number above 0"),
        ("learning_rate=nan", "learning_rate=nan: expected a number above 0"),
        ("learning_rate=inf", "learning_rate=inf: expected a number above 0"),
        ("attention_bias=nan", "attention_bias=nan: expected a number"),
        ("data_cpus_per_task=-1", "data_cpus_per_task=-1.0: expected at least 0"),
        ("precision=fp8", "precision=fp8: expected one of float32, bf16"),
        ("domain_statistics=1", "expected true or false"),
        ("steps=0", "steps=0: expected at least 1"),
        ("batch_size=0", "batch_size=0: expected at least 1"),
        ("workers=2:1", "workers='2:1': expected a number such as 2, or MIN:MAX"),
        ("workers=all", "workers='all'"),
    ],
)
def test_a_wrong_override_is_named(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig().override([override])


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name: str) -> None:
    config = recipe(name)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_an_unknown_recipe_is_named_beside_those_there_are() -> None:
    with pytest.raises(ValueError, match="tiny: expected one of released, small"):
        recipe("tiny")


def test_the_released_recipe_is_the_released_code() -> None:
    config = recipe("released")
    assert (config.width, config.batch_size, config.learning_rate, config.schedule) == (
        64,
        8,
        1e-4,
        "constant",
    )
    assert (config.domain_statistics, config.attention_bias, config.precision) == (False, 0.0, "float32")


def test_resuming_may_change_where_it_runs_and_how_far_but_nothing_else() -> None:
    before = json.loads(json.dumps(TrainConfig(validate=("a",)).to_json()))
    assert TrainConfig(validate=("a",), steps=9, workers="1:4", max_failures=0).differences(before) == []
    differing = TrainConfig(validate=("a",), seed=1, width=32, decode="fast").differences(before)
    assert differing == ["width: 64 -> 32", "seed: 0 -> 1", "decode: 'exact' -> 'fast'"]
    del before["decode"]  # of a run that is older than the field
    assert TrainConfig(validate=("a",)).differences(before) == []
    assert TrainConfig(validate=("a",), decode="fast").differences(before) == ["decode: 'exact' -> 'fast'"]
