"""The composites that the quickstart's sheet shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.codecs import decode_mask, decode_rgb
from pipelines.commands.quickstart_examples import EXAMPLES, write_examples
from pipelines.runtime.storage import Location
from tests.synthetic_datasets import colors_of_rows, photograph_rows, write_dataset


def test_examples_are_of_the_evaluated_composites_and_no_other_row_is_decoded(tmp_path: Path) -> None:
    rows = photograph_rows(10)
    broken = [{**row, "photograph": row["photograph"][: len(row["photograph"]) // 2]} for row in rows[:-1]]
    folder = Location.of(tmp_path / "data")
    data = write_dataset(folder, [*broken, rows[-1]], 4)
    replace(data.manifest, colors=colors_of_rows(rows).write(folder, 2)).save(folder)
    evaluated = [f"{name}:{variant}" for name in rows[-1]["foreground_ids"] for variant in (1, 2)]
    pq.write_table(pa.table({"id": evaluated}), tmp_path / "per-image.parquet")
    examples = write_examples(
        str(folder), "split == 'test'", tmp_path / "per-image.parquet", tmp_path / "examples"
    )
    assert len(examples.composites) == len(evaluated) < EXAMPLES
    truth = decode_rgb(rows[-1]["photograph"])
    for path in examples.composites:
        composite = decode_rgb(path.read_bytes())
        mask = decode_mask((examples.inputs / f"{path.stem}.mask.png").read_bytes())
        assert np.array_equal(decode_rgb((examples.ground_truths / path.name).read_bytes()), truth)
        assert np.array_equal(composite[mask == 0], truth[mask == 0])
        assert not np.array_equal(composite, truth)
    modified = examples.composites[0].stat().st_mtime_ns
    write_examples(str(folder), "split == 'test'", tmp_path / "none.parquet", tmp_path / "examples")
    assert examples.composites[0].stat().st_mtime_ns == modified  # written once
