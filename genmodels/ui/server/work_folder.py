"""The one folder that the page writes to: uploads, pictures, films, archives, networks.

What several visitors may share is written once, whole, and under a name of its content; nobody
reads half a file, and nobody writes to one that is read.
"""

import atexit
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from gradio.processing_utils import encode_pil_to_bytes
from gradio.utils import get_upload_folder
from PIL import Image

MAX_AGE = 6 * 3600.0  # Seconds since something was used last: then it goes.
MIN_AGE = 600.0  # Seconds for which nothing goes that was used, however full the folder is.
MAX_BYTES = 4 << 30  # All files together; the least recently used are deleted first.
MAX_ENTRIES = 20_000
MAX_PATH = 4096  # Characters.

_PREFIX = "genmodels-"
_LOCK = ".lock"
_GONE = ".gone-"  # What is being deleted.
_NAME = re.compile(r"[\w,+-][\w ,.+-]{0,199}")
_KEY = re.compile(r"[0-9a-f]{12,64}")


def path() -> Path:
    """The folder, which is Gradio's own for uploads and what it shows."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def begin() -> Path:
    """Make a folder of this process's own, which ends with it, and clear away those of dead ones.

    GRADIO_TEMP_DIR, or else the system's folder for such, is where; then it names the folder.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    for other in place.glob(f"{_PREFIX}*"):
        if _lock(other / _LOCK) is not None:
            shutil.rmtree(other, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    assert _lock(folder / _LOCK, new=True) is not None
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(_end, folder, os.getpid())
    return folder


def written_once(
    key: str,  # A hash of what the file will hold, in hexadecimal: the same key, the same file.
    name: str,  # The file's own name, as a visitor will see it.
    write: Callable[[Path], object],  # Writes the file to the path that it is given.
) -> str:
    """The path of a file in the folder, which is written unless it is there."""
    if not _KEY.fullmatch(key) or not _NAME.fullmatch(name):
        raise ValueError(f"a file must be named by a hash and a plain name, got {key!r}, {name!r}")
    folder = path() / key
    file = folder / name
    if is_kept(file):
        return str(file)
    folder.mkdir(exist_ok=True)
    begun = folder / f".{secrets.token_hex(8)}-{name}"  # Ends alike: some writers go by it.
    try:
        write(begun)
        begun.replace(file)
    finally:
        begun.unlink(missing_ok=True)
    return str(file)


def png(picture: Image.Image, name: str) -> str:
    """The path of the picture as a PNG file of that name, with all that its `info` says."""
    return png_file(encode_pil_to_bytes(picture, "png"), name)


def png_file(content: bytes, name: str) -> str:
    """The path of a PNG file of that content and name."""
    key = hashlib.sha256(content).hexdigest()
    return written_once(key, f"{name}.png", lambda path: path.write_bytes(content))


def is_kept(file: Path) -> bool:
    """Whether a file is there; if so, it counts as used now.

    Only its time of access changes: browsers go by the other whether it is still the same.
    """
    try:
        os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True


def own(text: object) -> Path | None:
    """The file in this folder that a path from outside names; None where there is none such.

    It then counts as used now.
    """
    if not isinstance(text, str) or "\0" in text or len(text) > MAX_PATH:
        return None
    try:
        file = Path(text).resolve()
        is_ours = file.is_relative_to(path().resolve()) and file.is_file()
    except OSError:  # A name that is too long, or links in a circle.
        return None
    return file if is_ours and is_kept(file) else None


def is_there(file: str | Path) -> bool:
    """Whether a file is there; nothing of it changes."""
    return os.path.exists(file)  # noqa: PTH110  (Path's raises when a name is too long.)


class Entry(NamedTuple):
    """What is swept as one: a file of the folder, or a folder in it with all that it holds."""

    path: Path
    bytes: int
    used: float  # When any of it was used last, in seconds since 1970.


def sweep(
    kept: Collection[str] = (),  # Files to keep, because the page always shows them.
) -> list[Path]:
    """Delete what was not used for long, and then the longest unused, until the limits are kept.

    Returns what went.
    """
    now = time.time()
    stays = {Path(file).resolve() for file in kept}
    entries = [entry for entry in map(_entry, path().iterdir()) if entry is not None]
    entries = sorted(entries, key=lambda entry: entry.used)
    total, count, gone = sum(entry.bytes for entry in entries), len(entries), []
    for entry in entries:
        age = now - entry.used
        is_begun = entry.path.name.startswith(("tmp", ".")) and entry.path.is_file()
        is_old = age > (MIN_AGE if is_begun else MAX_AGE)
        is_much = age > MIN_AGE and (total > MAX_BYTES or count > MAX_ENTRIES)
        is_ours = any(file.is_relative_to(entry.path.resolve()) for file in stays)
        if (is_old or is_much) and not is_ours and _remove(entry):
            total, count = total - entry.bytes, count - 1
            gone.append(entry.path)
    _usage.update(bytes=total, entries=count)
    return gone


def is_full() -> bool:
    """Whether there was no room left, for all that could be deleted, when it was swept last."""
    return _usage["bytes"] > MAX_BYTES or _usage["entries"] > MAX_ENTRIES


_usage = {"bytes": 0, "entries": 0}


def _entry(place: Path) -> Entry | None:
    """None for what is no entry, or vanishes while one looks."""
    if place.name == _LOCK:
        return None
    try:
        files = [place, *place.rglob("*")] if place.is_dir() else [place]
        stats = [file.lstat() for file in files]
    except FileNotFoundError:
        return None
    used = max(stat.st_mtime for stat in stats)
    used = max(
        [used, *(s.st_atime for s, file in zip(stats, files, strict=True) if file.is_file())]
    )
    return Entry(place, sum(stat.st_size for stat in stats), used)


def _remove(entry: Entry) -> bool:
    """Delete it, unless it was used meanwhile; nobody sees half of it."""
    again = _entry(entry.path)
    if again is None or again.used > entry.used:
        return False
    gone = entry.path.with_name(f"{_GONE}{secrets.token_hex(8)}")
    try:
        entry.path.rename(gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True) if gone.is_dir() else gone.unlink(missing_ok=True)
    return True


def _lock(file: Path, *, new: bool = False) -> int | None:
    """An open file that no other process has; None if one has it, or it is not there."""
    try:
        opened = os.open(file, os.O_RDWR | (os.O_CREAT if new else 0), 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened


def _end(folder: Path, process: int) -> None:
    if os.getpid() == process:  # Not a child that forked.
        shutil.rmtree(folder, ignore_errors=True)
