"""Ablation of the car models: small trainings that differ in one setting.

    python -m training.experiments.compare_cars --data data/ --out runs/ablation

Every variant sees the same number of images, at 32 px, so that a CPU trains one in an hour or two.
The same command again resumes. The tables compare each variant with held-out photographs.
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
from training.judges.two_sample import TWO_SAMPLE_VERSION, two_sample_test
from training.runs.command import refuse_renamed, run_training, split_folders, training_command

RESULTS = Path(__file__).with_name("results")
RESOLUTION = 32
SIDES = (4, 8, 32)  # Sides in pixels at which the two-sample test is run.
BATCH_SIZES = {"train_stylegan2.py": 32, "train_dcgan.py": 64}
STYLEGAN2 = "--base-channels 16 --max-channels 128 --r1-gamma 0.05 --ema-halflife-images 5000"
ONE_WAY = STYLEGAN2 + " --no-x-flip"  # Cars of one viewpoint all face left.
FIGURES = columns("swd", "random_kid", "coverage", "ms_ssim_diversity")  # Columns of the table.


@dataclass(frozen=True)
class Variant:
    """One training of the comparison."""

    title: str  # Its row's name in the table.
    data: str  # Folder below --data, with train/ and held_out/.
    flags: str = STYLEGAN2
    script: str = "train_stylegan2.py"  # In training/.


VARIANTS = {
    "stylegan2": Variant("StyleGAN2, photographs as they are", "cars-32"),
    "stylegan2-conditions": Variant(
        "StyleGAN2, conditioned on body type and year",
        "cars-32",
        STYLEGAN2 + " --conditions body year",
    ),
    "dcgan": Variant("DCGAN, photographs as they are", "cars-32", "", "train_dcgan.py"),
    "stylegan2-view": Variant("StyleGAN2, one viewpoint", "cars-32-view", ONE_WAY),
    "stylegan2-cutout": Variant("StyleGAN2, background removed", "cars-32-cutout"),
    "stylegan2-view-cutout": Variant(
        "StyleGAN2, one viewpoint, background removed", "cars-32-view-cutout", ONE_WAY
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    data: Path  # Where the prepared sets are.
    out: Path  # Where each variant's run is, in a folder of its name.
    variants: tuple[str, ...] = tuple(VARIANTS)  # Variants to train, in the order of the tables.
    images_seen: int = 100_032  # Images each variant is trained on; a multiple of all batch sizes.
    save_every_images: int = 9_600  # Images between checkpoints.
    num_learnt: int = 2_000  # Real images that the two-sample test trains on, for every variant.
    results: Path = RESULTS  # Where cars_ablation.json and cars_ablation.md are written.


def compare(config: Config) -> None:
    """Train what is not trained yet, measure, and rewrite the tables."""
    unknown = set(config.variants) - set(VARIANTS)
    if unknown:
        raise ValueError(f"variants must be among {', '.join(VARIANTS)}, got {sorted(unknown)}")
    uneven = [size for size in BATCH_SIZES.values() if config.images_seen % size]
    if uneven:
        raise ValueError(f"images_seen must be a multiple of {uneven}, got {config.images_seen}")
    measured = {}
    for name in config.variants:
        print(f"{name}: {VARIANTS[name].title}", flush=True)
        run_training(command(config, name))
        measured[name] = measure(config, name)
    config.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"images_seen": config.images_seen, "arms": measured}, indent=1)
    (config.results / "cars_ablation.json").write_text(text + "\n", encoding="utf-8")
    (config.results / "cars_ablation.md").write_text(
        table(config.images_seen, measured), encoding="utf-8"
    )


def command(config: Config, name: str) -> list[str]:
    """The training command of one variant."""
    variant = VARIANTS[name]
    batch_size = BATCH_SIZES[variant.script]
    settings: dict[str, Any] = {
        "resolution": RESOLUTION,
        "batch_size": batch_size,
        "steps": config.images_seen // batch_size,
        "save_every": max(config.save_every_images // batch_size, 1),
        "threads": 1,
    }
    if "--conditions" in variant.flags:  # Faded in over a fifth of the run.
        settings |= {"conditions_from_images": 0, "conditions_full_images": config.images_seen // 5}
    settings |= split_folders(config.data / variant.data)
    settings |= {
        "out": config.out / name,
        "name": f"cars-{name}-{RESOLUTION}",
        "summary": f"{variant.title}, at {RESOLUTION} px",
    }
    return training_command(variant.script, variant.flags, settings)


def measure(config: Config, name: str) -> dict[str, Any]:
    """The figures of a variant's run.json, and its two-sample test."""
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
        "title": VARIANTS[name].title,
        "data": {"folder": VARIANTS[name].data} | facts["data"],
        "parameters": facts["parameters"],
        "seconds": facts["cost"]["seconds"],
        "metrics": facts["metrics"],
        "conditions_followed": followed.get("conditions"),
        "told_apart": _two_sample_test(config, name, facts),
    }


