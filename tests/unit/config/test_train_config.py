"""Overrides are typed, mistakes are named, and a resumed run may change only where it runs and how far."""

import json

import pytest

from charmnet.methods import METHODS
from charmnet.methods.charmnet_options import CharmNetOptions
from charmnet.methods.idih import IDIHOptions
from pipelines.config.profiled import profiled_steps
from pipelines.config.recipes import parse_toml, recipe, recipe_names, to_toml
from pipelines.config.train_config import TrainConfig, data_requirements
from tests.toy_methods import ToyHarmonizer, ToyOptions


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
    assert (config.steps, config.method.learning_rate) == (400, 3e-4)
    assert config.method == CharmNetOptions(learning_rate=3e-4, domain_statistics=True)
    assert (config.validate_splits, config.init, config.worker_range) == (("a", "b"), None, (1, 4))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepz=4", r"'stepz=4': expected field=value with one of .*steps"),
        ("steps", "expected field=value, such as steps=400"),
        ("steps=many", "steps=many: expected a whole number"),
        ("learning_rate=fast", "learning_rate=fast: expected a number"),
        ("learning_rate=0", "learning_rate=0: expected a number above 0"),
        ("learning_rate=nan", "learning_rate=nan: expected a number above 0"),
        ("learning_rate=inf", "learning_rate=inf: expected a number above 0"),
        ("attention_bias=nan", "attention_bias=nan: expected a number"),
        ("data_cpus_per_task=-1", "data_cpus_per_task=-1: expected at least 0"),
        ("data_resources=decode", "data_resources=decode: expected NAME=NUMBER of a custom resource or"),
        ("data_resources=CPU=2", "CPUs are data_cpus_per_task"),
        ("data_resources=decode=0", "expected amounts above 0"),
        ("data_resources=pool=!a", "expected NAME=NUMBER"),
        ("profile=5:4", "profile=5:4: expected a step such as 10, or the first and the last such as 10:15"),
        ("profile=10-15", "profile=10-15: expected a step"),
        ("profile=0", "profile=0: expected a step"),
        ("profile=1:101", "at most 100 steps"),
        ("color_jitter=3", "color_jitter=3: expected at most 2"),
        ("color_jitter=-0.1", "color_jitter=-0.1: expected at least 0"),
        ("precision=fp8", "precision=fp8: expected one of float32, bf16"),
        ("domain_statistics=1", "expected true or false"),
        ("steps=0", "steps=0: expected at least 1"),
        ("batch_size=0", "batch_size=0: expected at least 1"),
        ("workers=2:1", "workers=2:1: expected a number such as 2, or MIN:MAX"),
        ("workers=all", "workers=all: expected"),
    ],
)
def test_a_wrong_override_is_named(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig().override([override])


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_json_and_toml(name: str) -> None:
    config = recipe(name)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    data = {"real": ["s3://bucket/real"]}
    assert parse_toml(to_toml(config, data), name) == (config, data)


@pytest.mark.parametrize(("text", "steps"), [("", None), ("7", (7, 7)), ("10:15", (10, 15))])
def test_steps_that_are_traced_are_read_and_may_change(text: str, steps: tuple[int, int] | None) -> None:
    config = TrainConfig(profile=text)
    assert profiled_steps(config.profile) == steps
    assert config.differences(TrainConfig().to_json()) == []


def test_an_unknown_recipe_is_named_beside_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"tiny: expected one of .*idih, .*released, .*small"):
        recipe("tiny")


def test_the_released_recipe_is_the_released_code() -> None:
    config = recipe("released")
    assert (config.batch_size, config.schedule) == (8, "constant")
    assert config.method == CharmNetOptions(width=64, learning_rate=1e-4, unshared_layers=4)
    assert config.method == TrainConfig().method


def test_resuming_may_change_where_it_runs_and_how_far_but_nothing_else() -> None:
    before = json.loads(json.dumps(TrainConfig(validate_splits=("a",)).to_json()))
    assert (
        TrainConfig(validate_splits=("a",), steps=9, workers="1:4", max_failures=0).differences(before) == []
    )
    differing = TrainConfig(validate_splits=("a",), seed=1, width=32, decode="fast").differences(before)
    assert differing == ["width: 64 -> 32", "seed: 0 -> 1", "decode: 'exact' -> 'fast'"]
    del before["decode"]  # of a run that is older than the field
    assert TrainConfig(validate_splits=("a",)).differences(before) == []
    assert TrainConfig(validate_splits=("a",), decode="fast").differences(before) == [
        "decode: 'exact' -> 'fast'"
    ]


