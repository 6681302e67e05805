"""Serve a model over HTTP, with replicas on Ray Serve.

  charmnet serve --model s3://bucket/runs/NAME --replicas 1:4
  curl -f -F composite=@in.jpg -F mask=@mask.png http://127.0.0.1:8000/harmonize -o out.png

The answer is the file that `charmnet harmonize` writes; strength, feather and format are further fields.
Listens on 127.0.0.1 unless --host says otherwise. Where CHARMNET_SERVE_TOKEN is set, requests need the header
"Authorization: Bearer TOKEN"; other addresses than loopback need one. Beyond --max-requests at a time the
answer is 503. GET /healthz and /metrics are for whoever watches it. Joins the cluster that RAY_ADDRESS names,
else starts Ray on this machine. Ctrl-C or SIGTERM ends it, after the requests that have begun. Needs the
extra `serve`.
"""

from __future__ import annotations

import argparse
import ipaddress
import os

from charmnet.errors import CharmNetError
from pipelines.commands.count_options import check_counts
from pipelines.commands.model_options import add_model_option, chosen_model
from pipelines.runs.models import load_harmonization_model
from pipelines.runtime.console import console, results
from pipelines.serving.requests import Limits, token_digest

TOKEN_VARIABLE = "CHARMNET_SERVE_TOKEN"  # noqa: S105 - its name
_PORT = 8000
_SETTINGS = {
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a late call after the end would start a Ray
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "1",  # a replica that computes answers later than in 0.1 s
}
"""What Ray reads when it is imported."""

_HELD = 32  # requests for each replica, by default


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_model_option(parser)
    parser.add_argument("--host", metavar="H", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, metavar="N", default=_PORT, help="port (default: %(default)s)")
    parser.add_argument(
        "--replicas",
        metavar="MIN:MAX",
        default="1",
        help="processes with the model, each on a CPU or GPU; more than MIN where requests wait (default: 1)",
    )
    parser.add_argument(
        "--max-batch",
        type=int,
        metavar="N",
        help="pictures of a network's batch (default: on a CPU 1, else 8)",
    )
    parser.add_argument(
        "--max-requests",
        type=int,
        metavar="N",
        help=f"requests at a time (default: {_HELD} for each of MAX replicas)",
    )
    parser.add_argument(
        "--max-megabytes",
        type=float,
        metavar="N",
        default=64,
        help="MiB of a request (default: %(default)s)",
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        metavar="MP",
        default=50,
        help="size of a picture, and of those that a replica has decoded at a time (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; return the exit code.

    Raises:
        ValueError: no model is named, or an option is out of its range.
        CharmNetError: the model is not usable, the address is taken, Ray does not start, or the extra is
            missing.
    """
    least, most = _check(arguments)
    # Out of the environment, so that no process that is started has it.
    token = os.environ.pop(TOKEN_VARIABLE, None) or None
    try:
        digest = token_digest(token)
    except ValueError as error:
        raise ValueError(f"{TOKEN_VARIABLE}: {error}") from error
    if digest is None and not _is_loopback(arguments.host):
        raise ValueError(f"--host {arguments.host} can be reached from elsewhere: set {TOKEN_VARIABLE}, too")
    uri = chosen_model(arguments)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from pipelines.serving.front import Front, FrontSettings
        from pipelines.serving.replicas import Capacity, serving_replicas
        from pipelines.serving.server import listening, run_server
    except ImportError as error:
        raise CharmNetError(f"the server needs Ray Serve ({error}): pip install 'charmnet[serve]'") from error
    limits = Limits(arguments.max_megabytes, arguments.max_megapixels)
    held = arguments.max_requests or _HELD * most
    capacity = Capacity(least, most, limits.pixels, arguments.max_batch)
    with listening(arguments.host, arguments.port) as listener:
        method = load_harmonization_model(uri)

        def ready() -> None:
            secured = "requests need the token" if digest else f"no token ({TOKEN_VARIABLE} is not set)"
            results.print(_url(arguments.host, arguments.port))
            console.print(f"{uri}; {secured}; end with Ctrl-C", markup=False)

        with serving_replicas(method, capacity) as replicas:
            front = Front(replicas, FrontSettings(uri, limits, held, digest))
            run_server(front.application(), listener, ready)
    return 0


def _check(arguments: argparse.Namespace) -> tuple[int, int]:
    """Check the numbers; return the least and the most replicas."""
    check_counts(arguments, "max_batch", "max_requests")
    if not 0 < arguments.port < 1 << 16:
        raise ValueError(f"--port {arguments.port}: expected 1 to 65535")
    for name in ("megabytes", "megapixels"):
        value = getattr(arguments, f"max_{name}")
        if not 0 < value < float("inf"):
            raise ValueError(f"--max-{name} {value:g}: expected more than 0")
    least, separator, most = arguments.replicas.partition(":")
    if not separator:
        most = least
    if not (least.isdecimal() and most.isdecimal() and 0 < int(least) <= int(most)):
        raise ValueError(f"--replicas {arguments.replicas}: expected N or MIN:MAX, from 1 on")
    return int(least), int(most)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
