"""A pause in Ray Data's control loop while there is nothing to do.

While a training step takes longer than making its data, finished blocks wait to be taken. Ray Data's loop
then finds its tasks ready at once, takes nothing from them and looks again: this costs most of a CPU core for
each domain, on a machine that may have two (seen with Ray 2.60). A data context takes classes whose
`on_execution_step` is called in every round of that loop; `IdleThrottle` sleeps there, unless the round moved
a block: each block is taken in a round of its own, and a GPU may need hundreds of them a second.
"""

from __future__ import annotations

import time
from typing import Any

_ROUND_SECONDS = 0.1


class IdleThrottle:
    """Sleeps after every round of an execution that moved no block.

    Has the methods of Ray Data's `ExecutionCallback`, for `DataContext.custom_execution_callback_classes`.
    """

    def __init__(self) -> None:
        self._moved = 0

    def before_execution_starts(self, executor: Any) -> None:
        """Prepare nothing."""

    def on_execution_step(self, executor: Any) -> None:
        """Sleep if no block was moved since the last call."""
        moved = sum(
            operator.metrics.num_task_outputs_generated + operator.metrics.num_outputs_taken
            for operator in executor._topology  # noqa: SLF001 - has no public counterpart
        )
        if moved == self._moved:
            time.sleep(_ROUND_SECONDS)
        self._moved = moved

    def after_execution_succeeds(self, executor: Any) -> None:
        """Clean up nothing."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Clean up nothing."""
