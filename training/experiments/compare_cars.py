"""What each wish of the car project brings: small trainings that differ in one thing.

    python -m training.experiments.compare_cars --data data/ --out runs/wishes

Every arm sees as many images, at 32 px so that a CPU does it in an hour or two; it resumes where
its folder stands. The tables say what held-out photographs say of each.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels.openmp  # Before torch: its threads wait passively.

import tyro

import genmodels
from genmodels.data import images
from genmodels.data.image_folder import ImageFolder
from genmodels.metrics import figures
from genmodels.metrics.registry import columns
from training.judges.two_sample import TWO_SAMPLE_VERSION, told_apart
from training.runs.command import run_training, split_folders, training_command

RESULTS = Path(__file__).with_name("results")
RESOLUTION = 32
SIDES = (4, 8, 32)  # Pixels that are left of the images when they are told apart.
BATCH_SIZES = {"train_stylegan2.py": 32, "train_dcgan.py": 64}
STYLEGAN2 = "--base-channels 16 --max-channels 128 --r1-gamma 0.05 --ema-halflife-images 5000"
ONE_WAY = STYLEGAN2 + " --no-x-flip"  # All cars of one viewpoint face left.
FIGURES = columns("swd", "random_kid", "coverage", "ms_ssim_diversity")  # That the table shows.


@dataclass(frozen=True)
class Arm:
    """One training of the comparison."""

    title: str  # In the table.
    data: str  # Folder below --data, with train/ and held_out/.
    flags: str = STYLEGAN2
    script: str = "train_stylegan2.py"  # In training/.


ARMS = {
    "stylegan2": Arm("StyleGAN2, photographs as they are", "cars-32"),
    "stylegan2-conditions": Arm(
        "StyleGAN2, told body type and year", "cars-32", STYLEGAN2 + " --conditions body year"
    ),
    "dcgan": Arm("DCGAN, photographs as they are", "cars-32", "", "train_dcgan.py"),
    "stylegan2-view": Arm("StyleGAN2, one viewpoint", "cars-32-view", ONE_WAY),
    "stylegan2-cutout": Arm("StyleGAN2, background removed", "cars-32-cutout"),
    "stylegan2-view-cutout": Arm(
        "StyleGAN2, one viewpoint, background removed", "cars-32-view-cutout", ONE_WAY
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    data: Path  # Where the prepared sets are.
    out: Path  # Where each arm's run is, in a folder of its name.
    arms: tuple[str, ...] = tuple(ARMS)  # Which, in this order; the tables show these.
    images_seen: int = 100_032  # By each arm; a multiple of all batch sizes.
    save_every_images: int = 9_600  # Images between checkpoints.
    num_learnt: int = 2_000  # Real images that the two-sample test learns from, for every arm.
    results: Path = RESULTS  # Where cars_wishes.json and cars_wishes.md are written.


def compare(config: Config) -> None:
    """Train what is not trained yet, measure, and write the tables anew."""
    unknown = set(config.arms) - set(ARMS)
    if unknown:
        raise ValueError(f"arms must be among {', '.join(ARMS)}, got {sorted(unknown)}")
    uneven = [size for size in BATCH_SIZES.values() if config.images_seen % size]
    if uneven:
        raise ValueError(f"images_seen must be a multiple of {uneven}, got {config.images_seen}")
    measured = {}
    for name in config.arms:
        print(f"{name}: {ARMS[name].title}", flush=True)
        run_training(command(config, name))
        measured[name] = measure(config, name)
    config.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"images_seen": config.images_seen, "arms": measured}, indent=1)
    (config.results / "cars_wishes.json").write_text(text + "\n", encoding="utf-8")
    (config.results / "cars_wishes.md").write_text(
        table(config.images_seen, measured), encoding="utf-8"
    )


def command(config: Config, name: str) -> list[str]:
    """The training command of one arm."""
    arm = ARMS[name]
    batch_size = BATCH_SIZES[arm.script]
    settings: dict[str, Any] = {
        "resolution": RESOLUTION,
        "batch_size": batch_size,
        "steps": config.images_seen // batch_size,
        "save_every": max(config.save_every_images // batch_size, 1),
        "threads": 1,
    }
    if "--conditions" in arm.flags:  # Faded in over a fifth of the run.
        settings |= {"conditions_from_images": 0, "conditions_full_images": config.images_seen // 5}
    settings |= split_folders(config.data / arm.data)
    settings |= {
        "out": config.out / name,
        "name": f"cars-{name}-{RESOLUTION}",
        "summary": f"{arm.title}, at {RESOLUTION} px",
    }
    return training_command(arm.script, arm.flags, settings)


def measure(config: Config, name: str) -> dict[str, Any]:
    """What an arm's run.json says, and how well its samples can be told from held-out images."""
    model = config.out / name / "model"
    record = model / "run.json"
    facts: dict[str, Any] = {"images_seen": 0}
    if record.is_file():
        facts = json.loads(record.read_text())
    if facts["images_seen"] != config.images_seen:
        raise ValueError(
            f"{name} must have seen {config.images_seen} images, it has seen "
            f"{facts['images_seen']}: it was interrupted, or trained for longer"
        )
    followed = facts.get("conditions_followed") or {}
    return {
        "title": ARMS[name].title,
        "data": {"folder": ARMS[name].data} | facts["data"],
        "parameters": facts["parameters"],
        "seconds": facts["cost"]["seconds"],
        "metrics": facts["metrics"],
        "conditions_followed": followed.get("conditions"),
        "told_apart": _told_apart(config, name, facts),
    }


