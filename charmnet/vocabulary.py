"""Terms of the field that all packages share: domains, capture conditions, categories."""

from enum import IntEnum, StrEnum


class Domain(StrEnum):
    """Origin of a composite: photographs (iHarmony4) or a renderer (RdHarmony)."""

    REAL = "real"
    RENDERED = "rendered"


class CaptureCondition(IntEnum):
    """The ten conditions a 3D scene is rendered under; the class that the style classifiers predict.

    The order is the project's own (the released files number them 1-10 without naming them): times of day
    by weather, then night.
    """

    SUNRISE_SUNSET_CLEAR = 0
    SUNRISE_SUNSET_PARTLY_CLOUDY = 1
    SUNRISE_SUNSET_CLOUDY = 2
    NOON_CLEAR = 3
    NOON_PARTLY_CLOUDY = 4
    NOON_CLOUDY = 5
    OTHER_TIMES_CLEAR = 6
    OTHER_TIMES_PARTLY_CLOUDY = 7
    OTHER_TIMES_CLOUDY = 8
    NIGHT = 9


NUM_CONDITIONS = len(CaptureCondition)

RDHARMONY_CATEGORIES = (
    "human", "bottle", "cake", "motorcycle", "cow", "couch", "apple", "car", "chair", "dog", "knife",
)  # fmt: skip
"""The foreground categories of RdHarmony, as on the paper's poster."""
