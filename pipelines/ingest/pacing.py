"""Keeping Ray Data's control loop from spinning.

While a training step takes longer than making its data, finished blocks wait to be taken. Ray Data's loop
then finds its tasks ready at once, takes nothing from them and looks again: most of a CPU core for each
domain, on a machine that may have two (seen with Ray 2.60). A data context takes classes whose
`on_execution_step` is called in every round of that loop, which is where this one rests.
"""

from __future__ import annotations

import time
from typing import Any

_ROUND_SECONDS = 0.05


class Pacer:
    """Rests a moment in every round of an execution; a round moves all blocks that are ready.

    It has the methods of Ray Data's `ExecutionCallback`, for `DataContext.custom_execution_callback_classes`.
    """

    def before_execution_starts(self, executor: Any) -> None:
        """Nothing to prepare."""

    def on_execution_step(self, executor: Any) -> None:
        """Rests."""
        time.sleep(_ROUND_SECONDS)

    def after_execution_succeeds(self, executor: Any) -> None:
        """Nothing to clear up."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Nothing to clear up."""