# The record of a run that was started before options belonged to methods.
OLD_RECORD = {
    **{"method": "idih", "idih_domain": "rendered", "width": 32, "precision": "float32", "compile": False},
    **{"domain_statistics": True, "sync_batch_norm": False, "attention_bias": 1.0, "init": None},
    **{"learning_rate": 0.0003, "schedule": "constant", "batch_size": 8, "steps": 400, "seed": 0},
    **{"real_select": "", "rendered_select": "", "pool_row_groups": 4, "decode": "exact", "validate": ["a"]},
    **{"validate_every": 1000, "validate_images": 0, "best_metric": "fmse", "checkpoint_every": 1000},
    **{"keep_checkpoints": 3, "log_every": 20, "sample_rows": 3, "workers": "1", "accelerator": "auto"},
    **{"cpus_per_worker": 0.0, "data_cpus_per_task": 0.0, "max_failures": 3, "max_quarantined": 0.01},
    **{"storage_patience_seconds": 600.0, "audit": False},
}


def test_records_of_earlier_versions_are_understood() -> None:
    config = TrainConfig.from_json(OLD_RECORD)
    assert config.method == IDIHOptions(width=32, domain="rendered", attention_bias=1.0, learning_rate=3e-4)
    assert (config.validate_splits, config.storage_timeout_seconds) == (("a",), 600.0)
    again = TrainConfig().override(
        [
            *("method=idih", "idih_domain=rendered", "width=32", "attention_bias=1", "learning_rate=3e-4"),
            *("validate=a", "storage_patience_seconds=30", "steps=9"),
        ]
    )
    assert again.differences(OLD_RECORD) == []
    assert again.override(["width=64"]).differences(OLD_RECORD) == ["width: 32 -> 64"]


def test_options_belong_to_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    config = recipe("small").override(["method=idih", "method.width=8"])
    assert config.method == IDIHOptions(
        width=8, learning_rate=2e-3, head="affine", size=96, initialization="kaiming"
    )
    with pytest.raises(ValueError, match=r"domain_statistics=true.*expected field=value with one of"):
        config.override(["domain_statistics=true"])
    with pytest.raises(ValueError, match="width=6: expected a multiple of 4"):
        config.override(["width=6"])
    with pytest.raises(ValueError, match=r"unknown method 'dove', expected one of charmnet, .*idih"):
        config.override(["method=dove"])
    monkeypatch.setitem(METHODS, "toy", ToyHarmonizer)
    toy = config.override(["method=toy", "dropout=0.25"])
    assert toy.method == ToyOptions(dropout=0.25, learning_rate=2e-3)
    assert TrainConfig.from_json(json.loads(json.dumps(toy.to_json()))) == toy
    small = recipe("small").override(["method=toy", "learning_rate=0.01"])
    assert toy.assignments(small) == ["learning_rate=0.002", "dropout=0.25"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", r"run\.toml: not TOML"),
        ("stepz = 4", r"run\.toml: there is no field stepz"),
        ("steps = 0", r"run\.toml: steps=0: expected at least 1"),
        ("steps = true", r"run\.toml: steps=true: expected a whole number"),
        ('[method]\nname = "charmnet"\nwidth = 6', r"run\.toml: width=6: expected a multiple of 4"),
        ('[data]\nreal = "s3://a"\nreel = "s3://b"', r"run\.toml: \[data\] holds reel"),
        ("[data]\nreal = 4", r"run\.toml: \[data\] holds no text"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_toml(text, "run.toml")


def test_data_resources_are_amounts_and_labels() -> None:
    config = TrainConfig().override(["data_resources=decode=0.5, ray.io/pool=cpu-2,fast=2"])
    assert data_requirements(config.data_resources) == (
        {"decode": 0.5, "fast": 2.0},
        {"ray.io/pool": "cpu-2"},
    )
    assert data_requirements("") == ({}, {})
    assert not config.differences(TrainConfig().to_json())  # a resumed run may change it
