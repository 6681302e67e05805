"""Order of events in an outage."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from pipelines.chaos.service_faults import mlflow_away


def test_a_run_stands_still_until_mlflow_is_back() -> None:
    happened: list[str] = []

    def note(what: str) -> Callable[..., None]:
        return lambda *step, **_: happened.append(" ".join([what, *map(str, step)]))

    worker = SimpleNamespace(suspend=note("suspend"), resume=note("resume"))
    run = SimpleNamespace(wait_for_step=note("step"), wait_for_end=note("end"))
    mlflow = SimpleNamespace(start=note("start"), stop=note("stop"))
    options = SimpleNamespace(steps=16)
    environment = SimpleNamespace(
        options=options, start=lambda _: run, workers=lambda: [worker], tracking=mlflow
    )
    mlflow_away(environment)
    assert happened == ["step 4", "stop", "step 8", "suspend", "start", "resume", "end"]
