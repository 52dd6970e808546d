"""Pairs of images, decoded once to uint8 arrays: what goes in, and what is to come out of it."""

import copy
import hashlib
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.data import color
from genmodels.data.file_list import NOT_LISTED, check_known
from genmodels.data.image_files import Skipped, split_named
from genmodels.data.image_folder import ImageFolder, json_sha256
from genmodels.data.splits import held_apart

SAME_PROPORTIONS = 0.02  # So much the width by height of a source and its target may differ.


class PairFolder:
    """Two folders of images with equal names, `source/` and `target/`, as squares.

    Without `source/`, a source is its target in grey. Names are compared without their endings, so
    that a JPEG may have a PNG as its partner. A pair's two sizes may differ, its proportions not:
    the centres that are cut out would not show the same. A folder without them, but with a
    `train/` that has them, stands for that one.

    names: sorted, in the order of everything else    sources, targets: uint8 [N, 3, R, R]
    skipped: (name, reason) of what was left out      fingerprint: SHA-256 of names and pixels
    keys: of each, what it shares with pairs that show the same picture

    ValueError if there is no readable pair, or an image without a partner.
    """

    def __init__(
        self,
        folder: str | Path,  # Holds target/, and source/ unless that follows from it.
        resolution: int,  # Side of the images in pixels.
        *,
        reverse: bool = False,  # What goes in and what comes out change places.
        cache_dir: Path | None = None,  # Keeps decoded arrays, so that the next start is instant.
        files: Collection[str] | None = None,  # Only pairs of these names, with either's ending.
    ) -> None:
        folder, is_grey, beside = _sides(Path(folder))
        if is_grey and reverse:
            raise ValueError(f"{folder} must hold the folder source to be learnt from in reverse")
        self.resolution = resolution
        target = ImageFolder(folder / "target", resolution, cache_dir=cache_dir)
        source = target
        if not is_grey:
            source = ImageFolder(folder / "source", resolution, cache_dir=cache_dir)
        self.skipped = beside + target.skipped + ([] if is_grey else source.skipped)
        rows = self._partners(folder, target, source)
        if not is_grey:
            ours, theirs = source.proportions(), target.proportions()
            unlike = _unlike({name: (ours[i], theirs[j]) for name, (i, j) in rows.items()})
            self.skipped += unlike.items()
            rows = {name: both for name, both in rows.items() if name not in unlike}
        if files is not None:
            rows = self._listed(files, rows, folder)
        if not rows:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:5])
            raise ValueError(f"{folder} holds no readable pair ({reasons or 'it is empty'})")
        self.names = list(rows)
        of_source, of_target = (list(side) for side in zip(*rows.values(), strict=True))
        self.targets = target.images[of_target]
        self.sources = color.to_grey(self.targets) if is_grey else source.images[of_source]
        keys = [_keys(source, of_source), _keys(target, of_target)]
        self.keys = [
            source_keys + target_keys for source_keys, target_keys in zip(*keys, strict=True)
        ]
        fingerprints = [target.fingerprint, source.fingerprint]
        if reverse:
            self.sources, self.targets = self.targets, self.sources
            fingerprints.reverse()
        self.fingerprint = json_sha256([self.names, *fingerprints])

    def _partners(
        self, folder: Path, target: ImageFolder, source: ImageFolder
    ) -> dict[str, tuple[int, int]]:
        """The rows of source and target by the pair's name, in its order; tells what is alone."""
        targets, sources = _rows(target), _rows(source)
        broken = {stem(name) for name, _ in self.skipped}
        alone = sorted((targets.keys() ^ sources.keys()) - broken)
        if alone:
            raise ValueError(
                f"{folder}: each image of source must have a partner of its name in target, "
                f"{len(alone)} have none: {', '.join(alone[:5])}"
            )
        known = {name for name, _ in self.skipped}
        both = targets.keys() & sources.keys()
        for rows, images in ((targets, target), (sources, source)):
            lost = sorted({images.names[rows[stem]] for stem in rows.keys() - both} - known)
            self.skipped += [(name, "its partner was left out") for name in lost]
        pairs = {_without_ending(target.names[targets[stem]]): stem for stem in both}
        return {name: (sources[pairs[name]], targets[pairs[name]]) for name in sorted(pairs)}

    def _listed(
        self, files: Collection[str], rows: dict[str, tuple[int, int]], folder: Path
    ) -> dict[str, tuple[int, int]]:
        """The rows of the pairs that a list of files names; notes what it leaves out."""
        listed = {stem(name) for name in files}
        pairs = {unicodedata.normalize("NFC", name) for name in rows}
        check_known(listed, pairs | {stem(name) for name, _ in self.skipped}, folder)
        left_out = [name for name in rows if unicodedata.normalize("NFC", name) not in listed]
        self.skipped += [(name, NOT_LISTED) for name in left_out]
        return {name: both for name, both in rows.items() if name not in set(left_out)}

    def __len__(self) -> int:
        return len(self.names)

    @property
    def pictures(self) -> Tensor:
        """The sources, which tell whether two pairs show the same."""
        return self.sources

    def repeated(self, other: "PairFolder") -> list[str]:
        """Names of the other's pairs, of the same resolution, that are here too, to the pixel."""
        digests = set(self._digests())
        pairs = zip(other.names, other._digests(), strict=True)
        return [name for name, digest in pairs if digest in digests]

    def _digests(self) -> Iterator[bytes]:
        for source, target in zip(self.sources, self.targets, strict=True):
            yield hashlib.sha256(source.numpy().tobytes() + target.numpy().tobytes()).digest()

    def hold_out(self, fraction: float) -> tuple["PairFolder", "PairFolder"]:
        """The pairs to train on, and about this fraction of them to keep apart, by their names.

        Pairs that share a picture, to the pixel or mirrored, lie on the side of the first of them.
        """
        apart = np.array(held_apart(self.names, fraction, self.keys))
        return self._part(~apart), self._part(apart)

    def only(self, names: Collection[str]) -> "PairFolder":
        """The pairs of these names."""
        return self._part(np.array([name in names for name in self.names]))

    def _part(self, chosen: np.ndarray) -> "PairFolder":
        part = copy.copy(self)
        part.names = [name for name, take in zip(self.names, chosen, strict=True) if take]
        part.keys = [keys for keys, take in zip(self.keys, chosen, strict=True) if take]
        rows = torch.from_numpy(chosen)
        part.sources, part.targets = self.sources[rows], self.targets[rows]
        part.fingerprint = json_sha256([part.names, self.fingerprint])
        return part

    def batch(
        self,
        indices: Sequence[int] | np.ndarray,  # Which pairs, n of them.
        *,
        flips: np.ndarray | None = None,  # bool [n]: which of them to mirror left to right.
        boxes: np.ndarray
        | None = None,  # int [n, 3]: top, left and side of a square to cut out ...
        side: int | None = None,  # Side to resize to. None: the whole picture.
    ) -> tuple[Tensor, Tensor]:
        """Copies of some pairs, both uint8 [n, 3, side, side], changed alike."""
        n, side = len(indices), side or self.resolution
        flips = np.zeros(n, dtype=bool) if flips is None else flips
        boxes = np.tile([0, 0, self.resolution], (n, 1)) if boxes is None else boxes
        source, target = (
            cut(pictures, indices, flips=flips, boxes=boxes, side=side)
            for pictures in (self.sources, self.targets)
        )
        return source, target


