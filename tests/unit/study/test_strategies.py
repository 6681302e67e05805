from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipelines.shards.selection import Selection
from pipelines.study.definition import load_study, parse_study, study_names
from pipelines.study.plan import PlannedRun, PlannedTranslation, RowPlan
from tests.study_data import planner, stratum

SAMPLES = 24_000


def plans_of(folder: Path, **settings: object) -> dict[str, RowPlan]:
    return {plan.name: plan for plan in planner(folder, **settings).plans()}


def test_runs_are_named_by_row_and_seed(tmp_path: Path) -> None:
    plans = plans_of(tmp_path, seeds=2)
    assert [run.name for run in plans["two-stage-s1"].runs] == ["two-stage-s1-stage-1", "two-stage-s1"]
    names = [run.name for plan in plans.values() for run in plan.runs]
    assert len(set(names)) == len(names)
    assert all(run.config.seed == plan.seed for plan in plans.values() for run in plan.runs)


def test_real_only_trains_on_base_categories(tmp_path: Path) -> None:
    (run,) = plans_of(tmp_path)["real-only-s0"].runs
    picks = Selection(run.config.real_select)
    assert picks(stratum("tree", "train"))
    assert not any(map(picks, (stratum("car", "train"), stratum("tree", "test"))))
    assert run.steps * run.config.batch_size == SAMPLES
    assert run.config.schedule == "linear"
    assert set(run.uris) == {"real"}


def test_the_upper_bound_trains_on_all_categories(tmp_path: Path) -> None:
    (run,) = plans_of(tmp_path)["with-real-novel-s0"].runs
    assert Selection(run.config.real_select)(stratum("car", "train"))


def test_two_stages_see_as_many_samples_and_the_second_starts_from_the_firsts_weights(tmp_path: Path) -> None:
    first, second = plans_of(tmp_path)["two-stage-s0"].runs
    assert first.samples == second.samples == SAMPLES
    assert first.config.method.domain == "rendered"
    assert first.config.init is None
    assert first.config.method.learning_rate == 1e-3
    assert second.config.init is not None
    assert second.config.init.endswith(f"dest/runs/two-stage-s0-stage-1/checkpoint-{first.steps:09d}")
    assert second.config.method.learning_rate == 1e-4
    assert second.config.method.domain == "real"


def test_fusion_streams_both_sets_as_one_and_sees_as_many_real_samples(tmp_path: Path) -> None:
    plan = planner(tmp_path)
    (run,) = {p.name: p for p in plan.plans()}["fusion-s0"].runs
    assert [len(uris) for uris in run.uris.values()] == [2]
    assert set(run.uris) == {"real"}
    real, rendered = plan.real_samples("base"), plan.rendered_samples()
    assert run.steps == math.ceil(SAMPLES * (real + rendered) / real / 8)
    picks = Selection(run.config.real_select)
    assert picks(stratum("tree", "train"))
    assert not picks(stratum("car", "train"))


def test_charmnet_takes_a_batch_of_each_domain(tmp_path: Path) -> None:
    (run,) = plans_of(tmp_path)["charmnet-s0"].runs
    assert set(run.uris) == {"real", "rendered"}
    assert run.samples == SAMPLES


def test_the_first_table_takes_as_many_samples_of_each_kind(tmp_path: Path) -> None:
    plan = planner(tmp_path)
    plans = {p.name: p for p in plan.plans()}
    novel, base, rendered = (
        plans[f"{n}-s0"].last.config for n in ("real-novel", "real-base", "rendered-novel")
    )
    count = plan.real_samples("novel")
    assert novel.real_limit == base.real_limit == count
    assert rendered.rendered_limit == min(count, plan.rendered_samples())


def test_steps_replace_every_length(tmp_path: Path) -> None:
    plans = plans_of(tmp_path, steps=4)
    assert {run.steps for plan in plans.values() for run in plan.runs} == {4}


def test_both_heads_give_rows_of_their_own(tmp_path: Path) -> None:
    plans = plans_of(tmp_path, head="both")
    assert plans["charmnet-s0"].last.config.method.head == "pixels"
    assert plans["charmnet-affine-s0"].last.config.method.head == "affine"
    assert plans["two-stage-affine-s0"].runs[1].config.method.learning_rate == 2e-4


