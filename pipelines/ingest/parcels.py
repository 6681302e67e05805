"""What travels through Ray Data: the samples of one lane for a few steps, as one row of an Arrow table.

A block costs Ray the same few milliseconds whatever is in it, so several steps travel as one. A row of raw
bytes passes through as it is made: Ray Data cuts between rows, and neither converts nor joins arrays.
"""

from __future__ import annotations

_PARCEL_SAMPLES = 64  # over all lanes: a task holds as many decoded ones


def steps_of_parcel(batch_size: int) -> int:
    """How many steps travel together, but at the end of a window."""
    return max(1, _PARCEL_SAMPLES // batch_size)
