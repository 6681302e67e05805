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

MOST_STARTS = 6
"""So often a window of one execution is begun: what kills its task is then no picture."""

_NAMED = 5


@dataclass(frozen=True)
class Quarantined:
    """One sample that another stood for.

    Attributes:
        shard, row_group, offset: where it is: path, number in it, place among the selected samples.
        id: the sample's, or `SHARD#ROW_GROUP:OFFSET` where it cannot be read.
        epoch, step: of its delivery; the step is counted from 1.
        tries: how many stand-ins were tried; the last is the one that was delivered.
        fingerprint: of its pictures where they crash the decoder, else empty.
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
    def place(self) -> tuple[str, str, int, int]:
        return self.domain, self.shard, self.row_group, self.offset

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Quarantined:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class WindowLease:
    """What a task is told when it begins a window.

    Attributes:
        isolate_decoding: decode each sample in a separate process first.
        known_crashes: reasons by fingerprint of pictures that end the decoding process.
        refusal: why it must not be begun again, if so.
    """

    isolate_decoding: bool = False
    known_crashes: Mapping[str, str] | None = None
    refusal: str | None = None


class Ledger:
    """What a run knows of its samples that cannot be delivered; its actor outlives worker groups.

    Args:
        limits: how many samples may be quarantined, by domain.
        known: those of the run's earlier history.
    """

    def __init__(self, limits: Mapping[str, int], known: Iterable[Quarantined] = ()) -> None:
        self._limits = dict(limits)
        self._quarantined: dict[tuple[str, str, int, int], Quarantined] = {}
        self._crashers: dict[str, str] = {}
        self._starts: Counter[tuple[str, int]] = Counter()
        self._failure: str | None = None
        self._notices: list[str] = []
        known = list(known)
        self._crashers.update({entry.fingerprint: entry.reason for entry in known if entry.fingerprint})
        self.quarantine(known)
        self._notices.clear()  # they were told of before

    def begin_window(self, execution: str, domain: str, start_step: int) -> WindowLease:
        """A task begins to make the steps from `start_step` on."""
        self._starts[execution, start_step] += 1
        starts = self._starts[execution, start_step]
        if starts > MOST_STARTS:
            refusal = (
                f"the tasks that make the {domain} samples from step {start_step + 1} on died {starts - 1} "
                "times, and no picture alone is to blame; see Ray's logs of them, and their memory"
            )
            return WindowLease(refusal=refusal)
        return WindowLease(starts > 1, dict(self._crashers))

    def end_window(self, execution: str, start_step: int) -> None:
        """All of it was handed over; begun again because blocks were lost, it is no suspect."""
        self._starts.pop((execution, start_step), None)

    def crashes(self, fingerprint: str, reason: str) -> None:
        """Pictures were found to kill the process that decodes them."""
        self._crashers[fingerprint] = reason

    def quarantine(self, entries: Iterable[Quarantined]) -> None:
        """Samples were delivered by substitutes; past a domain's limit the run fails."""
        for entry in entries:
            if entry.place not in self._quarantined:
                self._quarantined[entry.place] = entry
                self._notices.append(f"quarantined: {entry.domain} {entry.id}: {entry.reason}")
        for domain, count in self.quarantined_counts().items():
            if count > self._limits[domain]:
                self.fail(self._past_limit(domain, count))

    def quarantined_counts(self) -> dict[str, int]:
        """Number of different samples by domain."""
        counts = Counter(entry.domain for entry in self._quarantined.values())
        return {domain: counts[domain] for domain in self._limits}

    def quarantined(self) -> list[Quarantined]:
        return list(self._quarantined.values())

    def notice(self, text: str) -> None:
        """Something that a person may want to see; the same is said once."""
        if text not in self._notices:
            self._notices.append(text)

    def take_notices(self) -> list[str]:
        """What was noticed since the last call."""
        taken, self._notices = self._notices, []
        return taken

    def fail(self, message: str) -> None:
        """The run cannot go on, and starting it again would not help."""
        self._failure = self._failure or message

    def failure(self) -> str | None:
        return self._failure

    def _past_limit(self, domain: str, count: int) -> str:
        entries = [entry for entry in self._quarantined.values() if entry.domain == domain]
        named = "; ".join(f"{entry.id} ({entry.reason})" for entry in entries[:_NAMED])
        return (
            f"{count} samples of the {domain} domain cannot be decoded, --max-quarantined allows "
            f"{self._limits[domain]}: {named}{'; ...' if count > _NAMED else ''}. Mend the data set "
            "(`charmnet inspect --verify` finds all) or raise the limit and resume"
        )


def quarantine_limit(max_quarantined: float, num_samples: int) -> int:
    """How many samples of a domain may be quarantined: below 1 a share (at least one), else a number."""
    if max_quarantined >= 1:
        return int(max_quarantined)
    return max(1, int(max_quarantined * num_samples)) if max_quarantined > 0 else 0
