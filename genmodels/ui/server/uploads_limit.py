"""How much may be uploaded: by one request, by one visitor, and by all together."""

import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message

from genmodels.ui.server import work_folder

if TYPE_CHECKING:
    from genmodels.ui.server.requests import _Request

MEGABYTE = 1 << 20
MAX_FILE = "30mb"  # As Gradio's launch takes it.
MAX_BYTES = 320 * MEGABYTE  # Largest request: thirty photos of 10 MB.
MAX_FILES = 64  # In one request.
MAX_VISITORS = 10_000  # Whose allowance is remembered; who was away for longest is forgotten.


class Allowance:
    """So much at once, and then so much a second."""

    def __init__(self, most: float, per_second: float) -> None:
        self.left, self.most, self.per_second = most, most, per_second
        self.since = time.monotonic()

    def take(self, amount: float) -> bool:
        """Whether it has as much left; then that is taken."""
        now = time.monotonic()
        self.left = min(self.most, self.left + (now - self.since) * self.per_second)
        self.since = now
        if amount > self.left:
            return False
        self.left -= amount
        return True


class Visitor:
    """What one visitor may upload."""

    def __init__(self) -> None:
        self.bytes = Allowance(640 * MEGABYTE, 2 * MEGABYTE)
        self.requests = Allowance(300, 2)


class Limits:
    """What is left to whom."""

    def __init__(self) -> None:
        self.all_bytes = Allowance(2048 * MEGABYTE, 4 * MEGABYTE)
        self.visitors: OrderedDict[str, Visitor] = OrderedDict()

    async def receive(self, app: ASGIApp, request: "_Request") -> None:
        """Hand an upload on to Gradio as far as it is allowed; else `Refusal`."""
        from genmodels.ui.server.requests import Refusal

        visitor = self.visitor(request)
        if not visitor.requests.take(1):
            raise Refusal(429, "so many files at once are too much: wait a moment, please")
        if work_folder.is_full():
            raise Refusal(507, "the server has no room for files just now: try again in 10 minutes")
        if request.length() > MAX_BYTES:
            raise Refusal(413, f"files may have {MAX_BYTES // MEGABYTE} MB together")
        delimiter = _delimiter(request.headers.get("content-type", ""))
        total, parts, tail = 0, 0, b""

        async def receive() -> Message:
            nonlocal total, parts, tail
            message = await request.receive()
            if message["type"] != "http.request":
                return message
            request.is_read = not message.get("more_body", False)
            chunk = message.get("body", b"")
            total += len(chunk)
            seen = tail + chunk
            parts += seen.count(delimiter)
            tail = seen[len(seen) - len(delimiter) + 1 :]
            if total > MAX_BYTES:
                raise Refusal(413, f"files may have {MAX_BYTES // MEGABYTE} MB together")
            if parts > MAX_FILES + 1:  # One more ends the last.
                raise Refusal(413, f"{MAX_FILES} files may come at once")
            if not (visitor.bytes.take(len(chunk)) and self.all_bytes.take(len(chunk))):
                raise Refusal(429, "so large files at once are too much: wait a moment, please")
            return message

        await app(request.scope, receive, request.send)

    def visitor(self, request: "_Request") -> Visitor:
        """The one who sends the request, by address."""
        name = address(request)
        visitor = self.visitors.setdefault(name, Visitor())
        self.visitors.move_to_end(name)
        while len(self.visitors) > MAX_VISITORS:
            self.visitors.popitem(last=False)
        return visitor


def address(request: "_Request") -> str:
    """Where a request comes from: behind a Space's proxy, what that says of it."""
    client = request.scope.get("client") or ("",)
    forwarded = request.headers.get("x-forwarded-for", "")
    if forwarded and "SPACE_ID" in os.environ:
        return forwarded.rpartition(",")[2].strip()
    return client[0]


def _delimiter(content_type: str) -> bytes:
    """What stands between the parts of a form; Gradio refuses a body without it."""
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    return f"--{boundary or '-'}".encode("latin-1")
