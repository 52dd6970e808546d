"""Our patch engine against exact GPNN, on several photos, by figures that need no network.

    python -m training.experiments.compare_panoramas --scenes scenes/ --out runs/panoramas

Every picture is drawn at twice the photo's width and kept in --out with its figures, so that the
same command again goes on. The table has means over scenes, and 95 % intervals of the differences,
which are paired by scene.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import tyro
from PIL import Image

from genmodels.metrics import single_image
from genmodels.metrics.intervals import bootstrap_interval
from genmodels.pipelines.pipeline_patches import PatchPipeline
from training.experiments.gpnn import gpnn
from training.prepare.scenes import open_scene

RESULTS = Path(__file__).with_name("results")
SCENES = (
    "mountains grass_sky trees3 colusseum meadow_yurt foggy_hills harbour_lights rice_fields "
    "angkorwat stonehenge autumn_forest grey_lake"
)
FIGURES = {  # Figures of the table, and which values are better.
    "rsifid": "rSIFID (lower)",
    "patch_swd": "patch SWD (lower)",
    "coherence": "coherence (lower)",
    "completeness": "completeness (lower)",
    "repetition": "repetition (lower)",
    "symmetry": "symmetry (lower)",
    "layout_error": "layout error (lower)",
    "diversity": "diversity",
    "seconds": "CPU seconds",
}

Draw = Callable[[Image.Image, int], Image.Image]  # Takes a photo and a seed.

ENGINE = PatchPipeline()
WAYS: dict[str, Draw] = {
    "new: GPNN": lambda photo, seed: gpnn(photo, 2 * photo.width, photo.height, seed, "random"),
    "new: ours": lambda photo, seed: _ours("resample", photo, seed),
    "new: ours, mirrored": lambda photo, seed: _ours("resample", photo, seed, mirror=True),
    "shape: GPNN": lambda photo, seed: gpnn(photo, 2 * photo.width, photo.height, seed, "retarget"),
    "shape: ours": lambda photo, seed: _ours("retarget", photo, seed),
    "extend: ours": lambda photo, seed: _ours("extend", photo, seed),
    "extend: ours, mirrored": lambda photo, seed: _ours("extend", photo, seed, mirror=True),
    "wrap: ours": lambda photo, seed: _ours("wrap", photo, seed),
}
PAIRS = (
    ("new: ours", "new: GPNN"),
    ("new: ours, mirrored", "new: ours"),
    ("shape: ours", "shape: GPNN"),
    ("extend: ours", "extend: ours, mirrored"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    scenes: Path  # Folder of photos.
    out: Path  # Where pictures and figures are kept.
    names: tuple[str, ...] = tuple(SCENES.split())  # Names of the photos, without suffixes.
    longest: int = 128  # Longer side of a photo: the exact search takes the fourth power of it.
    seeds: int = 2  # Pictures per photo and way; a shape's is always the same.
    results: Path = RESULTS  # Where panoramas.json and panoramas.md are written.


def compare(config: Config) -> None:
    """Draw and measure what is not there yet, and rewrite the table."""
    if config.seeds < 2 or len(config.names) < 2:
        raise ValueError("seeds and names must be two or more, for diversity and intervals")
    measured: dict[str, dict[str, dict[str, float]]] = {way: {} for way in WAYS}
    for name in config.names:
        photo = _photo(config, name)
        for way in WAYS:
            measured[way][name] = measure(config, way, name, photo)
            print(f"{name}, {way}: {_words(measured[way][name])}", flush=True)
    config.results.mkdir(parents=True, exist_ok=True)
    record = {"longest": config.longest, "seeds": config.seeds, "scenes": measured}
    (config.results / "panoramas.json").write_text(json.dumps(record, indent=1) + "\n")
    (config.results / "panoramas.md").write_text(table(config, measured))


def measure(config: Config, way: str, name: str, photo: Image.Image) -> dict[str, float]:
    """Mean figures of a way's pictures of one photo; kept in --out."""
    folder = config.out / f"{way.replace(': ', '-').replace(', ', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{config.longest}-{config.seeds}.json"
    if path.is_file():
        return json.loads(path.read_text())
    seeds = range(1 if way.startswith("shape") else config.seeds)
    pictures, panels = [], []
    for seed in seeds:
        start = time.process_time()
        pictures.append(WAYS[way](photo, seed))
        seconds = time.process_time() - start
        pictures[-1].save(folder / f"{name}-{seed}.png")
        panels.append(single_image.panel(pictures[-1], photo) | {"seconds": seconds})
        panels[-1] |= _seams(way, pictures[-1], photo)
    figures = {key: float(np.mean([panel[key] for panel in panels])) for key in panels[0]}
    if len(pictures) > 1:
        figures["diversity"] = single_image.diversity(pictures, photo)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def table(config: Config, measured: dict[str, dict[str, dict[str, float]]]) -> str:
    """The comparison as a section in Markdown."""
    head = " | ".join(FIGURES.values())
    rows = []
    for way, scenes in measured.items():
        cells = (_mean(scenes, key) for key in FIGURES)
        rows.append(f"| {way} | {' | '.join(cells)} |")
        for ours, theirs in PAIRS:
            if way == ours:
                cells = (_difference(scenes, measured[theirs], key) for key in FIGURES)
                rows.append(f"| minus {theirs} | {' | '.join(cells)} |")
    lines = "\n".join(rows)
    joins = [
        figures[key]
        for way in measured
        for figures in measured[way].values()
        for key in ("seam_left", "seam_right", "seam_wrap")
        if key in figures
    ]
    inside = np.mean([0.8 <= join <= 1.25 for join in joins])
    floor = np.mean([row["rsifid_floor"] for row in measured["new: ours"].values()])
    chance = np.mean([row["layout_chance"] for row in measured["new: ours"].values()])
    return f"""## Panoramas against exact GPNN

{len(config.names)} photos of {config.longest} px, pictures twice as wide, {config.seeds} seeds
each. Means over photos; differences are paired by photo, with 95 % intervals.
The rSIFID of two shifted crops of a photo is {floor:.3f}; a layout by chance has {chance:.2f}.

| way | {head} |
| --- |{" --- |" * len(FIGURES)}
{lines}

Joins: the mean difference between neighbours across a join over the picture's median. Of
{len(joins)} joins of extended and wrapped pictures (means over seeds) the median is
{np.median(joins):.2f}, and {inside:.0%} lie between 0.8 and 1.25; of single columns within
photographs themselves, 60 % do. So a join is as smooth as the picture, or smoother.
"""


