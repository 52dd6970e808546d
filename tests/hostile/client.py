"""Gradio's HTTP protocol, spoken by somebody who sends what they like."""

import copy
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

API = "/gradio_api"
MAX_READ = 16 << 20  # Of an answer; whoever sends more is not read to the end.
META = {"_type": "gradio.FileData"}
FILES = ("file", "image", "uploadbutton")  # What takes files.


@dataclass
class Answer:
    """What came back."""

    status: int  # Of HTTP; 0 if none came.
    ok: bool = False  # Whether the work was done.
    message: str | None = None  # What a refusal says.
    outputs: list[Any] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)  # Types of the components that show them.
    told: list[str] = field(default_factory=list)  # Toasts on the way.
    body: str = ""
    size: int = 0
    seconds: float = 0.0
    is_late: bool = False  # Nothing, or no end, within the time.


@dataclass(frozen=True)
class Function:
    """An event of the page."""

    index: int
    name: str
    inputs: list[int]  # Ids of components.
    outputs: list[int]
    trigger: int | None  # The component whose event it is, ...
    event: str  # ... and which.


class Visitor:
    """A page in somebody's browser: what each component shows, and requests of any kind."""

    def __init__(self, address: str, timeout: float = 60):
        self.http = httpx.Client(base_url=address, timeout=timeout, trust_env=False)
        self.timeout = timeout
        config = self.http.get("/config").json()
        self.session = secrets.token_hex(6)
        self.components = {one["id"]: one for one in config["components"]}
        self.values = {id: one["props"].get("value") for id, one in self.components.items()}
        self.functions = [_function(one) for one in config["dependencies"] if one["backend_fn"]]
        self.cancels = [one["id"] for one in config["dependencies"] if one["cancels"]]
        self.public = {
            one["api_name"]
            for one in config["dependencies"]
            if one["api_visibility"] == "public" and one["backend_fn"]
        }

    def another(self) -> "Visitor":
        """Somebody else with the same page, just opened."""
        other = copy.copy(self)
        other.http = httpx.Client(
            base_url=self.http.base_url, timeout=self.timeout, trust_env=False
        )
        other.session = secrets.token_hex(6)
        other.values = {id: one["props"].get("value") for id, one in self.components.items()}
        return other

    def close(self) -> None:
        """Leave."""
        self.http.close()

    def kind(self, component: int) -> str:
        """The component's type, "slider" say."""
        return self.components[component]["type"]

    def named(self, name: str) -> Function:
        """The first function of that name."""
        return next(one for one in self.functions if one.name == name)

    def data(self, function: Function) -> list[Any]:
        """What the page would send."""
        return [self.values[id] for id in function.inputs]

    def play(self, function: Function) -> Answer:
        """Act as the page does, and keep what it would show."""
        answer = self.join(function, self.data(function))
        if answer.ok:
            for id, value in zip(function.outputs, answer.outputs, strict=False):
                if self.kind(id) not in FILES or "photo" in str(value):
                    self._show(id, value)
        return answer

    def _show(self, id: int, value: Any) -> None:
        if isinstance(value, dict) and value.get("__type__") == "update":
            if "value" not in value:
                return
            value = value["value"]
        self.values[id] = value

    def join(
        self,
        function: Function,
        data: Any,
        *,
        query: str = "",  # As in the page's address.
        body: dict[str, Any] | None = None,  # Fields to be sent instead of the right ones.
        leave_after: float | None = None,  # Seconds after which the visitor closes the tab.
    ) -> Answer:
        """Send an event as the page does, and read until its end."""
        event = {"index": 1, "value": "x", "selected": True} if function.event == "select" else None
        sent = {
            "data": data, "fn_index": function.index, "session_hash": self.session,
            "event_data": event, "trigger_id": function.trigger,
        } | (body or {})  # fmt: skip
        join = f"{API}/queue/join{query}"
        data_of = f"{API}/queue/data?session_hash={quote(str(sent['session_hash']))}"
        answer = self._queued(join, sent, lambda _: data_of, leave_after)
        answer.kinds = [self.kind(id) for id in function.outputs]
        return answer

    def call(self, name: str, data: Any) -> Answer:
        """As `curl` does."""
        at = f"{API}/call/{name}"
        return self._queued(at, {"data": data}, lambda event: f"{at}/{event}", None)

    def run(self, name: str, data: Any) -> Answer:
        """Directly, past the queue."""
        return self.request(
            "POST", f"{API}/run/{name}", content=_json({"data": data}), is_json=True
        )

    def upload(self, name: str, content: bytes, kind: str = "image/png") -> Answer:
        """Bring a file."""
        return self.request("POST", f"{API}/upload", files={"files": (name, content, kind)})

    def uploaded(self, name: str, content: bytes) -> dict[str, Any]:
        """A file that was brought, as components' values name it."""
        answer = self.upload(name, content)
        if not answer.ok:
            raise ValueError(f"the upload was refused: {answer.message}")
        path = json.loads(answer.body)[0]
        return {"path": path, "orig_name": name, "meta": META}

    def bring(self, function: Function, number: int, name: str, content: bytes) -> Answer:
        """Upload a file and send it as that input; where it is refused, how."""
        answer = self.upload(name, content)
        if not answer.ok:
            return answer
        data = self.data(function)
        file = {"path": json.loads(answer.body)[0], "orig_name": name, "meta": META}
        data[number] = [file] if isinstance(data[number], list) else file
        return self.join(function, data)

    def request(self, method: str, path: str, *, is_json: bool = False, **parts: Any) -> Answer:
        """Anything else. The path is sent as it is: httpx would resolve "..", a browser too."""
        start, answer = time.monotonic(), Answer(0)
        parts["headers"] = ({"content-type": "application/json"} if is_json else {}) | parts.pop(
            "headers", {}
        )
        raw = {"extensions": {"target": path.encode()}} if ".." in path else {}
        try:
            with self.http.stream(method, path, **parts, **raw) as response:
                answer.status = response.status_code
                parts = []
                for chunk in response.iter_bytes():
                    parts.append(chunk)
                    answer.size += len(chunk)
                    if answer.size > MAX_READ or time.monotonic() - start > self.timeout:
                        break
                answer.body = b"".join(parts).decode("utf-8", "replace")
            answer.ok = answer.status < 400
            answer.message = None if answer.ok else _refusal(answer.body)
        except httpx.TimeoutException:
            answer.is_late = True
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            answer.message = f"no answer: {type(error).__name__}"
        answer.seconds = time.monotonic() - start
        return answer

    def _queued(
        self, join: str, sent: Any, stream: Callable[[str], str], leave_after: float | None
    ) -> Answer:
        start = time.monotonic()
        joined = self.request("POST", join, content=_json(sent), is_json=True)
        event = _loads(joined.body)
        if not (joined.ok and isinstance(event, dict) and "event_id" in event):
            return joined
        answer = Answer(joined.status)
        try:
            wait = leave_after or self.timeout
            with self.http.stream("GET", stream(event["event_id"]), timeout=wait) as response:
                answer.status = response.status_code
                for line in _lines(response, answer):
                    if _ends(line, answer, event["event_id"]):
                        break
                    spent = time.monotonic() - start
                    if leave_after is not None and spent > leave_after:
                        break
                    if spent > self.timeout:
                        answer.is_late = True
                        break
        except httpx.TimeoutException:
            answer.is_late = leave_after is None
        except httpx.HTTPError as error:
            answer.message = f"no answer: {type(error).__name__}"
        answer.seconds = time.monotonic() - start
        return answer


