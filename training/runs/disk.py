"""Files of a run: written whole or not at all, and what to do where a disk is full or read-only."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that then takes its name at once; a kill leaves the one before.

    An OSError (a full disk, one that cannot be written to) says what to do.
    """
    partial = path.with_suffix(".partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror or error}): make room, or the place "
            "writable, and repeat the command; all that was saved before is still there"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """A run's file of facts; ValueError with the advice if it is damaged."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(facts, dict):
            return facts
        reason = "it holds no object"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise ValueError(f"{path} is damaged ({reason}): {advice}")