def cut(
    pictures: Tensor,  # Uint8 [N, 3, R, R].
    indices: Sequence[int] | np.ndarray,  # Which of them, n.
    *,
    flips: np.ndarray,  # bool [n]: which of these to mirror left to right.
    boxes: np.ndarray,  # int [n, 3]: top, left and side of a square to cut out ...
    side: int,  # Side to resize to.
) -> Tensor:
    """Copies of squares of some pictures: uint8 [n, 3, side, side]."""
    n, whole = len(indices), pictures.shape[-1]
    if flips.shape != (n,) or flips.dtype != bool or boxes.shape != (n, 3):
        raise ValueError(
            f"flips must be bool [{n}] and boxes [{n}, 3], got {flips.dtype} "
            f"{list(flips.shape)} and {list(boxes.shape)}"
        )
    ends = boxes[:, :2] + boxes[:, 2:]
    if n and (boxes[:, :2].min() < 0 or boxes[:, 2].min() < 1 or ends.max() > whole):
        raise ValueError(f"boxes must lie in images of {whole} pixels")
    pieces = [
        _cut(pictures[int(index)], box, side, flip)
        for index, box, flip in zip(indices, boxes, flips, strict=True)
    ]
    return torch.stack(pieces)


def _cut(picture: Tensor, box: np.ndarray, side: int, flip: bool) -> Tensor:
    """A square of uint8 [3, R, R], resized and perhaps mirrored: uint8 [3, side, side]."""
    top, left, box_side = map(int, box)
    square = picture[:, top : top + box_side, left : left + box_side]
    if box_side != side:
        resized = F.interpolate(square[None].float(), (side, side), mode="bicubic", antialias=True)
        square = resized[0].round().clamp(0, 255).to(torch.uint8)
    return square.flip(-1) if flip else square.clone()


