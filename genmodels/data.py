"""Folders of images, local or on the Hub, decoded once to one uint8 array. Start at `ImageFolder`.

`epoch_indices` and `epoch_flips` say which items step number k consumes. They are functions of
their arguments alone, so a run that resumes at step k sees exactly what it would have seen.
"""

import copy
import csv
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

import genmodels.conditions
from genmodels import images as pixels

METADATA = ("metadata.jsonl", "metadata.csv")
SPLITS = {"train", "test", "validation", "val", "held_out"}
MAX_RAM_BYTES = 2 * 1024**3  # A larger array lives in a file of cache_dir.
CACHE_VERSION = 2  # Part of the cache's key: raise it when decoding changes.

Labels = dict[str, Any]
Skipped = list[tuple[str, str]]  # Name and reason.


@dataclass(frozen=True)
class Item:
    """One image file, not yet decoded."""

    name: str  # Relative to the folder, with forward slashes.
    stamp: str  # Changes when the file does.
    open: Callable[[], Path | BinaryIO]  # What `images.open_rgb` takes.
    labels: Labels


class ImageFolder:
    """Images as uint8 [N, 3, R, R], their centre squares, with the vectors c of their conditions.

    The source holds images directly, or one sub-folder per class (the label "class"), or images and
    a `metadata.jsonl` / `metadata.csv` whose column `file_name` is relative to it and whose other
    columns are labels (Hugging Face's imagefolder convention). In a CSV, a column is a number if
    every cell of it is. A folder divided into `train/`, `test/` ... stands for its `train/`.

    names: sorted, in the order of everything else     rows: the label dicts
    images: uint8 [N, 3, R, R]                         c: float32 [N, c_dim], c_dim may be 0
    schema: see `conditions`                           skipped: (name, reason) of what was left out
    fingerprint: SHA-256 of names, labels and pixels

    A file that cannot be read is skipped, never fatal; `ValueError` if none can be read, a line of
    the metadata is broken, or an image lacks a condition that was asked for.
    """

    def __init__(
        self,
        source: str | Path,  # A folder, or "user/repo[@revision]" of a data set on the Hub.
        resolution: int,  # Side of the images in pixels.
        *,
        conditions: Sequence[str] = (),  # Labels to condition on, in the order of c.
        split: str | None = None,  # Sub-folder, such as "train", "test" or "validation".
        cache_dir: Path | None = None,  # Keeps decoded arrays, so that the next start is instant.
        num_workers: int | None = None,  # Decoding threads; one per core if not given.
    ) -> None:
        if resolution < 1:
            raise ValueError(f"resolution must be 1 or more, got {resolution}")
        self.resolution = resolution
        items, self.skipped = _list_source(source, split)
        array, unreadable, digest = _load_pixels(items, resolution, cache_dir, num_workers)
        self.skipped += unreadable
        if not len(array):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:5])
            raise ValueError(f"{source} holds no readable image ({reasons or 'it is empty'})")

        failed = {name for name, _ in unreadable}
        items = [item for item in items if item.name not in failed]
        self._items = items
        self.names = [item.name for item in items]
        self.rows = [item.labels for item in items]
        self.images = torch.from_numpy(array)
        self.schema: genmodels.conditions.Schema = {}
        if conditions:
            named_rows = [{"file_name": item.name} | item.labels for item in items]
            self.schema = genmodels.conditions.infer(named_rows, conditions)
        vectors = [
            genmodels.conditions.encode(self.schema, {name: row[name] for name in self.schema})
            for row in self.rows
        ]
        c_dim = genmodels.conditions.size(self.schema)
        self.c = torch.tensor(vectors, dtype=torch.float32).reshape(len(vectors), c_dim)
        self.fingerprint = _sha256_json([self.names, self.rows, digest])

    def __len__(self) -> int:
        return len(self.names)

    def proportions(self) -> list[float]:
        """Width by height of each file, upright: what it was before its centre was cut out."""
        sizes = (pixels.upright_size(item.open()) for item in self._items)
        return [width / height for width, height in sizes]

    def hold_out(self, fraction: float) -> tuple["ImageFolder", "ImageFolder"]:
        """The images to train on, and about this fraction of them to keep apart, by their names.

        By a hash of the name, so that adding images moves none from one side to the other.
        """
        apart = held_apart(self.names, fraction)
        return self._part([not a for a in apart]), self._part(apart)

    def _part(self, chosen: list[bool]) -> "ImageFolder":
        part = copy.copy(self)
        part.names = [name for name, take in zip(self.names, chosen, strict=True) if take]
        part._items = [item for item, take in zip(self._items, chosen, strict=True) if take]
        part.rows = [row for row, take in zip(self.rows, chosen, strict=True) if take]
        part.images, part.c = self.images[chosen], self.c[chosen]
        part.fingerprint = _sha256_json([part.names, self.fingerprint])
        return part

    def batch(
        self,
        indices: Sequence[int] | np.ndarray,  # Which images, n of them.
        flips: np.ndarray | None = None,  # bool [n]: which of them to mirror left to right.
    ) -> tuple[Tensor, Tensor]:
        """Copies of some images, uint8 [n, 3, R, R], and their c [n, c_dim]."""
        chosen = np.asarray(indices, dtype=np.int64)
        # numpy gathers in one thread; torch's two took 100 times longer while a core was in use.
        images = self.images.numpy()[chosen]
        if flips is not None:
            if flips.shape != chosen.shape or flips.dtype != bool:
                raise ValueError(
                    f"flips must be bool [{len(chosen)}], got {flips.dtype} {list(flips.shape)}"
                )
            images[flips] = images[flips, ..., ::-1]
        return torch.from_numpy(images), self.c[torch.from_numpy(chosen)]