def _told_apart(config: Config, name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """The two-sample test by side, kept beside the run while its weights are the same."""
    path = config.out / name / "told_apart.json"
    key = {"weights_sha256": facts["weights_sha256"], "num_learnt": config.num_learnt}
    key["version"] = TWO_SAMPLE_VERSION
    if path.is_file():
        kept = json.loads(path.read_text())
        if all(kept.get(each) == key[each] for each in key):
            return kept["told_apart"]
    folder, cache = config.data / ARMS[name].data, config.out / name / "cache"
    train, held_out = (
        ImageFolder(folder / split, RESOLUTION, cache_dir=cache) for split in ("train", "held_out")
    )
    if len(train) < config.num_learnt:
        raise ValueError(
            f"num_learnt must be at most {len(train)}, the training images of {folder}, "
            f"got {config.num_learnt}"
        )
    # Spread over the sorted names: neighbours in the alphabet may be alike.
    learnt = train.images[:: len(train) // config.num_learnt][: config.num_learnt]
    model = genmodels.load(config.out / name / "model")
    counts = (len(learnt), len(held_out))
    fakes = [
        picture
        for first in range(0, sum(counts), 250)
        for picture in model(
            min(250, sum(counts) - first), seed=3_000_000 + first, **facts["metric_sampling"]
        ).images
    ]
    fake = images.from_pil(fakes).split(counts)
    real = (learnt, held_out.images)
    found = {str(side): told_apart(real, (fake[0], fake[1]), side=side) for side in SIDES}
    path.write_text(json.dumps(key | {"told_apart": found}, indent=1) + "\n")
    return found


def table(images_seen: int, measured: dict[str, dict[str, Any]]) -> str:
    """The comparison as a section in Markdown."""
    names = list(FIGURES.values())
    told = " | ".join(f"told apart at {side} px" for side in SIDES)
    rows = []
    for arm in measured.values():
        cells = [figures.beside_real(arm["metrics"][key]) for key in FIGURES]
        apart = " | ".join(
            "{value:.2f} ({low:.2f} to {high:.2f})".format(**arm["told_apart"][str(side)])
            for side in SIDES
        )
        n = arm["data"]["num_held_out"]
        rows.append(f"| {arm['title']} | {n} | {apart} | {' | '.join(cells)} |")
    lines = "\n".join(rows)
    obeyed = "\n\n".join(_obedience(arm) for arm in measured.values() if arm["conditions_followed"])
    return (
        f"""## What each wish brings

Small trainings at {RESOLUTION} px that differ in one thing, {images_seen:,} images seen by each,
one run each. *Told apart*: how often a fresh network finds the real one of a real and a generated
picture, when {SIDES[0]}, {SIDES[1]} or all {SIDES[2]} px of them are left; 0.5 for a perfect model
and 1 for one that is always found out. It may be compared from row to row. The other figures are
against each row's own held-out photographs, as value (95 % interval; the same figure of real
photographs): compare how far a value lies from its real one. Lower is better unless it says
otherwise. Intervals are over images and say nothing on another start of the
training; fewer held-out photographs make them wider.

| training | held out | {told} | {" | ".join(names)} |
| --- | --- |{" --- |" * (len(SIDES) + len(names))}
{lines}

{obeyed}""".rstrip()
        + "\n"
    )


def _obedience(arm: dict[str, Any]) -> str:
    """How well a conditional arm does what it is told, in one sentence."""
    told = []
    for name, kinds in arm["conditions_followed"].items():
        figure = kinds["evenly" if "evenly" in kinds else "spearman"]
        words = "seen as asked" if "evenly" in kinds else "rank correlation of asked and seen"
        value, real, chance = (
            figures.shown(figure[key], ".2f") for key in ("value", "real", "chance")
        )
        interval = figures.interval_shown(figure, ".2f") or "no interval"
        told.append(
            f"{name}: {words} {value} ({interval}; real photographs {real}, chance {chance})"
        )
    return f"How well {arm['title']} obeys, judged by an independent network: {'; '.join(told)}."


if __name__ == "__main__":
    compare(tyro.cli(Config))
