"""What must hold of every answer, and of the server after it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.hostile.cases import Case
from tests.hostile.client import Answer
from tests.hostile.values import MARK

MAX_MESSAGE = 1000  # Characters of a refusal.
MAX_LOG = 40_000  # Characters that a case may leave in the log.
MAX_ANSWER = 2 << 20  # Bytes of an answer: pictures are sent as addresses.
MAX_RSS_MB = 3000

KINDS = {
    "500": "an error of the server's own",
    "hang": "no end in time",
    "broken": "the connection broke without an answer",
    "bare": "a refusal that says nothing",
    "internals": "a refusal in the words of Python or pydantic",
    "long": "a refusal that repeats too much of what came",
    "unhandled": "an exception that nobody expected",
    "forged": "a line of the log that a visitor wrote",
    "flood": "too much of what came, in the log",
    "markup": "what came, as markup",
    "leak": "a path or a setting of the server's, or a traceback",
    "large": "an answer that is too large",
    "taken": "what must be refused was taken",
    "outside": "a file changed outside the work folder",
    "dead": "the server draws no more",
    "memory": "too much memory is kept",
}
# What Python says, and what Gradio never means to.
_INTERNALS = re.compile(
    r"object (has no attribute|is not|cannot)|unsupported operand|not supported between|"
    r"unhashable|invalid literal|positional argument|validation errors? for|errors\.pydantic|"
    r"list (index|indices)|tuple index|not subscriptable|'\w+' object|KeyError|Errno"
)
_OTHERS_WORDS = ("Method Not Allowed", "Forbidden")  # FastAPI's and Gradio's will do.
_ENDS = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit)\b.*", re.MULTILINE)  # Of tracebacks.
# Where a tab says of a photo or a set what is wrong with it, in the place of what it shows.
_REFUSED = re.compile(r"not a readable|pixels or more, got|\b0 readable images")
_PLAIN = ("json", "state", "textbox")  # Components that show text as text.


@dataclass(frozen=True)
class Finding:
    """A case that failed."""

    kind: str
    case: str
    sent: str
    came: str


def judged(case: Case, answer: Answer, secrets: list[str]) -> Iterator[Finding]:
    """What is wrong with an answer."""
    sent = case.sent

    def found(kind: str, came: Any) -> Finding:
        return Finding(kind, case.name, sent[:2000], str(came)[:500])

    if answer.is_late:
        yield found("hang", f"{answer.seconds:.0f} s")
    elif "RemoteProtocol" in answer.message or "ReadError" in answer.message:
        yield found("broken", answer.message)
    elif answer.status >= 500 and answer.status != 503:
        yield found("500", f"{answer.status} {answer.message}")
    elif not answer.ok and answer.message not in _OTHERS_WORDS:
        yield from of_message(case.name, answer.message, sent)
    if answer.ok and case.must_refuse and not any(map(_REFUSED.search, _shown(answer))):
        yield found("taken", answer.outputs or answer.body)
    shown = [text for text in _shown(answer) if MARK in text]
    texts = [answer.message, *answer.toasts, *shown]
    is_markup = any(re.search(rf"<[^>]*{MARK}", text) for text in texts)
    if is_markup or any(f"(javascript:{MARK}" in text for text in shown):  # Markdown's links.
        yield found("markup", texts)
    for secret in secrets:
        if secret in answer.body and secret not in sent:
            at = max(0, answer.body.index(secret) - 100)
            yield found("leak", answer.body[at : at + 300])
    if answer.size > MAX_ANSWER and case.group != "route":
        yield found("large", f"{answer.size} bytes")


def of_message(case: str, message: str, sent: str) -> Iterator[Finding]:
    """What is wrong with the words of a refusal."""
    if len(re.findall(r"\w+", message)) < 2 or message == "Internal Server Error":
        yield Finding("bare", case, sent[:2000], repr(message))
    if _INTERNALS.search(message):
        yield Finding("internals", case, sent[:2000], message[:500])
    if len(message) > MAX_MESSAGE:
        came = f"{len(message)} characters: {message[:200]}"
        yield Finding("long", case, sent[:2000], came)


def of_log(case: Case, text: str) -> Iterator[Finding]:
    """What is wrong with what a case left in the log."""
    for one in text.split("Traceback (most recent call last)")[1:]:
        ends = _ENDS.findall(one)
        if not ends or not ends[-1].startswith("gradio.exceptions.Error"):  # Gradio's own "no".
            came = " / ".join(end[:250] for end in ends[-2:])
            yield Finding("unhandled", case.name, case.sent[:2000], came)
            break
    if len(text) > MAX_LOG:
        yield Finding("flood", case.name, case.sent[:2000], f"{len(text)} characters")
    if re.search(rf"^{MARK}-forged|\x1b\[3\dm{MARK}", text, re.MULTILINE):
        yield Finding("forged", case.name, case.sent[:2000], text[-300:])


def _shown(answer: Answer) -> Iterator[str]:
    """The texts of an answer that a page may show as more than text."""
    parts = [v for k, v in zip(answer.kinds, answer.outputs, strict=False) if k not in _PLAIN]
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            parts += [v for k, v in part.items() if k not in ("path", "url", "orig_name")]
        elif isinstance(part, list):
            parts += part
