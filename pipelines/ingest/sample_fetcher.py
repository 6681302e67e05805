"""The sample at a position of a stream, or its substitute where it cannot be decoded."""

from __future__ import annotations

from dataclasses import dataclass

from charmnet.errors import DataError
from pipelines.ingest.decoding import Sample, SampleError
from pipelines.ingest.quarantine import Quarantined
from pipelines.ingest.row_group_reader import RowGroupReader
from pipelines.ingest.sample_decoder import CrashError, SampleDecoder
from pipelines.ingest.samples import Reference
from pipelines.ingest.stream import StreamSpec


@dataclass(frozen=True)
class FetchedSample:
    """The sample at a position of the stream.

    Attributes:
        epoch: epoch of the domain, counted from 0.
        sample: the planned sample, or a substitute.
        quarantined: the planned sample, where `sample` is a substitute.
    """

    epoch: int
    sample: Sample
    quarantined: Quarantined | None = None


class SampleFetcher:
    """Fetches what the plan says: the first of the planned sample and its substitutes that can be decoded.

    Args:
        spec: the stream.
        reader: reads its row groups; serves one window of steps.
        decoder: makes its samples.
    """

    def __init__(
        self, spec: StreamSpec, reader: RowGroupReader | None = None, decoder: SampleDecoder | None = None
    ) -> None:
        self._spec = spec
        self._options = spec.decode_options
        self.reader = reader or RowGroupReader(spec)
        self._decoder = decoder or SampleDecoder(self._options)

    def fetch(self, position: int, epoch: int, reference: Reference) -> FetchedSample:
        """Return the sample at a position of the endless stream.

        Args:
            position: place in the stream, counted from 0 through all epochs.
            epoch: epoch of the position.
            reference: the planned sample.

        Raises:
            DataError: neither it nor any of its substitutes can be decoded.
            StorageError: a shard is gone, is not what the manifest says, or its store does not answer.
        """
        try:
            return FetchedSample(epoch, self._sample(epoch, reference))
        except DataError as error:
            problem = error
        substitutes = self._spec.plan.substitutes(position, self._spec.batch_size)
        for tries, substitute in enumerate(substitutes, start=1):
            try:
                sample = self._sample(epoch, substitute)
            except DataError:
                continue
            return FetchedSample(epoch, sample, self._quarantined(position, epoch, reference, tries, problem))
        raise DataError(
            f"neither this sample nor any of its substitutes can be decoded: {problem}"
        ) from problem

    def _sample(self, epoch: int, reference: Reference) -> Sample:
        shard, group, offset = reference
        encoded = self.reader.samples(shard, group).sample(offset, epoch, self._options)
        return self._decoder.decode(encoded, epoch)

    def _quarantined(
        self, position: int, epoch: int, reference: Reference, tries: int, problem: DataError
    ) -> Quarantined:
        shard, group, offset = reference
        return Quarantined(
            domain=str(self._spec.domain),
            shard=self._spec.union.shard(shard).name,
            row_group=group,
            offset=offset,
            id=self.reader.sample_id(reference),
            reason=problem.reason if isinstance(problem, SampleError) else str(problem),
            epoch=epoch,
            step=position // self._spec.batch_size + 1,
            tries=tries,
            fingerprint=problem.fingerprint if isinstance(problem, CrashError) else "",
        )
