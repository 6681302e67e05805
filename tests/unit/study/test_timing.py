from __future__ import annotations

import pytest

from pipelines.config.train_config import TrainConfig
from pipelines.study.timing import seconds_per_update


@pytest.mark.parametrize(
    "options",
    [
        {"method": "idih", "domain": "rendered"},
        {"method": "charmnet"},
        {"method": "cut", "blocks": 1},
    ],
)
def test_an_update_of_each_kind_of_method_is_timed(options: dict[str, object]) -> None:
    assert 0 < seconds_per_update(TrainConfig(**options, width=4, batch_size=2), steps=1) < 60
