"""Tables of `charmnet evaluate`."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from charmnet.metrics import ImageErrors
from charmnet.vocabulary import Domain
from pipelines.commands.evaluation_tables import figures_table, ratio_table, tables
from pipelines.evaluation.bootstrap import LEAST_PHOTOGRAPHS
from pipelines.evaluation.evaluation import Evaluation
from pipelines.evaluation.report import EvaluationReport
from pipelines.shards.stratum import Stratum
from tests.evaluation_results import RENDERED, result


def test_the_table_shows_what_the_json_holds() -> None:
    figures = EvaluationReport.over([result(10.0), result(30.0, RENDERED, 0.5)]).to_json()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(figures_table(json.loads(json.dumps({**figures, "about": {"model": "x"}}))))
    lines = {words[0]: words[1:] for line in console.export_text().splitlines() if (words := line.split())}
    assert lines["all"] == ["2", "40.0", "20.0", "1.0", "1.0", "20.00", "-"]
    assert lines["15-100"][0] == lines["HCOCO"][0] == lines["human"][0] == "1"


def test_the_second_table_has_shares_of_the_composites_errors_with_intervals() -> None:
    tricks = {"mean_shift": ImageErrors(19.0, 0.9, 20.0)}
    results = [
        replace(result(10.0), photograph=str(number), tricks=tricks)  # whose composite has MSE 20, fMSE 1
        for number in range(LEAST_PHOTOGRAPHS)
    ]
    figures = Evaluation(results, {}).figures
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(ratio_table(json.loads(json.dumps(figures))))
    text = console.export_text()
    assert "corrections without learning, strength 20%" in text
    lines = {line[:24].strip(): line.split() for line in text.splitlines()}
    assert lines["mean shift"][-5:] == ["0.900", "0.900-0.900", "0.950", "0.950-0.950", "100%"]
    assert lines["the model"][-5:] == ["1.000", "1.000-1.000", "0.500", "0.500-0.500", "0%"]
    assert lines["IHD_nonhuman_test"][-5:] == lines["the model"][-5:]
    assert max(map(len, text.splitlines())) <= 80
    bare = Evaluation([replace(one, tricks={}) for one in results], {}).figures
    assert ratio_table(bare).title == "shares of composites' errors"


def test_two_models_stand_in_a_table_of_their_own() -> None:
    names = [str(number) for number in range(LEAST_PHOTOGRAPHS)]
    first = [replace(result(10.0, fmse=3.0), photograph=name) for name in names]
    second = [replace(result(20.0, fmse=4.0), photograph=name) for name in names]
    evaluation = Evaluation(first, {"compare": "runs/other"}, second)
    assert evaluation.figures["all"]["against_other"]["mse_difference"]["value"] == -10.0
    metrics = evaluation.metrics()
    assert metrics["eval/IHD_test/against_other_fmse_ratio"] == 0.75
    assert metrics["eval/all/against_other_better_high"] == 1
    assert metrics["eval/all/fmse_ratio"] == 1, "against the composites"
    console = Console(width=80, record=True, file=io.StringIO())
    _, _, table = tables(evaluation)
    console.print(table)
    text = console.export_text()
    assert "beside runs/other" in text
    lines = {words[0]: words for line in text.splitlines() if (words := line.split())}
    assert lines["all"] == ["all", "3.0", "-1.0", "-1.0", "to", "-1.0", "0.750", "0.750-0.750", "100%"]
    assert len(list(tables(Evaluation(first, {})))) == 2


def test_the_table_leaves_the_released_splits_names_whole_on_a_narrow_terminal() -> None:
    base = Stratum(Domain.REAL, "HCOCO", None, ("IHD_nonhuman_train",))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(figures_table(EvaluationReport.over([result(10_000.0, base, fmse=10_000.0)]).to_json()))
    assert "IHD_nonhuman_train " in console.export_text()
