"""The figures of every image as a parquet table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evaluation.report import ImageResult

FIGURES = ("mse", "fmse", "psnr")
IMAGES = ("composite", "harmonized")

_LABELS = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("photograph", pa.string(), nullable=False),
    pa.field("domain", pa.string(), nullable=False),
    pa.field("subset", pa.string(), nullable=False),
    pa.field("category", pa.string()),
    pa.field("splits", pa.list_(pa.string()), nullable=False),
    pa.field("foreground_ratio", pa.float64(), nullable=False),
]


def per_image_parquet(results: Sequence[ImageResult]) -> bytes:
    """Return a parquet file with a row for each result; a figure that is not defined is null.

    Columns are id, photograph, domain, subset, category, splits, foreground_ratio and
    `{composite,harmonized}_{mse,fmse,psnr,ssim}`; and `<trick>_{mse,fmse,psnr}` where tricks were scored.
    """
    tricks = results[0].tricks if results else {}
    columns = [
        *((image, figure) for image in IMAGES for figure in (*FIGURES, "ssim")),
        *((trick, figure) for trick in tricks for figure in FIGURES),
    ]
    schema = pa.schema([*_LABELS, *(pa.field(f"{who}_{figure}", pa.float64()) for who, figure in columns)])
    rows = [
        {
            "id": result.id,
            "photograph": result.photograph,
            "domain": result.stratum.domain,
            "subset": result.stratum.subset,
            "category": result.stratum.category,
            "splits": list(result.stratum.splits),
            "foreground_ratio": result.foreground_ratio,
            **{f"{who}_{figure}": getattr(result.errors[who], figure) for who, figure in columns},
        }
        for result in results
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink)
    parquet: bytes = sink.getvalue().to_pybytes()
    return parquet
