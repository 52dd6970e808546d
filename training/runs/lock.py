"""One command per run: a lock on its folder, which the process that holds it takes to its grave."""

import json
import os
import socket
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

_held: WeakValueDictionary[Path, FileLock] = WeakValueDictionary()  # By this process.


def lock(out: Path) -> FileLock:
    """Make a run's folder and hold it for as long as the lock lives.

    ValueError names the process that holds it already. A lock of a dead process is ignored:
    the system has let go of it. OSError if the folder cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = out.resolve()
        if (held_lock := _held.get(folder)) is not None and (folder / ".lock").exists():
            return held_lock
        lock = FileLock(folder / ".lock", blocking=False)
        lock.acquire()
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": started}
        (folder / ".lock.json").write_text(json.dumps(holder))
    except Timeout as error:
        raise ValueError(
            f"{out} is in use by {_holder(out / '.lock.json')}: two commands would spoil each "
            "other's files. Wait until it has ended, stop it, or choose another --out"
        ) from error
    except OSError as error:
        raise OSError(
            f"--out {out} cannot be written to ({error.strerror or error}): make room, or the "
            "place writable, or choose another"
        ) from error
    _held[folder] = lock
    return lock


def _holder(path: Path) -> str:
    """The process that wrote this, in words."""
    try:
        record = json.loads(path.read_text())
        return f"process {record['pid']} on {record['host']}, since {record['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
