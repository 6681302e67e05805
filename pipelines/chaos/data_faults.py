"""Scenarios in which shards and rows are damaged or gone."""

from __future__ import annotations

import os

from pipelines.chaos.checks import Expected, ScenarioRun
from pipelines.chaos.crashing_decoder import install_crashing_decoder, mark_to_crash
from pipelines.chaos.data import change_composite, flip_bytes
from pipelines.chaos.environment import Environment
from pipelines.shards.reading import Dataset

_EARLY_STEP = 2
_TOLERANT = "max_quarantined=0.9"


def shard_deleted(environment: Environment) -> ScenarioRun:
    """Delete a shard: the run must fail and name it."""
    data = environment.copy_real_data("shard-deleted")
    shard = data.manifest.shards[environment.first_real_sample(_EARLY_STEP)[0]].path
    (data.location / shard).delete()
    run = environment.start("shard-deleted", real=data)
    run.wait_for_end()
    return ScenarioRun(run, 1, Expected(ended="FAILED", log_texts=(f"{shard}: the shard is gone",)))


def bytes_flipped(environment: Environment) -> ScenarioRun:
    """Damage a row group: its samples must be quarantined."""
    data = environment.copy_real_data("bytes-flipped")
    reference = environment.first_real_sample(_EARLY_STEP)
    flip_bytes(data, reference)
    shard = data.manifest.shards[reference[0]].path
    run = environment.start("bytes-flipped", _TOLERANT, real=data)
    run.wait_for_end()
    return ScenarioRun(run, 1, _quarantines(shard, "corrupt"))


def row_truncated(environment: Environment) -> ScenarioRun:
    """Cut a picture short: its sample must be quarantined."""
    data = environment.copy_real_data("row-truncated")
    reference = environment.first_real_sample(_EARLY_STEP)
    pair = change_composite(data, reference, lambda picture: picture[: len(picture) // 2])
    run = environment.start("row-truncated", _TOLERANT, real=Dataset.open(data.location))
    run.wait_for_end()
    return ScenarioRun(run, 1, _quarantines(pair))


def picture_poisonous(environment: Environment) -> ScenarioRun:
    """Mark a picture at which the decoder crashes: its sample must be quarantined."""
    folder = environment.folder / "crashing-decoder"
    install_crashing_decoder(folder)
    data = environment.copy_real_data("picture-poisonous")
    pair = change_composite(data, environment.first_real_sample(_EARLY_STEP), mark_to_crash)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = environment.start(
        "picture-poisonous",
        _TOLERANT,
        real=Dataset.open(data.location),
        variables={"PYTHONPATH": path},
    )
    run.wait_for_end()
    return ScenarioRun(run, 1, _quarantines(pair, "ends the process"))


def _quarantines(*log_texts: str) -> Expected:
    return Expected(same_weights=False, quarantines=True, log_texts=log_texts)
