"""Steps of a run that are traced."""

from __future__ import annotations

import re

MAX_PROFILED = 100
"""Steps that are traced at most: a trace is kept in memory, some megabytes a step."""


def profiled_steps(text: str) -> tuple[int, int] | None:
    """Return the first and the last step that `profile` names; None where it names none.

    Raises:
        ValueError: it is not of that form.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 < first <= last < first + MAX_PROFILED:
        raise ValueError(
            "expected a step such as 10, or the first and the last such as 10:15, at most "
            f"{MAX_PROFILED} steps"
        )
    return first, last
