"""Learning rates over a run."""

from pipelines.config.train_config import Schedule


def learning_rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate of the update that follows `step` finished ones is multiplied with.

    `linear` is the released default policy with steps in place of epochs: 1 for the first half, then falling
    in equal amounts towards 0, which the step after the last would reach.
    """
    if schedule == "constant":
        return 1.0
    constant = steps // 2
    return 1.0 - max(0, step + 1 - constant) / (steps - constant + 1)