def held_apart(names: Sequence[str], fraction: float) -> list[bool]:
    """Which of them to hold out, about this fraction, by a hash of each name alone."""
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
    hashes = [int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) for name in names]
    apart = [value < fraction * 16**8 for value in hashes]
    if all(apart) or not any(apart):
        raise ValueError(f"{len(names)} images are too few to hold out {fraction:.0%} of them")
    return apart


def epoch_indices(
    num_items: int,  # Size of the data set.
    batch_size: int,  # May exceed it.
    step: int,  # Counted from 0.
    seed: int,  # 0 or more.
) -> np.ndarray:
    """The items, int64 [batch_size], that a step takes from an endless stream of shuffled epochs.

    Position p of the stream lies in epoch p // num_items; each epoch is its own permutation.
    """
    return _take(_permutation, num_items, batch_size, step, seed)


def epoch_flips(num_items: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """Which of the items of `epoch_indices` to mirror: bool [batch_size], one half on average."""
    return _take(_coin_tosses, num_items, batch_size, step, seed)


def _take(
    stream: Callable[[int, int, int], np.ndarray],  # (num_items, epoch, seed) -> [num_items]
    num_items: int,
    batch_size: int,
    step: int,
    seed: int,
) -> np.ndarray:
    if num_items < 1 or batch_size < 1 or step < 0 or seed < 0:
        raise ValueError(
            "num_items and batch_size must be 1 or more, step and seed 0 or more, "
            f"got {num_items}, {batch_size}, {step}, {seed}"
        )
    first, last = step * batch_size, (step + 1) * batch_size
    epochs = range(first // num_items, (last - 1) // num_items + 1)
    values = np.concatenate([stream(num_items, epoch, seed) for epoch in epochs])
    start = first - epochs[0] * num_items
    return values[start : start + batch_size]


# Raw PCG64 numbers and a stable sort: numpy promises that these, unlike its `permutation`, never
# change between releases. The last number of each key keeps the two streams apart.
@lru_cache(maxsize=4)
def _permutation(num_items: int, epoch: int, seed: int) -> np.ndarray:
    return np.random.PCG64([seed, epoch, 0]).random_raw(num_items).argsort(kind="stable")


@lru_cache(maxsize=4)
def _coin_tosses(num_items: int, epoch: int, seed: int) -> np.ndarray:
    return np.random.PCG64([seed, epoch, 1]).random_raw(num_items) >= 2**63


def _list_source(source: str | Path, split: str | None) -> tuple[list[Item], Skipped]:
    folder = Path(source)
    if folder.is_dir():
        return _list_folder(_split_folder(folder, split))
    if folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", str(source)):
        raise ValueError(f'data must be a folder or "user/repo" of the Hub, got {str(source)!r}')
    return _list_hub(str(source), split)


def _split_folder(folder: Path, split: str | None) -> Path:
    """The sub-folder of the split, or the folder itself if it is not divided into splits."""
    found = {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}
    if split is None:
        # A folder "train" beside "car" and "bus" is a class.
        return folder / "train" if "train" in found and found <= SPLITS else folder
    if split not in found:
        raise ValueError(f"{folder} has no split {split!r}; its sub-folders are {sorted(found)}")
    return folder / split


def _list_folder(folder: Path) -> tuple[list[Item], Skipped]:
    """Every image of the folder with its labels, sorted by name, and what else lies there."""
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    }
    found = [name for name in METADATA if name in files]
    if len(found) > 1:
        raise ValueError(f"{folder} must hold one of {' and '.join(METADATA)}, not both")
    if found:
        labels = _read_metadata(files.pop(found[0]))
    else:
        # One level of sub-folders is a label; an image right in the folder has none.
        labels = {
            name: {"class": PurePosixPath(name).parts[0]} if "/" in name else {} for name in files
        }
    items: list[Item] = []
    skipped: Skipped = []
    for name in sorted(files.keys() | labels.keys()):
        if name not in files:
            skipped.append((name, f"named in {found[0]}, but missing"))
        elif not name.lower().endswith(pixels.SUFFIXES):
            skipped.append((name, f"its name does not end in {', '.join(pixels.SUFFIXES)}"))
        elif name not in labels:
            skipped.append((name, f"not named in {found[0]}"))
        else:
            stat = files[name].stat()
            stamp = f"{stat.st_size} {stat.st_mtime_ns}"
            items.append(Item(name, stamp, partial(Path, files[name]), labels[name]))
    return items, skipped


def _read_metadata(path: Path) -> dict[str, Labels]:
    """The labels of each file name, from JSON lines or CSV; errors name the line."""
    labels: dict[str, Labels] = {}
    for line, row in _metadata_rows(path):
        name = row.pop("file_name", None)
        if not isinstance(name, str) or not name:
            raise ValueError(f"{path}, line {line}: file_name is missing")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{path}, line {line}: {name!r} leaves the folder")
        name = PurePosixPath(name).as_posix()
        if name in labels:
            raise ValueError(f"{path}, line {line}: {name!r} is named a second time")
        labels[name] = row
    if path.suffix == ".csv":
        _parse_numbers(labels)
    return labels


def _metadata_rows(path: Path) -> Iterator[tuple[int, Labels]]:
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
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {line}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {line}: expected an object, got {text.strip()!r}")
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


def _parse_numbers(labels: dict[str, Labels]) -> None:
    """Turn the columns of a CSV whose every filled cell is a number into numbers, in place."""
    rows = list(labels.values())
    for column in rows[0] if rows else ():
        filled = [row for row in rows if row[column]]
        try:
            numbers = [float(row[column]) for row in filled]
        except ValueError:
            continue
        if all(math.isfinite(number) for number in numbers):
            for row, number in zip(filled, numbers, strict=True):
                row[column] = int(number) if number.is_integer() else number


def _list_hub(source: str, split: str | None) -> tuple[list[Item], Skipped]:
    """A data set of the Hub: its image files as a folder or, if it has none, its tables."""
    # Imported here: a local folder needs no Hub.
    from huggingface_hub import snapshot_download

    repo, _, revision = source.partition("@")
    suffixes = [f"*{suffix}" for suffix in pixels.SUFFIXES]
    patterns = [*suffixes, *map(str.upper, suffixes), *(f"*{name}" for name in METADATA)]
    try:
        folder = Path(
            snapshot_download(
                repo, repo_type="dataset", revision=revision or None, allow_patterns=patterns
            )
        )
    except OSError as error:  # All errors of the Hub's client are.
        raise ValueError(
            f"{source} is not a folder here, and no data set of the Hub could be read: {error}"
        ) from error
    if any(path.suffix.lower() in pixels.SUFFIXES for path in folder.rglob("*")):
        return _list_folder(_split_folder(folder, split))
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"data set {source} holds no image files; if it holds tables, pip install datasets"
        ) from error
    commit = folder.name  # Snapshots are kept under the commit they are of.
    table = datasets.load_dataset(repo, revision=commit, split=split or "train")
    return _list_table(table, f"{repo}@{commit}"), []


