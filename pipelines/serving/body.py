"""Reading of a request's form: no more of its body than the limit, and not for longer than a minute."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message

from pipelines.serving.requests import FILES, OPTIONS, Limits, Problem, RequestError

READ_SECONDS = 60.0
_DISCARD_SECONDS = 5.0
_LONGEST_FIELD = 256  # bytes


@dataclass
class Form:
    """A form's content.

    Attributes:
        files: (field, name, content).
        fields: (field, value).
    """

    files: list[tuple[str, str, bytes]] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)


class Body:
    """The body of a request.

    Args:
        request: the request, nothing of whose body has been read.
        limits: what it may hold.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._request = request
        self._limits = limits
        self._read = 0
        self._asked = False
        self._finished = False

    async def form(self) -> Form:
        """Read the form; large files lie on the disk until all is there.

        Raises:
            RequestError: 413, a larger body; 415, another kind of body; 422, a form that is broken or has too
                much in it; 408, it did not arrive.
            ClientDisconnect: the client left.
        """
        self._check_headers()
        limited = Request(self._request.scope, self._receive)
        parser = MultiPartParser(
            limited.headers,
            limited.stream(),
            max_files=len(FILES) + 1,  # one more is told what is wrong with it
            max_fields=len(OPTIONS) + 1,
            max_part_size=_LONGEST_FIELD,
        )
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await _content(await parser.parse())
        except MultiPartException as error:
            raise RequestError(
                Problem(422, error.message, "form", "multipart/form-data", "send it as `curl -F` does")
            ) from error
        except TimeoutError as error:
            raise RequestError(
                Problem(408, f"no end in {READ_SECONDS:g} s", "body", "all of it by then", "send it again")
            ) from error

    async def discard(self) -> bool:
        """Read what is left of a request that is refused, so that its client gets to reading the answer.

        Returns:
            Whether all is read; otherwise the connection has to be closed.
        """
        waits = self._request.headers.get("expect", "").lower() == "100-continue" and not self._asked
        if waits or self._declared() > 2 * self._limits.body_bytes:
            return False
        most = self._read + self._limits.body_bytes
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self._finished and self._read <= most:
                    await self._next()
        except TimeoutError:
            return False
        return self._finished

    def _check_headers(self) -> None:
        headers = self._request.headers
        encoding = headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise RequestError(
                Problem(415, encoding, "header Content-Encoding", "none", "send the form uncompressed")
            )
        kind = headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "multipart/form-data":
            raise RequestError(
                Problem(
                    415, kind or "nothing", "header Content-Type", "multipart/form-data",
                    "send composite and mask as files of a form, as `curl -F` does",
                )
            )  # fmt: skip
        if self._declared() > self._limits.body_bytes:
            raise self._too_large(f"{self._declared():,} bytes")

    def _declared(self) -> int:
        length = self._request.headers.get("content-length", "")
        return int(length) if length.isdecimal() else 0

    async def _receive(self) -> Message:
        message = await self._next()
        if self._read > self._limits.body_bytes:
            raise self._too_large(f"more than {self._limits.body_bytes:,} bytes")
        return message

    async def _next(self) -> Message:
        self._asked = True
        message = await self._request.receive()
        self._read += len(message.get("body", b""))
        self._finished = not message.get("more_body", False)
        return message

    def _too_large(self, what: str) -> RequestError:
        return RequestError(
            Problem(
                413, what, "body", f"at most {self._limits.megabytes:g} MiB",
                "send smaller files, or have the server started with a larger --max-megabytes",
            )
        )  # fmt: skip


async def _content(data: FormData) -> Form:
    form = Form()
    try:
        for name, value in data.multi_items():
            if isinstance(value, UploadFile):
                form.files.append((name, value.filename or "", await value.read()))
            else:
                form.fields.append((name, value))
    finally:
        await data.close()
    return form
