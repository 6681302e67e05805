"""Retrying on storage, and waiting for a condition."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from charmnet.errors import StorageError
from pipelines.runtime.retry import WaitTimeoutError, retry_storage, wait_until
from pipelines.runtime.store_errors import MissingError, RefusedError


@pytest.mark.parametrize("error", [StorageError("503"), MissingError("gone")])
def test_an_outage_is_waited_for_and_reported_once(
    monkeypatch: pytest.MonkeyPatch, error: StorageError
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    messages: list[str] = []
    answers: Iterator[StorageError | str] = iter([error, error, "rows"])

    def read() -> str:
        answer = next(answers)
        if isinstance(answer, StorageError):
            raise answer
        return answer

    assert retry_storage(read, 60.0, messages.append) == "rows"
    assert messages == [f"waiting: {error}"]
    with pytest.raises(StorageError):
        retry_storage(lambda: (_ for _ in ()).throw(error), 0.0)


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    tries: list[int] = []

    def refuse() -> None:
        tries.append(1)
        raise RefusedError("s3://bucket/x: access refused")

    with pytest.raises(RefusedError):
        retry_storage(refuse, 60.0)
    assert len(tries) == 1


def test_waiting_returns_the_first_result_that_is_true() -> None:
    results = iter([[], [], ["a worker"]])
    assert wait_until(lambda: next(results), 60, "no worker trains", poll_seconds=0) == ["a worker"]


def test_waiting_ends_with_its_message_and_calls_the_condition_at_least_once() -> None:
    calls: list[int] = []
    with pytest.raises(WaitTimeoutError, match=r"^no worker trains \(waited 0 s\)$"):
        wait_until(lambda: calls.append(1), 0, "no worker trains", poll_seconds=0)
    assert calls
    with pytest.raises(WaitTimeoutError, match=r"^the run hangs at step 7 \(waited 0 s\)$"):
        wait_until(lambda: False, 0, lambda: f"the run hangs at step {7}", poll_seconds=0)


def test_only_the_named_errors_are_waited_out() -> None:
    def refused() -> bool:
        raise ConnectionError("refused")

    with pytest.raises(WaitTimeoutError, match=r"no answer \(waited 0 s\): refused"):
        wait_until(refused, 0, "no answer", poll_seconds=0, retry_on=(OSError,))
    with pytest.raises(ConnectionError):
        wait_until(refused, 60, "no answer", retry_on=(RuntimeError,))
