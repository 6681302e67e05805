"""Means of losses over steps, and losses that are not finite."""

import pytest
import torch
import torch.multiprocessing

from charmnet.errors import NonFiniteLossError
from pipelines.training.metric_window import MetricWindow


def test_the_window_averages_and_begins_anew() -> None:
    window = MetricWindow(batch_size=8)
    for value in (1.0, 3.0):
        window.add({"total": torch.tensor(value)}, ["a", "b"], waited_seconds=0.0)
    means = window.close(2)
    assert means["total"] == 2.0
    assert means["pairs_per_second"] > 0
    assert means["data_wait_fraction"] == 0.0
    assert window.close(2) == {}


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_samples() -> None:
    window = MetricWindow(batch_size=2)
    window.add({"style": torch.tensor(1.0), "total": torch.tensor(1.0)}, ["fine"], 0.0)
    window.add({"style": torch.tensor(float("nan")), "total": torch.tensor(1.0)}, ["c1_1_1", "s:3"], 0.0)
    window.add({"style": torch.tensor(1.0), "total": torch.tensor(1.0)}, ["later"], 0.0)
    with pytest.raises(NonFiniteLossError, match=r"style not finite at step 12, samples c1_1_1, s:3;"):
        window.close(13)
