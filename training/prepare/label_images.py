r"""Labels for all images of a folder, learnt from those that have them; and a selection by a class.

    python -m training.prepare.label_images --images faces --labels faces/labels.csv \
        --columns gender eye_open_q --learn-from 1000 --out faces-labels.csv

The CSV's column `file` names the images; a cell may be empty. What has a label keeps it. The new
CSV says of each label where it is from, and how sure the model is: of a class its probability, of a
number its standard deviation. `training.prepare.labelled` reads it.

    python -m training.prepare.label_images ... --keep gender=female --min-probability 0.9

also writes a list of the images that are surely of one class, for the `--files` of training.

Each column is a linear model on the features of a frozen network: ridge regression, of classes to
one-hot vectors whose scores a temperature turns into probabilities (Guo et al. 2017,
arXiv:1706.04599). Its figures are of images that it did not learn from: each left out in turn,
which has a closed form, and those beyond `--learn-from`. Start at `label`.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from PIL import Image, ImageOps
from torch import Tensor

from genmodels.data import image_files, images
from genmodels.models.efficientnet_lite import EfficientNetLite0
from training.runs.stopping import print_line

NETWORK = "efficientnet-lite0"
SIDE = 128  # Pixels that the network sees.
BATCH = 32
GRID = 4  # Places a side that a map is averaged to: where things are counts, in aligned images.
PENALTIES = np.logspace(0, 5, 21)  # Of the ridge; the one with the least error left out is taken.
TEMPERATURES = np.logspace(-1, 1.5, 51)
MIN_LABELLED = 20
MIN_CORRELATION = 0.8  # Spearman's; a number below it should not become a control.
MIN_ACCURACY = 0.9
BINS = 10  # Of the calibration error.


@dataclass(frozen=True)
class Config:
    """What to read, and where to write."""

    images: Path  # Folder of images.
    labels: Path  # CSV with the column `file` and those named below; cells may be empty.
    out: Path  # CSV to write.
    columns: tuple[str, ...]  # What to learn: classes or numbers.
    learn_from: int | None = (
        None  # Number of labelled images to learn from, the first ones by name.
    )
    keep: str | None = None  # "column=class": also write the images of that class, as --out's .txt.
    min_probability: float = 0.9  # Of that class.


@dataclass(frozen=True)
class Learnt:
    """What was learnt of one column, and how well."""

    values: list[str]  # Of every image.
    sureness: np.ndarray  # [N] Probability of the class, or standard deviation of the number.
    is_given: np.ndarray  # Bool [N]: the label was there.
    classes: list[str]  # Empty for a number.
    figures: dict[str, float]  # Of images that were not learnt from.


def label(config: Config) -> dict[str, Learnt]:
    """Write the CSV, and the selection if one is asked for. Errors: ValueError."""
    _check(config)
    rows = _read(config.labels, config.columns)
    names = sorted(path.name for path in config.images.iterdir() if image_files.is_image(path.name))
    if not names:
        raise ValueError(f"{config.images} must hold images, found none")
    features = _features(config.images, names)
    learnt = {}
    for column in config.columns:
        cells = [rows.get(name, {}).get(column, "").strip() for name in names]
        learnt[column] = _learn(column, features, cells, config.learn_from)
        print_line(_words(column, learnt[column]))
    _write(config.out, names, learnt)
    if config.keep:
        _select(config, names, learnt)
    return learnt


def _check(config: Config) -> None:
    column, _, value = (config.keep or "").partition("=")
    if config.keep and (column not in config.columns or not value):
        known = ", ".join(config.columns)
        raise ValueError(f'keep must be "column=class" of {known}, got {config.keep!r}')
    if not config.columns:
        raise ValueError("columns must name the labels to learn, got none")
    if not 0 < config.min_probability <= 1:
        raise ValueError(f"min_probability must be in (0, 1], got {config.min_probability}")
    if config.learn_from is not None and config.learn_from < MIN_LABELLED:
        raise ValueError(f"learn_from must be {MIN_LABELLED} or more, got {config.learn_from}")


def _read(table: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"file", *columns} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{table} must have the columns {sorted(missing)}")
        return {row["file"]: row for row in reader}


def _features(folder: Path, names: Sequence[str]) -> Tensor:
    """Float32 [N, D], each feature of mean 0 and variance 1, mirrored images alike."""
    network = EfficientNetLite0.from_pretrained(NETWORK).eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(names), BATCH):
            batch = [_square(folder / name) for name in names[start : start + BATCH]]
            pixels = images.to_float(images.from_pil(batch))
            found.append((_described(network, pixels) + _described(network, pixels.flip(3))) / 2)
    features = torch.cat(found)
    return (features - features.mean(0)) / features.std(0).clamp_min(1e-4)


def _square(path: Path) -> Image.Image:
    return ImageOps.fit(images.open_rgb(path), (SIDE, SIDE), Image.Resampling.LANCZOS)


def _described(network: EfficientNetLite0, pixels: Tensor) -> Tensor:
    _, fine, middle, coarse = network.features(pixels)
    parts = [F.adaptive_avg_pool2d(x, GRID).flatten(1) for x in (fine, middle)]
    return torch.cat([*parts, coarse.mean((2, 3))], 1)


def _learn(column: str, features: Tensor, cells: list[str], learn_from: int | None) -> Learnt:
    is_given = np.array([cell != "" for cell in cells])
    rows = np.flatnonzero(is_given)
    known, beyond = np.split(rows, [len(rows) if learn_from is None else learn_from])
    if len(known) < MIN_LABELLED:
        raise ValueError(f"{column} must be known of {MIN_LABELLED} images, got {len(known)}")
    is_number = all(_is_number(cells[row]) for row in rows)
    classes = [] if is_number else sorted({cells[row] for row in rows})
    if is_number:
        targets = np.array([[float(cells[row])] for row in known])
    else:
        targets = np.array([[float(cells[row] == each) for each in classes] for row in known])
    scores, left_out, deviation = _ridge(features, known, targets)
    if is_number:
        values = [f"{score:.4g}" for score in scores[:, 0]]
        sureness, judged = deviation, {"left out": (known, left_out), "beyond": (beyond, scores)}
        figures = _of_numbers(cells, judged)
    else:
        truth = np.array([classes.index(cells[row]) for row in known])
        temperature = min(TEMPERATURES, key=lambda t: _surprise(left_out * t, truth))
        chances = _softmax(scores * temperature)
        values, sureness = [classes[i] for i in chances.argmax(1)], chances.max(1)
        of_known = _softmax(left_out * temperature)
        judged = {"left out": (known, of_known), "beyond": (beyond, chances)}
        figures = _of_classes(cells, classes, judged)
    values = [cell or value for cell, value in zip(cells, values, strict=True)]
    return Learnt(values, sureness, is_given, classes, figures)


def _ridge(
    features: Tensor,  # [N, D]
    known: np.ndarray,  # Rows with a target.
    targets: np.ndarray,  # [n, k]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores [N, k]; those of known rows, each left out [n, k]; standard deviations [N].

    As of a Gaussian process with a linear kernel (Rasmussen and Williams 2006, 2.1 and 5.4.2).
    """
    x = features.double().numpy() / features.shape[1] ** 0.5
    kernel = x[known] @ x[known].T
    mean = targets.mean(0)
    eigenvalues, vectors = np.linalg.eigh(kernel)
    rotated = vectors.T @ (targets - mean)
    best: tuple[float, Any] = (np.inf, None)
    for penalty in PENALTIES / 1e3:
        shrunk = 1 / (eigenvalues.clip(0) + penalty)
        weights = vectors @ (shrunk[:, None] * rotated)
        inverse = vectors**2 @ shrunk  # The diagonal of the inverse of kernel + penalty.
        left_out = targets - weights / inverse[:, None]
        error = float(((left_out - targets) ** 2).mean())
        if error < best[0]:
            # What a unit of the process is worth, by the errors left out over their variances.
            unit = float(((left_out - targets) ** 2 * inverse[:, None]).mean())
            best = (error, (weights, left_out, shrunk, penalty, unit))
    weights, left_out, shrunk, penalty, unit = best[1]
    to_known = x @ x[known].T  # [N, n]
    scores = to_known @ weights + mean
    explained = ((to_known @ vectors) ** 2) @ shrunk
    spread = ((x**2).sum(1) - explained).clip(0) + penalty
    return scores, left_out, np.sqrt(unit * spread)


