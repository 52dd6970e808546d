"""What must hold of every answer, and of the server after it."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.cases import Case
from tests.hostile.client import Answer
from tests.hostile.server import SECRETS, Server
from tests.hostile.values import MARK

MAX_MESSAGE = 1000  # Characters of a refusal.
MAX_LOG = 40_000  # Characters that a case may leave in the log.
MAX_ANSWER = 2 << 20  # Bytes of an answer: pictures are sent as addresses.
MAX_RSS_MB = 3000

KINDS = {
    "500": "an error of the server's own",
    "hang": "no answer in time",
    "broken": "the connection broke without an answer",
    "bare": "a refusal that says nothing",
    "internals": "a refusal in the words of Python or pydantic",
    "long": "a refusal that repeats too much of what came",
    "traceback": "a traceback in the answer",
    "unhandled": "a traceback in the log",
    "forged": "a line in the log that a visitor wrote",
    "flood": "too much of what came, in the log",
    "markup": "what came, as markup",
    "leak": "a path or a setting of the server's",
    "large": "an answer that is too large",
    "taken": "what must be refused was taken",
    "outside": "a file changed outside the work folder",
    "dead": "the server does not draw any more",
    "memory": "the server keeps too much memory",
}
# Said by Python, not by us.
_INTERNALS = re.compile(
    r"object (has no attribute|is not|cannot)|unsupported operand|not supported between|unhashable|"
    r"invalid literal|positional argument|validation errors? for|errors\.pydantic|"
    r"list (index|indices)|tuple index|not subscriptable|'\w+' object|KeyError|Errno",
)
_PLAIN = ("json", "state", "textbox")  # Shown as text, by components that escape.


@dataclass(frozen=True)
class Finding:
    """A case that failed."""

    kind: str
    case: str
    sent: str
    came: str


def judged(case: Case, answer: Answer, server: Server) -> Iterator[Finding]:
    """What is wrong with an answer."""

    def found(kind: str, came: Any) -> Finding:
        return Finding(kind, case.name, case.sent[:2000], str(came)[:500])

    message = answer.message or ""
    if answer.is_late:
        yield found("hang", f"{answer.seconds:.0f} s")
    elif "RemoteProtocol" in message or "ReadError" in message:
        yield found("broken", message)
    elif answer.status >= 500 and answer.status != 503:
        yield found("500", f"{answer.status} {message or answer.body}")
    elif not answer.ok and answer.status != 405:  # FastAPI's "Method Not Allowed" will do.
        yield from of_message(case.name, message, case.sent)
    if answer.ok and case.must_refuse:
        yield found("taken", answer.outputs or answer.body)
    if "Traceback (most recent" in answer.body:
        yield found("traceback", answer.body)
    shown = list(_marked(answer))
    if any(re.search(rf"<[^>]*{MARK}", text) for text in (message, *answer.told, *shown)):
        yield found("markup", [message, *answer.told, *shown])
    if any(f"(javascript:{MARK}" in text for text in shown):  # Toasts know no Markdown.
        yield found("markup", shown)
    for secret in _secrets(server):
        if secret in answer.body and secret not in case.sent:
            at = answer.body.index(secret)
            yield found("leak", answer.body[max(0, at - 100) : at + 200])
    if answer.size > MAX_ANSWER and case.group != "route":
        yield found("large", f"{answer.size} bytes")


def of_message(case: str, message: str, sent: str) -> Iterator[Finding]:
    """What is wrong with the words of a refusal."""
    if len(re.findall(r"\w+", message)) < 2 or message == "Internal Server Error":
        yield Finding("bare", case, sent[:2000], repr(message))
    if _INTERNALS.search(message):
        yield Finding("internals", case, sent[:2000], message[:500])
    if len(message) > MAX_MESSAGE:
        came = f"{len(message)} characters: {message[:120]}"
        yield Finding("long", case, sent[:2000], came)


def of_log(case: Case, text: str) -> Iterator[Finding]:
    """What is wrong with what a case left in the log."""
    for one in text.split("Traceback (most recent call last)")[1:]:
        ends = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit)\b.*", one, re.MULTILINE)
        if not ends or not ends[-1].startswith("gradio.exceptions.Error"):  # Gradio's own "no".
            yield Finding("unhandled", case.name, case.sent[:2000], " / ".join(ends[-2:])[:500])
            break
    if len(text) > MAX_LOG:
        yield Finding(
            "flood", case.name, case.sent[:2000], f"{len(text)} characters: {text[-100:]}"
        )
    if re.search(rf"^{MARK}-forged|\x1b\[3\dm{MARK}", text, re.MULTILINE):
        yield Finding("forged", case.name, case.sent[:2000], text[-300:])


def _marked(answer: Answer) -> Iterator[str]:
    """The texts of an answer that a page may show as more than text."""
    for kind, value in zip(answer.kinds, answer.outputs, strict=False):
        if kind not in _PLAIN:
            yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("path", "url", "orig_name"):
                yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _secrets(server: Server) -> list[str]:
    """Texts that are the server's own affair."""
    own = [str(server.source) + "/", str(server.canary), sys.prefix, str(Path.home()) + "/."]
    return [*own, *SECRETS.values(), "root:x:0:", "HF_HUB_OFFLINE"]
