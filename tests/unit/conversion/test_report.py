"""Terminal output about a new data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from charmnet.vocabulary import Domain
from pipelines.conversion.build import BuildResult, DatasetBuild
from pipelines.conversion.report import show_result
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import RowKind


def test_rejections_are_named_and_many_are_counted_by_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = [f"list.txt line {n}: a style label that sums to 0.{n}, expected 1" for n in range(1, 900)]
    reasons += [f"composite: missing: no file SHuman/composite_images/{n}.jpg" for n in range(50)]
    rejected = [Rejection("x", f"a.tar:ten:{n}", reason) for n, reason in enumerate(reasons)]
    manifest = Manifest(RowKind.PAIR, Container.PARQUET, Domain.REAL, (), (), {})
    show_result(DatasetBuild(Location.of(tmp_path), {}), BuildResult(manifest, rejected))
    printed = capsys.readouterr().out.splitlines()
    assert "  a.tar:ten:0: list.txt line 1: a style label that sums to 0.1, expected 1" in printed
    assert printed[-1] == (
        "  and more; the most common kinds: 899 a style label that sums to ..., 50 composite: missing"
    )
