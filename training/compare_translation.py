"""pix2pix against the autoencoder on the translation project's three tasks, and against nothing.

    python training/compare_translation.py --data data/ --out runs/translation

Every arm sees the same pairs as often, on the same splits, with the same optimizer and schedule; it
resumes where its folder stands. Figures are of held-out pairs, split by source, with intervals over
pictures that are paired between arms; a picture's figure is the mean over seeds.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from torch import Tensor

import genmodels
from genmodels import metrics
from genmodels.pairs import PairFolder
from training.pair_figures import FIGURES, translated
from training.project_formulas import psnr_seed, ssim_seed
from training.translation_table import table

RESULTS = Path(__file__).with_name("results")
BATCH_SIZE = 4


@dataclass(frozen=True)
class Task:
    """What is translated into what."""

    title: str  # In the table.
    data: str  # Folder below --data, with train/, validation/ and held_out/.
    predicts: str = "rgb"  # Of our own network; the others always give all of a picture.


@dataclass(frozen=True)
class Arm:
    """One kind of network, or none."""

    title: str  # In the table.
    script: str | None = None  # In training/; None: the source as it is.
    flags: str = ""
    is_ours: bool = False  # It may predict what suits the task.


TASKS = {
    "coloring": Task("Colouring", "pairs-coloring", predicts="chroma"),
    "monet": Task("Monet", "pairs-monet"),
    "comic": Task("Comic", "pairs-comic"),
}
PAPER = (
    "--norm instance --up transposed --dropout 0.5 --levels 7 --base-channels 64 "
    "--max-channels 512 --receptive-field 70 --d-base-channels 64"
)
ARMS = {
    "identity": Arm("nothing done"),
    "autoencoder": Arm("autoencoder (the project's)", "train_autoencoder.py"),
    "pix2pix-paper": Arm("pix2pix (the paper's network)", "train_pix2pix.py", PAPER),
    "pix2pix": Arm("pix2pix (ours)", "train_pix2pix.py", is_ours=True),
    "pix2pix-exact": Arm(
        "pix2pix (ours, for exactness)",
        "train_pix2pix.py",
        "--adversarial-weight 0.1",
        is_ours=True,
    ),
}
MARGINS = (("pix2pix-paper", "autoencoder"), ("pix2pix", "autoencoder"))


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    data: Path  # Where the prepared pairs are.
    out: Path  # Where the runs are, in folders named by task, arm and seed.
    tasks: tuple[str, ...] = tuple(TASKS)
    arms: tuple[str, ...] = tuple(ARMS)
    seeds: tuple[int, ...] = (0, 1)
    resolution: int = 128  # Side of the pairs in pixels.
    pairs_seen: int = 12_000  # By each run; a multiple of 4.
    mixed_precision: Literal["no", "bf16"] = "no"  # bf16 where the hardware has it.
    threads: int = 1  # CPU threads of a run.
    results: Path = RESULTS  # Where translation.json and translation.md are written.


def compare(config: Config) -> None:
    """Train what is not trained yet, measure, and write the table anew."""
    for name, asked, known in (("tasks", config.tasks, TASKS), ("arms", config.arms, ARMS)):
        if unknown := set(asked) - set(known):
            raise ValueError(f"{name} must be among {', '.join(known)}, got {sorted(unknown)}")
    if config.pairs_seen % BATCH_SIZE or not config.seeds:
        raise ValueError(
            f"pairs_seen must be a multiple of {BATCH_SIZE} and seeds one or more, "
            f"got {config.pairs_seen} and {config.seeds}"
        )
    found = {}
    for task in config.tasks:
        held_out = PairFolder(config.data / TASKS[task].data / "held_out", config.resolution)
        values = {arm: measure(config, task, arm, held_out) for arm in config.arms}
        found[task] = summary(TASKS[task].title, values, len(held_out))
    record = {
        "resolution": config.resolution,
        "pairs_seen": config.pairs_seen,
        "seeds": config.seeds,
        "tasks": found,
    }
    config.results.mkdir(parents=True, exist_ok=True)
    (config.results / "translation.json").write_text(json.dumps(record, indent=1) + "\n")
    (config.results / "translation.md").write_text(table(record))


def measure(config: Config, task: str, arm: str, held_out: PairFolder) -> dict[str, Any]:
    """Figures of one arm: those of a picture as [N], means over seeds; the others as numbers."""
    if ARMS[arm].script is None:
        return _figures(held_out.sources, held_out) | {"parameters": 0}
    runs = []
    for seed in config.seeds:
        words, folder = command(config, task, arm, seed)
        print(f"{task}, {arm}, seed {seed}", flush=True)
        # A thread that waits must not spin: on a shared machine it takes the core from the other.
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run(words, check=True, env=environment)
        facts = json.loads((folder / "model" / "run.json").read_text())
        if facts["images_seen"] != config.pairs_seen:
            raise ValueError(
                f"{folder} must have seen {config.pairs_seen} pairs, it has seen "
                f"{facts['images_seen']}: it was interrupted, or trained for longer"
            )
        made = translated(genmodels.load(folder / "model"), held_out.sources)
        runs.append(_figures(made, held_out) | {"parameters": facts["parameters"]})
    return {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}


def command(config: Config, task: str, arm: str, seed: int) -> tuple[list[str], Path]:
    """The training command of one run, and its folder."""
    chosen, own = ARMS[arm], TASKS[task]
    assert chosen.script is not None
    data, folder = config.data / own.data, config.out / f"{task}-{arm}-{seed}"
    steps = config.pairs_seen // BATCH_SIZE
    numbers = {
        "resolution": config.resolution,
        "batch-size": BATCH_SIZE,
        "steps": steps,
        "save-every": max(steps // 10, 1),
        "mixed-precision": config.mixed_precision,
        "threads": config.threads,
        "seed": seed,
    }
    return [
        *(sys.executable, str(Path(__file__).with_name(chosen.script)), *chosen.flags.split()),
        *(word for key, value in numbers.items() for word in (f"--{key}", str(value))),
        *("--predicts", own.predicts if chosen.is_ours else "rgb"),
        *("--data", f"{data}/train", "--held-out", f"{data}/held_out"),
        *("--out", str(folder), "--summary", f"{own.title}: {chosen.title}"),
    ], folder


def summary(title: str, values: dict[str, dict[str, Any]], count: int) -> dict[str, Any]:
    """Means with intervals, and by how much pix2pix is ahead, picture by picture."""
    arms: dict[str, Any] = {}
    for arm, own in values.items():
        arms[arm] = {"title": ARMS[arm].title} | {
            key: _with_interval(value) if np.ndim(value) else {"value": float(value)}
            for key, value in own.items()
        }
    margins = {
        f"{one} - {other}": {
            key: _with_interval(values[one][key] - values[other][key]) for key in ("psnr", "ssim")
        }
        for one, other in MARGINS
        if one in values and other in values
    }
    return {"title": title, "held_out": count, "arms": arms, "margins": margins}


def _figures(made: Tensor, held_out: PairFolder) -> dict[str, Any]:
    targets = held_out.targets
    each = {key: figure(made, targets) for key, figure in FIGURES.items()}
    whole = {
        "psnr_of_mean": float(10 * np.log10(255**2 / np.float64(each["mse"].mean()))),
        "swd": float(metrics.swd(made, targets)),
        "psnr_seed": psnr_seed(made, targets),
    }
    return each | whole | {"ssim_seed": ssim_seed(made, targets)}


def _with_interval(values: np.ndarray) -> dict[str, float]:
    low, high = metrics.bootstrap_interval(values)
    return {"value": float(values.mean()), "low": low, "high": high}


if __name__ == "__main__":
    compare(tyro.cli(Config))
