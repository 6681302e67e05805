"""Samples that cannot be decoded: a record of each, how many are tolerated, and which crash the decoder.

A sample that cannot be decoded is replaced by one that the plan determines (`EpochPlan.substitutes`). A
picture that kills the decoding process leaves no error behind: Ray starts its window of steps again. So every
task reports when it begins a window and when it has ended it, and in a window that is begun a second time
each sample is first decoded in a separate process.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

MAX_WINDOW_STARTS = 6
"""Starts of one window of an execution; what kills its task after so many is no picture."""

_NAMED = 5


@dataclass(frozen=True)
class Quarantined:
    """A sample that was replaced by another since it cannot be decoded.

    Attributes:
        shard: path within the data set.
        row_group: number within the shard.
        offset: index among the selected samples of the row group.
        id: the sample's, or `SHARD#ROW_GROUP:OFFSET` where it cannot be read.
        epoch: epoch of the domain, counted from 0.
        step: training step, counted from 1.
        tries: number of substitutes that were tried; the last one took its place.
        fingerprint: digest of its pictures where they crash the decoder, else empty.
    """

    domain: str
    shard: str
    row_group: int
    offset: int
    id: str
    reason: str
    epoch: int
    step: int
    tries: int
    fingerprint: str = ""

    @property
    def location(self) -> tuple[str, str, int, int]:
        """(domain, shard, row group, offset), which names the sample."""
        return self.domain, self.shard, self.row_group, self.offset

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Quarantined:
        """Return the record that `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class WindowLease:
    """How a data task is to read a window that it begins.

    Attributes:
        isolate_decoding: decode each sample in a separate process first.
        known_crashes: reasons by fingerprint of pictures that end the decoding process.
        refusal: reason why it must not be begun again, if there is one.
    """

    isolate_decoding: bool = False
    known_crashes: Mapping[str, str] | None = None
    refusal: str | None = None


class QuarantineRegistry:
    """The samples of a run that cannot be decoded, and the windows that its data tasks are reading.

    Args:
        limits: how many samples may be quarantined, by domain.
        known: samples that earlier attempts of the run quarantined.
    """

    def __init__(self, limits: Mapping[str, int], known: Iterable[Quarantined] = ()) -> None:
        self._limits = dict(limits)
        self._entries: dict[tuple[str, str, int, int], Quarantined] = {}
        self._known_crashes: dict[str, str] = {}
        self._starts: Counter[tuple[str, int]] = Counter()
        for entry in self.add(known):
            if entry.fingerprint:
                self._known_crashes[entry.fingerprint] = entry.reason

    def begin_window(self, execution: str, domain: str, start_step: int) -> WindowLease:
        """Count the start of a window and say how it is to be read.

        Args:
            execution: id of the Ray Data execution that the task belongs to.
            start_step: first step of the window, counted from 0.
        """
        self._starts[execution, start_step] += 1
        starts = self._starts[execution, start_step]
        if starts > MAX_WINDOW_STARTS:
            refusal = (
                f"the tasks that make the {domain} samples from step {start_step + 1} on died {starts - 1} "
                "times, and no picture alone is to blame; see Ray's logs of them, and their memory"
            )
            return WindowLease(refusal=refusal)
        return WindowLease(starts > 1, dict(self._known_crashes))

    def end_window(self, execution: str, start_step: int) -> None:
        """Forget a window's starts once all of it is handed over.

        It may be begun again because blocks were lost with a node, which makes no picture suspect.
        """
        self._starts.pop((execution, start_step), None)

    def add_crash(self, fingerprint: str, reason: str) -> None:
        """Record pictures that end the process that decodes them."""
        self._known_crashes[fingerprint] = reason

    def add(self, entries: Iterable[Quarantined]) -> list[Quarantined]:
        """Record samples that were replaced; return those that were not known yet."""
        new = {entry.location: entry for entry in entries if entry.location not in self._entries}
        self._entries |= new
        return list(new.values())

    def counts(self) -> dict[str, int]:
        """Return the number of different quarantined samples by domain."""
        counts = Counter(entry.domain for entry in self._entries.values())
        return {domain: counts[domain] for domain in self._limits}

    def entries(self) -> list[Quarantined]:
        """Return all quarantined samples, in the order in which they were reported."""
        return list(self._entries.values())

    def problem(self) -> str | None:
        """Return a message where a domain has more samples in quarantine than it may; None where none has."""
        for domain, count in self.counts().items():
            if count > self._limits[domain]:
                return self._past_limit(domain, count)
        return None

    def _past_limit(self, domain: str, count: int) -> str:
        entries = [entry for entry in self._entries.values() if entry.domain == domain]
        named = "; ".join(f"{entry.id} ({entry.reason})" for entry in entries[:_NAMED])
        return (
            f"{count} samples of the {domain} domain cannot be decoded, --max-quarantined allows "
            f"{self._limits[domain]}: {named}{'; ...' if count > _NAMED else ''}. Mend the data set "
            "(`charmnet inspect --verify` finds all) or raise the limit and resume"
        )


def quarantine_limit(max_quarantined: float, num_samples: int) -> int:
    """Return how many samples of a domain may be quarantined.

    Args:
        max_quarantined: below 1 a share of the domain's samples (one at least, 0 is none), else a number.
    """
    if max_quarantined >= 1:
        return int(max_quarantined)
    return max(1, int(max_quarantined * num_samples)) if max_quarantined > 0 else 0
