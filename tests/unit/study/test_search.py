from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.study.search import SearchField, draw_assignments


@given(st.floats(1e-6, 1e3), st.floats(1.1, 1e3), st.integers(0, 100))
def test_a_value_lies_in_its_range(low: float, factor: float, seed: int) -> None:
    field = SearchField.parse(f"learning_rate={low!r}:{low * factor!r}")
    value = float(field.draw(np.random.default_rng(seed)))
    assert low * 0.999 <= value <= low * factor * 1.001


def test_a_choice_is_one_of_its_values() -> None:
    field = SearchField.parse("style_weight=0.1, 1,10")
    drawn = {field.draw(np.random.default_rng(seed)) for seed in range(50)}
    assert drawn == {"0.1", "1", "10"}


def test_more_trials_go_on_where_fewer_ended() -> None:
    fields = [SearchField.parse("learning_rate=1e-4:1e-2"), SearchField.parse("seed=1,2")]
    few, many = draw_assignments(fields, 2, 0), draw_assignments(fields, 4, 0)
    assert many[:2] == few
    assert len({tuple(trial) for trial in many}) > 1
    assert few != draw_assignments(fields, 2, 1)


@pytest.mark.parametrize("text", ["rate", "=1:2", "rate=", "rate=2:1", "rate=0:1", "rate=a:b", "rate=1:2:3"])
def test_what_is_no_search_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--search"):
        SearchField.parse(text)