def _photo(config: Config, name: str) -> Image.Image:
    photo = open_scene(config.scenes, name)
    photo.thumbnail((config.longest, config.longest), Image.Resampling.LANCZOS)
    return photo


def _ours(mode: str, photo: Image.Image, seed: int, mirror: bool | None = None) -> Image.Image:
    wide = 2 * photo.width
    return ENGINE(photo, mode=mode, width=wide, seed=seed, mirror=mirror).images[0]


def _seams(way: str, picture: Image.Image, photo: Image.Image) -> dict[str, float]:
    """How visible the joins are: where the photo begins and ends, and where a strip closes."""
    if not way.startswith(("extend", "wrap")):
        return {}
    left = (picture.width - photo.width) // 2
    columns = {"seam_left": left, "seam_right": left + photo.width}
    if way.startswith("wrap"):
        columns["seam_wrap"] = 0
    return {key: single_image.seam_ratio(picture, column=at) for key, at in columns.items()}


def _mean(scenes: dict[str, dict[str, float]], key: str) -> str:
    values = [figures[key] for figures in scenes.values() if key in figures]
    return f"{np.mean(values):.3g}" if values else ""


def _difference(
    ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]], key: str
) -> str:
    values = np.array([ours[s][key] - theirs[s][key] for s in ours if key in ours[s]])
    if not len(values):
        return ""
    low, high = bootstrap_interval(values)
    return f"{values.mean():.3g} ({low:.3g} to {high:.3g})"


def _words(figures: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.3g}" for key, value in figures.items())


if __name__ == "__main__":
    compare(tyro.cli(Config))
