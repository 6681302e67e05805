"""Sums of bits, and who is named where workers' weights differ."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.replicas import ReplicaCheck, bit_sum, compared_tensors, describe
from pipelines.training.worker import Worker
from tests.toy_methods import ToyHarmonizer


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int8]),
    st.data(),
)
def test_any_flipped_bit_changes_the_sum(values: list[int], dtype: torch.dtype, data: st.DataObject) -> None:
    tensor = torch.tensor(values, dtype=torch.int32).view(torch.int8).repeat(2).view(dtype)
    index = data.draw(st.integers(0, tensor.view(torch.int8).numel() - 1))
    flipped = tensor.clone()
    flipped.view(torch.int8)[index] ^= 1 << data.draw(st.integers(0, 6))
    assert bit_sum(tensor) == bit_sum(tensor.clone())
    assert bit_sum(flipped) != bit_sum(tensor)


def test_an_odd_tensor_and_one_of_other_strides_have_sums() -> None:
    tensor = torch.randn(1, 3, 5, 7)
    assert bit_sum(tensor).dtype == torch.int64
    assert bit_sum(tensor.to(memory_format=torch.channels_last)) == bit_sum(tensor)
    assert bit_sum(torch.zeros(0)) == 0


@pytest.mark.parametrize(
    ("sums", "who"),
    [
        ([(1, 2), (1, 3), (1, 2)], "rank 1 differs from the others in b;"),
        ([(1, 2), (1, 3), (1, 2), (1, 4), (1, 2)], "ranks 1, 3 differ from the others in b;"),
        ([(1, 2), (0, 3)], "ranks 0, 1 differ, and none is in the majority in a, b;"),
    ],
)
def test_the_rank_that_differs_from_the_majority_is_named(sums: list[tuple[int, int]], who: str) -> None:
    message = describe(12, ["a", "b"], sums)
    assert who in message
    assert "at step 12" in message


def test_the_order_of_a_restored_state_changes_nothing() -> None:
    method = ToyHarmonizer()
    weight = next(method.modules["generator"].parameters())
    optimizer = method.optimizers["generator"]
    orders = ("exp_avg", "exp_avg_sq"), ("exp_avg_sq", "exp_avg")
    names = []
    for order in orders:
        optimizer.state[weight] = {key: torch.ones(2) for key in order}
        names.append([name for name, _ in compared_tensors(method)])
    assert names[0] == names[1]
    assert any("exp_avg_sq" in name for name in names[0])


def test_a_worker_alone_compares_with_nobody_and_checks_are_seldom() -> None:
    check = ReplicaCheck(Worker(0, 1, 0, 1, 0, torch.device("cpu")), ToyHarmonizer())
    due = []
    for _ in range(2):
        check.add_seconds(20.0)
        due.append(check.is_due)
    assert due == [False, True]
    check.check(3)
    assert not check.is_due
    check.add_seconds(20.0)
    assert not check.is_due
