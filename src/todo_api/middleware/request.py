"""The way of a request, as one straight line: every step in its order, and the response back out.

One ASGI middleware around FastAPI's router. Each step is a function of the module named after it; a
step that answers by itself (a preflight, a token that does not verify) returns a response, and none
raises.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from todo_api.auth import Authentication, requires_token
from todo_api.middleware.access_log import log_request, request_id_of
from todo_api.middleware.cors import Cors
from todo_api.middleware.errors import SHUTTING_DOWN, response_to
from todo_api.middleware.fair_queue import OVERLOADED, FairQueue
from todo_api.middleware.host import reject_foreign_host
from todo_api.middleware.pacing import Pacing
from todo_api.middleware.path import read_path
from todo_api.observability import tracing
from todo_api.planned.dispatch import Dispatch
from todo_api.problems import SHARED_HEADERS, respond


class RequestMiddleware:
    """Serves each request in the steps that ``_serve`` lists.

    Args:
        app: what the server's lifespan goes to.
        dispatch: finds the resource of a path, and answers requests for it.
        handlers: FastAPI's exception handlers, by class of exception.
        authentication: verifies the token of a request that requires one.
        cors: which origins' scripts may read a response.
        queue: bounds what is worked on at once; None does not.
        loopback_only: whether only loopback names are answered as ``Host``.
        traced: whether FastAPI opens a span for each request, to be completed here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        dispatch: Dispatch,
        handlers: Mapping[Any, ExceptionHandler],
        authentication: Authentication,
        cors: Cors,
        queue: FairQueue | None,
        loopback_only: bool,
        traced: bool,
    ) -> None:
        self._app = app
        self._dispatch = dispatch
        self._handlers = handlers
        self._authenticate = authentication.authenticate
        self._cors = cors
        self._queue = queue
        self._pacing = Pacing()
        self._loopback_only = loopback_only
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the server's lifespan passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        scope["request_id"] = request_id_of(headers)
        response = ResponseSender(send, scope, self._cors.response_headers(headers))
        try:
            await self._serve(scope, headers, receive, response)
        except asyncio.CancelledError:  # the grace period of a shutdown is over
            if response.status is None:
                await respond(scope, 503, SHUTTING_DOWN, headers={"Connection": "close"})(scope, receive, response.send)
            raise
        except Exception as error:
            answer = await response_to(error, scope, receive, self._handlers, started=response.status is not None)
            if answer is not None:
                await answer(scope, receive, response.send)
            elif not response.complete:
                raise  # half a response is out: only the server can cut the connection
        finally:
            log_request(scope, response.status, started)

    async def _serve(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, response: "ResponseSender"
    ) -> None:
        segments = read_path(scope)
        resource = self._dispatch.find(segments, scope)
        if self._traced:
            tracing.complete_request_span(scope)
        answer = reject_foreign_host(scope, headers) if self._loopback_only else None
        if answer is None:
            answer = self._cors.preflight(scope, headers)
        protected = requires_token(scope["path"])
        if answer is None and protected:
            answer = await self._authenticate(scope, headers)
        if answer is None and resource is None and scope["path"].count("/") != len(segments) - 1:
            answer = respond(scope, 404)  # FastAPI's router would take an encoded slash for one between segments
        if answer is not None or not protected:
            await self._pacing.wait()
        if answer is not None:
            await answer(scope, receive, response.send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        if not protected or self._queue is None:
            await self._dispatch(scope, receive, response.send)
            return
        user = scope["owner"].subject
        if not await self._queue.acquire(user, waited=scope.get("parked_seconds", 0.0)):
            await respond(scope, 503, OVERLOADED)(scope, receive, response.send)
            return
        try:
            await self._dispatch(scope, receive, response.send)
        finally:
            self._queue.release(user)


class ResponseSender:
    """ASGI's ``send`` for one response: adds the headers that all responses have.

    HEAD gets no body (RFC 9110 §9.3.2).

    ``status`` is None until the response has started.
    """

    __slots__ = ("_headers", "_is_head", "_send", "complete", "status")

    def __init__(self, send: Send, scope: Scope, cors_headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.status: int | None = None
        self.complete = False
        self._send = send
        self._is_head = scope["method"] == "HEAD"
        self._headers = (*SHARED_HEADERS, (b"x-request-id", scope["request_id"].encode()), *cors_headers)

    async def send(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
        else:
            self.complete = not message.get("more_body", False)
            if self._is_head:
                message = {"type": "http.response.body", "body": b"", "more_body": not self.complete}
        await self._send(message)
