"""What a run waits for, and when that is told."""

from __future__ import annotations

import pytest

from pipelines.training.awaited import FIRST_SECONDS, Waiting
from pipelines.training.hangs import DATA, END, OTHER, SAVING, UPDATE, VALIDATION, Beat


def beat(rank: int, phase: str, seconds: float, step: int = 7) -> Beat:
    return Beat(rank, "node", 100 + rank, 0.0, "", step, phase, seconds, 1.0)


class Run:
    """A run whose workers say something every second, by a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waiting = Waiting(lambda: self.now)

    def messages(self, seconds: int, phases: dict[int, str]) -> list[str]:
        """Let time pass in which each worker is in a phase from its beginning; return what is told."""
        texts = []
        for second in range(1, seconds + 1):
            self.now += 1
            heard = [(beat(rank, phase, second), self.now) for rank, phase in phases.items()]
            if wait := self.waiting.look(heard):
                texts.append(str(wait))
        return texts


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (DATA, "data"),
        (VALIDATION, "validation"),
        (SAVING, "the upload of the checkpoint before"),
        (END, "the last uploads"),
        (OTHER, "the state to begin with"),
    ],
)
def test_what_one_worker_waits_for_is_told_ever_more_rarely(phase: str, words: str) -> None:
    run = Run()
    assert run.messages(100, {0: UPDATE, 1: phase}) == [
        f"waiting for {words}: {seconds} s (rank 1, step 7)" for seconds in (15, 30, 60)
    ]
    assert run.messages(14, {0: UPDATE, 1: phase}) == [], "another wait begins"
    assert run.messages(16, {0: UPDATE, 1: phase}) == [f"waiting for {words}: 15 s (rank 1, step 7)"]


def test_steps_and_short_waits_are_not_told() -> None:
    run = Run()
    assert run.messages(1000, {0: UPDATE, 1: UPDATE}) == []
    for _ in range(20):
        assert run.messages(int(FIRST_SECONDS) - 1, {0: DATA, 1: UPDATE}) == []


def test_the_worker_that_waits_longest_is_named() -> None:
    run = Run()
    run.now += 40
    heard = [(beat(0, DATA, 20.0), run.now), (beat(1, VALIDATION, 2.0), run.now - 30)]
    assert str(run.waiting.look(heard)) == "waiting for validation: 32 s (rank 1, step 7)"


def test_workers_that_do_not_start_or_do_not_come_back_are_awaited() -> None:
    run = Run()
    (text,) = run.messages(20, {})
    assert text.startswith("waiting for workers")
    assert text.endswith(": 15 s")
    assert run.messages(10, {0: UPDATE}) == []
    assert len(run.messages(40, {})) == 2


def test_a_sign_of_life_that_says_a_little_less_is_not_another_wait() -> None:
    run = Run()
    assert run.messages(16, {0: DATA})
    run.now += 1
    assert run.waiting.look([(beat(0, DATA, 14.0), run.now)]) is None
    assert run.waiting.look([(beat(0, DATA, 18.0), run.now)]) is None