def _of_numbers(
    cells: list[str], judged: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Spearman's correlation, for each kind of images that were not learnt from."""
    figures = {}
    for kind, (rows, scores) in judged.items():
        if len(rows) >= MIN_LABELLED:
            truth = np.array([float(cells[row]) for row in rows])
            guess = scores[:, 0] if len(scores) == len(rows) else scores[rows, 0]
            figures[f"spearman, {kind}"] = _spearman(truth, guess)
    return figures


def _of_classes(
    cells: list[str], classes: list[str], judged: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Accuracy and calibration error, and both accuracy and share of what has p >= 0.9."""
    figures: dict[str, float] = {}
    for kind, (rows, chances) in judged.items():
        if len(rows) < MIN_LABELLED:
            continue
        p = chances if len(chances) == len(rows) else chances[rows]
        is_right = np.array([classes[i] for i in p.argmax(1)]) == [cells[row] for row in rows]
        sure = p.max(1) >= 0.9
        figures |= {
            f"accuracy, {kind}": float(is_right.mean()),
            f"calibration error, {kind}": _calibration_error(p.max(1), is_right),
            f"share with p >= 0.9, {kind}": float(sure.mean()),
        }
        if sure.any():
            figures[f"accuracy where p >= 0.9, {kind}"] = float(is_right[sure].mean())
    return figures


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    first, second = _ranks(a), _ranks(b)
    if min(first.std(), second.std()) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks, equal values sharing the mean of theirs."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return ranks


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised: np.ndarray = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def _surprise(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean negative log likelihood."""
    chances = _softmax(scores)[np.arange(len(truth)), truth]
    return float(-np.log(chances.clip(1e-12)).mean())


def _calibration_error(p: np.ndarray, is_right: np.ndarray) -> float:
    """Mean difference of probability and accuracy over bins, weighed by their images (ECE)."""
    bins = (p * BINS).astype(int).clip(0, BINS - 1)
    gaps = [
        (bins == each).mean() * abs(p[bins == each].mean() - is_right[bins == each].mean())
        for each in np.unique(bins)
    ]
    return float(sum(gaps))


def _words(column: str, learnt: Learnt) -> str:
    figures = ", ".join(f"{name} {value:.3f}" for name, value in learnt.figures.items())
    score = "accuracy" if learnt.classes else "spearman"
    least = MIN_ACCURACY if learnt.classes else MIN_CORRELATION
    worst = min(value for name, value in learnt.figures.items() if name.startswith(f"{score}, "))
    verdict = "" if worst >= least else f": BELOW {least}, do not use what was learnt"
    return f"{column}: {int(learnt.is_given.sum())} labels, {figures}{verdict}"


def _write(out: Path, names: Sequence[str], learnt: dict[str, Learnt]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", *(cell for column in learnt for cell in _head(column, learnt))])
        for row, name in enumerate(names):
            table.writerow(
                [name, *(cell for each in learnt.values() for cell in _cells(each, row))]
            )
    figures = {column: each.figures for column, each in learnt.items()}
    out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _head(column: str, learnt: dict[str, Learnt]) -> list[str]:
    how_sure = "probability" if learnt[column].classes else "deviation"
    return [column, f"{column}_{how_sure}", f"{column}_source"]


def _cells(learnt: Learnt, row: int) -> Iterator[str]:
    yield learnt.values[row]
    yield f"{learnt.sureness[row]:.4g}"
    yield "given" if learnt.is_given[row] else "learnt"


def _select(config: Config, names: Sequence[str], learnt: dict[str, Learnt]) -> None:
    """The images of a class: by the model's probability, whatever their label."""
    column, _, value = str(config.keep).partition("=")
    each = learnt[column]
    if value not in each.classes:
        raise ValueError(f"{column} must be one of {', '.join(each.classes)}, got {value!r}")
    is_sure = each.sureness >= config.min_probability
    kept = [
        name
        for name, found, sure in zip(names, each.values, is_sure, strict=True)
        if sure and found == value
    ]
    config.out.with_suffix(".txt").write_text("".join(f"{name}\n" for name in kept))
    print_line(f"{len(kept)} of {len(names)} images are {value}, p >= {config.min_probability}")


if __name__ == "__main__":
    label(tyro.cli(Config))
