"""Shards and rows that are not what they were."""

from __future__ import annotations

import os

from pipelines.chaos.data import change_composite, flip_bytes
from pipelines.chaos.lab import Lab
from pipelines.chaos.poison import deadly_decoder, poisoned
from pipelines.chaos.verdict import Played, Wanted
from pipelines.shards.reading import Dataset

_EARLY_STEP = 2
_BEARS = "max_quarantined=0.9"


def shard_deleted(lab: Lab) -> Played:
    """The run cannot go on, and says what it lacks."""
    data = lab.damaged("shard-deleted")
    shard = data.manifest.shards[lab.delivered_at(_EARLY_STEP)[0]].path
    (data.location / shard).delete()
    run = lab.start("shard-deleted", real=data)
    run.wait_for_end()
    return Played(run, 1, Wanted(succeeds=False, names=(f"{shard}: the shard is gone",)))


def bytes_flipped(lab: Lab) -> Played:
    """The samples of a row group cannot be read."""
    data = lab.damaged("bytes-flipped")
    damaged = lab.delivered_at(_EARLY_STEP)
    flip_bytes(data, damaged)
    shard = data.manifest.shards[damaged[0]].path
    run = lab.start("bytes-flipped", _BEARS, real=data)
    run.wait_for_end()
    return Played(run, 1, Wanted(same_weights=False, quarantines=True, names=(shard, "corrupt")))


def row_truncated(lab: Lab) -> Played:
    """A picture that was cut short."""
    data = lab.damaged("row-truncated")
    name = change_composite(data, lab.delivered_at(_EARLY_STEP), lambda picture: picture[: len(picture) // 2])
    run = lab.start("row-truncated", _BEARS, real=Dataset.open(data.location))
    run.wait_for_end()
    return Played(run, 1, Wanted(same_weights=False, quarantines=True, names=(name,)))


def picture_poisonous(lab: Lab) -> Played:
    """A picture at which the decoder ends its process."""
    hook = lab.folder / "deadly-decoder"
    deadly_decoder(hook)
    data = lab.damaged("picture-poisonous")
    name = change_composite(data, lab.delivered_at(_EARLY_STEP), poisoned)
    run = lab.start(
        "picture-poisonous",
        _BEARS,
        real=Dataset.open(data.location),
        variables={"PYTHONPATH": os.pathsep.join([str(hook), *filter(None, [os.environ.get("PYTHONPATH")])])},
    )
    run.wait_for_end()
    return Played(run, 1, Wanted(same_weights=False, quarantines=True, names=(name, "ends the process")))
