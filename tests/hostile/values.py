"""Values that no honest page sends."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hostile.client import leaves, replaced

MARK = "hstl"  # In all that must not come out as markup or as a line of the log.
MARKUP = f"<img src=x onerror={MARK}()><form action=//{MARK}.example><input name=password></form>"
LINE = f"x\r\n{MARK}-forged 127.0.0.1 - GET / 200\n"

# Nested so deep that a parser or a validator which recurses gives up; JSON's own parser does not.
DEEP: Any = "x"
for _ in range(400):
    DEEP = [DEEP]

NUMBERS: dict[str, Any] = {
    "minus one": -1, "zero": 0, "2^31": 2**31, "2^63": 2**63, "400 digits": 10**400,
    "a half": 0.5, "1e308": 1e308, "NaN": float("nan"), "infinity": float("inf"),
    "minus infinity": float("-inf"), "-1e-320": -1e-320,
}  # fmt: skip
TEXTS: dict[str, Any] = {
    "empty": "", "a word": "x", "a number": "7", "NaN as text": "NaN", "markup": MARKUP,
    "end of script": f"</script><script>{MARK}()</script>", "a link": f"[x](javascript:{MARK}())",
    "template": "{{7*191}}${7*191}{0.__class__}%s%n", "a forged line": LINE,
    "escapes": f"\x1b[2J\x1b[31m{MARK}\x07", "NUL": "x\x00y", "a lone surrogate": "\ud800",
    "right to left": "\u202egnp.exe", "100 KB": "9" * 100_000, "JSON": '{"a": [1, NaN]}',
    "deep JSON": "[" * 20_000, "up": "../../../../canary/kept.txt", "home": "~/.netrc",
    "passwd": "/etc/passwd", "an address": "http://127.0.0.1:1/x", "file address": "file:///etc/passwd",
    "unc": "\\\\host\\share", "a repo": "someone/model", "other digits": "\u0661\u0662",
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "null": None, "true": True, "an empty list": [], "an empty object": {}, "a list": [1, "x", None],
    "a list of lists": [[]], "an object": {"value": 1, "x": []}, "deep": DEEP,
    "an update": {"__type__": "update", "value": MARKUP, "visible": True},
    "1000 numbers": list(range(1000)),
}  # fmt: skip

EVENTS: dict[str, Any] = {
    "nothing": None, "no index": {}, "text": "x", "a list": [1], "deep": DEEP,
} | {
    f"index {name}": {"index": value, "value": MARKUP}
    for name, value in {"-1": -1, "-9": -9, "99": 99, "2^70": 2**70, "0.5": 0.5, "NaN": float("nan"),
        "null": None, "text": "0", "pair": [0, 1], "object": {}, "true": True}.items()
}  # fmt: skip
BODIES: dict[str, Any] = {
    "no data": {"data": None}, "data is text": {"data": "x"}, "data is an object": {"data": {}},
    "no index": {"fn_index": None}, "index -1": {"fn_index": -1}, "index 9999": {"fn_index": 9999},
    "index text": {"fn_index": "x"}, "index 2^70": {"fn_index": 2**70}, "index NaN": {"fn_index": float("nan")},
    "no session": {"session_hash": None}, "session empty": {"session_hash": ""},
    "session up": {"session_hash": "../../x"}, "session number": {"session_hash": 7},
    "session markup": {"session_hash": MARKUP}, "session line": {"session_hash": LINE},
    "session long": {"session_hash": "x" * 20_000}, "trigger 9999": {"trigger_id": 9999},
    "trigger text": {"trigger_id": "x"}, "trigger -1": {"trigger_id": -1},
    "event id": {"event_id": "../x"}, "batched": {"batched": True}, "simple": {"simple_format": True},
    "token": {"oauth_token": MARKUP}, "event data": {"event_data": MARKUP},
}  # fmt: skip


def paths(canary: Path, app: Path) -> dict[str, Any]:
    """Names of files that are nobody's business, there and to be made."""
    return {
        "a canary": str(canary / "kept.txt"), "a new file": str(canary / "X"),
        "up to a canary": f"../../../../../../..{canary}/X", "the app": str(app / "app.py"),
        "a folder": str(canary), "the root": "/", "a device": "/dev/zero", "environment": "/proc/self/environ",
    }  # fmt: skip


def any_of(canary: Path, app: Path) -> dict[str, Any]:
    """All bad values by their names."""
    return NUMBERS | TEXTS | OTHERS | paths(canary, app)


def spoiled(
    value: Any, bad: dict[str, Any], rng: random.Random, number: int
) -> Iterator[tuple[str, Any]]:
    """Copies of a JSON value with one part replaced or gone: what was done, and the copy.

    What names a model gets every bad value, other parts a few each.
    """
    ways = [at for at in leaves(value) if at]
    chosen = [
        (at, name)
        for at in ways
        for name in bad
        if at[-1] in ("model", "path") and not (at[-1] == "path" and "meta" in at)
    ]
    rest = [(at, name) for at in ways for name in bad]
    rng.shuffle(chosen)
    rng.shuffle(rest)
    for at, name in [*chosen[: number // 2], *rest[: number - number // 2]]:
        yield f"{_way(at)} = {name}", replaced(value, at, bad[name])
    for at in rng.sample(ways, min(len(ways), number // 6)):
        yield f"without {_way(at)}", _without(value, at)


def spoiled_text(
    text: str, bad: dict[str, Any], rng: random.Random, number: int
) -> Iterator[tuple[str, str]]:
    """The same for JSON in a text."""
    for name, value in spoiled(json.loads(text), bad, rng, number):
        yield name, json.dumps(value)


def _without(value: Any, at: tuple[Any, ...]) -> Any:
    if len(at) > 1:
        return replaced(value, at[:1], _without(value[at[0]], at[1:]))
    if isinstance(value, dict):
        return {key: part for key, part in value.items() if key != at[0]}
    return [part for index, part in enumerate(value) if index != at[0]]


def _way(at: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in at)
