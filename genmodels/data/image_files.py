"""Which files of a folder are its images, with their labels. Start at `list_folder`.

No file is dropped in silence: it is an image, or it is listed with the reason why not.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from genmodels.data import images as pixels
from genmodels.data import metadata
from genmodels.data.metadata import Labels

# The names that `datasets` knows, and our own held_out; asked in this order.
SPLITS = {
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
    "held_out": ("held_out", "held-out", "heldout"),
    "train": ("train", "training"),
}
_SPLIT_NAMES = {
    split: re.compile(rf"(?:^|[-._ 0-9])(?:{'|'.join(names)})(?:$|[-._ 0-9])", re.IGNORECASE)
    for split, names in SPLITS.items()
}
NOT_AN_IMAGE = f"its name does not end in {', '.join(pixels.SUFFIXES)}"

Skipped = list[tuple[str, str]]  # Name and reason.


@dataclass(frozen=True)
class Item:
    """One image file, not yet decoded."""

    name: str  # Relative to the folder, with forward slashes.
    stamp: str  # Changes when the file does.
    open: Callable[[], Path | BinaryIO]  # What `images.open_rgb` takes.
    labels: Labels
    path: Path | None = None  # Where it lies, if it is a file.


@lru_cache(maxsize=4096)
def split_named(folder: str) -> str | None:
    """The split that a folder's name stands for, as `datasets` reads it but in any case, or None.

    A split's word counts between blanks, digits, "-", "." and "_": `Test`, `train_images`, `1-val`.
    """
    return next((split for split, name in _SPLIT_NAMES.items() if name.search(folder)), None)


def is_image(name: str) -> bool:
    """Whether a file's name is an image's; a blank behind the ending does no harm."""
    return name.lower().rstrip().endswith(pixels.SUFFIXES)


def list_folder(folder: Path, split: str | None = None) -> tuple[list[Item], Skipped]:
    """Every image of the folder, or of one split, with its labels, sorted; and what else is there.

    See `image_folder.ImageFolder` for what counts as a split, a class and a label.
    """
    files, skipped = walk(folder)
    splits = _Splits(folder, files, split)
    labels, missing = _read_tables(folder, files, splits)
    skipped += missing + splits.left_out
    items: list[Item] = []
    for name in sorted(splits.chosen - set(labels.tables.values())):
        if not is_image(name):
            skipped.append((name, NOT_AN_IMAGE))
        elif (row := labels.of(name)) is None:
            skipped.append((name, f"not named in {splits.inside(labels.nearest(name) or '')}"))
        else:
            stat = files[name].stat()
            stamp = f"{stat.st_size} {stat.st_mtime_ns}"
            path = files[name]
            items.append(Item(splits.inside(name), stamp, partial(Path, path), row, path))
    if split is not None:  # Whoever asks for a part knows that there is more.
        skipped = [(name, reason) for name, reason in skipped if name.startswith(splits.root)]
    return items, sorted((splits.inside(name), reason) for name, reason in skipped)


# What the folder of a training script holds: its own sheets are no photographs.
_RUNS = ({"config.json", "checkpoints"}, {"preview.png", "state"}, {"model_index.json"})


def walk(folder: Path) -> tuple[dict[str, Path], Skipped]:
    """Every file below a folder by its name relative to it; and what is left out, with the reason.

    Links are followed, each folder is read once: by its own name rather than by a link's.
    """
    files: dict[str, Path] = {}
    skipped: Skipped = []
    seen: set[tuple[int, int]] = set()
    folders: list[tuple[str, Path, str | None]] = [("", folder, None)]
    links: list[tuple[str, Path, str | None]] = []
    while folders or links:
        prefix, path, why = folders.pop() if folders else links.pop(0)
        try:
            stat = path.stat()
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            skipped.append((prefix, f"cannot be read: {error.strerror}"))
            continue
        if (stat.st_dev, stat.st_ino) in seen:
            skipped.append((prefix, "a link to a folder that is read already"))
            continue
        seen.add((stat.st_dev, stat.st_ino))
        names = {entry.name for entry in entries}
        if prefix and any(run <= names for run in _RUNS):
            skipped.append((prefix, "the folder of a training run or a model"))
            continue
        for entry in entries:
            name = f"{prefix}{entry.name}"
            reason = why
            if entry.name == "__MACOSX" or entry.name.startswith("."):
                reason = "hidden, or macOS's own"
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError as error:  # A link to itself, for one.
                skipped.append((name, f"cannot be read: {error.strerror}"))
                continue
            if is_folder:
                where = links if entry.is_symlink() else folders
                where.append((f"{name}/", path / entry.name, reason))
            elif reason is None and is_file:
                files[name] = path / entry.name
            else:
                broken = "a broken link" if entry.is_symlink() else "not a regular file"
                skipped.append((name, reason or broken))
    return files, skipped


class _Splits:
    """Which files belong to the requested split, and their names in it."""

    def __init__(self, folder: Path, files: Iterable[str], split: str | None) -> None:
        self._places = {name: _place(name) for name in files}
        self.root = ""  # The split's own folder, if it is one: "train/".
        self.left_out: Skipped = []
        images = [name for name in self._places if is_image(name)]
        splits = {place[0] for name in images if (place := self._places[name])[0]}
        is_beside = any("/" in name for name in images if not self._places[name][0])
        # A folder "train" beside "car" and "bus" is a class.
        self._is_divided = bool(splits) and not (splits == {"train"} and is_beside)
        top = sorted({name.split("/")[0] for name in self._places if "/" in name})
        if split in top:
            self._is_divided, self.root = True, f"{split}/"
            self.chosen = {name for name in self._places if name.startswith(self.root)}
        elif self._is_divided:
            self._choose("train" if split is None else split_named(split))
        else:
            self.chosen = set(self._places) if split is None else set()
        if (split is not None or self._is_divided) and not any(map(is_image, self.chosen)):
            advice = "" if split else "; to learn from one of them, name that folder itself"
            wanted = split or "train"
            raise ValueError(f"{folder} has no split {wanted!r}; its sub-folders are {top}{advice}")

    def inside(self, name: str) -> str:
        """What a file is called in the split."""
        return name.removeprefix(self.root)

    def class_of(self, name: str) -> str | None:
        """The first folder of a file below its split's, or else above it."""
        folders = PurePosixPath(name).parts[:-1]
        depth = self._places[name][1] if self._is_divided else 0
        below = folders[max(depth, self.root.count("/")) :]
        class_folder = below or folders[: max(depth - 1, 0)]
        return class_folder[0] if class_folder else None

    def _choose(self, wanted: str | None) -> None:
        """The files of a split; where none is called train, what is in no other split is it."""
        places = self._places
        is_rest = wanted == "train" and all(split != "train" for split, _ in places.values())
        split_name = None if is_rest else (wanted or "none of them")
        self.chosen = {name for name, (split, _) in places.items() if split == split_name}
        roots = {PurePosixPath(name).parts[: places[name][1]] for name in self.chosen}
        if len(roots) == 1:
            self.root = "".join(f"{part}/" for part in next(iter(roots)))
        others = Counter[tuple[str, str]]()
        for name in places.keys() - self.chosen:
            split, depth = places[name]
            if split:
                others["/".join(PurePosixPath(name).parts[:depth]), split] += 1
            elif PurePosixPath(name).name not in metadata.NAMES:
                self.left_out.append((name, f"in no split, beside {wanted}"))
        self.left_out += [
            (f"{place}/", f"the split {split}: {count} files")
            for (place, split), count in others.items()
        ]


