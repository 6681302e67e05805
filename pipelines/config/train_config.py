"""The configuration of a training run: a flat, typed record that recipes fill and `field=value` overrides."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Schedule = Literal["constant", "linear"]
Precision = Literal["float32", "bf16"]

MAY_CHANGE = frozenset(
    {
        "steps",
        "workers",
        "accelerator",
        "compile",
        "cpus_per_worker",
        "data_cpus_per_task",
        "max_failures",
        "max_quarantined",
        "storage_timeout_seconds",
        "audit",
    }
)
"""What a resumed run may change: how far it goes, where it runs and what it bears."""


RENAMED = {"storage_patience_seconds": "storage_timeout_seconds"}
"""Fields by names that earlier versions wrote to run records and took on the command line."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes, and where it runs.

    Attributes:
        method: `charmnet` or `idih`. idih_domain: the domain that iDIH is trained on.
        width: channels of the first layer (the released ngf and ndf).
        precision: of the forward and backward passes; weights and losses stay in float32.
        compile: have torch.compile make kernels for the networks, which pays after a minute's wait.
        domain_statistics: running statistics of the shared batch norms kept per domain.
        sync_batch_norm: batch norms take their statistics over the global batch, not over a worker's share.
        attention_bias: of the attention heads at the start; 1 starts training near the identity.
        init: a model (URI) whose weights the run starts from.
        learning_rate: of Adam. schedule: `constant`, or `linear`: constant for half of the steps, then
            falling linearly towards 0 (the released default policy, counted in steps).
        batch_size: pairs of one global step, over all workers; a pair is one sample of each domain.
        steps: length of the run; None is 200 times the smaller domain's batches, as released.
        seed: of the weights, the order and the augmentation.
        real_select, rendered_select: which part of the data sets is trained on.
        pool_row_groups: how many row groups the shuffle mixes.
        decode: of training pictures: `exact` as released, or `fast`: large JPEGs at a reduced scale where the
            crop allows.
        validate: names of the splits of the real data set to validate on.
        validate_every, checkpoint_every, log_every: in steps; with 0 there is no validation, and
            a checkpoint at the end only.
        validate_images: at most so many of a split (0 is all of them).
        best_metric: of validation, decides which checkpoint is the best.
        keep_checkpoints: how many of the last to keep (the best is kept beside them).
        sample_rows: pictures in a sample grid; 0 is none.
        workers: how many, or MIN:MAX. accelerator: `auto` takes GPUs where the cluster has them.
        cpus_per_worker, data_cpus_per_task: CPUs that Ray sets aside; 0 is what suits the cluster.
        max_failures: how often a broken worker group is started again before the run fails.
        max_quarantined: how many samples of a domain may be replaced by others since they cannot be decoded:
            below 1 a share of them (one at least), from 1 on a number; 0 bears none.
        storage_timeout_seconds: how long a store that does not answer is waited for.
        audit: log every sample that is delivered, for `charmnet audit`.
    """

    method: Literal["charmnet", "idih"] = "charmnet"
    idih_domain: Literal["real", "rendered"] = "real"
    width: int = 64
    precision: Precision = "float32"
    compile: bool = False
    domain_statistics: bool = False
    sync_batch_norm: bool = False
    attention_bias: float = 0.0
    init: str | None = None
    learning_rate: float = 1e-4
    schedule: Schedule = "constant"
    batch_size: int = 8
    steps: int | None = None
    seed: int = 0
    real_select: str = ""
    rendered_select: str = ""
    pool_row_groups: int = 4
    decode: Literal["exact", "fast"] = "exact"
    validate: tuple[str, ...] = ()
    validate_every: int = 1000
    validate_images: int = 0
    best_metric: Literal["fmse", "mse", "psnr"] = "fmse"
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    log_every: int = 20
    sample_rows: int = 3
    workers: str = "1"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    cpus_per_worker: float = 0.0
    data_cpus_per_task: float = 0.0
    max_failures: int = 3
    max_quarantined: float = 0.01
    storage_timeout_seconds: float = 600.0
    audit: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "batch_size", "log_every", "keep_checkpoints", "pool_row_groups"):
            self._at_least(name, 1)
        for name in ("validate_every", "checkpoint_every", "validate_images", "sample_rows", "max_failures"):
            self._at_least(name, 0)
        if self.steps is not None:
            self._at_least("steps", 1)
        for name in ("cpus_per_worker", "data_cpus_per_task", "max_quarantined", "storage_timeout_seconds"):
            self._at_least(name, 0)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate={self.learning_rate}: expected a number above 0")
        if not math.isfinite(self.attention_bias):
            raise ValueError(f"attention_bias={self.attention_bias}: expected a number")
        self.worker_range  # noqa: B018 - raises where it is malformed

    def _at_least(self, name: str, least: int) -> None:
        if not getattr(self, name) >= least:
            raise ValueError(f"{name}={getattr(self, name)}: expected at least {least}")

    @property
    def worker_range(self) -> tuple[int, int]:
        """(fewest, most) workers."""
        try:
            numbers = [int(part) for part in self.workers.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or numbers[0] < 1 or numbers[-1] < numbers[0]:
            raise ValueError(f"workers={self.workers!r}: expected a number such as 2, or MIN:MAX such as 1:4")
        return numbers[0], numbers[-1]

    def to_json(self) -> dict[str, Any]:
        """The fields in values that JSON can hold."""
        return {**dataclasses.asdict(self), "validate": list(self.validate)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainConfig:
        values = {RENAMED.get(name, name): item for name, item in value.items()}
        return cls(**{**values, "validate": tuple(values["validate"])})

    def override(self, assignments: Iterable[str]) -> TrainConfig:
        """The configuration with `field=value` texts applied.

        Raises:
            ValueError: names the field that is unknown, or the value that does not fit with what would.
        """
        hints = typing.get_type_hints(TrainConfig)
        changes: dict[str, Any] = {}
        for assignment in assignments:
            name, separator, text = assignment.partition("=")
            name = RENAMED.get(name, name)
            if not separator or name not in hints:
                raise ValueError(
                    f"{assignment!r}: expected field=value with one of {', '.join(sorted(hints))}"
                )
            changes[name] = _parse(name, text, hints[name])
        return dataclasses.replace(self, **changes)

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Fields that a resumed run may not change and that differ: `name: there -> here`."""
        renamed = {RENAMED.get(name, name): value for name, value in other.items()}
        mine, theirs = self.to_json(), {**TrainConfig().to_json(), **renamed}  # fields newer than the run
        return [
            f"{name}: {theirs[name]!r} -> {mine[name]!r}"
            for name in mine
            if name not in MAY_CHANGE and theirs[name] != mine[name]
        ]


def _parse(name: str, text: str, hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):  # X | None
        if text.lower() in ("none", ""):
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if text not in choices:
            raise ValueError(f"{name}={text}: expected one of {', '.join(choices)}")
        return text
    if typing.get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name}={text}: expected true or false")
        return text.lower() == "true"
    try:
        return hint(text)
    except ValueError:
        raise ValueError(
            f"{name}={text}: expected {'a whole number' if hint is int else 'a number'}"
        ) from None
