"""Which metric sees which damage? Corrupts real images step by step and prints what moves.

    python -m training.benchmarks.metrics --data DIR --resolution 64 --num-images 400

Prints two markdown tables. A figure in bold lies more than four standard deviations from its
real-vs-real value. Start at `corruptions`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import torch
import tyro
from PIL import Image, ImageFilter

from genmodels import metrics
from genmodels.data import images
from genmodels.metrics import open_nsfw

SEEN_AT = 4  # Standard deviations from real-vs-real.
MAX_FLOORS = 6  # Real-vs-real draws.

Corruption = Callable[[np.ndarray], np.ndarray]  # uint8 [N, H, W, 3] -> the same.


@dataclass(frozen=True)
class Config:
    """The images and how many of them stand on each side of a comparison."""

    data: Path  # Folder of images, searched with its sub-folders; needs 4 * num_images of them.
    resolution: int = 64  # Side to which the middle square is resized, 32 or more.
    num_images: int = 400  # Images per set.
    seed: int = 0  # Choice of images, places of damage, and seeds of the metrics.
    threads: int = 1  # CPU threads of torch.


def corruptions(
    pool: np.ndarray,  # uint8 [M, H, W, 3]: where images of the remaining modes are drawn.
    train: np.ndarray,  # uint8 [N, H, W, 3]: what a memorising model would repeat.
    seed: int,
) -> dict[str, dict[str, Corruption]]:
    """Ladder -> severity, mildest first -> what it does to a set of images."""
    rng = np.random.default_rng(seed)

    def filtered(blur: float) -> Corruption:
        kernel = ImageFilter.GaussianBlur(blur)
        return lambda x: np.stack([np.asarray(Image.fromarray(i).filter(kernel)) for i in x])

    def shifted(red: float, green: float, blue: float) -> Corruption:
        offset = (255 * np.array([red, green, blue])).round().astype(np.int64)
        return lambda x: (x + offset).clip(0, 255).astype(np.uint8)

    def noisy(sigma: float) -> Corruption:
        def add_noise(x: np.ndarray) -> np.ndarray:
            noise = rng.normal(0, 255 * sigma, x.shape)
            return (x + noise).round().clip(0, 255).astype(np.uint8)

        return add_noise

    def cut_out(x: np.ndarray) -> np.ndarray:
        holed, side = x.copy(), x.shape[1] // 4
        for image in holed:
            top, left = rng.integers(0, x.shape[1] - side, 2)
            image[top : top + side, left : left + side] = 128
        return holed

    def mosaic(side: int) -> Corruption:
        return lambda x: x[:, ::side, ::side].repeat(side, 1).repeat(side, 2)[:, : x.shape[1]]

    def posterised(levels: int) -> Corruption:
        step = 256 // levels
        return lambda x: x // step * step + step // 2

    def half_of_modes(x: np.ndarray) -> np.ndarray:
        # Modes: the two sides of the strongest direction in which the thumbnails differ.
        small = pool[:, ::4, ::4].reshape(len(pool), -1).astype(np.float32)
        small -= small.mean(axis=0)
        along = np.linalg.svd(small, full_matrices=False)[0][:, 0]
        return pool[along <= np.median(along)][: len(x)]

    def repeated(unique: int) -> Corruption:
        return lambda x: np.resize(x[:unique], x.shape)

    def memorised(share: float) -> Corruption:
        return lambda x: np.concatenate([train[: int(share * len(x))], x[int(share * len(x)) :]])

    return {
        "blur": {f"{s}": filtered(s) for s in (0.5, 1, 2)},
        "noise": {f"{s}": noisy(s) for s in (0.05, 0.15)},
        "mosaic": {f"{s} px": mosaic(s) for s in (2, 4)},
        "posterised": {f"{n} levels": posterised(n) for n in (8, 4)},
        "cut-out": {"a quarter of the side": cut_out},
        "rotated": {"90 degrees": lambda x: np.rot90(x, axes=(1, 2)).copy()},
        "modes missing": {"half": half_of_modes},
        "repeated": {f"{n} unique": repeated(n) for n in (100, 20)},
        "brighter": {f"{s}": shifted(s, s, s) for s in (0.05, 0.1)},
        "warmer": {f"{s}": shifted(s, 0, -s) for s in (0.05, 0.1)},
        "memorised": {f"{s:.0%}": memorised(s) for s in (0.1, 0.5)},
    }


def measure(
    samples: np.ndarray, reference: np.ndarray, train: np.ndarray, seed: int
) -> metrics.Figures:
    """One row of the table: figures between sets, diversity, memorisation."""
    figures = metrics.compare_sets(samples, reference, seed=seed)
    figures = {k: v for k, v in figures.items() if not k.endswith("_gap")}
    figures["ms_ssim_diversity"] = float(metrics.ms_ssim_diversity(samples, seed=seed))
    for space, neighbours in metrics.nearest_neighbours(
        samples, train, reference, seed=seed
    ).items():
        figures[f"closer_to_train_{space}"] = neighbours.closer_to_train
        figures[f"copies_{space}"] = float(neighbours.copies.mean())
    if (judged := open_nsfw.panel(samples, reference, train)["open_nsfw_kid"])["value"] is not None:
        figures["open_nsfw_kid"] = judged["value"]
    return figures


def check(config: Config) -> str:
    """Both tables in markdown."""
    n = config.num_images
    paths = sorted(p for p in config.data.rglob("*") if p.suffix.lower() in images.SUFFIXES)
    num_floors = min(MAX_FLOORS, len(paths) // n - 2) if n > 0 else 0
    if num_floors < 2:
        raise ValueError(f"{config.data} must hold 4 x {n} images or more, got {len(paths)}")
    order = np.random.default_rng(config.seed).permutation(len(paths))[: n * (num_floors + 2)]
    size = config.resolution
    real = np.stack([np.asarray(images.fit_square(images.open_rgb(paths[i]), size)) for i in order])
    reference, train, *floors = np.split(real, num_floors + 2)

    seed = config.seed
    floor = [measure(each, reference, train, seed) for each in floors]
    ladders = corruptions(real[2 * n :], train, seed)
    rows = {
        ladder: {
            severity: measure(corrupt(floors[0]), reference, train, seed)
            for severity, corrupt in steps.items()
        }
        for ladder, steps in ladders.items()
    }
    return f"{_values_table(floor, rows)}\n\n{_verdict_table(floor, rows)}"


def _values_table(floor: list[metrics.Figures], rows: dict[str, dict[str, metrics.Figures]]) -> str:
    names = list(floor[0])
    lines = [["change", *names]]
    lines.append(
        ["real vs real", *(f"{_mean(floor, k):.3g} ± {_std(floor, k):.2g}" for k in names)]
    )
    for ladder, steps in rows.items():
        for severity, figures in steps.items():
            cells = [
                f"**{figures[k]:.3g}**" if _is_seen(floor, figures, k) else f"{figures[k]:.3g}"
                for k in names
            ]
            lines.append([f"{ladder} {severity}", *cells])
    return _markdown(lines)


def _verdict_table(
    floor: list[metrics.Figures], rows: dict[str, dict[str, metrics.Figures]]
) -> str:
    lines = [["figure", *rows]]
    for name in floor[0]:
        cells = []
        for steps in rows.values():
            seen = [severity for severity, x in steps.items() if _is_seen(floor, x, name)]
            changes = np.diff([_mean(floor, name), *(x[name] for x in steps.values())])
            monotone = "" if (changes >= 0).all() or (changes <= 0).all() else ", not monotone"
            cells.append(f"from {seen[0]}{monotone}" if seen else "blind")
        lines.append([name, *cells])
    return _markdown(lines)


def _mean(floor: list[metrics.Figures], name: str) -> float:
    return float(np.mean([figures[name] for figures in floor]))


def _std(floor: list[metrics.Figures], name: str) -> float:
    return float(np.std([figures[name] for figures in floor], ddof=1))


def _is_seen(floor: list[metrics.Figures], figures: metrics.Figures, name: str) -> bool:
    return abs(figures[name] - _mean(floor, name)) > SEEN_AT * _std(floor, name)


def _markdown(lines: list[list[str]]) -> str:
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    arguments = tyro.cli(Config)
    torch.set_num_threads(arguments.threads)
    print(check(arguments))
