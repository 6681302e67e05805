"""Try a model on your own pictures, on a page in the browser.

  charmnet demo --model s3://bucket/runs/NAME

The page is served to this machine alone (127.0.0.1); pictures stay here and are deleted when the command
ends (Ctrl-C). Drop, paste or choose a composite and its mask, or paint the mask; see before and after; the
result is downloaded at full size, the same file that `charmnet harmonize` writes. Needs the extra `demo`.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import torch

from charmnet.errors import CharmNetError
from pipelines.commands.model_options import add_model_option, chosen_model
from pipelines.demo.server import PORT, serve_page
from pipelines.runs.models import load_harmonization_model
from pipelines.runtime.console import console, results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_model_option(parser)
    parser.add_argument(
        "--port", type=int, metavar="N", help=f"port on 127.0.0.1 (default: {PORT}, or a free one)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until interrupted; return the exit code.

    Raises:
        ValueError: no model is named, or the port is none.
        CharmNetError: the model is not usable, the port is taken, or the extra is not installed.
    """
    if arguments.port is not None and not 0 < arguments.port < 1 << 16:
        raise ValueError(f"--port {arguments.port}: expected 1 to 65535")
    uri = chosen_model(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    method = load_harmonization_model(uri)
    with tempfile.TemporaryDirectory(prefix="charmnet-demo-") as folder:
        try:
            with serve_page(method, device, Path(folder), arguments.port) as address:
                results.print(address)
                console.print(
                    f"{uri} on {device}; open the address in a browser, end with Ctrl-C", markup=False
                )
                threading.Event().wait()
        except ImportError as error:
            raise CharmNetError(f"the page needs Gradio ({error}): pip install 'charmnet[demo]'") from error
    return 0
