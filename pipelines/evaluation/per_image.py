"""The figures of every image as a parquet table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evaluation.report import ImageResult

FIGURES = ("mse", "fmse", "psnr")
IMAGES = ("composite", "harmonized")

PER_IMAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("subset", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("splits", pa.list_(pa.string()), nullable=False),
        pa.field("foreground_ratio", pa.float64(), nullable=False),
        *(pa.field(f"{image}_{figure}", pa.float64()) for image in IMAGES for figure in FIGURES),
    ]
)
"""Schema of `--per-image`: one row per image; a figure that is not defined is null."""


def per_image_parquet(results: Sequence[ImageResult]) -> bytes:
    """Return a parquet file of `PER_IMAGE_SCHEMA` with a row for each result."""
    rows = [
        {
            "id": result.id,
            "domain": result.stratum.domain,
            "subset": result.stratum.subset,
            "category": result.stratum.category,
            "splits": list(result.stratum.splits),
            "foreground_ratio": result.foreground_ratio,
            **{
                f"{image}_{figure}": getattr(getattr(result, image), figure)
                for image in IMAGES
                for figure in FIGURES
            },
        }
        for result in results
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, PER_IMAGE_SCHEMA), sink)
    parquet: bytes = sink.getvalue().to_pybytes()
    return parquet
