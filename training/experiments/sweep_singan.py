r"""SinGAN's dials against time: mode x max size x epochs x optimizer, on several scenes.

    python -m training.experiments.sweep_singan --scenes scenes/ --out runs/sweep \
        --names mountains grass_sky

Every run is kept in --out with its samples and figures, so that the same command again goes on, a
command with other dials adds to the grid, and several at once share it. The CSV, the table and the
plot are of all that --out holds; `singan_results.py` makes them.
"""

import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import torch
import tyro
from PIL import Image

from genmodels.data import images
from genmodels.metrics import single_image
from genmodels.pipelines.pipeline_singan import SinGANPipeline
from training.experiments import singan_results
from training.prepare.scenes import open_scene

RESULTS = Path(__file__).with_name("results")
PLOT = (
    Path(__file__).parents[2] / "genmodels" / "ui" / "assets" / "singan_sweep.png"
)  # The app shows it.


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the sweep: a run for each scene, mode, size, number of epochs, optimizer and seed.

    An empty list of `names` only rewrites the results.
    """

    out: Path  # Where runs are kept.
    scenes: Path = Path()  # Folder of photos.
    names: tuple[str, ...] = ()  # Names of the photos, without suffixes.
    modes: tuple[Literal["fast", "full"], ...] = ("fast",)
    max_sizes: tuple[int, ...] = (150, 200, 250)
    epochs: tuple[int, ...] = tuple(range(100, 1001, 100))  # Iterations per scale.
    optimizers: tuple[Literal["adam", "adamax", "adamw", "sgd", "asgd"], ...] = ("adam",)
    seeds: tuple[int, ...] = (0,)  # Seeds of the training.
    num_samples: int = 6  # Pictures that are drawn and measured, of the photo's shape.
    threads: int = 1  # CPU threads; the time that counts is the CPU's, of all threads.
    seen_at: int = 250  # Longer side at which pictures of every size are looked at, too.
    results: Path = RESULTS  # Where singan_sweep.csv and .md are written ...
    plot: Path = PLOT  # ... and the plot.


def sweep(config: Config) -> None:
    """Train and measure what is not there yet, then rewrite the results."""
    if config.num_samples < 2:
        raise ValueError(f"num_samples must be 2 or more, for diversity, got {config.num_samples}")
    torch.set_num_threads(config.threads)
    grid = itertools.product(
        config.seeds, config.modes, config.optimizers, config.max_sizes, config.epochs, config.names
    )
    for seed, mode, optimizer, max_size, epochs, name in grid:
        dials = {"scene": name, "mode": mode, "max_size": max_size, "epochs": epochs}
        figures = measure(config, dials | {"optimizer": optimizer, "seed": seed})
        print(", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(config.out.glob("*/result.json"))]
    singan_results.write(rows, config.results, config.plot)


def measure(config: Config, dials: dict[str, Any]) -> dict[str, Any]:
    """The dials of a run, with its CPU seconds and the mean figures of its samples; kept."""
    folder = config.out / "-".join(map(str, dials.values()))
    path = folder / "result.json"
    if path.is_file():
        return json.loads(path.read_text())
    photo = open_scene(config.scenes, dials["scene"])
    pipe, seconds = _trained(photo, folder, dials)
    samples = pipe(config.num_samples, seed=0).images
    images.grid(samples, 3).save(folder / "samples.png")
    figures = dials | {"cpu_seconds": round(seconds, 1)} | _figures(config, samples, photo)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def _trained(
    photo: Image.Image, folder: Path, dials: dict[str, Any]
) -> tuple[SinGANPipeline, float]:
    """The model, and the CPU seconds it took, those of interrupted tries included."""
    folder.mkdir(parents=True, exist_ok=True)
    spent = folder / "cpu_seconds.json"
    before = json.loads(spent.read_text()) if spent.is_file() else 0.0
    start = time.process_time()
    arguments = {key: value for key, value in dials.items() if key != "scene"}
    for event in SinGANPipeline.fit_steps(photo, **arguments, out=folder / "state"):
        if event.preview is not None:
            spent.write_text(json.dumps(before + time.process_time() - start))
    return event.pipeline, before + time.process_time() - start


def _figures(config: Config, samples: list[Image.Image], photo: Image.Image) -> dict[str, Any]:
    """At the samples' own size; and as seen at one size, which softness does not escape."""
    resized = photo.resize(samples[0].size, Image.Resampling.LANCZOS)
    factor = config.seen_at / max(photo.size)
    size = (round(photo.width * factor), round(photo.height * factor))
    seen = photo.resize(size, Image.Resampling.LANCZOS)
    enlarged = [sample.resize(size, Image.Resampling.LANCZOS) for sample in samples]
    longest = config.seen_at
    figures = {
        "rsifid": _mean(single_image.rsifid, samples, resized, longest),
        "patch_swd": _mean(single_image.patch_swd, samples, resized, longest),
        "diversity": single_image.diversity(samples, resized, longest=longest),
        "rsifid_seen": _mean(single_image.rsifid, enlarged, seen, longest),
        "patch_swd_seen": _mean(single_image.patch_swd, enlarged, seen, longest),
    }
    return {key: float(f"{value:.4g}") for key, value in figures.items()}


def _mean(figure: Any, samples: list[Image.Image], photo: Image.Image, longest: int) -> float:
    return float(np.mean([float(figure(sample, photo, longest=longest)) for sample in samples]))


if __name__ == "__main__":
    sweep(tyro.cli(Config))
