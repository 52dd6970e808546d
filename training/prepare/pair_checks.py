"""Checks of pictures in pairs: do they lie on each other, are they repeated, does a split leak.

`registration` measures how far a target lies beside its source. `describe` and `groups` find what
must not be divided between training and measuring; `split_of` divides, `nearest_across` looks
afterwards whether that worked.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genmodels.data.splits import hash_fraction

MIN_SIDE, MAX_SIDE = 64, 1024  # Sides allowed for pictures that are made or compared.
REFERENCE_SIDE = 256  # Shifts are told in pixels at this side.
EDGE_SIGMA = 1.5  # Sigma of the blur before edge detection, at the reference side.
REACH = 24  # The largest shift that is looked for, at the reference side.
MIN_GAIN = 0.035  # Smallest gain in correlation; a shift that gains less is ignored.

PIXELATED = 4.2
THUMBNAIL = 16
SAME_PICTURE = 0.985  # Correlation of thumbnails above which two pictures are one and the same.
LEAK = 0.99  # Above it across splits, an error: a bit more, as files are resized and rounded.

SPLITS = {"train": 0.8, "validation": 0.1, "held_out": 0.1}
LEAST = {"train": 4, "validation": 1, "held_out": 4}  # Pairs; a network is measured on 4 or more.


class Registration(NamedTuple):
    """How a target lies on its source."""

    shift_px: float  # How far it lies beside it, at a side of 256.
    correlation: float  # Correlation of their edges without a shift, -1 to 1.
    moved_correlation: float  # The same if the target were moved back.

    def beside(self, max_shift: float) -> bool:
        """Whether the target surely lies more than `max_shift` pixels off.

        What is drawn differently, a larger jaw or a label map, moves the best place by a few pixels
        too, but it fits hardly better there.
        """
        gain = self.moved_correlation - self.correlation
        return self.shift_px > max_shift and gain > MIN_GAIN


def check_picture(name: str, image: np.ndarray) -> None:
    """An RGB picture of bytes with usable sides; `name` is for the message."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        actual = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise ValueError(f"{name} must be uint8 [H, W, 3], got {actual}")
    height, width, channels = image.shape
    if channels != 3 or not MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise ValueError(
            f"{name} must be [H, W, 3] with sides of {MIN_SIDE} to {MAX_SIDE}, got {image.shape}"
        )


def registration(
    source: np.ndarray,  # RGB uint8 [H, W, 3], 64 to 1024 px a side.
    target: np.ndarray,  # The same.
) -> Registration:
    """Where the target's edges fit the source's best: cross-correlation within 24 px (at 256).

    On drawn comics of faces, shifts that are known come out within 0.4 px for 9 of 10 pairs; with
    phase correlation, which gives all frequencies one weight, within 2.2 px, some by 100.
    """
    check_picture("source", source)
    check_picture("target", target)
    if source.shape != target.shape:
        raise ValueError(f"source and target must agree, got {source.shape} and {target.shape}")
    scale = min(source.shape[:2]) / REFERENCE_SIDE
    reach = round(REACH * scale)
    here, there = edges(source, EDGE_SIGMA * scale), edges(target, EDGE_SIGMA * scale)
    middle = here[reach:-reach, reach:-reach]
    if middle.std() < 1e-3 or there.std() < 1e-3:
        return Registration(0.0, 0.0, 0.0)  # Nothing to go by.
    scores = cv2.matchTemplate(there, middle, cv2.TM_CCOEFF_NORMED)
    y, x = np.unravel_index(scores.argmax(), scores.shape)
    shift = np.hypot(x + peak(scores[y], int(x)) - reach, y + peak(scores[:, x], int(y)) - reach)
    return Registration(float(shift / scale), float(scores[reach, reach]), float(scores.max()))


def edges(image: np.ndarray, sigma: float) -> np.ndarray:
    """Strength of edges, float32 [H, W]; the root keeps strong ones from deciding alone."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), sigma)
    return np.sqrt(np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)))


def peak(line: np.ndarray, at: int) -> float:
    """Where between its neighbours the maximum of a line lies, by a parabola: -0.5 to 0.5."""
    if not 0 < at < len(line) - 1:
        return 0.0
    left, middle, right = (float(value) for value in line[at - 1 : at + 2])
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0


def chroma(image: np.ndarray) -> float:
    """Mean distance from grey in Lab, of RGB uint8 [H, W, 3]; 0 for grey."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def pixelated(photo: np.ndarray) -> bool:
    """Whether a photograph, RGB uint8 [H, W, 3], was enlarged without smoothing.

    Then neighbours differ in few rows and columns only. Of 183 faces the three that were so have
    ratios of 4.7 and more, all others 2.3 and less; photographs of landscapes reach 3.6.
    """
    grey = photo.astype(np.float32).mean(axis=2)
    steps = [np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis) for axis in (0, 1)]
    return min(np.quantile(x, 0.9) / (np.median(x) + 0.1) for x in steps) > PIXELATED


