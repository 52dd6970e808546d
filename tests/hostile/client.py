"""Gradio's HTTP protocol, spoken by somebody who sends what they like."""

import copy
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

API = "/gradio_api"
META = {"_type": "gradio.FileData"}
MAX_WAITS = 60  # For leave to upload.
MAX_READ = 16 << 20  # Bytes of an answer; whoever sends more is not read to the end.


@dataclass
class Answer:
    """What came back."""

    status: int = 0  # Of HTTP; 0 if none came.
    ok: bool = False  # Whether the work was done.
    message: str = ""  # What a refusal says.
    outputs: list[Any] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)  # Types of the components that show them.
    toasts: list[str] = field(default_factory=list)
    body: str = ""
    size: int = 0
    seconds: float = 0.0
    is_late: bool = False  # No end within the time.


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
        self.timeout = timeout
        self.http = httpx.Client(base_url=address, timeout=timeout, trust_env=False)
        config = self.http.get("/config").json()
        self.components = {one["id"]: one for one in config["components"]}
        self.functions = [_function(one) for one in config["dependencies"] if one["backend_fn"]]
        self._begin()

    def _begin(self) -> None:
        self.session = secrets.token_hex(6)
        self.values = {id: one["props"].get("value") for id, one in self.components.items()}

    def another(self) -> "Visitor":
        """Somebody else with the same page, just opened."""
        other = copy.copy(self)
        address = self.http.base_url
        other.http = httpx.Client(base_url=address, timeout=self.timeout, trust_env=False)
        other._begin()
        return other

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
        """Act as the page does, and keep what it would show; the files in it stay."""
        answer = self.join(function, self.data(function))
        for id, value in zip(function.outputs, answer.outputs, strict=False):
            is_update = isinstance(value, dict) and value.get("__type__") == "update"
            if (is_update and "value" not in value) or self.kind(id) in ("file", "image"):
                continue
            self.values[id] = value["value"] if is_update else value
        return answer

    def join(
        self,
        function: Function,
        data: Any,
        *,
        query: str = "",  # Of the page's address.
        body: dict[str, Any] | None = None,  # Fields that are sent instead of the right ones.
        leave_after: float | None = None,  # Seconds after which the tab is closed.
    ) -> Answer:
        """Send an event as the page does, and read until its end."""
        event = {"index": 1, "value": "x", "selected": True} if function.event == "select" else None
        sent = {
            "data": data, "fn_index": function.index, "session_hash": self.session,
            "event_data": event, "trigger_id": function.trigger,
        } | (body or {})  # fmt: skip
        stream = f"{API}/queue/data?session_hash={quote(str(sent['session_hash']))}"
        answer = self._queued(f"{API}/queue/join{query}", sent, stream, leave_after)
        answer.kinds = [self.kind(id) for id in function.outputs]
        return answer

    def call(self, name: str, data: Any) -> Answer:
        """As `curl` does."""
        at = f"{API}/call/{name}"
        return self._queued(at, {"data": data}, at + "/{}", None)

    def run(self, name: str, data: Any) -> Answer:
        """Directly, past the queue."""
        return self.request("POST", f"{API}/run/{name}", json.dumps({"data": data}))

    def upload(self, name: str, content: bytes) -> Answer:
        """Bring a file; who is told to wait a moment does so."""
        sent = {"files": (name, content, "image/png")}
        for _ in range(MAX_WAITS):
            answer = self.request("POST", f"{API}/upload", files=sent)
            if answer.status != 429:
                break
            time.sleep(1)
        return answer

    def uploaded(self, name: str, content: bytes) -> dict[str, Any]:
        """A file that was brought, as components' values name it."""
        answer = self.upload(name, content)
        if not answer.ok:
            raise RuntimeError(f"the upload was refused: {answer.status} {answer.message}")
        return {"path": json.loads(answer.body)[0], "orig_name": name, "meta": META}

    def bring(self, function: Function, number: int, name: str, content: bytes) -> Answer:
        """Upload a file and send it as that input; where it is refused, how."""
        answer = self.upload(name, content)
        if not answer.ok:
            return answer
        data = self.data(function)
        file = {"path": json.loads(answer.body)[0], "orig_name": name, "meta": META}
        data[number] = [file] if isinstance(data[number], list) else file
        return self.join(function, data)

    def request(
        self,
        method: str,
        path: str,  # Sent as it is: httpx would resolve "..".
        content: str | bytes = b"",  # Text is JSON.
        headers: dict[str, str] | None = None,
        files: Any = None,  # As httpx has them.
    ) -> Answer:
        """Anything; a broken connection is tried once more, as it may be an older answer's."""
        answer = self._request(method, path, content, headers, files)
        is_broken = "ReadError" in answer.message or "RemoteProtocol" in answer.message
        return self._request(method, path, content, headers, files) if is_broken else answer

    def _request(
        self,
        method: str,
        path: str,
        content: str | bytes,
        headers: dict[str, str] | None,
        files: Any,
    ) -> Answer:
        start, answer, parts = time.monotonic(), Answer(), []
        raw = {"target": path.encode()}
        sent: dict[str, Any] = {"files": files} if files else {"content": content or None}
        kind = {}
        if isinstance(content, str):
            kind, sent = (
                {"content-type": "application/json"},
                {"content": content.encode("latin-1")},
            )
        try:
            with self.http.stream(
                method, "/", headers=kind | (headers or {}), extensions=raw, **sent
            ) as response:
                answer.status = response.status_code
                for chunk in response.iter_bytes():
                    parts.append(chunk)
                    answer.size += len(chunk)
                    if answer.size > MAX_READ or time.monotonic() - start > self.timeout:
                        break
        except httpx.TimeoutException:
            answer.is_late = True
        except httpx.HTTPError as error:
            answer.message = f"no answer: {type(error).__name__}"
        answer.body = b"".join(parts).decode("utf-8", "replace")
        answer.ok = 0 < answer.status < 400
        if not answer.ok and not answer.message:
            answer.message = _refusal(answer.body)
        answer.seconds = time.monotonic() - start
        return answer

    def _queued(self, join: str, sent: Any, stream: str, leave_after: float | None) -> Answer:
        start = time.monotonic()
        joined = self.request("POST", join, json.dumps(sent))
        event = _loads(joined.body)
        if not (joined.ok and isinstance(event, dict) and "event_id" in event):
            return joined
        answer, wait = Answer(joined.status), leave_after or self.timeout
        try:
            at = stream.replace("{}", event["event_id"])
            with self.http.stream("GET", at, timeout=wait) as response:
                answer.status = response.status_code
                for line in _lines(response, answer):
                    if _ends(line, answer, event["event_id"]):
                        break
                    if time.monotonic() - start > wait:
                        answer.is_late = leave_after is None
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
    """Whether a line is the last that matters of an event's stream; what it says is kept."""
    if not line.startswith("data: "):
        return False
    message = _loads(line[6:])
    kind = answer.body.rsplit("\n", 3)[-3] if answer.body.count("\n") > 1 else ""
    if kind.startswith("event: "):  # Of /call: the line before says what this one is.
        answer.ok = kind == "event: complete"
        answer.outputs = message if answer.ok and isinstance(message, list) else []
        answer.message = _message(message) if kind == "event: error" else ""
        return kind in ("event: complete", "event: error")
    if not isinstance(message, dict):
        return False
    if message.get("msg") == "log":
        answer.toasts.append(str(message.get("log")))
    if message.get("msg") == "unexpected_error":
        answer.message = _message(message.get("message"))
        return True
    if message.get("msg") != "process_completed" or message.get("event_id") != event:
        return False
    output, answer.ok = message.get("output") or {}, bool(message.get("success"))
    answer.outputs = output.get("data") or []
    answer.message = "" if answer.ok else _message(output)
    return True


def _refusal(body: str) -> str:
    """What an HTTP error says: FastAPI's detail, Gradio's error, or the text."""
    found = _loads(body)
    if not isinstance(found, dict):
        return body
    found = found.get("error") or found.get("detail")
    if isinstance(found, list):
        return "; ".join(str(one.get("msg")) for one in found if isinstance(one, dict))
    return _message(found)


def _message(value: Any) -> str:
    return str((value.get("error") if isinstance(value, dict) else value) or "")


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _function(one: dict[str, Any]) -> Function:
    trigger, event = one["targets"][0] if one["targets"] else (None, "")
    return Function(one["id"], one["api_name"], one["inputs"], one["outputs"], trigger, event)
