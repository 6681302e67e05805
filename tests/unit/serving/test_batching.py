from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
from torch import Tensor

from pipelines.runtime.retry import wait_until
from pipelines.serving.batching import BatchedMethod, PixelRoom


class Network:
    """Adds its inputs, notes its batches, and waits for `go`."""

    def __init__(self) -> None:
        self.go = Event()
        self.started = Event()
        self.batches: list[int] = []
        self.size = 96

    def harmonize(self, pixels: Tensor, mask: Tensor) -> Tensor:
        self.started.set()
        assert self.go.wait(30)
        self.batches.append(len(pixels))
        if (pixels < 0).any():
            raise ValueError("negative")
        return pixels + mask

    def color_maps(self, pixels: Tensor, mask: Tensor) -> Tensor:
        return pixels * 0


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.go.set()


def test_what_waits_is_one_batch_of_at_most_so_many(network: Network) -> None:
    method = BatchedMethod(network, 3)
    inputs = [torch.full((1, 2), float(number)) for number in range(6)]
    with ThreadPoolExecutor(7) as pool:
        first = pool.submit(lambda: (method.harmonize(inputs[0], inputs[0]), method.last_batch))
        assert network.started.wait(30)
        others = [
            pool.submit(lambda each=each: (method.harmonize(each, each), method.last_batch))
            for each in inputs[1:]
        ]
        maps = pool.submit(method.color_maps, inputs[1], inputs[1])
        wait_until(lambda: method.waiting == 6, 30, str)
        network.go.set()
        results = [future.result(30) for future in (first, *others)]
        assert (maps.result(30) == 0).all()
    assert network.batches[0] == 1
    assert max(network.batches) > 1
    assert max(network.batches) <= 3
    assert sum(network.batches) == 6
    assert [output[0, 0].item() for output, _ in results] == [2.0 * number for number in range(6)]
    assert sorted(size for _, size in results) == sorted(
        size for size in network.batches for _ in range(size)
    )
    assert method.size == 96
    method.close()


def test_a_failure_is_raised_where_it_was_asked_for_and_the_next_works(network: Network) -> None:
    network.go.set()
    method = BatchedMethod(network, 2)
    with pytest.raises(ValueError, match="negative"):
        method.harmonize(-torch.ones(1, 1), torch.ones(1, 1))
    assert method.harmonize(torch.ones(1, 1), torch.ones(1, 1)).item() == 2
    method.close()


def test_room_is_given_in_order_and_a_picture_too_large_for_it_is_alone() -> None:
    room, entered, leave = PixelRoom(10), [], {pixels: Event() for pixels in (4, 6, 99, 1)}

    def hold(pixels: int) -> None:
        with room.holding(pixels):
            entered.append(pixels)
            assert leave[pixels].wait(30)

    threads = []

    def begin(pixels: int) -> None:
        threads.append(threading.Thread(target=hold, args=(pixels,)))
        threads[-1].start()

    for pixels in (4, 6):
        begin(pixels)
        wait_until(lambda pixels=pixels: pixels in entered, 30, str)
    begin(99)
    wait_until(room._turn.locked, 30, str)
    begin(1)
    leave[4].set()
    threads[0].join(30)
    assert entered == [4, 6]  # 1 would fit, and does not pass 99
    leave[6].set()
    wait_until(lambda: 99 in entered, 30, str)
    assert 1 not in entered
    leave[99].set()
    leave[1].set()
    for thread in threads:
        thread.join(30)
    assert entered == [4, 6, 99, 1]
