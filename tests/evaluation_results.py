"""Figures of made-up images."""

from __future__ import annotations

from charmnet.metrics import ImageErrors
from charmnet.vocabulary import Domain
from pipelines.evaluation.report import ImageResult
from pipelines.shards.stratum import Stratum

REAL = Stratum(Domain.REAL, "HCOCO", "car", ("IHD_test", "IHD_nonhuman_test"))
RENDERED = Stratum(Domain.RENDERED, "SHuman", "human", ())


def result(mse: float, stratum: Stratum = REAL, ratio: float = 0.1, fmse: float | None = 1.0) -> ImageResult:
    """Return an image's figures: twice the MSE for the composite, the same fMSE for both."""
    errors = ImageErrors(2 * mse, fmse, 20.0), ImageErrors(mse, fmse, None)
    return ImageResult("x", "x", stratum, ratio, *errors)
