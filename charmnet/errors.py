"""Errors that a user can mend; everything else that is raised is a defect.

CharmNetError                  (exit code 1 of `charmnet`)
├── DataError                  a picture, row, list, shard or manifest
│   ├── PictureError           pipelines.shards.rows: one picture of a row
│   ├── SampleError            pipelines.ingest.decoding: a sample that cannot be decoded
│   └── CrashError             pipelines.ingest.sample_decoder: a sample that crashes the decoder
├── StorageError               a folder, bucket or server of files
│   ├── MissingError           pipelines.runtime.store_errors: a file that does not exist
│   ├── RefusedError           pipelines.runtime.store_errors: what a store refuses for good
│   └── SpoolInUseError        pipelines.tracking.spool: a spool that another process holds
├── WeightsError               a checkpoint or released weights file
├── ClusterError               a Ray cluster
├── MissingPackageError        pipelines.runtime.extras: a package of an extra that is not installed
├── TrackingRefusedError       pipelines.tracking.server: a server that will not take the records
├── NonFiniteLossError         a loss or gradient
├── ReplicasDifferError        pipelines.training.replicas: weights that are not the same on all workers
├── WaitTimeoutError           pipelines.runtime.retry: a condition that did not hold in time
├── RunHeldError               pipelines.runs.driver_lease: a run that another process drives
├── TrainingFailedError        pipelines.training.fit: workers that broke down too often
├── CommandFailedError         pipelines.study.processes: a command of a study
├── StoppedError               pipelines.study.processes: a study that was asked to stop
├── FloorError                 pipelines.benchmarks.scaling: a figure below what was asked for
├── NoViewError                pipelines.rendering.scenes: a scene that no view shows whole
└── QuickstartError            pipelines.commands.quickstart: a command of the quickstart

RequestError                   pipelines.serving.requests: a request over HTTP that is refused

A message names what was got, where, what was expected and the remedy. Options and configuration that are
wrong are a plain `ValueError` (exit code 2).
"""

from __future__ import annotations

import re


class CharmNetError(Exception):
    """Base of every error that is about the user's input or surroundings and not a defect."""


class DataError(CharmNetError):
    """A picture, row, list, shard or manifest is not what it should be."""


class StorageError(CharmNetError):
    """A place that was named cannot be read or written, or holds something else."""


class WeightsError(CharmNetError):
    """A checkpoint or released weights file does not fit the network."""


class ClusterError(CharmNetError):
    """The Ray cluster that was named cannot be joined, or Ray does not start here."""


class NonFiniteLossError(CharmNetError):
    """A loss or gradient became NaN or infinite; the message names it."""


def in_words(error: BaseException) -> str:
    """Return what an error says, in one line, for a message; where it says nothing, its kind in words."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"{text} is missing"
    return text or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