def _list_table(table: Any, stamp: str) -> list[Item]:
    """The rows of a `datasets.Dataset` whose first column of images is the picture."""
    import datasets

    features = table.features
    column = next((k for k, f in features.items() if isinstance(f, datasets.Image)), None)
    if column is None:
        raise ValueError(f"data set {stamp} has no column of images, only {list(features)}")
    table = table.cast_column(column, datasets.Image(decode=False))
    label_rows = table.remove_columns([column])

    def labels_of(row: Labels) -> Labels:
        return {
            key: features[key].int2str(value)
            if isinstance(features[key], datasets.ClassLabel) and value is not None
            else value
            for key, value in row.items()
        }

    def open_row(index: int) -> BinaryIO:
        cell = table[index][column]
        # A bare path is not followed: a stranger's table has no business with files of this disk.
        if cell is None or cell["bytes"] is None:
            raise ValueError(f"row {index} holds no picture")
        return io.BytesIO(cell["bytes"])

    return [
        Item(f"{index:08d}", stamp, partial(open_row, index), labels_of(row))
        for index, row in enumerate(label_rows)
    ]


def _load_pixels(
    items: list[Item], resolution: int, cache_dir: Path | None, num_workers: int | None
) -> tuple[np.ndarray, Skipped, str]:
    """Array [N, 3, R, R] of the readable items, the unreadable ones, SHA-256 of the array."""
    shape = (len(items), 3, resolution, resolution)
    num_bytes = math.prod(shape)
    if cache_dir is None:
        if num_bytes > MAX_RAM_BYTES:
            raise ValueError(
                f"{len(items)} images at {resolution} px take {num_bytes / 1024**3:.1f} GiB: "
                "give a cache_dir to keep them on disk"
            )
        array = np.empty(shape, np.uint8)
        count, unreadable = _decode(items, array, num_workers)
        return array[:count], unreadable, _sha256_array(array[:count])

    stamps = [(item.name, item.stamp) for item in items]
    key = _sha256_json([CACHE_VERSION, resolution, stamps])[:32]
    cache = Path(cache_dir) / f"images-{resolution}-{key}.npy"
    if cache.with_suffix(".json").exists():
        try:
            return _read_cache(cache, shape)
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"{cache} is damaged ({error}): decoding the images again")
    _write_cache(cache, items, shape, num_workers)
    return _read_cache(cache, shape)


