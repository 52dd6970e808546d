"""Lists of file names: which images of a folder to train on. One name a line, in UTF-8."""

from collections.abc import Collection, Iterable
from pathlib import Path

MAX_BYTES = 256 << 20
NOT_LISTED = "not in the list of files"


def read_files(path: str | Path) -> frozenset[str]:
    """The names in a list, relative to the folder of images, with forward slashes.

    Blank lines are left out. ValueError if it is no such file, or names nothing.
    """
    file = Path(path)
    if not file.is_file() or file.stat().st_size > MAX_BYTES:
        raise ValueError(f"a list of files must be a text file, there is none called {str(path)!r}")
    lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    names = frozenset(line.rstrip("\r") for line in lines) - {""}
    if not names or any("\0" in name for name in names):
        raise ValueError(f"{path} must hold names of files, one a line")
    return names


def write_files(names: Iterable[str], path: str | Path) -> None:
    """Write a list that `read_files` reads. ValueError for a name that is no line."""
    lines = list(names)
    broken = [name for name in lines if "\n" in name or name.endswith("\r")]
    if broken:
        raise ValueError(f"a name must be one line, got {broken[0][:200]!r}: rename the file")
    text = "".join(f"{name}\n" for name in lines)
    Path(path).write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n")


def check_known(files: Collection[str], known: Collection[str], source: str | Path) -> None:
    """Raise ValueError if a list names what the folder does not hold."""
    missing = sorted(set(files) - set(known))
    if missing:
        raise ValueError(
            f"the list of files names {len(missing)} that {source} does not hold, such as "
            f"{missing[0][:200]!r}: its names must be relative to that folder"
        )
