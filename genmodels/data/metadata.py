"""Tables of labels beside images: `metadata.jsonl`, `metadata.csv` (Hugging Face's imagefolder).

`read` gives the rows of one, `FileNames` says which file a row means, however it writes the name.
"""

import csv
import io
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

NAMES = ("metadata.jsonl", "metadata.csv")

Labels = dict[str, Any]


def read(path: Path) -> list[tuple[int, str, Labels]]:
    """Line number, file name as written, and labels of each row; errors name the line."""
    rows = []
    for line, row in _rows(path):
        name = row.pop("file_name", None)
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{path}, line {line}: file_name is missing")
        rows.append((line, name, row))
    if path.suffix == ".csv":
        _parse_numbers([row for _, _, row in rows])
    return rows


class FileNames:
    """The files below a folder, found by their names as tables write them."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        self.names = set(names)  # Relative to the folder, with forward slashes.
        self._by_last: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.names):
            self._by_last[_parts(name)[-1].casefold()].append(name)

    def find(self, written: str) -> tuple[str | None, int]:
        """The file's name, or None if there is none, or several; and how loosely it fits.

        0: but for "./", backslashes, "%20" for a blank, blanks around it, the form of accents;
        1: with the folder's own name before it, or without folders that the file lies in;
        2: with other folders before it; 3: in other case. ValueError if it leads out of the folder.
        """
        if written in self.names:
            return written, 0
        relative = self._relative(written.strip().replace("\\", "/"))
        for name in (relative, unquote(relative)):
            if name in self.names:
                return name, 0
        wanted = [_plain(unquote(part)) for part in relative.split("/")]
        candidates = self._by_last[wanted[-1].casefold()]
        for is_any_case in (False, True):
            fits = [
                (fit + 3 * is_any_case, name)
                for name in candidates
                if (fit := self._fit(_parts(name), wanted, is_any_case)) is not None
            ]
            if fits:
                best = min(fits)[0]
                matches = [name for fit, name in fits if fit == best]
                return (matches[0] if len(matches) == 1 else None), best
        return None, 0

    def _fit(self, file: list[str], wanted: list[str], is_any_case: bool) -> int | None:
        """How loosely a file fits a name, both as lists of folders; None if it does not."""
        if is_any_case:
            file, wanted = ([part.casefold() for part in parts] for parts in (file, wanted))
        if file == wanted:
            return 0
        if len(file) > len(wanted):
            return 1 if file[-len(wanted) :] == wanted else None
        before = wanted[: len(wanted) - len(file)]
        if wanted[len(before) :] != file or not before:
            return None
        return 1 if before[-1].casefold() == _plain(self.folder.name).casefold() else 2

    def _relative(self, written: str) -> str:
        """A name relative to the folder, without "." and "..", of one with forward slashes."""
        path = PurePosixPath(written)
        for base in (self.folder.absolute(), self.folder.resolve()):
            if path.is_relative_to(base):
                path = path.relative_to(base)
                break
        parts: list[str] = []
        for part in path.parts:
            if part == ".." and parts and parts[-1] != "..":
                parts.pop()
            else:
                parts.append(part)
        if parts[:1] in (["/"], ["//"], [".."]) or re.match(r"[A-Za-z]:/", written):
            raise ValueError(f"{written[:200]!r} leaves the folder")
        return "/".join(parts)


def _plain(name: str) -> str:
    """One form of accents (macOS writes another than all else), no blanks around."""
    return unicodedata.normalize("NFC", name).strip()


def _parts(name: str) -> list[str]:
    return [_plain(part) for part in name.split("/")]


def _rows(path: Path) -> Iterator[tuple[int, Labels]]:
    """Line number and columns of each line of the file."""
    try:
        file = io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8: {error}") from error
    if path.suffix == ".csv":
        yield from _csv_rows(path, file)
        return
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path}, line {line}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {line}: expected an object, got {text.strip()[:200]!r}")
        yield line, row


def _csv_rows(path: Path, file: io.StringIO) -> Iterator[tuple[int, Labels]]:
    reader = csv.reader(file, strict=True)
    try:
        columns = next(reader, [])
        for cells in filter(None, reader):
            if len(cells) != len(columns):
                raise ValueError(
                    f"{path}, line {reader.line_num}: "
                    f"expected {len(columns)} cells, got {len(cells)}"
                )
            yield reader.line_num, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _parse_numbers(rows: list[Labels]) -> None:
    """Turn the columns of a CSV whose every filled cell is a number into numbers, in place.

    "nan" is a number that a condition then refuses, rather than a class beside a hundred others.
    """
    for column in rows[0] if rows else ():
        filled = [row for row in rows if row[column]]
        try:
            numbers = [float(row[column]) for row in filled]
        except ValueError:
            continue
        for row, number in zip(filled, numbers, strict=True):
            row[column] = int(number) if number.is_integer() else number