def _unlike(proportions: dict[str, tuple[float, float]]) -> dict[str, str]:
    """The pairs whose two sides have other proportions, width by height, and a message about it."""
    return {
        name: f"source and target are {ours:.3g} and {theirs:.3g} times as wide as high"
        for name, (ours, theirs) in proportions.items()
        if abs(ours / theirs - 1) > SAME_PROPORTIONS
    }


def pair_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders source/ and target/ of a folder of pairs, or of its train/; None if it has none.

    Where a target/ is alone, its pictures in grey are the sources: then it is no folder of pairs.
    """
    if not any((path / "target").is_dir() for path in (folder, *_train_folders(folder))):
        return None
    place, is_grey, _ = _sides(folder)
    return None if is_grey else (place / "source", place / "target")


def _train_folders(folder: Path) -> list[Path]:
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in folders if path.is_dir() and split_named(path.name) == "train"]


def _sides(folder: Path) -> tuple[Path, bool, Skipped]:
    """The folder of source/ and target/, whether target/ is alone, and what lies beside them."""
    outer: Skipped = []
    if folder.is_dir() and not (folder / "target").is_dir():
        folders = [path for path in folder.iterdir() if (path / "target").is_dir()]
        train = [path for path in folders if split_named(path.name) == "train"]
        if len(train) == 1:
            outer = [(path.name, f"beside {train[0].name}") for path in sorted(folder.iterdir())]
            folder = train[0]
            outer = [(name, reason) for name, reason in outer if name != folder.name]
    if not (folder / "target").is_dir():
        raise ValueError(f"{folder} must hold the folders source and target, has no target")
    is_grey = not (folder / "source").is_dir()
    beside = sorted(path for path in folder.iterdir() if path.name not in ("source", "target"))
    others = [path.name for path in beside if path.is_dir() and path.name[0] != "."]
    if is_grey and others:  # Most likely another name for source, not a wish to colour.
        raise ValueError(
            f"{folder} must hold the folders source and target, or target alone to learn "
            f"from it in grey, has {', '.join(others[:5])} beside target"
        )
    return folder, is_grey, outer + [(path.name, "beside source and target") for path in beside]


def _keys(folder: ImageFolder, rows: list[int]) -> list[list[str]]:
    """The keys that each row shares with its repeats; a mask of one colour has none."""
    pixels = folder.images.flatten(2)
    is_flat = (pixels.amin(2) == pixels.amax(2)).all(1).tolist()
    return [[] if is_flat[row] else folder.keys[row] for row in rows]


def _rows(folder: ImageFolder) -> dict[str, int]:
    """In which row each image is, by its name without the ending."""
    rows = {stem(name): row for row, name in enumerate(folder.names)}
    if len(rows) < len(folder.names):
        raise ValueError("two images of a folder differ in their endings only: rename one")
    return rows


def stem(name: str) -> str:
    """A file's name as its partner has it: without the ending, accents in one form.

    macOS writes them in another than all else.
    """
    return unicodedata.normalize("NFC", _without_ending(name))


def _without_ending(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