def test_the_published_budget_counts_epochs(tmp_path: Path) -> None:
    plan = planner(tmp_path, budget="published")
    run = {p.name: p for p in plan.plans()}["real-only-s0"].last
    assert run.config.batch_size == 16
    assert run.steps == math.ceil(120 * plan.real_samples("base") / 16)
    assert run.config.schedule == "milestones"


def test_validation_is_never_on_what_is_reported(tmp_path: Path) -> None:
    for plan in plans_of(tmp_path).values():
        for run in plan.runs:
            translates = run.name.endswith("-translator")  # which is judged by rendered pictures
            assert run.config.validate_splits == (() if translates else ("validation",))
            assert not Selection(run.config.real_select or "split == 'none'")(stratum("tree", "test"))


def test_the_model_is_the_last_checkpoint(tmp_path: Path) -> None:
    run = plans_of(tmp_path, steps=40)["real-only-s0"].last
    assert run.last_checkpoint == "real-only-s0/checkpoint-000000040"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": "none"}, "--budget none: expected one of equal, published"),
        ({"scale": "none"}, "--scale none: expected one of"),
        ({"head": "none"}, "--head none: expected one of pixels, affine, both"),
    ],
)
def test_unknown_choices_are_refused(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planner(tmp_path, **settings)


def own_row(text: str) -> str:
    return f'base = "poster"\n[rows.mine]\nlabel = "M"\n{text}\n'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('method = "nothing"', r"unknown method nothing \(row mine\): expected one of charmnet, idih"),
        ('method = "idih"\noptions = { wide = 8 }', "row mine: .*wide"),
        ('method = "charmnet"\nstrategy = "two-stage"', "row mine: .*no option domain"),
        ('method = "idih"\nstrategy = "translate"\ntranslator = "idih"', "row mine: .*does not translate"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_name(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planner(tmp_path, parse_study(own_row(row), "file", "name")).plans()


def test_rendered_data_are_needed_only_where_a_row_needs_them(tmp_path: Path) -> None:
    whole = planner(tmp_path)
    alone = type(whole)(load_study("poster").only(("real-only",)), whole.settings, whole.real)
    assert [plan.name for plan in alone.plans()] == ["real-only-s0"]
    with pytest.raises(ValueError, match="--rendered is missing: the rows fusion need rendered scenes"):
        type(whole)(load_study("poster").only(("real-only", "fusion")), whole.settings, whole.real)


def test_a_row_of_ones_own_overrides_fields(tmp_path: Path) -> None:
    study = parse_study(own_row('method = "idih"\noptions = { width = 8, samples = 80 }'), "file", "name")
    plan = next(plan for plan in planner(tmp_path, study).plans() if plan.row == "mine")
    assert isinstance(plan.last, PlannedRun)
    assert plan.last.config.method.width == 8
    assert plan.last.steps == 10


@pytest.mark.parametrize("name", study_names())
@pytest.mark.parametrize("budget", ["equal", "published"])
@pytest.mark.parametrize("scale", ["mini", "full"])
def test_every_row_of_a_shipped_study_can_be_planned(
    tmp_path: Path, name: str, budget: str, scale: str
) -> None:
    study = load_study(name)
    plans = planner(tmp_path, study, budget=budget, scale=scale).plans()
    assert [plan.row for plan in plans] == list(study.rows)
    configs = {f"{plan.last.config.to_json()} {plan.last.uris}" for plan in plans}
    assert len(configs) >= len(plans) - 1  # four layers are CharmNet's own


def test_a_translated_set_takes_the_place_of_the_rendered_one(tmp_path: Path) -> None:
    plans = plans_of(tmp_path)
    translator, translation, last = plans["cut-s0"].steps
    assert isinstance(translator, PlannedRun)
    assert isinstance(translation, PlannedTranslation)
    assert isinstance(last, PlannedRun)
    assert translator.config.method.name == "cut"
    assert translator.config.batch_size == 1
    assert set(translator.uris) == {"real", "rendered"}
    assert translation.model.endswith(f"runs/{translator.last_checkpoint}")
    assert translation.dest.endswith("dest/translated/cut-s0-translated")
    assert list(last.uris["real"])[1] == translation.dest
    assert last.config.real_select == plans["fusion-s0"].last.config.real_select
