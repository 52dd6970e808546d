"""What a visitor is told: one line of plain text, whatever came in with it.

Gradio renders the message of an error as HTML, and what it logs stands in lines. Text from outside
must become neither a tag nor a line of its own, and it is quoted, not returned.
"""

import html
import re
from collections.abc import Sequence

import gradio as gr
import pydantic

MAX_QUOTED = 200  # Largest number of quoted characters.
MAX_LENGTH = 800  # Longest message in characters.
FAULT = "Something went wrong on the server, which its log has. Reload the page, and try again."

_LONG_QUOTE = re.compile(rf"""(?<!\w)(['"])((?:(?!\1).){{{MAX_QUOTED}}})(?:(?!\1).)+(?:\1|$)""")


def plain(text: str) -> str:
    """A message as one short line that is no markup: `<`, `>` and `&` are escaped."""
    line = "".join(c if c.isprintable() else " " for c in text[: 10 * MAX_LENGTH])
    line = _LONG_QUOTE.sub(r"\1\2...\1", line)
    words, got, actual = line.partition(" got ")
    line = _cut(words + got + _cut(actual, MAX_QUOTED), MAX_LENGTH)
    return html.escape(line[:1].upper() + line[1:], quote=False)


def quoted(value: object) -> str:
    """What came, for a message: as Python would write it, 200 characters at most."""
    try:
        return _cut(repr(value), MAX_QUOTED)
    except (RecursionError, ValueError):  # Nested too deeply; or a number of 5000 digits.
        return f"a {type(value).__name__} too large to quote"


def misfit(
    error: pydantic.ValidationError,
    names: Sequence[str] = (),  # Names of the arguments, if those of a call were checked.
) -> str:
    """The first value that is of another type than wanted, in a sentence."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = [
        names[part] if isinstance(part, int) and part < len(names) else str(part)
        for part in first["loc"]
    ]
    expected = first["msg"].removeprefix("Input should be ")
    expected = expected.replace("a valid integer", "a whole number").replace("a valid ", "a ")
    actual = "" if first["type"] == "missing" else f", got {quoted(first['input'])}"
    return f"{'.'.join(where) or 'it'} must be {expected}{actual}"


def refusal(text: str) -> gr.Error:
    """The error that tells a visitor; it is no fault of ours, so the log says nothing of it."""
    return gr.Error(plain(text), print_exception=False)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
