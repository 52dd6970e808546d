"""Train SinGAN (Shaham et al. 2019) on one photo.

    python training/train_singan.py --data photo.jpg --out runs/mine --max-size 150 --epochs 500

The same command again resumes. The model lands in --out/model, the state in --out/state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro

from genmodels.data import images
from genmodels.models.singan.training import Progress
from genmodels.pipelines.pipeline_singan import SinGANPipeline
from training.runs.disk import whole_file
from training.runs.lock import lock
from training.runs.stopping import print_line


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of SinGAN training."""

    data: Path  # The photo.
    out: Path  # Folder of the run; the same command again resumes from it.
    mode: Literal["fast", "full"] = "fast"  # "full" is the paper's protocol.
    max_size: int = 150  # Longer side of the training photo in pixels, 25 to 400.
    epochs: int | None = None  # Iterations per scale; None: the mode's own, 600 or 2000.
    optimizer: Literal["adam", "adamax", "adamw", "sgd", "asgd"] = "adam"  # For both networks.
    budget_seconds: float | None = None  # Plan the iterations to take this long.
    seed: int = 0  # Random seed.
    threads: int | None = None  # CPU threads; results depend on them.
    num_samples: int = 8  # Number of samples on the sheet.
    push_to_hub: str | None = None  # Publish the finished model as "user/name".
    private: bool = False  # Make the repo private if it is new.


def train(config: Config) -> SinGANPipeline:
    """Train until it is done, resuming from `config.out`; write the model and a sheet of samples.

    A kill costs 20 seconds of work at most. Errors: as of `SinGANPipeline.fit_steps`.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    held = lock(config.out)
    events = SinGANPipeline.fit_steps(
        images.open_rgb(config.data),
        mode=config.mode,
        max_size=config.max_size,
        epochs=config.epochs,
        optimizer=config.optimizer,
        budget_seconds=config.budget_seconds,
        seed=config.seed,
        out=config.out / "state",
    )
    pipeline = _follow(events, config.out)
    folder = config.out / "model"
    pipeline.save_pretrained(folder)
    samples = pipeline(config.num_samples, seed=0).images
    images.grid(samples, 4).save(folder / "samples.png")
    print_line(f"{folder}: genmodels.load reads it")
    if config.push_to_hub is not None:
        address = pipeline.push_to_hub(config.push_to_hub, private=config.private)
        print_line(address)
    del held  # Until here the folder is this command's.
    return pipeline


def _follow(events: Iterator[Progress], out: Path) -> SinGANPipeline:
    """Print a line with every preview, and keep the newest one as a file."""
    for event in events:
        if event.preview is None:
            continue
        with whole_file(out / "preview.png") as partial:
            event.preview.save(partial, "PNG")
        losses = "  ".join(f"{name} {value:.3f}" for name, value in event.losses.items())
        left = "" if event.eta_seconds is None else f"  ETA {event.eta_seconds:.0f} s"
        print_line(
            f"scale {event.scale + 1}/{event.num_scales}  step {event.step}/{event.steps}  "
            f"{losses}  {event.seconds:.0f} s{left}"
        )
    return event.pipeline


if __name__ == "__main__":
    train(tyro.cli(Config))
