"""Requests: which addresses there are, how much one may send, and of what form.

Gradio has many more addresses than this page uses: some fetch what a visitor names from anywhere,
some write files. What the page and its API need is listed here, and nothing else answers.
A body is read only as far as its limit, and kept only if it fits. Every refusal is a sentence.
"""

import asyncio
import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import parse_qs

from gradio.blocks import Blocks
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genmodels.ui.server import messages, uploads_limit, work_folder
from genmodels.ui.server.messages import quoted

MAX_JSON = 512 * 1024  # Bytes of a body: a gallery of 36 pictures with their recipes has 70 kB.
MAX_DEPTH = 32  # Deepest nesting of values.
MAX_ADDRESS = 16_384  # Bytes of path and query: a link's recipe has 1 kB.
BODY_SECONDS = 60.0  # In which a JSON body must have come.
MAX_DRAINED = 64 * 1024 * 1024  # Bytes of a refused body that are read, for the answer to be heard.

_API = "/gradio_api"
_READ = re.compile(
    rf"/|/config/?|/healthz|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json|/pwa_icon(/\d+)?"
    rf"|/(static|assets|svelte)/.+|{_API}/(info|openapi\.json|app_id|startup-events|theme\.css)/?"
    rf"|{_API}/(heartbeat/[^/]+|queue/(data|status)|upload_progress|file=.+)"
    rf"|{_API}/call/(v2/)?[^/]+/[^/]+"
)
_WRITE = re.compile(rf"{_API}/(queue/join|upload|cancel|reset|call/(v2/)?[^/]+|(run|api)/[^/]+)/?")
_SESSION = re.compile(r"[\w-]{1,64}")


class Refusal(Exception):  # noqa: N818  (It is an answer.)
    """An answer in place of what was asked for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class CheckedRequests:
    """ASGI middleware around Gradio's app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.uploads = uploads_limit.Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI's."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(scope, receive, send)
        try:
            await self._answer(request)
        except Refusal as refusal:
            await request.refuse(refusal)
        except ClientDisconnect:
            return  # Nobody is left to be told.
        except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            # Gradio's own routes, some of which do not expect what they get.
            if request.is_answered or isinstance(error, ConnectionError):
                raise
            await request.refuse(Refusal(400, "the page cannot make sense of this request"))

    async def _answer(self, request: "_Request") -> None:
        path, method = request.path, request.scope["method"]
        if len(request.scope["raw_path"]) + len(request.scope["query_string"]) > MAX_ADDRESS:
            raise Refusal(414, f"an address has {MAX_ADDRESS} bytes at most")
        if method in ("GET", "HEAD") and _READ.fullmatch(path):
            _check_reading(request)
            await self.app(request.scope, request.receive, request.send)
        elif method == "POST" and _WRITE.fullmatch(path):
            if path.startswith(f"{_API}/upload"):
                await self.uploads.receive(self.app, request)
            else:
                body = await request.json()
                _check_body(request, body)
                is_direct = path.startswith((f"{_API}/run/", f"{_API}/api/"))
                send = request.send_told if is_direct else request.send
                await self.app(request.scope, request.again, send)
        else:
            known = _READ.fullmatch(path) or _WRITE.fullmatch(path)
            raise Refusal(405 if known else 404, f"there is no {method} of {quoted(path)} here")