def _place(name: str) -> tuple[str | None, int]:
    """The split named by a file's outermost such folder, and that folder's depth."""
    for depth, part in enumerate(PurePosixPath(name).parts[:-1], start=1):
        if split := split_named(part):
            return split, depth
    return None, 0


class _Labels:
    """The labels of files, from tables or from the folders that they lie in."""

    def __init__(self, splits: _Splits) -> None:
        self._splits = splits
        self.tables: dict[str, str] = {}  # Those that were read, by their folders: "" or "cat/".
        self.rows: dict[str, Labels] = {}

    def nearest(self, name: str) -> str | None:
        """The table in the nearest folder above a file."""
        above = reversed(_above(name))
        return next((self.tables[place] for place in above if place in self.tables), None)

    def of(self, name: str) -> Labels | None:
        """What is known of a file; None if a table that should name it does not."""
        if name in self.rows or self.nearest(name) is not None:
            return self.rows.get(name)
        class_folder = self._splits.class_of(name)
        return {} if class_folder is None else {"class": class_folder}

    def add(self, folder: Path, table: str, path: Path, below: list[str]) -> Skipped:
        """Read a table of files below its folder; gives the rows that no file has.

        A row that fits loosely yields to one that fits better; two that fit alike, to neither.
        """
        place, class_folder = table.removesuffix(path.name), self._splits.class_of(table)
        self.tables[place] = table
        named = metadata.FileNames(folder / place, [name.removeprefix(place) for name in below])
        missing: Skipped = []
        fits: dict[str, list[tuple[int, str, Labels]]] = defaultdict(list)
        for line, written, row in metadata.read(path):
            try:
                name, fit = named.find(written)
            except ValueError as error:
                raise ValueError(f"{path}, line {line}: {error}") from error
            if name is None:
                missing.append((f"{place}{written}", f"named in {path.name}, but missing"))
                continue
            if fit == 0 and any(other == 0 for other, *_ in fits[name]):
                raise ValueError(f"{path}, line {line}: {written!r} is named a second time")
            fits[name].append((fit, written, row))
        for name, rows in fits.items():
            rows.sort(key=lambda row: row[0])
            is_clear = len(rows) == 1 or rows[0][0] < rows[1][0]
            if is_clear:
                labels = rows.pop(0)[2]
                self.rows[f"{place}{name}"] = (
                    labels if class_folder is None else {"class": class_folder} | labels
                )
            reason = f"named in {path.name}, where another line fits {name} as well or better"
            missing += [(f"{place}{written}", reason) for _, written, _ in rows]
        return missing


def _read_tables(folder: Path, files: dict[str, Path], splits: _Splits) -> tuple[_Labels, Skipped]:
    """The labels of the split's files, and the rows of tables that no file has."""
    labels, skipped = _Labels(splits), []
    below: dict[str, list[str]] = defaultdict(list)
    for name in sorted(files):
        for place in _above(name):
            below[place].append(name)
    chosen = {place for name in splits.chosen if is_image(name) for place in _above(name)}
    for place in sorted(chosen or {""}, key=lambda place: (place.count("/"), place)):
        tables = [table for table in metadata.NAMES if f"{place}{table}" in files]
        if len(tables) > 1:
            where = folder / place
            raise ValueError(f"{where} must hold one of {' and '.join(metadata.NAMES)}, not both")
        for table in tables:  # The inner ones last: theirs is the last word.
            name = f"{place}{table}"
            skipped += labels.add(folder, name, files[name], below[place])
    return labels, skipped


def _above(name: str) -> list[str]:
    """The folders above a file, outermost first: "", "train/", "train/cat/"."""
    ends = [i + 1 for i, character in enumerate(name) if character == "/"]
    return ["", *(name[:end] for end in ends)]
