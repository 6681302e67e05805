"""Learning rates over a run, as functions of the step alone, so that a resumed run goes on along them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.config.train_config import Schedule, TrainConfig


@dataclass(frozen=True)
class LearningRateSchedule:
    """Factor of the learning rate by step; all lengths in steps.

    Attributes:
        kind: see `TrainConfig.schedule`.
        steps: length of the run.
        constant_steps: of `linear`, how long the factor is 1.
        decay_steps: of `linear`, how long it falls to 0.
        milestones: of `milestones`, when it is multiplied, ascending.
        milestone_factor: of `milestones`, what it is multiplied with.
        warmup_steps: of `cosine`, how long it rises.
    """

    kind: Schedule
    steps: int
    constant_steps: int = 0
    decay_steps: int = 0
    milestones: tuple[int, ...] = ()
    milestone_factor: float = 0.1
    warmup_steps: int = 0

    @classmethod
    def of(cls, config: TrainConfig, steps: int, epoch_steps: float) -> LearningRateSchedule:
        """Return the schedule of a configuration.

        Args:
            config: configuration of the run.
            steps: length of the run.
            epoch_steps: steps of an epoch of the smaller data set.

        Raises:
            ValueError: milestones do not ascend.
        """
        constant = _in_steps(config.constant_for, epoch_steps, default=steps // 2)
        milestones = tuple(_in_steps(duration, epoch_steps) for duration in config.milestones)
        if list(milestones) != sorted(milestones):
            raise ValueError(f"milestones={','.join(config.milestones)}: expected them in ascending order")
        return cls(
            config.schedule,
            steps,
            constant_steps=constant,
            decay_steps=_in_steps(config.decay_for, epoch_steps, default=max(0, steps - constant)),
            milestones=milestones,
            milestone_factor=config.milestone_factor,
            warmup_steps=_in_steps(config.warmup, epoch_steps),
        )

    def factor(self, step: int) -> float:
        """Return the factor of the update that follows `step` finished ones.

        `linear` is the released default policy with steps in place of epochs: the step after the last would
        reach 0.
        """
        if self.kind == "linear":
            return max(0.0, 1.0 - max(0, step + 1 - self.constant_steps) / (self.decay_steps + 1))
        if self.kind == "milestones":
            return self.milestone_factor ** sum(step >= milestone for milestone in self.milestones)
        if self.kind == "cosine":
            if step < self.warmup_steps:
                return (step + 1) / (self.warmup_steps + 1)
            progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
            return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return 1.0


def _in_steps(duration: str | None, epoch_steps: float, default: int = 0) -> int:
    if duration is None:
        return default
    number, _, unit = duration.partition(" ")
    return round(float(number) * epoch_steps) if unit else int(number)