def _lines(response: httpx.Response, answer: Answer) -> Iterator[str]:
    """The lines of a stream, which the answer keeps; none after MAX_READ."""
    parts: list[bytes] = []  # Of a line, which may be long.
    for chunk in response.iter_bytes():
        answer.size += len(chunk)
        if answer.size > MAX_READ:
            return
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for other in others:
            line = b"".join(parts).decode("utf-8", "replace")
            answer.body += line + "\n"
            yield line
            parts = [other]


def _ends(line: str, answer: Answer, event: str) -> bool:
    """Whether a line of the stream is the last of the event; what it tells is kept."""
    if line.startswith("event: "):  # Of /call.
        answer.told.append(line)
        return False
    if not line.startswith("data: "):
        return False
    message = _loads(line[6:])
    if answer.told and answer.told[-1].startswith("event: "):
        kind = answer.told.pop()[7:]
        answer.ok = kind == "complete"
        answer.outputs = message if answer.ok and isinstance(message, list) else []
        if kind == "error":
            answer.message = _message(message)
        return kind in ("complete", "error")
    if not isinstance(message, dict):
        return False
    if message.get("msg") == "log":
        answer.told.append(str(message.get("log")))
    if message.get("msg") == "unexpected_error":
        answer.message = _message(message.get("message"))
        return True
    if message.get("msg") != "process_completed" or message.get("event_id") != event:
        return False
    output = message.get("output") or {}
    answer.ok = bool(message.get("success"))
    answer.outputs = output.get("data") or []
    answer.message = None if answer.ok else _message(output.get("error"))
    return True


def _refusal(body: str) -> str:
    """What an HTTP error says: FastAPI's detail, Gradio's error, or the text."""
    found = _loads(body)
    if isinstance(found, dict):
        found = found.get("error") or found.get("detail")
        if isinstance(found, list):
            return "; ".join(str(one.get("msg")) for one in found if isinstance(one, dict))
        return _message(found)
    return body


def _message(value: Any) -> str:
    return value.get("error") or "" if isinstance(value, dict) else str(value or "")


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()  # Escaped, so that a lone surrogate can be sent.


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _function(one: dict[str, Any]) -> Function:
    component, event = one["targets"][0] if one["targets"] else (None, "")
    return Function(
        one["id"], one["api_name"], one["inputs"], one["outputs"], component or None, event
    )


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a JSON value, itself included."""
    yield at
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else [])
    )
    for key, part in parts:
        yield from leaves(part, (*at, key))


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """The JSON value with another part there."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = replaced(copy[at[0]], at[1:], new)
    return copy
