"""Removal of secrets: complete in messages, and without harm to names, addresses and records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.runtime import redaction
from pipelines.runtime.redaction import redact, redact_structure, redact_values
from pipelines.tracking.spool import Spool

RANDOM = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ORDINARY = {
    "AWS_ACCESS_KEY_ID": "charmnet",
    "POSTGRES_PASSWORD": "training",
    "MLFLOW_TRACKING_PASSWORD": "12345678",
    "STORE_PASSWORD": "team-bucket-2026",
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ORDINARY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", RANDOM)
    monkeypatch.setattr(redaction, "_secret_names", redaction._secret_names.__wrapped__)  # of this test


def test_a_random_secret_is_removed_everywhere() -> None:
    assert redact(f"s3://bucket/{RANDOM}: refused ({RANDOM!r})") == "s3://bucket/***: refused ('***')"
    assert RANDOM not in redact_structure(json.dumps({"tag": f"x{RANDOM}y"}))


@pytest.mark.parametrize(
    "text",
    [
        "s3://team-bucket-2026/training/12345678.jpg: no such file",
        "charmnet.driver, 112345678 bytes, training-set, retraining, 12345678.5",
    ],
)
def test_names_addresses_and_numbers_stay(text: str) -> None:
    assert redact(text) == text


def test_a_password_that_is_a_word_is_removed_where_it_stands_alone() -> None:
    assert redact("login of x with 'training' or password=12345678: refused") == (
        "login of x with '***' or password=***: refused"
    )


VALUES = st.recursive(
    st.one_of(st.sampled_from(list(ORDINARY.values())), st.integers(), st.just(12345678), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from(["training", "a"]), inner)),
)


@given(VALUES)
def test_records_keep_their_structure(value: object) -> None:
    assert redact_values(value) == value or "://" in json.dumps(value)
    text = json.dumps(value)
    json.loads(redact_structure(text))


def test_a_spool_keeps_its_entries_whatever_the_passwords_are(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    entry = {"op": "metrics", "step": 12345678, "time": 1764112345678, "metrics": {"training": 12345678.0}}
    tags = {"op": "tags", "tags": {"charmnet.driver": "training", "key": RANDOM}}
    assert spool.append(entry)
    assert spool.append(tags)
    first, second = spool.read(10)
    assert first.data == entry
    assert second.data == {"op": "tags", "tags": {"charmnet.driver": "training", "key": "***"}}
    assert spool.dropped == 0
    spool.close()
