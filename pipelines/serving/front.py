"""The front: answers HTTP, hands pictures to the replicas, counts. It knows no Ray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.serving.body import Body
from pipelines.serving.requests import Answer, Job, Limits, Problem, RequestError, check_token, job_of_form

RETRY_SECONDS = 1
_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32)
_PATHS = "POST /harmonize, GET /healthz or GET /metrics"
_CLIENT_LEFT = 499  # as other servers count it
_BUSY = Problem(
    503, "as many requests as are taken at a time", "server", "fewer at a time",
    f"try again after {RETRY_SECONDS} s, or have the server started with more --replicas",
)  # fmt: skip


class Backend(Protocol):
    """What harmonizes."""

    async def harmonize(self, job: Job) -> Answer | Problem:
        """Return the result, or why there is none."""

    async def replicas(self) -> int:
        """Return how many replicas are ready; 0 where the backend is not."""


@dataclass(frozen=True)
class FrontSettings:
    """What the front is told.

    Attributes:
        model: what the model is called.
        limits: what a request may hold.
        most: requests that are taken at a time; beyond them the answer is 503.
        token: digest of the token that requests need (`token_digest`); None where they need none.
    """

    model: str
    limits: Limits
    most: int
    token: bytes | None = None


class Front:
    """Answers HTTP.

    Args:
        backend: what harmonizes.
        settings: what it is told.
    """

    def __init__(self, backend: Backend, settings: FrontSettings) -> None:
        self._backend = backend
        self._settings = settings
        self._held = 0
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._answers = Counter(
            "charmnet_requests", "Answers to POST /harmonize by status.", ["status"], registry=registry
        )
        self._seconds = Histogram(
            "charmnet_request_seconds", "From a request's headers to its result.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._batches = Histogram(
            "charmnet_batch_pictures", "Pictures in the network's batch, of each picture.", buckets=_BATCHES,
            registry=registry,
        )  # fmt: skip
        held = Gauge("charmnet_requests_held", "Requests that are being worked on.", registry=registry)
        held.set_function(lambda: self._held)

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/harmonize", self._harmonize, methods=["POST"]),
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
            ],
            exception_handlers={HTTPException: _no_such_path, Exception: _defect},
        )

    async def _health(self, _: Request) -> Response:
        replicas = await self._backend.replicas()
        content = {
            "status": "ok" if replicas else "starting",
            "model": self._settings.model,
            "replicas": replicas,
        }
        return JSONResponse(content, 200 if replicas else 503)

    async def _metrics(self, request: Request) -> Response:
        try:
            check_token(self._settings.token, request.headers.get("authorization"))
        except RequestError as error:
            return _refusal(error.problem)
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4")

    async def _harmonize(self, request: Request) -> Response:
        body = Body(request, self._settings.limits)
        started = time.monotonic()
        try:
            check_token(self._settings.token, request.headers.get("authorization"))
            with self._place():
                job, answer = await self._answer(body)
        except RequestError as error:
            response = _refusal(error.problem, close=not await body.discard())
        except ClientDisconnect:
            response = Response(status_code=_CLIENT_LEFT)
        except Exception:
            self._answers.labels(500).inc()  # `_defect` answers
            raise
        else:
            self._seconds.observe(time.monotonic() - started)
            self._batches.observe(answer.batch)
            response = Response(answer.data, media_type=job.media_type)
            if answer.warnings:
                response.headers["x-charmnet-warning"] = _in_header("; ".join(answer.warnings))
        self._answers.labels(response.status_code).inc()
        return response

    async def _answer(self, body: Body) -> tuple[Job, Answer]:
        form = await body.form()
        job = await asyncio.to_thread(job_of_form, form.files, form.fields, self._settings.limits)
        answer = await self._backend.harmonize(job)
        if isinstance(answer, Problem):
            raise RequestError(answer)
        return job, answer

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Hold a place among the requests that are taken at a time.

        Raises:
            RequestError: 503, there is none; nothing of the body has been read then.
        """
        if self._held >= self._settings.most:
            raise RequestError(_BUSY)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1


def _refusal(problem: Problem, close: bool = False) -> Response:
    headers = {}
    if problem.status == 503:
        headers["retry-after"] = str(RETRY_SECONDS)
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    if close:
        headers["connection"] = "close"
    return JSONResponse(problem.as_json(), problem.status, headers)


def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # what it is registered for
    what = f"{request.method} {request.url.path[:100]}"
    problem = Problem(error.status_code, what, "path", _PATHS, "ask for one of these")
    return JSONResponse(problem.as_json(), error.status_code, error.headers)


def _defect(_: Request, __: Exception) -> Response:
    """Answer what nobody foresaw; the server's log has the traceback."""
    return _refusal(
        Problem(500, "a defect of the server", "server", "none", "see its log, and try another picture")
    )


def _in_header(text: str) -> str:
    return text.encode("ascii", "replace").decode()
