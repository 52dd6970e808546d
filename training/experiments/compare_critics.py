"""Whether a critic on pretrained features earns its time: equal CPU minutes, two seeds.

    python -m training.experiments.compare_critics --data data/ --out runs/critics

Cars at 64 px, from nothing and from `cars-stylegan2-64`. A route that does not beat today's
training is left out of the recipes. The command resumes where its folder stands, and writes the
table of what is finished after every run.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import tyro

from genmodels.metrics.figures import beside_real
from genmodels.metrics.registry import columns
from training.runs.command import run_training, split_folders, training_command

RESULTS = Path(__file__).with_name("results")
RESOLUTION = 64
BATCH_SIZE = 32
IMAGES_PER_MINUTE = 3_600  # Of the own critic alone, on one idle core of the reference machine.
COMMON = (
    "--conditions body year --max-channels 256 --r1-gamma 0.05 --ema-halflife-images 10000 "
    "--threads 1 --save-every 150"
)
TUNED = (
    COMMON + " --init-from cars-stylegan2-64 --lr 5e-4 --conditions-from-images 0 "
    "--conditions-full-images 0"
)
BOTH = " --critic both"
FIGURES = columns("swd", "random_kid", "coverage", "ms_ssim_diversity")  # That the table shows.


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    title: str  # In the table.
    flags: str  # Of train_stylegan2.py.
    cost: float = 1.0  # CPU time per image, that of the own critic alone being 1 (`make bench`).


ARMS = {
    "own": Arm("own critic, from nothing", COMMON),
    "both": Arm("both critics, from nothing", COMMON + BOTH, cost=1.8),
    "own-tuned": Arm("own critic, fine-tuned", TUNED),
    "both-tuned": Arm("both critics, fine-tuned", TUNED + BOTH, cost=1.8),
    "both-tuned-conditions": Arm(
        "both critics, fine-tuned, heads see conditions",
        TUNED + BOTH + " --heads-conditions",
        cost=1.8,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    data: Path  # Where the prepared sets are; cars-64 is used.
    out: Path  # Where each run is, in a folder named by its arm and seed.
    arms: tuple[str, ...] = tuple(ARMS)  # Which, in this order.
    seeds: tuple[int, ...] = (0, 1)  # Each arm is trained once per seed.
    minutes: float = 75  # CPU minutes of each run.
    results: Path = RESULTS  # Where critics.json and critics.md are written.


def compare(config: Config) -> None:
    """Train what is not trained yet, and write the table of all that is."""
    unknown = set(config.arms) - set(ARMS)
    if unknown:
        raise ValueError(f"arms must be among {', '.join(ARMS)}, got {sorted(unknown)}")
    config.results.mkdir(parents=True, exist_ok=True)
    for seed in config.seeds:
        for name in config.arms:
            print(f"{ARMS[name].title}, seed {seed}", flush=True)
            run_training(command(config, name, seed))
            measured = finished(config)
            text = json.dumps({"minutes": config.minutes, "runs": measured}, indent=1)
            (config.results / "critics.json").write_text(text + "\n", encoding="utf-8")
            (config.results / "critics.md").write_text(table(config, measured), encoding="utf-8")


def command(config: Config, name: str, seed: int) -> list[str]:
    """The training command of one run: as many images as its minutes allow."""
    arm = ARMS[name]
    images = config.minutes * IMAGES_PER_MINUTE / arm.cost
    settings = {
        "resolution": RESOLUTION,
        "batch_size": BATCH_SIZE,
        "seed": seed,
        "steps": max(int(images / BATCH_SIZE), 1),
        **split_folders(config.data / "cars-64"),
        "out": folder(config, name, seed),
        "summary": arm.title,
    }
    return training_command("train_stylegan2.py", arm.flags, settings)


def folder(config: Config, name: str, seed: int) -> Path:
    """Where a run is."""
    return config.out / f"{name}-{seed}"


def finished(config: Config) -> list[dict[str, Any]]:
    """What the finished runs say of themselves, arm by arm."""
    runs = []
    for name in config.arms:
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
        title = ARMS[run["arm"]].title
        seen = f"{run['images_seen']:,} | {at:,}"
        rows.append(f"| {title} | {run['seed']} | {seen} | {' | '.join(cells)} |")
    heads = [*FIGURES.values(), "body seen as asked", "year: rank correlation"]
    lines = "\n".join(rows)
    return f"""## What a critic on pretrained features brings

StyleGAN2 on cars at {RESOLUTION} px, {config.minutes:g} CPU minutes of one core for every run,
published at its best snapshot. Figures are against the held-out photographs, as value (95 %
interval; the same of real photographs); lower is better unless it says otherwise. None of the
judges shares anything with the features that were trained with. Intervals are over images; how far
two starts of one training end apart is seen by the seeds.

| training | seed | images | published after | {" | ".join(heads)} |
| --- | --- | --- | --- |{" --- |" * len(heads)}
{lines}
"""


if __name__ == "__main__":
    compare(tyro.cli(Config))
