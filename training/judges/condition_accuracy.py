r"""Condition accuracy: how well a model follows its conditions, by an independent classifier.

`conditions_followed` is part of every card whose model has conditions. Alone:

    python -m training.judges.condition_accuracy --model cars-stylegan2-64 \
        --data TRAIN --held-out HELD_OUT

A small network, trained on the real training images, predicts the conditions of generated images.
It makes mistakes on real images too, so each figure is reported beside the same figure of held-out
images and beside chance.
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

CLASSIFIER_VERSION = 1  # Raised whenever the same weights would get other figures.
NUM_SAMPLES = 540  # Generated for each way of choosing conditions.


def condition_classifier(
    data: ImageFolder, cache_dir: Path | None, device: torch.device
) -> Classifier:
    """A classifier of the data's conditions, trained, or loaded if the cache holds it."""
    key = json.dumps([CLASSIFIER_VERSION, data.fingerprint, data.schema, data.resolution])
    name = f"judge-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    path = None if cache_dir is None else cache_dir / name
    pixels = shrink(data.images)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Classifier(conditions.size(data.schema)).to(device)
        if path is not None and path.is_file():
            classifier.load_state_dict(load_file(path))
            return classifier.eval()
        loss = partial(_loss, data.schema)
        fit(classifier, pixels, data.c, loss, partial(diff_augment, policy="translation"))
    if path is not None:
        state = {key: value.cpu().contiguous() for key, value in classifier.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        weights.write(state, path)
    return classifier


def _loss(schema: Schema, predicted: Tensor, c: Tensor) -> Tensor:
    """The loss over all conditions; a class and a standardised number weigh about the same."""
    total = predicted.new_zeros(())
    for _, entry, part in _parts(schema):
        if "values" in entry:
            total = total + F.cross_entropy(predicted[:, part], c[:, part], label_smoothing=0.1)
        else:
            total = total + F.smooth_l1_loss(predicted[:, part], c[:, part], beta=0.5)
    return total


def conditions_followed(
    pipeline: ImagePipeline,  # Takes `condition` and records it in its recipes.
    data: ImageFolder,  # Real images with labels, to train the classifier on.
    held_out: ImageFolder,  # Real held-out images, with labels if there are any.
    *,
    sampling: dict[str, Any] | None = None,  # Settings of the pipeline.
    cache_dir: Path | None = None,  # Stores the classifier.
    device: torch.device | None = None,  # Device of the classifier; default: the CPU.
    num_samples: int = NUM_SAMPLES,  # For each way of choosing conditions.
) -> dict[str, Any]:
    """The condition accuracy of each condition, as JSON-able figures.

    Classes: "evenly", with every value requested equally often, beside the accuracy on held-out
    images averaged over values (the main figure: favouring frequent values gains nothing), and
    "by_frequency", with values as frequent as in the data. Numbers, as frequent as in the data:
    "spearman" and "mean_absolute_error". Each figure has value, low and high; real, real_low and
    real_high for held-out images (None without labels); and chance, the value of a model that
    ignores its conditions.
    """
    schema = data.schema
    classifier = condition_classifier(data, cache_dir, device or torch.device("cpu"))
    requested: dict[str, list[dict[str, Any]]] = {
        "evenly": _even(schema, num_samples),
        "by_frequency": [{}] * num_samples,
    }
    samples = {
        way: _predicted(pipeline, classifier, requested[way], sampling or {}, schema)
        for way in requested
    }
    real = _predicted_held_out(classifier, held_out, schema)
    followed: dict[str, Any] = {}
    for name, entry, part in _parts(schema):
        predicted = {way: (c[:, part], seen[:, part]) for way, (c, seen) in samples.items()}
        truth = None if real is None else (real[0][:, part], real[1][:, part])
        if "values" in entry:
            followed[name] = class_figures(entry, predicted, truth)
        else:
            followed[name] = number_figures(
                entry, predicted["by_frequency"], truth, data.c[:, part].numpy()
            )
    return {
        "judge_version": CLASSIFIER_VERSION,
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
            Random(name).shuffle(columns[name])  # Otherwise two conditions would be correlated.
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _predicted(
    pipeline: ImagePipeline,
    classifier: Classifier,
    requested: list[dict[str, Any]],  # A condition left out is drawn from the data's distribution.
    sampling: dict[str, Any],
    schema: Schema,
) -> tuple[np.ndarray, np.ndarray]:
    """c as requested and as predicted, [N, c_dim] each, for one picture per condition."""
    outputs = [
        pipeline(1, seed=2_000_000 + i, condition=condition, **sampling)
        for i, condition in enumerate(requested)
    ]
    c = [conditions.encode(schema, out.recipes[0]["settings"]["condition"]) for out in outputs]
    pictures = images.from_pil([out.images[0] for out in outputs])
    return np.array(c), look(classifier, pictures).numpy()


def _predicted_held_out(
    classifier: Classifier, held_out: ImageFolder, schema: Schema
) -> tuple[np.ndarray, np.ndarray] | None:
    """The same for held-out images whose labels the schema knows; None if there are too few."""
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
    return np.array(c), look(classifier, held_out.images[chosen]).numpy()


def card_section(followed: dict[str, Any]) -> str:
    """The card's section on the results of `conditions_followed`."""
    rows, verdicts = [], []
    for name, figures in followed["conditions"].items():
        if "evenly" in figures:
            kinds = {
                "evenly": "accuracy, each value requested equally often (higher)",
                "by_frequency": "accuracy, values as frequent as in the data (higher)",
            }
        else:
            kinds = {
                "spearman": "rank correlation of requested and predicted (higher)",
                "mean_absolute_error": "mean absolute error (lower)",
            }
        rows += [_card_row(f"{name}: {words}", figures[key]) for key, words in kinds.items()]
        verdicts.append(f"- {name}: {_verdict(figures[next(iter(kinds))])}")
    table, summary = "\n".join(rows), "\n".join(verdicts)
    return f"""## Condition accuracy

A small classifier, trained on the labels of the training images and never on generated ones,
predicts the conditions of {followed["num_samples"]} samples. It makes mistakes on real images too:
*real* is the same figure for {followed["num_held_out"]} held-out images, which is what a perfect
model would reach. *Chance* is a model that ignores its conditions. Intervals are 95 %.

| condition | samples | real | chance |
| --- | --- | --- | --- |
{table}

{summary}"""


def _card_row(title: str, figure: dict[str, Any]) -> str:
    real = "no labels"
    if figure["real"] is not None:
        real = "{real:.2f} ({real_low:.2f} to {real_high:.2f})".format(**figure)
    samples = "{value:.2f} ({low:.2f} to {high:.2f})".format(**figure)
    return f"| {title} | {samples} | {real} | {figure['chance']:.2f} |"


def _verdict(figure: dict[str, Any]) -> str:
    """One sentence on a figure for which higher is better."""
    if figure["real"] is None:
        return "the held-out images carry no labels, so the classifier's own accuracy is unknown."
    if figure["real_low"] <= figure["chance"]:
        return "no better than chance on real images either, so these figures say nothing."
    if figure["low"] <= figure["chance"]:
        return "no sign that the model follows it."
    share = (figure["value"] - figure["chance"]) / (figure["real"] - figure["chance"])
    if share >= 1:
        return "as accurate as on real images, or more."
    return f"{share:.0%} of the way from chance to real images."


@dataclass(frozen=True)
class Config:
    """Flags of the command."""

    model: str  # A zoo name, a folder or "user/repo", of a model with conditions.
    data: str  # Folder of real images with these labels, to train the classifier on.
    held_out: str  # Folder of held-out images with these labels.
    truncation_psi: float = 1.0  # The card uses 1; the app's 0.7 scores a little higher.
    num_samples: int = NUM_SAMPLES  # For each way of choosing conditions.
    cache: Path | None = None  # Folder to store the trained classifier in.


def main(config: Config) -> None:
    """Print the figures and the card's section."""
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
    print(card_section(followed))


if __name__ == "__main__":
    main(tyro.cli(Config))
