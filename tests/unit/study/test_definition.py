from __future__ import annotations

import pytest

from pipelines.config.train_config import TrainConfig, flat
from pipelines.study.definition import load_study, parse_study, study_names

TEXT = """
title = "t"
reference = "a"
tables = { 1 = "one" }
budgets.equal = { batch_size = 8 }
scales.mini.samples = 80
heads.pixels = {}
rows.a = { label = "A", method = "idih", table = 1 }
rows.b = { label = "B", method = "charmnet", strategy = "both", table = 1 }
"""


def test_a_study_is_read_from_toml() -> None:
    study = parse_study(TEXT, "file", "name")
    assert list(study.rows) == ["a", "b"]
    assert study.budgets["equal"].of_method("idih") == {"batch_size": 8}


def test_settings_of_a_method_win_over_those_of_all() -> None:
    study = parse_study(TEXT + "scales.mini.methods.idih.samples = 8\n", "file", "name")
    assert study.scales["mini"].of_method("idih") == {"samples": 8}
    assert study.scales["mini"].of_method("charmnet") == {"samples": 80}


def test_a_row_of_ones_own_is_added_to_a_study_that_is_shipped() -> None:
    study = parse_study('base = "poster"\n[rows.mine]\nlabel = "M"\nmethod = "idih"\n', "file", "name")
    assert list(study.rows) == [*load_study("poster").rows, "mine"]
    assert study.title == load_study("poster").title


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("rows.B_1 = { label = 'B', method = 'idih', table = 1 }", "B_1"),
        ("rows.c = { label = 'B', method = 'idih', table = 3 }", "3, which has no caption"),
        ("rows.c = { label = 'B', method = 'idih', translator = 'cut' }", "rows.c: translator=cut"),
        ("rows.c = { label = 'B', method = 'idih', strategy = 'translate' }", "rows.c: translator=None"),
        ("rows.c = { label = 'B', method = 'idih', strategy = 'magic' }", "strategy=magic: expected one of"),
        ("rows.c = { label = 'B', method = 'idih', width = 8 }", "there is no field width"),
        ("rows.c = 3", "rows: expected tables"),
        ("colour = 3", "there is no field colour"),
        ("base = 'none'", "base=none: expected one of"),
        ("=", "not TOML"),
    ],
)
def test_a_wrong_study_is_refused_by_name(changed: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^file: ") as raised:
        parse_study(TEXT + changed, "file", "name")
    assert message in str(raised.value)


def test_rows_are_chosen_and_unknown_ones_named() -> None:
    study = parse_study(TEXT, "file", "name")
    assert list(study.only(("b",)).rows) == ["b"]
    assert study.only(("b",)).reference == "b"
    assert study.only(()).rows == study.rows
    with pytest.raises(ValueError, match="--only c: no such row; there are a, b"):
        study.only(("c", "a"))


@pytest.mark.parametrize("name", study_names())
def test_settings_of_shipped_studies_are_fields_of_the_configuration(name: str) -> None:
    study = load_study(name)
    lengths = {"samples", "epochs", "second_stage"}
    heads = {head: {"head": head} for head in study.heads}
    for tables, own in ((study.budgets, {}), (study.scales, {}), (study.heads, heads)):
        for key, settings in tables.items():
            for row in study.rows.values():
                if tables is study.heads and not study.has_head(row):
                    continue
                fields = {k: v for k, v in settings.of_method(row.method).items() if k not in lengths}
                config = TrainConfig(method=row.method, **own.get(key, {}), **fields)
                values = flat(config.to_json())
                assert {field: values[field] for field in fields} == fields


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(ValueError, match="study none: expected one of"):
        load_study("none")
