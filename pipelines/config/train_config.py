"""Configuration of a training run: a typed record that recipes fill and `field=value` overrides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from charmnet.color_jitter import MAX_JITTER
from charmnet.methods import MethodOptions, method_class
from charmnet.methods.charmnet_options import CharmNetOptions
from charmnet.options import Flag, Options
from pipelines.config.profiled import profiled_steps

RENAMED = {
    "storage_patience_seconds": "storage_timeout_seconds",
    "idih_domain": "method.domain",
    "validate": "validate_splits",
}
"""Present names by those that earlier versions wrote to run records and took on the command line."""

MAY_CHANGE = frozenset(
    {
        "steps",
        "epochs",
        "workers",
        "accelerator",
        "compile",
        "cpus_per_worker",
        "data_cpus_per_task",
        "data_resources",
        "max_failures",
        "max_quarantined",
        "storage_timeout_seconds",
        "audit",
        "profile",
    }
)
"""Fields that a resumed run may change: how far it goes, where it runs, and its failure limits."""

_DURATION = re.compile(r"\d+( epochs?)?|\d+(\.\d+)? epochs?")


def _check_duration(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and not _DURATION.fullmatch(value):
        raise ValueError("expected a number of steps such as 2000, or of epochs such as '20 epochs'")
    return value


Duration = Annotated[str, BeforeValidator(_check_duration)]
"""A length of training: a number of steps, or of epochs of the smaller data set (`20 epochs`)."""

Schedule = Literal["constant", "linear", "milestones", "cosine"]


class TrainConfig(Options):
    """Everything that decides what a run computes, and where it runs.

    Options of the method may be given beside the run's own fields: `TrainConfig(width=32)` is
    `TrainConfig(method={"name": "charmnet", "width": 32})`.
    """

    method: SerializeAsAny[MethodOptions] = Field(default_factory=CharmNetOptions)
    """Method that is trained, and its options (`method.width=32`, or `width=32`)."""

    if TYPE_CHECKING:  # options of the method may be given, too

        def __init__(self, **values: Any) -> None: ...

    seed: int = 0
    """Seed of the weights, the order of the samples, their augmentation and what an update draws."""
    steps: int | None = Field(None, ge=1)
    """Length of the run in steps; none is that of `epochs`."""
    epochs: int = Field(200, ge=1)
    """Length of the run in epochs of the smaller data set, where there is none in steps (released: 200)."""
    batch_size: int = Field(8, ge=1)
    """Pairs of one global step, over all workers; a pair is one sample of each domain."""
    gradient_accumulation: int = Field(1, ge=1)
    """Backward passes of an update, among which a worker's samples are divided to save memory."""
    max_gradient_norm: float = Field(0.0, ge=0)
    """L2 norm that the gradients of each optimizer are scaled down to; 0 leaves them as they are."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of the weights' moving average per step, such as 0.999; 0 keeps none.

    Where there is one, validation, the best model and everything that loads a model use the average.
    """
    init: str | None = None
    """URI of a model whose weights the run starts from."""

    schedule: Schedule = "constant"
    """Learning rate over the run: constant; linear: constant, then falling in equal amounts to 0; milestones:
    times a factor at each milestone; cosine: rising in the warm-up, then falling to 0 along a cosine."""
    constant_for: Duration | None = None
    """Of linear, how long the rate is constant, in steps or epochs; none is half of the run."""
    decay_for: Duration | None = None
    """Of linear, how long the rate falls, in steps or epochs; none is the rest of the run."""
    milestones: tuple[Duration, ...] = ()
    """Of milestones, when the rate is multiplied, in steps or epochs from the start, ascending."""
    milestone_factor: float = Field(0.1, gt=0)
    """Of milestones, what the rate is multiplied with at each."""
    warmup: Duration | None = None
    """Of cosine, how long the rate rises, in steps or epochs; none is not at all."""

    real_select: str = ""
    """Part of the real data set that is trained on, such as "split == 'IHD_train'"; empty is all of it."""
    rendered_select: str = ""
    """Part of the rendered data set that is trained on; empty is all of it."""
    real_limit: int = Field(0, ge=0)
    """Samples of the real selection that are trained on, the first by hash; 0 is all."""
    rendered_limit: int = Field(0, ge=0)
    """Samples of the rendered selection that are trained on, the first by hash; 0 is all."""
    color_jitter: float = Field(0.0, ge=0, le=MAX_JITTER)
    """Random exposure, gamma, white balance and saturation of real photographs, composite and ground truth
    alike: 0 is none, 0.5 moderate, 1 strong."""
    pool_row_groups: int = Field(4, ge=1)
    """Row groups that a shuffle pool mixes."""
    decode: Literal["exact", "fast"] = "exact"
    """Decoding of training pictures: exact as released; fast reads large JPEGs at a reduced scale where the
    crop allows it."""

    validate_splits: tuple[str, ...] = ()
    """Splits of the real data set to validate on (of a translator: of its source domain's)."""
    validate_every: int = Field(1000, ge=0)
    """Steps between validations; 0 is none."""
    validate_images: int = Field(0, ge=0)
    """Images of each split that are validated on at most; 0 is all."""
    best_metric: Literal["fmse", "mse", "psnr"] = "fmse"
    """Metric of validation by which a checkpoint is the best; translators are judged by `color_distance`."""
    checkpoint_every: int = Field(1000, ge=0)
    """Steps between checkpoints; 0 is one at the end only."""
    keep_checkpoints: int = Field(3, ge=1)
    """Last checkpoints that are kept; the best is kept beside them."""
    log_every: int = Field(20, ge=1)
    """Steps that a logged mean is over."""
    sample_rows: int = Field(3, ge=0)
    """Pictures in a sample grid; 0 logs none."""

    workers: str = "1"
    """Number of training workers, or MIN:MAX for a group that grows and shrinks with the cluster."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Processor of the workers; auto takes GPUs where the cluster has them."""
    compile: Flag = False
    """Have torch.compile make kernels for the networks, which pays after a minute's wait."""
    sync_batch_norm: Flag = False
    """Take batch norms' statistics over the global batch, not over a worker's samples."""
    cpus_per_worker: float = Field(0.0, ge=0)
    """CPUs that Ray sets aside for a worker; 0 is a number that suits the cluster."""
    data_cpus_per_task: float = Field(0.0, ge=0)
    """CPUs that Ray sets aside for a data task; 0 is a number that suits the cluster."""
    data_resources: str = ""
    """Nodes that data tasks run on: NAME=NUMBER takes so much of a node's resource for each task, NAME=TEXT
    asks for a node's label; several with commas. Empty is any node."""
    max_failures: int = Field(3, ge=0)
    """Restarts of a broken worker group before the run fails."""
    max_quarantined: float = Field(0.01, ge=0)
    """Samples of a domain that may be replaced since they cannot be decoded: below 1 a share of them (one at
    least), from 1 on a number; 0 allows none."""
    storage_timeout_seconds: float = Field(600.0, ge=0)
    """Seconds that a store which does not answer is waited for."""
    audit: Flag = False
    """Log every sample that is delivered, for `charmnet audit`."""
    profile: str = ""
    """Steps that the first worker traces, the first and the last such as 10:15, or one; empty is none."""

    @model_validator(mode="before")
    @classmethod
    def _gather_method(cls, values: Any) -> Any:
        """Move options of the method that stand beside the run's fields into `method`."""
        values = {RENAMED.get(name, name): value for name, value in values.items()}
        method = values.pop("method", "charmnet")
        if isinstance(method, MethodOptions):
            method = {**method.explicit(), "name": method.name}
        elif isinstance(method, str):
            method = {"name": method}
        fields = method_class(str(method.get("name"))).Options.model_fields
        options = fields.keys() - cls.model_fields
        beside = [name for name in values if name.removeprefix("method.") in options]
        method |= {name.removeprefix("method."): values.pop(name) for name in beside}
        return {**values, "method": method}

    @field_validator("method", mode="before")
    @classmethod
    def _build_method(cls, value: Any) -> MethodOptions:
        return method_class(value["name"]).Options(**value)

    @field_validator("workers")
    @classmethod
    def _check_workers(cls, value: str) -> str:
        _worker_range(value)
        return value

    @field_validator("data_resources")
    @classmethod
    def _check_data_resources(cls, value: str) -> str:
        data_requirements(value)
        return value

    @field_validator("profile")
    @classmethod
    def _check_profile(cls, value: str) -> str:
        profiled_steps(value)
        return value

    @property
    def worker_range(self) -> tuple[int, int]:
        """(fewest, most) workers."""
        return _worker_range(self.workers)

    def to_json(self) -> dict[str, Any]:
        """Return all fields in values that JSON can hold."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Return the configuration of a run's record, also of one that an earlier version wrote.

        Raises:
            ValueError: it is not a configuration; names the field.
        """
        if isinstance(values.get("method"), str):  # options of all methods stood beside the run's fields
            known = {*cls.model_fields, *method_class(values["method"]).Options.model_fields}
            names = {name: RENAMED.get(name, name).removeprefix("method.") for name in values}
            values = {name: value for name, value in values.items() if names[name] in known}
        return cls(**values)

    def override(self, assignments: Iterable[str]) -> TrainConfig:
        """Return the configuration with `field=value` texts applied.

        Where `method=NAME` chooses another method, options that were set and that it has, too, are kept.

        Raises:
            ValueError: names the field that is unknown, or the value that does not fit with what would.
        """
        split = [_split(assignment) for assignment in assignments]
        names = [text for name, text in split if name in ("method", "method.name")]
        options = method_class(names[-1] if names else self.method.name).Options
        kept = {name: value for name, value in self.method.explicit().items() if name in options.model_fields}
        method: dict[str, Any] = {**kept, "name": options.model_fields["name"].default}
        changes: dict[str, Any] = {}
        for name, text in split:
            option = name.removeprefix("method.")
            if name in ("method", "method.name"):
                continue
            if name in type(self).model_fields:
                changes[name] = self.value_from_text(name, text)
            elif option in options.model_fields:
                method[option] = options.value_from_text(option, text)
            else:
                fields = sorted({*type(self).model_fields, *options.model_fields})
                raise ValueError(f"'{name}={text}': expected field=value with one of {', '.join(fields)}")
        return self.replaced(**changes, method=method)

    def assignments(self, base: TrainConfig) -> list[str]:
        """Return the `field=value` texts that make this configuration from another of the same method."""
        own = flat(self.to_json())
        other = flat(base.to_json())
        return [f"{name}={_text(value)}" for name, value in own.items() if value != other[name]]

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return the fields that a resumed run may not change and that differ: `name: there -> here`.

        Args:
            other: configuration of the run's record.
        """
        own = flat(self.to_json())
        recorded = flat(type(self).from_json(other).to_json())  # with defaults of fields newer than the run
        return [
            f"{name}: {recorded.get(name)!r} -> {own.get(name)!r}"
            for name in own | recorded
            if name not in MAY_CHANGE and recorded.get(name) != own.get(name)
        ]


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's JSON with the method's options beside the run's fields, `method` its name."""
    options = dict(values["method"])
    return {"method": options.pop("name"), **options, **{k: v for k, v in values.items() if k != "method"}}


