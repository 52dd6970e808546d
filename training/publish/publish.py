"""From a finished run to a Hub repo: weights, config, card, run.json, sheets of samples.

Everything on the card is measured here, on images that were held out.
"""

import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genmodels import metrics
from genmodels.data import images
from genmodels.data.image_folder import ImageFolder
from genmodels.hub import pipelines
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline
from training.judges import condition_accuracy
from training.publish.card import card
from training.publish.facts import film, of_run, seal, storage_dtype
from training.runs.run import Run
from training.runs.snapshots import Snapshot

MAX_EVALUATED = 2_000  # Images per side of the metrics; more costs minutes and changes little.
SHARES_FROM = 256  # Pictures that the shares of layers are measured on: about two points of error.
MEASURED = ("metrics", "num_samples", "no_worst_samples")  # What `_measure` gives.
PSIS = (0.5, 0.7, 1.0)  # Of the sheet that shows what truncation does.


def publish(
    run: Run,
    pipeline: HubPipeline,  # Holds the EMA weights.
    discriminator: HubModel | None,  # Published beside them, so that others can fine-tune.
    *,
    sampling: dict[str, Any] | None = None,  # Settings of the pipeline for the metrics.
    snapshot: Snapshot | None = None,  # Which of the run's states it is, unless the last one.
) -> Path:
    """Write the repo's folder, `out/model`, and push it when the command says so.

    What stands there of these very weights is not measured again: to push is cheap to repeat.
    `--card-notes` are appended to the card.
    """
    folder = run.config.out / "model"
    if not run.is_main:
        return folder
    pipeline.save_pretrained(folder, dtype=storage_dtype(pipeline, _four))
    if discriminator is not None:
        discriminator.save_pretrained(folder / "discriminator", dtype=torch.float16)
    published = type(pipeline).from_pretrained(folder)
    facts = of_run(run, published, metric_sampling=sampling or {})
    facts["snapshot"] = None if snapshot is None else asdict(snapshot)
    earlier = _earlier(folder / "run.json", facts)
    if "metrics" in earlier:
        facts |= {key: earlier.get(key) for key in MEASURED}
    else:
        facts |= _measure(run, published, sampling or {}, folder)
    facts["conditions_followed"] = earlier.get("conditions_followed") or _judge(
        run, published, sampling or {}
    )
    facts["layer_shares"] = earlier.get("layer_shares") or _layer_shares(published)
    facts["truncation_sheet"] = _truncation_sheet(published, folder, is_drawn=bool(earlier))
    notes = [path.read_text(encoding="utf-8") for path in run.config.card_notes]
    (folder / "README.md").write_text(card(facts, notes), encoding="utf-8")
    seal(run, folder, facts)
    return folder


def recard(
    folder: Path,  # Of a published model.
    notes: Sequence[Path],  # Markdown files to append to the card.
    data: Path,  # Images that it learnt from, and ...
    held_out: Path,  # ... images that it did not, for a judge of its conditions.
) -> None:
    """Write a model's card anew: from its run.json, completed where an older version wrote less."""
    pipeline, path = pipelines.load(folder), folder / "run.json"
    facts = json.loads(path.read_text())
    schema = getattr(pipeline, "schema", None)
    facts.setdefault("conditions_followed", None)
    if schema and facts["conditions_followed"] is None:
        learnt = ImageFolder(data, facts["resolution"], conditions=tuple(schema))
        unseen = ImageFolder(held_out, facts["resolution"])
        facts["conditions_followed"] = condition_accuracy.conditions_followed(
            pipeline, learnt, unseen, sampling=facts["metric_sampling"]
        )
    facts["layer_shares"] = facts.get("layer_shares") or _layer_shares(pipeline)
    facts["truncation_sheet"] = _truncation_sheet(pipeline, folder, is_drawn=True)
    texts = [note.read_text(encoding="utf-8") for note in notes]
    (folder / "README.md").write_text(card(facts, texts), encoding="utf-8")
    path.write_text(json.dumps(facts, indent=1) + "\n")


