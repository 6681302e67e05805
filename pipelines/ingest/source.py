"""Making the samples of a stream, and finding what stands for those that cannot be made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charmnet.errors import DataError, StorageError
from pipelines.ingest.decoding import Sample, SampleError, decode
from pipelines.ingest.probe import DecoderProbe
from pipelines.ingest.quarantine import Quarantined
from pipelines.ingest.samples import EncodedSample, RowGroupSamples
from pipelines.runtime.retry import retry_storage

if TYPE_CHECKING:
    from pipelines.ingest.stream import StreamSpec

Reference = tuple[int, int, int]
"""(shard index, row group index, sample offset) as the plan gives them."""


@dataclass(frozen=True)
class Delivery:
    """What stands at a position of the stream.

    Attributes:
        quarantined: the planned sample, where `sample` is another that stands for it.
    """

    epoch: int
    sample: Sample
    quarantined: Quarantined | None = None


class SampleSource:
    """Row groups are kept until they are dropped, so one source serves one window of steps.

    Args:
        known_crashes: reasons by fingerprint of pictures that are known to crash the decoder.
        isolate_decoding: decode in a process of its own first, since some sample may crash the decoder.
        on_crash: called with (fingerprint, reason) of pictures that do.
        notify: called with a message where the store does not answer.
    """

    def __init__(
        self,
        spec: StreamSpec,
        known_crashes: Mapping[str, str] | None = None,
        isolate_decoding: bool = False,
        on_crash: Callable[[str, str], object] = lambda fingerprint, reason: None,
        notify: Callable[[str], object] | None = None,
    ) -> None:
        self.spec = spec
        self.options = spec.decode_options
        self.known_crashes = dict(known_crashes or {})
        self.probe = DecoderProbe() if isolate_decoding else None
        self.on_crash = on_crash
        self.notify = notify
        self.groups: dict[tuple[int, int], RowGroupSamples | DataError] = {}

    def close(self) -> None:
        if self.probe is not None:
            self.probe.close()

    def drop(self, row_group: tuple[int, int]) -> None:
        """It will not be asked for again, unless for a substitute."""
        self.groups.pop(row_group, None)

    def deliver(self, position: int, epoch: int, reference: Reference) -> Delivery:
        """The sample at a position of the endless stream, or the first substitute that can be decoded.

        Raises:
            DataError: neither it nor any of its substitutes can be decoded.
            StorageError: a shard is gone, is not what the manifest says, or its store does not answer.
        """
        try:
            return Delivery(epoch, self._sample(epoch, reference))
        except DataError as error:
            problem = error
        substitutes = self.spec.plan.substitutes(position, self.spec.batch_size)
        for tries, substitute in enumerate(substitutes, start=1):
            try:
                sample = self._sample(epoch, substitute)
            except DataError:
                continue
            return Delivery(epoch, sample, self._quarantined(position, epoch, reference, tries, problem))
        raise DataError(
            f"neither this sample nor any of its substitutes can be decoded: {problem}"
        ) from problem

    def _sample(self, epoch: int, reference: Reference) -> Sample:
        encoded = self.encoded(epoch, reference)
        if self.known_crashes and (reason := self.known_crashes.get(fingerprint(encoded))):
            raise _CrashError(reason, fingerprint(encoded))
        if self.probe and (reason := self.probe.crash(encoded, epoch, self.options)):
            self.known_crashes[fingerprint(encoded)] = reason
            self.on_crash(fingerprint(encoded), reason)
            raise _CrashError(reason, fingerprint(encoded))
        return decode(encoded, epoch, self.options)

    def encoded(self, epoch: int, reference: Reference) -> EncodedSample:
        shard, group, offset = reference
        samples = self._group(shard, group)
        return samples.sample(offset, self.spec.seed, self.spec.domain, epoch)

    def _group(self, shard: int, group: int) -> RowGroupSamples:
        if (shard, group) not in self.groups:
            self.groups[shard, group] = self._readable_group(shard, group)
        found = self.groups[shard, group]
        if isinstance(found, DataError):
            raise found
        return found

    def _readable_group(self, shard: int, group: int) -> RowGroupSamples | DataError:
        """The samples, or what is wrong with the row group; that is said of what was fetched twice."""
        try:
            return self._read_group(shard, group)
        except DataError:
            self._check_bytes(shard)
        try:
            return self._read_group(shard, group)
        except DataError as error:
            return error

    def _read_group(self, shard: int, group: int, ids_only: bool = False) -> RowGroupSamples:
        spec = self.spec
        return retry_storage(
            lambda: RowGroupSamples(spec.dataset, spec.selection, shard, group, ids_only=ids_only),
            spec.timeout_seconds,
            self.notify,
        )

    def _check_bytes(self, shard_index: int) -> None:
        """A damaged row group is the data's fault; a file of another size is not the shard at all."""
        shard = self.spec.dataset.manifest.shards[shard_index]
        place = self.spec.dataset.location / shard.path
        got = retry_storage(place.size_bytes, self.spec.timeout_seconds, self.notify)
        if got != shard.bytes:
            raise StorageError(
                f"{place}: {got:,} bytes, the manifest says {shard.bytes:,}: not the shard that it was; "
                "restore it or shard the data again"
            )

    def _quarantined(
        self, position: int, epoch: int, reference: Reference, tries: int, problem: DataError
    ) -> Quarantined:
        shard, group, offset = reference
        return Quarantined(
            domain=str(self.spec.domain),
            shard=self.spec.dataset.manifest.shards[shard].path,
            row_group=group,
            offset=offset,
            id=self._id(reference),
            reason=problem.reason if isinstance(problem, SampleError) else str(problem),
            epoch=epoch,
            step=position // self.spec.batch_size + 1,
            tries=tries,
            fingerprint=problem.fingerprint if isinstance(problem, _CrashError) else "",
        )

    def _id(self, reference: Reference) -> str:
        """The sample's; of a row group whose pictures cannot be read perhaps from the column of ids."""
        shard, group, offset = reference
        samples = self.groups[shard, group]
        try:
            if isinstance(samples, DataError):
                samples = self._read_group(shard, group, ids_only=True)
            return samples.id(offset)
        except DataError:
            return reference_name(self.spec, reference)


def reference_name(spec: StreamSpec, reference: Reference) -> str:
    """What stands for the id of a sample whose id cannot be read."""
    shard, group, offset = reference
    return f"{spec.dataset.manifest.shards[shard].path}#{group}:{offset}"


def fingerprint(sample: EncodedSample) -> str:
    """Of everything that is decoded for a sample."""
    digest = hashlib.blake2b(digest_size=16)
    for picture in (sample.ground_truth, sample.foreground_mask, sample.composite, sample.foreground):
        digest.update(hashlib.blake2b(picture or b"").digest())
    return digest.hexdigest()


class _CrashError(DataError):
    def __init__(self, reason: str, fingerprint: str) -> None:
        super().__init__(reason)
        self.fingerprint = fingerprint
