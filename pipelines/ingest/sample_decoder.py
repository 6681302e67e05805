"""Decoding samples, of which some may crash the decoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from charmnet.errors import DataError
from pipelines.ingest.decode_options import DecodeOptions
from pipelines.ingest.decoding import Sample, decode
from pipelines.ingest.probe import DecoderProbe
from pipelines.ingest.samples import EncodedSample


class SampleDecoder:
    """Makes samples; refuses those whose pictures crash the decoder.

    Args:
        options: how samples are made.
        known_crashes: reasons by fingerprint of pictures that are known to crash the decoder.
        isolate_decoding: decode each sample in a separate process first, since some may crash the decoder.
        on_crash: called with (fingerprint, reason) of pictures that do.
    """

    def __init__(
        self,
        options: DecodeOptions,
        known_crashes: Mapping[str, str] | None = None,
        isolate_decoding: bool = False,
        on_crash: Callable[[str, str], object] | None = None,
    ) -> None:
        self._options = options
        self._known_crashes = dict(known_crashes or {})
        self._probe = DecoderProbe() if isolate_decoding else None
        self._on_crash = on_crash

    def decode(self, encoded: EncodedSample, epoch: int) -> Sample:
        """Return the sample as it is in an epoch.

        Raises:
            CrashError: its pictures crash the decoder.
            SampleError: it cannot be decoded.
        """
        if self._known_crashes and (reason := self._known_crashes.get(fingerprint(encoded))):
            raise CrashError(reason, fingerprint(encoded))
        if self._probe and (reason := self._probe.crash(encoded, epoch, self._options)):
            self._add_crash(fingerprint(encoded), reason)
            raise CrashError(reason, fingerprint(encoded))
        return decode(encoded, epoch, self._options)

    def close(self) -> None:
        """End the separate process, if there is one."""
        if self._probe is not None:
            self._probe.close()

    def _add_crash(self, digest: str, reason: str) -> None:
        self._known_crashes[digest] = reason
        if self._on_crash is not None:
            self._on_crash(digest, reason)


class CrashError(DataError):
    """Pictures crash the decoder.

    Attributes:
        fingerprint: digest of the pictures.
    """

    def __init__(self, reason: str, fingerprint: str) -> None:
        super().__init__(reason)
        self.fingerprint = fingerprint


def fingerprint(sample: EncodedSample) -> str:
    """Return a digest of all pictures that are decoded for a sample."""
    digest = hashlib.blake2b(digest_size=16)
    for picture in (sample.ground_truth, sample.foreground_mask, sample.composite, sample.foreground):
        digest.update(hashlib.blake2b(picture or b"").digest())
    return digest.hexdigest()
