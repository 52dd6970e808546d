"""Visitors' photos, found again by a random key for as long as they lie on the server.

A key is told to the visitor's own browser only: the hash in a shared picture's recipe finds no
photo of somebody else.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

MAX_KEPT = 2000  # Keys; the oldest go.
GONE = (
    "**Your photo is not on the server any more.** All settings are as they were: bring the photo "
    "again as *Your photo*."
)

_paths: OrderedDict[str, str] = OrderedDict()
_keeping = threading.Lock()


def keep(path: str | None) -> str:
    """A new key for an uploaded photo; none for none."""
    if path is None:
        return ""
    key = secrets.token_urlsafe(16)
    with _keeping:
        _paths[key] = path
        while len(_paths) > MAX_KEPT:
            _paths.popitem(last=False)
    return key


def path(key: str) -> str | None:
    """Where the photo lies; None where it was deleted, or the key is not one of ours."""
    with _keeping:
        stored = _paths.get(key)
    return stored if stored is not None and Path(stored).is_file() else None


def find(keys: Sequence[str], is_it: Callable[[str], bool]) -> tuple[str, str] | None:
    """The key and the path of the visitor's first photo that it is."""
    for key in keys:
        stored = path(key)
        if stored is not None and is_it(stored):
            return key, stored
    return None