class _Request:
    """One request, and whether it has been answered."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self._send = scope, receive, send
        self.path: str = scope["path"]
        self.headers = {
            k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]
        }
        self.page: Blocks = scope["app"].get_blocks()
        self.is_answered = False
        self.is_read = False  # The body, to its end.
        self._body: bytes | None = None
        self._failure: Message | None = None

    async def send(self, message: Message) -> None:
        self.is_answered = True
        await self._send(message)

    async def send_told(self, message: Message) -> None:
        """As `send`, of a handler's own refusal: Gradio calls it an error of the server's."""
        if message["type"] == "http.response.start" and message["status"] == 500:
            self._failure = message
        elif self._failure is None:
            await self.send(message)
        else:
            failure, self._failure = self._failure, None
            is_told = json.loads(message.get("body") or b"{}").get("error") != messages.FAULT
            await self.send({**failure, "status": 422 if is_told else 500})
            await self.send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer in a sentence, plain for an upload, as Gradio's page shows it so."""
        await self._drain()
        text = messages.plain(refusal.text)
        answer: Response = JSONResponse({"detail": text}, refusal.status)
        if self.path.startswith(f"{_API}/upload"):
            answer = PlainTextResponse(text, refusal.status)
        if not self.is_read and self.scope["method"] == "POST":
            answer.headers["connection"] = "close"
        await answer(self.scope, self.receive, self.send)

    def length(self) -> int:
        """How long the body says that it is; 0 if it does not."""
        header = self.headers.get("content-length", "0")
        if not re.fullmatch(r"\d{1,15}", header):
            raise Refusal(400, f"content-length must be a number, got {quoted(header)}")
        return int(header)

    async def json(self) -> dict[str, Any]:
        """The body's JSON object, which is kept to be read `again`."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, f"the body must be application/json, got {quoted(kind)}")
        too_long = Refusal(
            413, f"a body of JSON has {MAX_JSON} bytes at most: upload files instead"
        )
        if self.length() > MAX_JSON:
            raise too_long
        body = b""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in self.chunks():
                    body += chunk
                    if len(body) > MAX_JSON:
                        raise too_long
        except TimeoutError as error:
            raise Refusal(
                408, f"the body did not come within {BODY_SECONDS:.0f} seconds"
            ) from error
        self._body = body
        return parsed(body)

    async def chunks(self) -> Any:
        """The body as it comes."""
        while not self.is_read:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self.is_read = not message.get("more_body", False)
            yield message.get("body", b"")

    async def again(self) -> Message:
        """The body once more, for those who come after."""
        if self._body is None:
            return await self.receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _drain(self) -> None:
        """Read on for a while: who is still sending does not hear that it is in vain."""
        if self.scope["method"] in ("GET", "HEAD"):
            return
        drained = 0
        try:
            async with asyncio.timeout(5):
                async for chunk in self.chunks():
                    drained += len(chunk)
                    if drained > MAX_DRAINED:
                        return
        except (TimeoutError, ClientDisconnect):
            return


def parsed(body: bytes) -> dict[str, Any]:
    """A JSON object, not nested too deeply and without numbers that are none."""
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
        depth = _depth(value)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            400, f"the body must be JSON: {error or 'it is nested too deeply'}"
        ) from error
    if depth > MAX_DEPTH:
        raise Refusal(400, f"the body may be nested {MAX_DEPTH} times at most, got {depth}")
    if not isinstance(value, dict):
        raise Refusal(400, f"the body must be a JSON object, got {quoted(value)}")
    return value


def _check_reading(request: _Request) -> None:
    """Check a GET: the session is known, and a file is one of the page's."""
    queue = request.page._queue
    if request.path == f"{_API}/queue/data":
        session = _query(request, "session_hash")
        if session not in queue.pending_messages_per_session:
            raise Refusal(404, f"there is no session {quoted(session)}, or it is over")
    elif request.path.startswith(f"{_API}/call/"):
        event = request.path.rpartition("/")[2]
        sessions = queue.pending_event_ids_session
        is_pending = event in queue.event_ids_to_events or any(
            event in events for events in sessions.values()
        )
        if not is_pending and event not in queue.pending_messages_per_session:
            raise Refusal(404, f"there is no event {quoted(event)}, or it is over")
    elif request.path.startswith(f"{_API}/heartbeat/"):
        _check_session(request.path.rpartition("/")[2])
    elif request.path.startswith(f"{_API}/file="):
        file = request.path.partition("file=")[2]
        if work_folder.own(file) is None:  # Gradio would even fetch an address and hand it on.
            raise Refusal(403, f"that is no file of this page: {quoted(file)}")


def _query(request: _Request, name: str) -> str:
    values = parse_qs(request.scope["query_string"].decode("latin-1")).get(name, [""])
    return values[-1]


def _check_session(session: object) -> None:
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise Refusal(400, f"session_hash must be 1 to 64 letters or digits, got {quoted(session)}")


def _check_body(request: _Request, body: dict[str, Any]) -> None:
    """Check a call of a handler: the handler exists and gets a list of values."""
    path = request.path.rstrip("/")
    if path == f"{_API}/reset":
        return
    if path == f"{_API}/cancel" or path == f"{_API}/queue/join" or body.get("session_hash"):
        _check_session(body.get("session_hash"))
    if path == f"{_API}/cancel":
        return
    handler = _handler(request, path, body)
    if path.startswith((f"{_API}/run/", f"{_API}/api/")) and handler.queue:
        raise Refusal(
            404, "this handler is called through the queue: post to queue/join or to call"
        )
    if path.startswith(f"{_API}/call/v2/"):
        return
    if not isinstance(body.get("data"), list):
        raise Refusal(400, f"data must be a list of values, got {quoted(body.get('data'))}")
    wanted: dict[str, Callable[[Any], bool]] = {
        "batched": lambda value: value in (None, False),
        "simple_format": lambda value: value in (True, False),
        "trigger_id": lambda value: value is None or type(value) is int,
        "event_id": lambda value: value is None or isinstance(value, str),
        "oauth_token": lambda value: value is None,
    }
    for name, fits in wanted.items():
        if name in body and not fits(body[name]):
            raise Refusal(400, f"{name} cannot be {quoted(body[name])} here")


def _handler(request: _Request, path: str, body: dict[str, Any]) -> Any:
    """The handler that is asked for, by its number or by its name in the address."""
    handlers, index = request.page.fns, body.get("fn_index")
    by_name = path.startswith(f"{_API}/call/") or (index is None and path != f"{_API}/queue/join")
    if not by_name:
        if type(index) is not int or index not in handlers:
            raise Refusal(404, f"fn_index must be that of a handler, got {quoted(index)}")
        handler = handlers[index]
    else:
        name = path.rpartition("/")[2]
        named = [known for known in handlers.values() if known.api_name == name]
        if not named or (
            path.startswith(f"{_API}/call/v2/") and named[0].api_visibility == "private"
        ):
            raise Refusal(404, f"there is no handler {quoted(name)}")
        handler = named[0]
    if handler.fn is None:
        raise Refusal(404, f"handler {handler._id} runs in the browser alone")
    return handler


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            part
            for item in level
            if isinstance(item, dict | list)
            for part in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
