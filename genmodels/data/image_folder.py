"""Folders of images, local or on the Hub, decoded once to one uint8 array. Start at `ImageFolder`.

`epoch_indices` and `epoch_flips` say which items step number k consumes. They are functions of
their arguments alone, so a run that resumes at step k sees exactly what it would have seen.
"""

import copy
import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

import genmodels.data.conditions
from genmodels.data import images as pixels
from genmodels.data import metadata, pixel_cache
from genmodels.data.file_list import NOT_LISTED, check_known
from genmodels.data.image_files import Item, Skipped, is_image, list_folder
from genmodels.data.metadata import Labels
from genmodels.data.splits import held_apart


class ImageFolder:
    """Images as uint8 [N, 3, R, R], their centre squares, with the vectors c of their conditions.

    The source holds images directly, or one sub-folder per class (the label "class"), or images and
    a `metadata.jsonl` / `metadata.csv` whose column `file_name` is relative to it and whose other
    columns are labels (Hugging Face's imagefolder convention); the nearest one above an image
    counts. In a CSV, a column is a number if every cell of it is.

    A source with a folder that has a split's name stands for its `train`. The names are those of
    `datasets`, in any case, at any depth, between blanks, digits, ".", "-" and "_": train,
    training; validation, valid, val, dev; test, testing, eval, evaluation; and held_out. As with
    `datasets`, such a folder is no class: with `valid/` beside `cat/`, the images of `valid/` are
    not trained on. Unlike there, what is in no split is then the training images if none is called
    train, and `train/` beside other folders, without any of the other splits, is a class.

    names: sorted, in the order of everything else     rows: the label dicts
    images: uint8 [N, 3, R, R]                         c: float32 [N, c_dim], c_dim may be 0
    schema: see `conditions`                           skipped: (name, reason) of what was left out
    fingerprint: SHA-256 of names, labels and pixels   keys: of each, what it shares with repeats

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
        files: Collection[str] | None = None,  # Only images of these names: `file_list.read_files`.
    ) -> None:
        if resolution < 1:
            raise ValueError(f"resolution must be 1 or more, got {resolution}")
        self.resolution = resolution
        items, self.skipped = _list_source(source, split)
        if files is not None:
            check_known(files, {item.name for item in items}, source)
            left_out = [(item.name, NOT_LISTED) for item in items if item.name not in files]
            self.skipped = self.skipped + left_out
            items = [item for item in items if item.name in files]
        decoded = pixel_cache.load(items, resolution, cache_dir, num_workers)
        self.skipped = self.skipped + decoded.skipped
        if not len(decoded.array):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:5])
            raise ValueError(f"{source} holds no readable image ({reasons or 'it is empty'})")

        failed = {name for name, _ in decoded.skipped}
        items = [item for item in items if item.name not in failed]
        self._items = items
        self.names = [item.name for item in items]
        self.rows = [item.labels for item in items]
        self.keys = decoded.digests
        self.images = torch.from_numpy(decoded.array)
        self.schema: genmodels.data.conditions.Schema = {}
        if conditions:
            named_rows = [{"file_name": item.name} | item.labels for item in items]
            self.schema = genmodels.data.conditions.infer(named_rows, conditions)
        vectors = [self._encode(item) for item in items]
        c_dim = genmodels.data.conditions.size(self.schema)
        self.c = torch.tensor(vectors, dtype=torch.float32).reshape(len(vectors), c_dim)
        self.fingerprint = json_sha256([self.names, self.rows, decoded.sha256])

    def _encode(self, item: Item) -> list[float]:
        try:
            condition = {name: item.labels[name] for name in self.schema}
            return genmodels.data.conditions.encode(self.schema, condition)
        except ValueError as error:  # A number far from all others.
            raise ValueError(f"{item.name}: {error}") from error

    def __len__(self) -> int:
        return len(self.names)

    def proportions(self) -> list[float]:
        """Width by height of each file, upright: what it was before its centre was cut out."""
        sizes = (pixels.upright_size(item.open()) for item in self._items)
        return [width / height for width, height in sizes]

    @property
    def pictures(self) -> Tensor:
        """The images."""
        return self.images

    @property
    def paths(self) -> list[Path]:
        """The files themselves; a table has none."""
        return [item.path for item in self._items if item.path is not None]

    def hold_out(self, fraction: float) -> tuple["ImageFolder", "ImageFolder"]:
        """The images to train on, and about this fraction of them to keep apart, by their names.

        By a hash of the name, so that adding images moves none from one side to the other. What
        repeats a picture, to the pixel or mirrored, lies on the side of the first of its names.
        """
        apart = held_apart(self.names, fraction, self.keys)
        return self._part([not a for a in apart]), self._part(apart)

    def only(self, names: Collection[str]) -> "ImageFolder":
        """The images of these names."""
        return self._part([name in names for name in self.names])

    def _part(self, chosen: list[bool]) -> "ImageFolder":
        part = copy.copy(self)
        for column in ("names", "_items", "rows", "keys"):
            values = zip(getattr(self, column), chosen, strict=True)
            setattr(part, column, [value for value, take in values if take])
        part.images, part.c = self.images[chosen], self.c[chosen]
        part.fingerprint = json_sha256([part.names, self.fingerprint])
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
        return list_folder(folder, split)
    if folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", str(source)):
        what = ", a file: unpack it and name its folder" if folder.is_file() else ""
        raise ValueError(
            f'data must be a folder or "user/repo" of the Hub, got {str(source)[:200]!r}{what}'
        )
    return _list_hub(str(source), split)


def _list_hub(source: str, split: str | None) -> tuple[list[Item], Skipped]:
    """A data set of the Hub: its image files as a folder or, if it has none, its tables."""
    # Imported here: a local folder needs no Hub.
    from huggingface_hub import snapshot_download

    repo, _, revision = source.partition("@")
    # In any case: [jJ][pP][gG].
    suffixes = ["".join(f"[{c}{c.upper()}]" for c in s[1:]) for s in pixels.SUFFIXES]
    patterns = [*(f"*.{s}" for s in suffixes), *(f"*{name}" for name in metadata.NAMES)]
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
    if any(is_image(path.name) for path in folder.rglob("*")):
        return list_folder(folder, split)
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


def json_sha256(value: object) -> str:
    """Hash of names and hashes, for the fingerprint of a set."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def evenly(count: int, n: int) -> np.ndarray:
    """Up to n evenly spaced rows of `count`."""
    return np.linspace(0, count - 1, min(n, count)).round().astype(int)
