"""Check, before any work, that a tracking server will take what a command is going to record there."""

from __future__ import annotations

import posixpath
import threading
from concurrent.futures import Future

from charmnet.errors import in_words
from pipelines.runtime.redaction import redact
from pipelines.tracking.server import TrackingRefusedError, connect, database_file

_LOAD_SECONDS = 120.0  # of MLflow's client, on a busy machine
_ANSWER_SECONDS = 10.0
_DATABASE_SECONDS = 60.0  # a database's tables are checked when it is opened


def check_registered_name(name: str) -> None:
    """Check that a model can be registered under a name.

    Raises:
        ValueError: MLflow takes no such name.
    """
    unusable = not name.strip() or "/" in name or ":" in name or posixpath.normpath(name) in (".", "..")
    if unusable or any(not character.isprintable() for character in name):
        raise ValueError(
            f"--register {name!r}: MLflow takes no such name; expected a name without / and :, such as "
            f"{name.replace('/', '-').replace(':', '-').strip(' .') or 'harmonizer'!r}"
        )


class ServerCheck:
    """A question to the tracking server, asked beside other work; see `raise_refusal`.

    Args:
        tracking_uri: address of the server.
        experiment: experiment that is going to be recorded in.
        registered_name: name that a model is going to be registered under, if one is.
    """

    def __init__(self, tracking_uri: str, experiment: str, registered_name: str | None = None) -> None:
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._registered_name = registered_name
        self._loaded = threading.Event()
        self._answer: Future[tuple[str | None, str | None]] = Future()  # refusal, and outage
        if _is_new_database(tracking_uri):
            self._loaded.set()
            self._answer.set_result((None, None))
            return
        threading.Thread(target=self._ask, daemon=True, name="tracking-check").start()

    def raise_refusal(self) -> str | None:
        """Return None where the server takes the records, else why it does not answer: they wait for it.

        Raises:
            TrackingRefusedError: it answers, and refuses for good.
        """
        self._loaded.wait(_LOAD_SECONDS)
        most_seconds = _ANSWER_SECONDS if database_file(self._tracking_uri) is None else _DATABASE_SECONDS
        try:
            refusal, outage = self._answer.result(most_seconds)
        except TimeoutError:
            return f"no answer within {most_seconds:.0f} s"
        if refusal is not None:
            raise TrackingRefusedError(
                f"MLflow at {redact(self._tracking_uri)} refuses: {redact(refusal)} (--tracking none records "
                "nothing)"
            )
        return outage

    def _ask(self) -> None:
        try:
            client = connect(self._tracking_uri)
            from pipelines.tracking import runs  # noqa: PLC0415 - it loads MLflow

            self._loaded.set()
            runs.check_experiment(client.get_experiment_by_name(self._experiment))
            if self._registered_name is not None:
                runs.check_registered_model(client, self._registered_name)
            self._answer.set_result((None, None))
        except Exception as error:  # noqa: BLE001 - outages are told apart
            self._loaded.set()
            from pipelines.tracking.refusals import refusal_of  # noqa: PLC0415 - it loads MLflow

            refusal = refusal_of(error)
            self._answer.set_result((refusal, None if refusal else in_words(error)))


def _is_new_database(tracking_uri: str) -> bool:
    """Tell whether there is nothing in a database yet: two connections must not make its tables at once."""
    file = database_file(tracking_uri)
    return file is not None and (not file.exists() or file.stat().st_size == 0)
