r"""How well a model obeys its conditions, in the eyes of a network that never saw its pictures.

`conditions_followed` is part of every card whose model has conditions. Alone:

    python -m training.judges.condition_accuracy --model cars-stylegan2-64 \
        --data TRAIN --held-out HELD_OUT

The judge is a small classifier and regressor, trained on real training images. It errs on real
photographs too, so the figures stand beside what it says of held-out ones, and beside chance.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import genmodels.openmp  # Before torch: its threads wait passively.

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from safetensors.torch import load_file
from torch import Tensor

import genmodels
from genmodels.data import conditions, images
from genmodels.data.conditions import Schema
from genmodels.data.image_folder import ImageFolder
from genmodels.hub import weights
from genmodels.hub.pipelines import ImagePipeline
from genmodels.nn.augment import diff_augment
from training.judges.agreement import class_figures, number_figures
from training.judges.classifier import Classifier, fit, look, shrink

JUDGE_VERSION = 1  # Raised whenever the same weights would be judged otherwise.
NUM_SAMPLES = 540  # Asked for each way.


def trained_judge(data: ImageFolder, cache_dir: Path | None, device: torch.device) -> Classifier:
    """A judge of the data's conditions; one that the folder holds already is read from there."""
    key = json.dumps([JUDGE_VERSION, data.fingerprint, data.schema, data.resolution])
    name = f"judge-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    path = None if cache_dir is None else cache_dir / name
    pixels = shrink(data.images)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = Classifier(conditions.size(data.schema)).to(device)
        if path is not None and path.is_file():
            judge.load_state_dict(load_file(path))
            return judge.eval()
        loss = partial(_loss, data.schema)
        fit(judge, pixels, data.c, loss, partial(diff_augment, policy="translation"))
    if path is not None:
        state = {key: value.cpu().contiguous() for key, value in judge.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        weights.write(state, path)
    return judge


def _loss(schema: Schema, said: Tensor, c: Tensor) -> Tensor:
    """Of all conditions together; a class and a standardised number weigh about the same."""
    total = said.new_zeros(())
    for _, entry, part in _parts(schema):
        if "values" in entry:
            total = total + F.cross_entropy(said[:, part], c[:, part], label_smoothing=0.1)
        else:
            total = total + F.smooth_l1_loss(said[:, part], c[:, part], beta=0.5)
    return total


def conditions_followed(
    pipeline: ImagePipeline,  # Takes `condition` and says in its recipes what was asked.
    data: ImageFolder,  # Real images with the conditions, that the judge learns from.
    held_out: ImageFolder,  # Real images that nobody learnt from; with labels, if there are any.
    *,
    sampling: dict[str, Any] | None = None,  # Settings of the pipeline.
    cache_dir: Path | None = None,  # Keeps the judge.
    device: torch.device | None = None,  # Of the judge; default: the CPU.
    num_samples: int = NUM_SAMPLES,  # Asked for each way.
) -> dict[str, Any]:
    """Per condition, what the judge sees in pictures that were asked for; ready for JSON.

    Classes: "evenly", every value asked for as often, against the mean accuracy over the values
    of held-out images (the headline: favouring the frequent wins nothing), and "by_frequency", as
    often as in the data. Numbers, as frequent as in the data: "spearman" and "mean_absolute_error".
    Each a figure of value, low, high; of the same on held-out images, real, real_low, real_high,
    None without labels; and of what a model gets that does not listen, chance.
    """
    schema = data.schema
    judge = trained_judge(data, cache_dir, device or torch.device("cpu"))
    asked: dict[str, list[dict[str, Any]]] = {
        "evenly": _even(schema, num_samples),
        "by_frequency": [{}] * num_samples,
    }
    samples = {way: _judged(pipeline, judge, asked[way], sampling or {}, schema) for way in asked}
    real = _judged_held_out(judge, held_out, schema)
    followed: dict[str, Any] = {}
    for name, entry, part in _parts(schema):
        said = {way: (c[:, part], seen[:, part]) for way, (c, seen) in samples.items()}
        truth = None if real is None else (real[0][:, part], real[1][:, part])
        if "values" in entry:
            followed[name] = class_figures(entry, said, truth)
        else:
            followed[name] = number_figures(
                entry, said["by_frequency"], truth, data.c[:, part].numpy()
            )
    return {
        "judge_version": JUDGE_VERSION,
        "num_samples": num_samples,
        "num_held_out": 0 if real is None else len(real[0]),
        "conditions": followed,
    }


def _parts(schema: Schema) -> list[tuple[str, dict[str, Any], slice]]:
    """Each condition with its place in c."""
    parts, start = [], 0
    for name, entry in schema.items():
        size = conditions.size({name: entry})
        parts.append((name, entry, slice(start, start + size)))
        start += size
    return parts


def _even(schema: Schema, count: int) -> list[dict[str, Any]]:
    """Conditions that ask for every class value as often; numbers are left to the pipeline."""
    columns = {}
    for name, entry in schema.items():
        if "values" in entry:
            columns[name] = [entry["values"][i % len(entry["values"])] for i in range(count)]
            Random(name).shuffle(columns[name])  # Or two conditions would go in step.
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _judged(
    pipeline: ImagePipeline,
    judge: Classifier,
    asked: list[dict[str, Any]],  # What is left out is drawn as often as in the data.
    sampling: dict[str, Any],
    schema: Schema,
) -> tuple[np.ndarray, np.ndarray]:
    """c as asked and as judged, [N, c_dim] each, of one picture per condition."""
    outputs = [
        pipeline(1, seed=2_000_000 + i, condition=condition, **sampling)
        for i, condition in enumerate(asked)
    ]
    c = [conditions.encode(schema, out.recipes[0]["settings"]["condition"]) for out in outputs]
    pictures = images.from_pil([out.images[0] for out in outputs])
    return np.array(c), look(judge, pictures).numpy()


def _judged_held_out(
    judge: Classifier, held_out: ImageFolder, schema: Schema
) -> tuple[np.ndarray, np.ndarray] | None:
    """The same of held-out images whose labels the schema knows; None if these are too few."""
    chosen, c = [], []
    for index, row in enumerate(held_out.rows):
        known = {name: row.get(name) for name in schema}
        try:
            c.append(conditions.encode(schema, known))
        except ValueError:  # No label, or one that no training image has.
            continue
        chosen.append(index)
    if len(chosen) < 16:
        return None
    return np.array(c), look(judge, held_out.images[chosen]).numpy()


def obedience(followed: dict[str, Any]) -> str:
    """The card's section on what `conditions_followed` found."""
    rows, verdicts = [], []
    for name, figures in followed["conditions"].items():
        if "evenly" in figures:
            kinds = {
                "evenly": "seen as asked, each value asked for as often (higher)",
                "by_frequency": "seen as asked, asked for as often as in the data (higher)",
            }
        else:
            kinds = {
                "spearman": "rank correlation of asked and seen (higher)",
                "mean_absolute_error": "asked minus seen, in the mean without sign (lower)",
            }
        rows += [_obedience_row(f"{name}: {words}", figures[key]) for key, words in kinds.items()]
        verdicts.append(f"- {name}: {_verdict(figures[next(iter(kinds))])}")
    table, said = "\n".join(rows), "\n".join(verdicts)
    return f"""## How well it obeys

A small network that has never seen a generated picture learnt these labels from the training images
and says what it sees in {followed["num_samples"]} samples. It errs on real images too: *real* is
what it says of {followed["num_held_out"]} held-out ones, and what to expect of a model that obeys
perfectly. *Chance* is a model that does not listen. Intervals of 95 %.

| condition | samples | real | chance |
| --- | --- | --- | --- |
{table}

{said}"""


def _obedience_row(title: str, figure: dict[str, Any]) -> str:
    real = "no labels"
    if figure["real"] is not None:
        real = "{real:.2f} ({real_low:.2f} to {real_high:.2f})".format(**figure)
    samples = "{value:.2f} ({low:.2f} to {high:.2f})".format(**figure)
    return f"| {title} | {samples} | {real} | {figure['chance']:.2f} |"


def _verdict(figure: dict[str, Any]) -> str:
    """One honest sentence on a figure of which more is better."""
    if figure["real"] is None:
        return "the held-out images carry no labels, so nobody knows how well the judge sees."
    if figure["real_low"] <= figure["chance"]:
        return "the judge cannot tell it on real images either, so its figures say nothing."
    if figure["low"] <= figure["chance"]:
        return "no sign that the model listens."
    share = (figure["value"] - figure["chance"]) / (figure["real"] - figure["chance"])
    if share >= 1:
        return "as clear to the judge as in real images, or clearer."
    return f"{share:.0%} of the way from chance to real images."


@dataclass(frozen=True)
class Config:
    """Flags of the judge's own command."""

    model: str  # A zoo name, a folder or "user/repo", of a model with conditions.
    data: str  # Real images with these labels, for the judge to learn from.
    held_out: str  # Real images with these labels, that nobody learnt from.
    truncation_psi: float = 1.0  # 1 is the card's; the page's 0.7 obeys a little better.
    num_samples: int = NUM_SAMPLES  # Asked for each way.
    cache: Path | None = None  # Folder that keeps the trained judge.


def main(config: Config) -> None:
    """Print what the card would say."""
    pipeline = genmodels.load(config.model)
    if not pipeline.schema:
        raise ValueError(f"model must have conditions, {config.model} has none")
    resolution = pipeline(1, seed=0).images[0].width
    data = ImageFolder(config.data, resolution, conditions=tuple(pipeline.schema))
    if data.schema != pipeline.schema:
        raise ValueError(f"{config.model} was trained on other labels than {config.data} has")
    followed = conditions_followed(
        pipeline,
        data,
        ImageFolder(config.held_out, resolution),
        sampling={"truncation_psi": config.truncation_psi},
        cache_dir=config.cache,
        num_samples=config.num_samples,
    )
    print(json.dumps(followed, indent=1))
    print(obedience(followed))


if __name__ == "__main__":
    main(tyro.cli(Config))
