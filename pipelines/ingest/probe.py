"""Decoding in a separate process, to see whether pictures crash the decoder."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
from contextlib import suppress

from charmnet.errors import CharmNetError
from pipelines.ingest.decode_options import DecodeOptions
from pipelines.ingest.decoding import decode
from pipelines.ingest.samples import EncodedSample

_ALIVE = b"."
_START_SECONDS = 120.0
_DECODE_SECONDS = 60.0
_TRIES = 2  # a process may also have been killed for another reason


class DecoderProbe:
    """Decodes samples in a helper process, which is started again when a sample ends it."""

    def __init__(self) -> None:
        self._helper: subprocess.Popen[bytes] | None = None

    def crash(self, sample: EncodedSample, epoch: int, options: DecodeOptions) -> str | None:
        """Return how decoding the sample ended a process, twice; None where a process survived it."""
        message = pickle.dumps({"sample": sample, "epoch": epoch, "options": options})
        for _ in range(_TRIES):
            end = self._try(message)
            if end is None:
                return None
        return end

    def close(self) -> None:
        """End the helper process."""
        if self._helper is not None:
            self._helper.kill()
            self._helper.communicate()
            self._helper = None

    def _try(self, message: bytes) -> str | None:
        helper = self._running()
        assert helper.stdin is not None
        with suppress(BrokenPipeError):  # the helper died while it read the message
            helper.stdin.write(message)
            helper.stdin.flush()
        if _answers(helper, _DECODE_SECONDS):
            return None
        hangs = helper.poll() is None and not _ended(helper)
        self.close()
        return f"decoding takes more than {_DECODE_SECONDS:g} s" if hangs else _end_of(helper)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._helper is None:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            self._helper = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            if not _answers(self._helper, _START_SECONDS):
                self.close()
                raise RuntimeError(f"`python -m {__name__}` did not start; see this task's log")
        return self._helper


def _answers(helper: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    assert helper.stdout is not None
    ready, _, _ = select.select([helper.stdout], [], [], timeout_seconds)
    return bool(ready) and os.read(helper.stdout.fileno(), 1) == _ALIVE


def _ended(helper: subprocess.Popen[bytes]) -> bool:
    try:
        helper.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_of(helper: subprocess.Popen[bytes]) -> str:
    status = helper.returncode
    ending = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"decoding it ends the process ({ending})"


def main() -> None:
    """Run the helper process: decode the samples that it is sent, and answer after each."""
    sys.stdout.buffer.write(_ALIVE)
    sys.stdout.buffer.flush()
    while True:
        try:
            arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - from its parent alone
        except EOFError:
            return
        with suppress(CharmNetError):  # no crash; the caller raises the same error when it decodes
            decode(**arguments)
        sys.stdout.buffer.write(_ALIVE)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