def _two_sample_test(config: Config, name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """The two-sample test at each side, cached beside the run for its current weights."""
    path = config.out / name / "told_apart.json"
    key = {"weights_sha256": facts["weights_sha256"], "num_learnt": config.num_learnt}
    key["version"] = TWO_SAMPLE_VERSION
    if path.is_file():
        stored = json.loads(path.read_text())
        if all(stored.get(each) == key[each] for each in key):
            return stored["told_apart"]
    folder, cache = config.data / VARIANTS[name].data, config.out / name / "cache"
    train, held_out = (
        ImageFolder(folder / split, RESOLUTION, cache_dir=cache) for split in ("train", "held_out")
    )
    if len(train) < config.num_learnt:
        raise ValueError(
            f"num_learnt must be at most {len(train)}, the training images of {folder}, "
            f"got {config.num_learnt}"
        )
    # Evenly spaced in the sorted names, since adjacent names may show similar images.
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
    results = {str(side): two_sample_test(real, (fake[0], fake[1]), side=side) for side in SIDES}
    path.write_text(json.dumps(key | {"told_apart": results}, indent=1) + "\n")
    return results


def table(images_seen: int, measured: dict[str, dict[str, Any]]) -> str:
    """The comparison as a section in Markdown."""
    names = list(FIGURES.values())
    heads = " | ".join(f"two-sample AUC at {side} px" for side in SIDES)
    rows = []
    for variant in measured.values():
        cells = [figures.beside_real(variant["metrics"][key]) for key in FIGURES]
        two_sample = " | ".join(
            "{value:.2f} ({low:.2f} to {high:.2f})".format(**variant["told_apart"][str(side)])
            for side in SIDES
        )
        n = variant["data"]["num_held_out"]
        rows.append(f"| {variant['title']} | {n} | {two_sample} | {' | '.join(cells)} |")
    lines = "\n".join(rows)
    followed = "\n\n".join(
        _condition_accuracy(variant)
        for variant in measured.values()
        if variant["conditions_followed"]
    )
    return (
        f"""## Ablation

Small trainings at {RESOLUTION} px that differ in one setting, {images_seen:,} images seen by each,
one run each. *Two-sample AUC*: how well a classifier distinguishes real from generated pictures
that are reduced to {SIDES[0]} or {SIDES[1]} px or kept at {SIDES[2]} px; 0.5 for a perfect model, 1
if it is always right. It can be compared across rows. The other figures are against each row's own
held-out photographs, as value (95 % interval; the same figure of real photographs): compare how far
a value lies from that of real photographs. Lower is better unless stated otherwise. Intervals are
over images and do not cover another random initialisation; fewer held-out photographs make them
wider.

| training | held out | {heads} | {" | ".join(names)} |
| --- | --- |{" --- |" * (len(SIDES) + len(names))}
{lines}

{followed}""".rstrip()
        + "\n"
    )


def _condition_accuracy(variant: dict[str, Any]) -> str:
    """The condition accuracy of a conditional variant, in one sentence."""
    accuracies = []
    for name, kinds in variant["conditions_followed"].items():
        figure = kinds["evenly" if "evenly" in kinds else "spearman"]
        words = "accuracy" if "evenly" in kinds else "rank correlation"
        value, real, chance = (
            figures.shown(figure[key], ".2f") for key in ("value", "real", "chance")
        )
        interval = figures.interval_shown(figure, ".2f") or "no interval"
        accuracies.append(
            f"{name}: {words} {value} ({interval}; real photographs {real}, chance {chance})"
        )
    return f"Condition accuracy of {variant['title']}: {'; '.join(accuracies)}."


if __name__ == "__main__":
    refuse_renamed({"--arms": "--variants"})
    compare(tyro.cli(Config))