def _decode(items: list[Item], array: np.ndarray, num_workers: int | None) -> tuple[int, Skipped]:
    """Fill the array from its start with the readable items, in order; return their number."""
    resolution = array.shape[-1]

    def decode(item: Item) -> np.ndarray | str:
        try:
            # Twice the size is kept for the final filter: as sharp, and large JPEGs load faster.
            image = pixels.open_rgb(item.open(), min_side=2 * resolution)
        except ValueError as error:
            return str(error)
        return np.asarray(pixels.fit_square(image, resolution)).transpose(2, 0, 1)

    count, unreadable = 0, []
    with ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
        # In blocks, so that finished images do not pile up when the disk is slower than the cores.
        for start in range(0, len(items), 1024):
            block = items[start : start + 1024]
            for item, result in zip(block, pool.map(decode, block), strict=True):
                if isinstance(result, str):
                    unreadable.append((item.name, result))
                else:
                    array[count] = result
                    count += 1
    return count, unreadable


def _write_cache(
    cache: Path, items: list[Item], shape: tuple[int, ...], num_workers: int | None
) -> None:
    """Decode into a .npy file. The .json beside it comes last: without it there is no cache."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial_npy = cache.with_suffix(f".{os.getpid()}.partial")
    try:
        array = np.lib.format.open_memmap(partial_npy, "w+", np.uint8, shape)
        count, unreadable = _decode(items, array, num_workers)
        array.flush()
        note = {"count": count, "skipped": unreadable, "sha256": _sha256_array(array[:count])}
        partial_npy.replace(cache)
        partial_npy.write_text(json.dumps(note), encoding="utf-8")
        partial_npy.replace(cache.with_suffix(".json"))
    finally:
        partial_npy.unlink(missing_ok=True)


def _read_cache(cache: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, Skipped, str]:
    note = json.loads(cache.with_suffix(".json").read_text(encoding="utf-8"))
    # Copy-on-write: torch wants writable memory, and the file must never change.
    array = np.load(cache, mmap_mode="c", allow_pickle=False)
    if array.shape != shape or array.dtype != np.uint8:
        raise ValueError(f"expected uint8 {shape}, got {array.dtype} {array.shape}")
    array = array[: note["count"]]
    if array.nbytes <= MAX_RAM_BYTES:
        array = np.array(array)
    if _sha256_array(array) != note["sha256"]:
        raise ValueError("its checksum does not match")
    return array, [(name, reason) for name, reason in note["skipped"]], note["sha256"]


def _sha256_array(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _sha256_json(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
