"""Keeping Ray Data's control loop from spinning.

While a training step takes longer than making its data, finished blocks wait to be taken. Ray Data's loop
then finds its tasks ready at once, takes nothing from them and looks again: most of a CPU core for each
domain, on a machine that may have two (seen with Ray 2.60). A data context takes classes whose
`on_execution_step` is called in every round of that loop, which is where this one rests, unless the round
moved something: a task's next block is taken in a round of its own, and a GPU may want hundreds a second.
"""

from __future__ import annotations

import time
from typing import Any

_ROUND_SECONDS = 0.1


class IdleThrottle:
    """Rests a moment after every round of an execution that moved no block.

    It has the methods of Ray Data's `ExecutionCallback`, for `DataContext.custom_execution_callback_classes`.
    """

    def __init__(self) -> None:
        self._moved = 0

    def before_execution_starts(self, executor: Any) -> None:
        """Nothing to prepare."""

    def on_execution_step(self, executor: Any) -> None:
        """Rests, if nothing was moved since the last call."""
        moved = sum(
            operator.metrics.num_task_outputs_generated + operator.metrics.num_outputs_taken
            for operator in executor._topology  # there is no public way to see it
        )
        if moved == self._moved:
            time.sleep(_ROUND_SECONDS)
        self._moved = moved

    def after_execution_succeeds(self, executor: Any) -> None:
        """Nothing to clear up."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Nothing to clear up."""