def _earlier(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """What an earlier command found of the same weights on the same images, where it still holds.

    Empty if its samples are not these, so that nothing of it stands.
    """
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text())
        same = ("weights_sha256", "data", "metric_sampling")
        is_same = all(told[key] == facts[key] for key in same)
        is_current = told["metrics"]["metric_version"] == metrics.METRIC_VERSION
        followed = told.get("conditions_followed")
        is_judged = bool(followed) and followed["judge_version"] == condition_accuracy.JUDGE_VERSION
    except (ValueError, KeyError, TypeError) as error:
        print(f"{path} is damaged ({error!r}): measuring again", flush=True)
        return {}
    if not (is_same and is_current):
        return {}
    known = {key: told.get(key) for key in (*MEASURED, "layer_shares")}
    return known | ({"conditions_followed": followed} if is_judged else {})


def _measure(
    run: Run, published: HubPipeline, sampling: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """The panel of figures; also draws the sheets of samples and the film of the run."""
    run.print("measuring on held-out images ...")
    count = min(len(run.held_out), MAX_EVALUATED)
    num_samples = max(count, metrics.MIN_SET)
    samples = images.from_pil(
        [
            image
            for first in range(0, num_samples, 250)
            for image in published(
                min(250, num_samples - first), seed=1_000_000 + first, **sampling
            ).images
        ]
    )
    held_out, train = run.held_out.images[:count], run.data.images
    images.grid(published(32, seed=0).images, 8).save(folder / "samples.png")
    facts: dict[str, Any] = {"num_samples": num_samples, "no_worst_samples": None}
    try:
        _draw_neighbours(samples, train, held_out, folder / "worst.png", run.config.out)
    except metrics.UndefinedFigureError as error:
        facts["no_worst_samples"] = str(error)
        (folder / "worst.png").unlink(missing_ok=True)
    sheets, num_train = run.config.out / "samples", len(run.data)
    film(sheets, folder / "progress.webp", width=0.5, height=0.5, num_train=num_train)
    return facts | {"metrics": metrics.panel(samples, held_out, train, seed=0)}


def _draw_neighbours(
    samples: Tensor, train: Tensor, held_out: Tensor, worst: Path, out: Path
) -> None:
    """The strangest samples, and those nearest to training images above these."""
    if min(len(train), len(held_out)) < 2:
        raise metrics.UndefinedFigureError("fewer than 2 images are trained on or held out")
    neighbours = metrics.nearest_neighbours(samples, train, held_out)["features"]
    strangest = np.argsort(-neighbours.held_out_distance)[:16].copy()
    images.grid(samples[strangest], 8).save(worst)
    # Beside the repo and not in it: whoever may train on photographs may not always publish them.
    twins = train[neighbours.train_index[neighbours.worst]]
    pairs = torch.cat([samples[neighbours.worst], twins])
    images.grid(pairs, len(twins)).save(out / "nearest.png")


def _four(pipeline: HubPipeline) -> list[Image.Image]:
    return pipeline(4, seed=0).images


def _judge(run: Run, published: HubPipeline, sampling: dict[str, Any]) -> dict[str, Any] | None:
    """Whether its conditions are followed, if it has any."""
    if not run.data.schema:
        return None
    run.print("training a judge of the conditions ...")
    return condition_accuracy.conditions_followed(
        published,
        run.data,
        run.held_out,
        sampling=sampling,
        cache_dir=run.config.out / "cache",
        device=run.device,
        num_samples=condition_accuracy.NUM_SAMPLES,
    )


def _layer_shares(pipeline: HubPipeline) -> dict[str, float] | None:
    """How much of the variety each range of layers decides, of a family that has such ranges.

    None of a network that draws one picture only: it has no variety.
    """
    if not hasattr(pipeline, "layer_shares"):
        return None
    try:
        return pipeline.layer_shares(SHARES_FROM)
    except ValueError:
        return None


def _truncation_sheet(pipeline: HubPipeline, folder: Path, *, is_drawn: bool) -> list[float] | None:
    """The same seeds at each truncation, a band of two rows each; None if the family has none."""
    if "truncation_psi" not in inspect.signature(type(pipeline).__call__).parameters:
        return None
    path = folder / "truncation.png"
    if not (is_drawn and path.is_file()):
        pictures = [p for psi in PSIS for p in pipeline(16, seed=0, truncation_psi=psi).images]
        images.grid(pictures, 8).save(path)
    return list(PSIS)