def describe(image: np.ndarray) -> np.ndarray:
    """A grey thumbnail and its mirror image, [2, 256], ready for correlation by a product."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    both = np.stack([small, small[:, ::-1]]).reshape(2, -1)
    both -= both.mean(axis=1, keepdims=True)
    return both / (np.linalg.norm(both, axis=1, keepdims=True) + 1e-3)


def similar(descriptions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of [n, 2, 256] show one picture, maybe mirrored: indices of the pairs, first < second.

    One stands against all others at a time: the whole table of a large set would fill the memory.
    """
    first, second = [], []
    for i in range(len(descriptions) - 1):
        likeness = (descriptions[i + 1 :] @ descriptions[i, 0]).max(axis=1)
        matches = np.flatnonzero(likeness > SAME_PICTURE) + i + 1
        first.append(np.full(len(matches), i))
        second.append(matches)
    return np.concatenate([[], *first]).astype(int), np.concatenate([[], *second]).astype(int)


def groups(
    names: Sequence[str],
    descriptions: Sequence[np.ndarray],  # Each [n, 2, 256]: of the sources, of the targets.
    related: Sequence[str],  # For each, the name of an image that it must stay with, or "".
) -> list[str]:
    """The group of each name, which must not be split: the first of the names in it.

    A related image counts towards the group's name even where it is not in `names`, so that a part
    of a group is named as the whole group is.
    """
    pairs = [similar(each) for each in descriptions]
    index_of = {name: index for index, name in enumerate(names)}
    for index, word in enumerate(related):
        if word:
            relative = index_of.setdefault(word, index)
            pairs.append((np.array([relative]), np.array([index])))
    first, second = (np.concatenate([[], *side]).astype(int) for side in zip(*pairs, strict=True))
    shape = (len(names), len(names))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=shape)
    labels = connected_components(graph, directed=False)[1]
    leaders: dict[int, str] = {}
    for label, name, word in zip(labels.tolist(), names, related, strict=True):
        leaders[label] = min(leaders.get(label, name), name, word or name)
    return [leaders[label] for label in labels.tolist()]


def fraction_of(name: str, purpose: str) -> float:
    """A number from 0 to 1 that only hangs on the name, another one for another purpose."""
    return hash_fraction(f"{purpose} {name}")


def split_of(group: str) -> str:
    """The split of a group, by a hash of its name: none moves when others come or go."""
    place = fraction_of(group, "pairs")  # This word divides our 129 comics evenly.
    for split, share in SPLITS.items():
        if place < share:
            return split
        place -= share
    return "held_out"


def splits_of(groups: Sequence[str]) -> dict[str, str]:
    """The split of each of a set's groups, given one per pair: `split_of`'s.

    But where that leaves a small set's held-out pairs too few, those go there that are next to it.
    """
    splits = {group: split_of(group) for group in groups}
    for split in ("held_out", "validation"):
        rest = sorted(
            (group for group, current in splits.items() if current == "train"),
            key=lambda group: fraction_of(group, "pairs"),
        )
        lacking = LEAST[split] - list(splits.values()).count(split)
        splits |= dict.fromkeys(rest[len(rest) - max(0, lacking) :], split)
    return splits


def nearest_across(descriptions: Mapping[str, np.ndarray]) -> tuple[float, dict[str, int]]:
    """The largest correlation between pictures of two splits, and their places in these.

    Errors: ValueError where a split is empty.
    """
    if empty := [split for split, each in descriptions.items() if not len(each)]:
        raise ValueError(f"each split must hold pictures, got none in {', '.join(empty)}")
    best: tuple[float, dict[str, int]] = (-1.0, {})
    splits = list(descriptions)
    for index, split in enumerate(splits):
        for other in splits[index + 1 :]:
            for i, single in enumerate(descriptions[split]):
                likeness = (descriptions[other] @ single[0]).max(axis=1)
                if likeness.max() > best[0]:
                    best = float(likeness.max()), {split: i, other: int(likeness.argmax())}
    return best
