"""The page's server: on this machine alone, and nothing from outside is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charmnet.errors import CharmNetError
from charmnet.methods import HarmonizationMethod
from pipelines.demo.examples import write_examples
from pipelines.demo.work import PageWork
from pipelines.runtime.ports import free_ports

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
PORT = 7860
"""Port that is taken where it is free."""

MAX_FILE_BYTES = 256 << 20
"""Largest file that is uploaded."""

# Gradio reads these when it is imported.
_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
# Gradio's scripts are inline, and what paints compiles functions.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)

_LAUNCH: dict[str, Any] = {
    "share": False,
    "inbrowser": False,
    "quiet": True,
    "prevent_thread_lock": True,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
}


class OnlyFromHere:
    """Middleware that has browsers load nothing from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add headers to each response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)


@contextmanager
def serve_page(
    method: HarmonizationMethod, device: str, folder: Path, port: int | None = None
) -> Iterator[str]:
    """Serve the page while the context lasts; yield its address.

    Args:
        method: the model.
        device: device to work on.
        folder: empty folder for what is uploaded and made.
        port: port to listen on; by default `PORT`, or another where that is taken.

    Raises:
        ImportError: the extra `demo` is not installed.
        CharmNetError: the port is taken.
    """
    os.environ.update(_SETTINGS, GRADIO_TEMP_DIR=str(folder / "uploads"))
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from pipelines.demo.page import build_page, style

    for name in ("uploads", "results", "examples"):
        (folder / name).mkdir()
    work = PageWork(method.for_inference(device), device, folder / "results")
    page = build_page(work, write_examples(folder / "examples"))
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
        Middleware(OnlyFromHere),
    ]
    chosen = port or free_ports([PORT], HOST)[0]
    try:
        _, address, _ = page.launch(
            server_name=HOST,
            server_port=chosen,
            app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None, "openapi_url": None},
            max_file_size=MAX_FILE_BYTES,
            allowed_paths=[str(folder / "results"), str(folder / "examples")],
            **_LAUNCH,
            **style(),
        )
    except OSError as error:
        raise CharmNetError(f"--port {chosen}: not free ({error}); choose another") from error
    try:
        yield address
    finally:
        page.close(verbose=False)
