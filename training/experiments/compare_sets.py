"""Why one set of images is harder to learn than another, in numbers: cars against anime faces.

    python -m training.experiments.compare_sets --first data/cars-64 --second data/anime-64

How much views and backgrounds differ within each set, and how well the same network did on both
after as many images seen.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import torch
import torch.nn.functional as F
import tyro

from genmodels import zoo
from genmodels.data.image_folder import ImageFolder
from genmodels.metrics.figures import beside_real
from genmodels.metrics.registry import columns
from training.judges.diversity import DIVERSITY, GROUPS, diversity, is_first_more_diverse

RESULTS = Path(__file__).with_name("results")
SIDE = 32  # Pixels at which the sets are compared.
LEARNT = columns("swd", "random_kid", "density", "coverage", "ms_ssim_diversity", "duplicates")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    first: Path  # Folder of images.
    second: Path  # Another one.
    names: tuple[str, str] = ("cars", "anime faces")  # What they show.
    models: tuple[str, str] = ("cars-dcgan-64", "anime-dcgan-64")  # Trained on them: zoo or folder.
    num_images: int = 3_000  # Images of each set; limited by the smaller set.
    seed: int = 0  # Seed of the choice of images and pairs.
    results: Path = RESULTS  # Where cars_vs_anime.json and .md are written.
    file: str = "cars_vs_anime"  # Their name.


def compare(config: Config) -> None:
    """Measure both sets, read both models' figures, rewrite the tables."""
    facts = [model_facts(model) for model in config.models]  # First: it fails sooner.
    sets = [ImageFolder(folder, 2 * SIDE) for folder in (config.first, config.second)]
    n = min(config.num_images, *(len(each) for each in sets))
    rng = np.random.default_rng(config.seed)
    pixels = [each.images[rng.permutation(len(each))[:n]] for each in sets]
    small = [F.avg_pool2d(each.float(), 2).round().to(torch.uint8) for each in pixels]
    record = {
        "names": config.names,
        "num_images": n,
        "diversity": diversity(small[0], small[1], config.seed),
        "models": [summary(each) for each in facts],
    }
    config.results.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(record, indent=1) + "\n"), (".md", section(record))):
        (config.results / f"{config.file}{suffix}").write_text(text, encoding="utf-8")


def model_facts(model: str) -> dict[str, Any]:
    """The run.json of an embedded model or of a published folder."""
    folder = zoo.FOLDER / model if model in zoo.names() else Path(model)
    record = folder / "run.json"
    if not record.is_file():
        raise ValueError(
            f"models must be among {', '.join(zoo.names())}, or folders with a run.json as "
            f"training publishes them; {model} is neither"
        )
    return json.loads(record.read_text())


def summary(facts: dict[str, Any]) -> dict[str, Any]:
    """What the comparison needs of a model's run.json."""
    about = {key: facts[key] for key in ("name", "parameters", "images_seen", "resolution")}
    return about | {"metrics": {key: facts["metrics"][key] for key in LEARNT}}


def section(record: dict[str, Any]) -> str:
    """The comparison as a section in Markdown."""
    first, second = record["names"]
    found, (one, other) = record["diversity"], record["models"]
    is_more = {key: is_first_more_diverse(key, found[key]) for key in DIVERSITY}
    words = {True: first, False: second, None: "no difference"}
    rows = "\n".join(
        "| {title} | {first:.3g} ({first_low:.3g} to {first_high:.3g}) "
        "| {second:.3g} ({second_low:.3g} to {second_high:.3g}) | {more} |".format(
            title=title, more=words[is_more[key]], **found[key]
        )
        for key, (title, _) in DIVERSITY.items()
    )
    verdicts = "\n".join(
        f"- {name}: more with {_count([words[is_more[key]] for key in group])}"
        for name, group in GROUPS.items()
    )
    learnt = "\n".join(
        f"| {title} | {beside_real(one['metrics'][key])} | {beside_real(other['metrics'][key])} |"
        for key, title in LEARNT.items()
    )
    gaps = [(_excess(one, key), _excess(other, key)) for key in LEARNT]
    both = [(mine, others) for mine, others in gaps if mine is not None and others is not None]
    further = sum(mine > others for mine, others in both)
    return f"""## Are {first} harder than {second}?

What all images of a set have in common, a small network learns first and gets nearly free; what
varies it has to learn piece by piece. How much varies, in {record["num_images"]:,} images of each:

{verdicts}

The same network, `{one["name"]}` ({one["parameters"]:,} parameters, {one["images_seen"]:,} images
seen) and `{other["name"]}` ({other["parameters"]:,}, {other["images_seen"]:,}), each beside real
images of its own set: {first} stay further from real in {further} of {len(both)} figures.

| how much varies, at {SIDE} px (95 % interval) | {first} | {second} | more diverse |
| --- | --- | --- | --- |
{rows}

| what was learnt (95 % interval; the same figure of real images) | {first} | {second} |
| --- | --- | --- |
{learnt}

Lower is better unless it says otherwise.
"""


def _count(verdicts: list[str]) -> str:
    """Such as "cars (2 of 3), no difference (1 of 3)"."""
    return ", ".join(f"{word} ({n} of {len(verdicts)})" for word, n in Counter(verdicts).items())


def _excess(model: dict[str, Any], key: str) -> float | None:
    """How far a figure is from that of real images; None where one of them is none."""
    figure = model["metrics"][key]
    if figure["value"] is None or figure["real_vs_real"] is None:
        return None
    return abs(figure["value"] - figure["real_vs_real"])


if __name__ == "__main__":
    compare(tyro.cli(Config))