def _split(assignment: str) -> tuple[str, str]:
    name, separator, text = assignment.partition("=")
    if not separator:
        raise ValueError(f"{assignment!r}: expected field=value, such as steps=400")
    return RENAMED.get(name, name), text


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _worker_range(text: str) -> tuple[int, int]:
    try:
        numbers = [int(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or numbers[0] < 1 or numbers[-1] < numbers[0]:
        raise ValueError("expected a number such as 2, or MIN:MAX such as 1:4")
    return numbers[0], numbers[-1]


def data_requirements(text: str) -> tuple[dict[str, float], dict[str, str]]:
    """Return (amounts of resources, labels) that `data_resources` asks of a node for each data task.

    Raises:
        ValueError: it is not of that form.
    """
    amounts: dict[str, float] = {}
    labels: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, separator, value = (word.strip() for word in part.partition("="))
        if not (separator and name and value) or name in ("CPU", "GPU") or not re.match(r"[\w.-]", value):
            raise ValueError(
                "expected NAME=NUMBER of a custom resource or NAME=TEXT of a label, such as decode=0.01 or "
                "pool=decode; CPUs are data_cpus_per_task"
            )
        if re.fullmatch(r"\d*\.?\d+", value):
            amounts[name] = float(value)
        else:
            labels[name] = value
    if not all(amount > 0 for amount in amounts.values()):
        raise ValueError("expected amounts above 0")
    return amounts, labels
