"""From which side a photograph shows its car, learned from some photographs labelled by eye.

A histogram of oriented gradients (Dalal & Triggs 2005) describes the shapes in a photograph; ridge
regression maps it to a score per view and direction. A mirrored photograph shows the mirrored view,
so each label teaches twice and each photograph is judged twice. Start at `find`.
"""

import csv
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image
from skimage.feature import hog

from genmodels.data import images

View = Literal["front-three-quarter", "rear-three-quarter", "side", "front", "rear"]
VIEWS: tuple[View, ...] = get_args(View)
COLUMNS = ("file", "view", "facing")
# A car that is seen from its end faces neither left nor right.
CLASSES: list[tuple[View, str]] = [(v, facing) for v in VIEWS[:3] for facing in ("left", "right")]
CLASSES += [(v, "") for v in VIEWS[3:]]
MIRROR = [1, 0, 3, 2, 5, 4, 6, 7]  # The class of the mirrored photograph.

SIDE, CELL = 96, 12  # Side of the grey picture, and of the cells of its gradient histograms.
RIDGE = 10.0
FOLDS = 10  # Folds of the cross-validation.


@dataclass(frozen=True)
class Viewpoint:
    """What one photograph shows."""

    view: View
    facing: str  # "left", "right", or "" for a car seen from its end.
    margin: float  # Score of this class above the next one's; 1 if labelled by eye.

    @property
    def labels(self) -> dict[str, str | bool | float]:
        """Columns of the metadata; what faces right is to be mirrored."""
        mirrored = self.facing == "right"
        return {"view": self.view, "mirrored": mirrored, "view_margin": self.margin}


def find(
    folder: Path,  # Where the photographs are.
    files: Sequence[str],  # Their names.
    labels: Path,  # CSV with the columns above: some of the photographs, labelled by eye.
    min_margin: float = 0.0,  # Smallest margin of guesses that are printed as sure.
) -> tuple[dict[str, Viewpoint], dict[str, str]]:
    """The viewpoint of each photograph, labels as they are; why a photograph has none.

    Prints what cross-validation says of the guesses.
    """
    shapes, reasons = {}, {}
    with ThreadPoolExecutor() as pool:
        described = pool.map(lambda file: _describe_file(folder / file), files)
        for file, shape in zip(files, described, strict=True):
            if isinstance(shape, str):
                reasons[file] = shape
            else:
                shapes[file] = shape
    known = {file: c for file, c in read_labels(labels).items() if file in shapes}
    if len(known) < 2 * FOLDS:
        raise ValueError(
            f"{labels} must label {2 * FOLDS} of the photographs or more, it labels {len(known)}"
        )
    x, y = np.stack([shapes[file] for file in known]), np.array(list(known.values()))
    guesses = to_viewpoints(predict(np.stack(list(shapes.values())), *fit(x, y)))
    views = dict(zip(shapes, guesses, strict=True))
    print_quality(y, to_viewpoints(cross_validate(x, y)), views.values(), min_margin)
    return views | {file: Viewpoint(*CLASSES[c], 1.0) for file, c in known.items()}, reasons


def print_quality(
    y: np.ndarray,  # Classes of the labelled photographs.
    guesses: Sequence[Viewpoint],  # Predictions for the same photographs, by cross-validation.
    views: Collection[Viewpoint],  # Predictions for all photographs.
    min_margin: float,
) -> None:
    """For each view, how many photographs have it and how many guesses of it are right."""
    right = [(g.view, g.facing) == CLASSES[c] for g, c in zip(guesses, y, strict=True)]
    print(f"view: {np.mean(right):.0%} of {len(y)} guesses are right, by cross-validation")
    for view in VIEWS:
        number = sum(v.view == view and v.margin >= min_margin for v in views)
        sure = [g.view == view and g.margin >= min_margin for g in guesses]
        true = sum(r for r, s in zip(right, sure, strict=True) if s)
        print(f"view: {number} sure of {view}; {true} of {sum(sure)} such guesses are right")


def read_labels(path: Path) -> dict[str, int]:
    """File name -> index into `CLASSES`; errors name the line."""
    labels = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} must have the columns {list(COLUMNS)}, it lacks {missing}")
        for row in reader:
            label = (row["view"], row["facing"])
            if label not in CLASSES:
                raise ValueError(
                    f"{path}, line {reader.line_num}: view and facing must be one of {CLASSES}, "
                    f"got {label}"
                )
            labels[row["file"]] = CLASSES.index(label)
    return labels


def describe(photo: Image.Image) -> np.ndarray:
    """The shapes in an RGB picture and in its mirror image: float32 [2, features]."""
    grey = np.asarray(images.fit_square(photo, SIDE).convert("L"), dtype=np.float32) / 255
    cell = (CELL, CELL)
    sides = [hog(side, 9, cell, (2, 2)) for side in (grey, grey[:, ::-1])]
    return np.stack(sides).astype(np.float32)


def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions [n, 2, features] and classes [n] -> mean [features], weights [features, 8]."""
    targets = np.eye(len(CLASSES))[np.concatenate([y, np.take(MIRROR, y)])]
    # The mean of the targets is left out: a rare view is as likely until its shape is seen.
    mean, _, weights = ridge(np.concatenate([x[:, 0], x[:, 1]]), targets, RIDGE)
    return mean, weights


def ridge(
    rows: np.ndarray,  # [n, features]
    targets: np.ndarray,  # [n, outputs]
    strength: float,  # Strength of the penalty on the weights.
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of rows and of targets, and weights W: target = (row - mean) @ W + target mean."""
    mean, target_mean = rows.mean(0), targets.mean(0)
    centred = (rows - mean).astype(np.float64)
    # The dual form: about as many rows as features, and one matrix for all outputs.
    kernel = centred @ centred.T + strength * np.eye(len(rows))
    return mean, target_mean, centred.T @ np.linalg.solve(kernel, targets - target_mean)


def predict(x: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Descriptions [n, 2, features] -> scores [n, 8], the photograph's and its mirror image's."""
    return ((x[:, 0] - mean) @ weights + ((x[:, 1] - mean) @ weights)[:, MIRROR]) / 2


def cross_validate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Scores [n, 8] of each labelled photograph, from a fit to the other folds."""
    fold = np.arange(len(y)) % FOLDS
    scores = np.empty((len(y), len(CLASSES)))
    for k in range(FOLDS):
        scores[fold == k] = predict(x[fold == k], *fit(x[fold != k], y[fold != k]))
    return scores


def to_viewpoints(scores: np.ndarray) -> list[Viewpoint]:
    """Scores [n, 8] -> the best class of each, and how far it is ahead."""
    best: list[int] = scores.argmax(1).tolist()
    second, first = np.sort(scores, axis=1)[:, -2:].T
    margins = (first - second).round(3).tolist()
    return [Viewpoint(*CLASSES[c], m) for c, m in zip(best, margins, strict=True)]


def _describe_file(path: Path) -> np.ndarray | str:
    try:
        return describe(images.open_rgb(path))
    except ValueError as error:
        return str(error)
