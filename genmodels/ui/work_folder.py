"""The one folder that the page writes to: uploads, pictures, films, archives, networks.

What several visitors may share is written once, whole, and under a name of its content; nobody
reads half a file, and nobody writes to one that is read.
"""

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from gradio.utils import get_upload_folder

_NAME = re.compile(r"[\w,+-][\w ,.+-]{0,199}")
_KEY = re.compile(r"[0-9a-f]{12,64}")


def path() -> Path:
    """The folder, which is Gradio's own for uploads and what it shows."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
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


def is_kept(file: Path) -> bool:
    """Whether a file is there; if so, it counts as used now."""
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    return True
