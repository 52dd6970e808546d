"""Critics with and without pretrained features compared: equal CPU minutes, two seeds.

    python -m training.experiments.compare_critics --data data/ --out runs/critics

Cars at 64 px, from scratch and from `cars-stylegan2-64`. A variant that does not beat the current
recipes is not adopted. The same command again resumes; the table is rewritten after every run.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import tyro

from genmodels.metrics.figures import beside_real
from genmodels.metrics.registry import columns
from training.runs.command import refuse_renamed, run_training, split_folders, training_command

RESULTS = Path(__file__).with_name("results")
RESOLUTION = 64
BATCH_SIZE = 32
IMAGES_PER_MINUTE = (
    3_600  # With the discriminator alone, on one idle core of the reference machine.
)
COMMON = (
    "--conditions body year --max-channels 256 --r1-gamma 0.05 --ema-halflife-images 10000 "
    "--threads 1 --save-every 150"
)
TUNED = (
    COMMON + " --init-from cars-stylegan2-64 --lr 5e-4 --conditions-from-images 0 "
    "--conditions-full-images 0"
)
BOTH = " --critic both"
FIGURES = columns("swd", "random_kid", "coverage", "ms_ssim_diversity")  # Columns of the table.


@dataclass(frozen=True)
class Variant:
    """One way to train."""

    title: str  # Its row's name in the table.
    flags: str  # Flags of train_stylegan2.py.
    cost: float = 1.0  # CPU time per image, relative to the discriminator alone (`make bench`).


VARIANTS = {
    "own": Variant("own critic, from scratch", COMMON),
    "both": Variant("both critics, from scratch", COMMON + BOTH, cost=1.8),
    "own-tuned": Variant("own critic, fine-tuned", TUNED),
    "both-tuned": Variant("both critics, fine-tuned", TUNED + BOTH, cost=1.8),
    "both-tuned-conditions": Variant(
        "both critics, fine-tuned, heads see conditions",
        TUNED + BOTH + " --heads-conditions",
        cost=1.8,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    data: Path  # Where the prepared sets are; cars-64 is used.
    out: Path  # Where each run is, in a folder named by its variant and seed.
    variants: tuple[str, ...] = tuple(VARIANTS)  # Variants to train, in this order.
    seeds: tuple[int, ...] = (0, 1)  # Each variant is trained once per seed.
    minutes: float = 75  # CPU minutes of each run.
    results: Path = RESULTS  # Where critics.json and critics.md are written.


def compare(config: Config) -> None:
    """Train the runs that are missing, and write the table of all finished runs."""
    unknown = set(config.variants) - set(VARIANTS)
    if unknown:
        raise ValueError(f"variants must be among {', '.join(VARIANTS)}, got {sorted(unknown)}")
    config.results.mkdir(parents=True, exist_ok=True)
    for seed in config.seeds:
        for name in config.variants:
            print(f"{VARIANTS[name].title}, seed {seed}", flush=True)
            run_training(command(config, name, seed))
            measured = finished(config)
            text = json.dumps({"minutes": config.minutes, "runs": measured}, indent=1)
            (config.results / "critics.json").write_text(text + "\n", encoding="utf-8")
            (config.results / "critics.md").write_text(table(config, measured), encoding="utf-8")


def command(config: Config, name: str, seed: int) -> list[str]:
    """The training command of one run: as many images as its minutes allow."""
    variant = VARIANTS[name]
    images = config.minutes * IMAGES_PER_MINUTE / variant.cost
    settings = {
        "resolution": RESOLUTION,
        "batch_size": BATCH_SIZE,
        "seed": seed,
        "steps": max(int(images / BATCH_SIZE), 1),
        **split_folders(config.data / "cars-64"),
        "out": folder(config, name, seed),
        "summary": variant.title,
    }
    return training_command("train_stylegan2.py", variant.flags, settings)


def folder(config: Config, name: str, seed: int) -> Path:
    """The folder of a run."""
    return config.out / f"{name}-{seed}"


def finished(config: Config) -> list[dict[str, Any]]:
    """The figures of the finished runs, by variant."""
    runs = []
    for name in config.variants:
        for seed in config.seeds:
            path = folder(config, name, seed) / "model" / "run.json"
            if path.is_file():
                facts = json.loads(path.read_text())
                followed = facts["conditions_followed"] or {}
                runs.append(
                    {"arm": name, "seed": seed, "images_seen": facts["images_seen"]}
                    | {key: facts[key] for key in ("snapshot", "metrics", "versions")}
                    | {"conditions": followed.get("conditions", {})}
                )
    return runs


def table(config: Config, runs: list[dict[str, Any]]) -> str:
    """The comparison as a section in Markdown."""
    followed = {"body": "evenly", "year": "spearman"}
    rows = []
    for run in runs:
        cells = [beside_real(run["metrics"][key]) for key in FIGURES]
        for name, key in followed.items():
            figure = run["conditions"].get(name, {}).get(key)
            real = None if figure is None else {"real_vs_real": figure["real"]}
            cells.append("" if real is None else beside_real(figure | real, ".2f"))
        at = (run["snapshot"] or run)["images_seen"]
        title = VARIANTS[run["arm"]].title
        seen = f"{run['images_seen']:,} | {at:,}"
        rows.append(f"| {title} | {run['seed']} | {seen} | {' | '.join(cells)} |")
    heads = [*FIGURES.values(), "body: accuracy", "year: rank correlation"]
    lines = "\n".join(rows)
    return f"""## Critics on pretrained features

StyleGAN2 on cars at {RESOLUTION} px, {config.minutes:g} CPU minutes of one core for every run,
published at its best snapshot. Figures are against the held-out photographs, as value (95 %
interval; the same of real photographs); lower is better unless stated otherwise. No metric uses the
features that the critic was trained with. Intervals are over images; the difference between seeds
shows the variation between runs.

| training | seed | images | published after | {" | ".join(heads)} |
| --- | --- | --- | --- |{" --- |" * len(heads)}
{lines}
"""


if __name__ == "__main__":
    refuse_renamed({"--arms": "--variants"})
    compare(tyro.cli(Config))
