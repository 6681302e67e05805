"""The figures of every image as a parquet table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evaluation.report import ImageResult

_FIGURES = ("mse", "fmse", "psnr")


_WHOSE = ("composite", "harmonized")


PER_IMAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("subset", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("splits", pa.list_(pa.string()), nullable=False),
        pa.field("foreground_ratio", pa.float64(), nullable=False),
        *(pa.field(f"{whose}_{figure}", pa.float64()) for whose in _WHOSE for figure in _FIGURES),
    ]
)
"""Of `--per-image`: one row an image; a figure that is not defined is null."""


def _parquet(results: Sequence[ImageResult]) -> pa.Buffer:
    rows = [
        {
            "id": result.id,
            "domain": result.stratum.domain,
            "subset": result.stratum.subset,
            "category": result.stratum.category,
            "splits": list(result.stratum.splits),
            "foreground_ratio": result.foreground_ratio,
            **{
                f"{whose}_{figure}": getattr(getattr(result, whose), figure)
                for whose in _WHOSE
                for figure in _FIGURES
            },
        }
        for result in results
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, PER_IMAGE_SCHEMA), sink)
    return sink.getvalue().to_pybytes()
