import pytest

from pipelines.training.startup_timer import FIRST_STEP, PHASES, StartupTimer, parse


def test_a_line_says_where_the_start_went(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(100, 200, 2))
    monkeypatch.setattr("time.time", lambda: float(next(times)))
    clock = StartupTimer(started=99.0)
    for phase in (*PHASES, FIRST_STEP):
        clock.mark(phase)
    text = clock.text()
    assert text.startswith("first step after 17.00 s: imports 1.00 s, data sets 2.00 s, ")
    seconds = parse(text)
    assert seconds is not None
    assert tuple(seconds) == PHASES
    assert sum(seconds.values()) == pytest.approx(17)
    assert parse("step 20/40  loss 4.1  5.2 pairs/s") is None
