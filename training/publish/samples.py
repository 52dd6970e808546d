"""What models that draw from a seed are measured by: samples beside held-out images."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from genmodels import metrics
from genmodels.data import images
from genmodels.data.image_folder import ImageFolder
from genmodels.doctor import memorization
from genmodels.hub.loading import load
from genmodels.hub.pipelines import HubPipeline, ImagePipeline
from genmodels.metrics.figures import undefined
from genmodels.metrics.registry import METRICS
from training.judges import condition_accuracy
from training.publish.card import Card
from training.publish.evaluation import Evaluation
from training.publish.facts import film
from training.runs.run import Run
from training.runs.snapshots import Snapshot

MAX_EVALUATED = 2_000  # Images per side of the metrics; more costs minutes and changes little.
SHARES_FROM = 256  # Pictures that the shares of layers are measured on: about two points of error.
# Reused if the weights are unchanged.
MEASURED = ("metrics", "num_samples", "no_worst_samples", "memorization")
PSIS = (0.5, 0.7, 1.0)  # Truncation values of the sheet that compares them.


class SampleCard(Card):
    """The card of a model that generates images from a seed."""

    task, tag = "unconditional-image-generation", "image-generation"
    usage = '\ngenmodels.load("{model}")(num_images=4, seed=7).images'
    notice = (
        "Its pictures are generated; their metadata says so and holds a recipe. Do not present "
        "them as\n  photographs."
    )

    @property
    def panel(self) -> dict[str, Any]:
        """The figures, completed for models published by older versions."""
        shown = [name for name in metrics.FIGURES if METRICS[name].on_cards]
        return undefined(shown, "published before it was measured") | self.facts["metrics"]

    @property
    def measured_on(self) -> str:
        """The number of samples, their truncation, and the number of held-out images."""
        psi = self.facts["metric_sampling"].get("truncation_psi")
        at = "" if psi is None else f" at truncation {psi}"
        n = self.panel["n"]
        resolution = self.facts["resolution"]
        return f"""{n} samples{at} against {n} held-out images at {resolution} px, with 95 %
intervals. *Real* is the same figure between training and held-out images, which a perfect model
would reach. None of these is FID; they compare models on this data at this resolution only."""

    @property
    def worst_caption(self) -> str:
        """Number of samples from which the worst ones were chosen."""
        count = self.facts.get("num_samples") or self.panel["n"]
        return f"The 16 of {count} samples that are least similar to any held-out image."


class SampleEvaluation(Evaluation):
    """Evaluation of any pipeline called as `pipeline(num_images, seed=seed)`."""

    name, card = "samples", SampleCard

    def __init__(
        self,
        run: Run,  # Its data and held_out are of an `ImageFolder`.
        sampling: Mapping[str, Any] | None = None,  # Settings of the pipeline for the metrics.
        snapshot: Snapshot | None = None,  # Which of the run's states it is, unless the last one.
    ) -> None:
        self.run, self.sampling, self.snapshot = run, dict(sampling or {}), snapshot

    @property
    def facts(self) -> dict[str, Any]:
        """How samples are drawn, and which state of the run draws them."""
        snapshot = None if self.snapshot is None else asdict(self.snapshot)
        return {"metric_sampling": self.sampling, "snapshot": snapshot}

    def draw(self, pipeline: HubPipeline) -> Sequence[Image.Image]:
        """Four pictures."""
        drawn: Sequence[Image.Image] = pipeline(4, seed=0).images
        return drawn

    def measure(
        self, pipeline: HubPipeline, folder: Path, earlier: dict[str, Any]
    ) -> dict[str, Any]:
        """The panel of figures, and further facts about a pipeline.

        What was found of the same weights is not measured again: to push is cheap to repeat.
        """
        version = earlier.get("metrics", {}).get("metric_version")
        if version != metrics.METRIC_VERSION:
            earlier = {}
        if earlier:
            facts = {key: earlier.get(key) for key in MEASURED}
        else:
            facts = self._panel(pipeline, folder)
        followed = earlier.get("conditions_followed") or {}
        if followed.get("judge_version") != condition_accuracy.CLASSIFIER_VERSION:
            followed = self._conditions_followed(pipeline)
        facts["conditions_followed"] = followed
        facts["layer_shares"] = earlier.get("layer_shares") or _layer_shares(pipeline)
        facts["truncation_sheet"] = _truncation_sheet(pipeline, folder, is_drawn=bool(earlier))
        return facts

    @classmethod
    def completed(
        cls, facts: dict[str, Any], folder: Path, data: Path, held_out: Path
    ) -> dict[str, Any]:
        """Also what conditions, layers and truncation do, where an older version did not ask."""
        pipeline, facts = load(folder), {"conditions_followed": None} | facts
        schema = pipeline.schema
        if schema and facts["conditions_followed"] is None:
            facts["conditions_followed"] = condition_accuracy.conditions_followed(
                pipeline,
                ImageFolder(data, facts["resolution"], conditions=tuple(schema)),
                ImageFolder(held_out, facts["resolution"]),
                sampling=facts["metric_sampling"],
            )
        facts["layer_shares"] = facts.get("layer_shares") or _layer_shares(pipeline)
        facts["truncation_sheet"] = _truncation_sheet(pipeline, folder, is_drawn=True)
        return facts

    def _panel(self, pipeline: HubPipeline, folder: Path) -> dict[str, Any]:
        """Figures of samples; also draws the sheets of samples and the film of the run."""
        run = self.run
        run.print("measuring on held-out images ...")
        count = min(len(run.held_out), MAX_EVALUATED)
        num_samples = max(count, metrics.MIN_SET)
        samples = images.from_pil(
            [
                image
                for first in range(0, num_samples, 250)
                for image in pipeline(
                    min(250, num_samples - first), seed=1_000_000 + first, **self.sampling
                ).images
            ]
        )
        held_out, train = run.held_out.images[:count], run.data.images
        images.grid(pipeline(32, seed=0).images, 8).save(folder / "samples.png")
        facts: dict[str, Any] = {"num_samples": num_samples, "no_worst_samples": None}
        try:
            _draw_strangest(samples, train, held_out, folder / "worst.png")
        except metrics.UndefinedFigureError as error:
            facts["no_worst_samples"] = str(error)
            (folder / "worst.png").unlink(missing_ok=True)
        facts["memorization"] = _memorization(samples, train, held_out, run.config.out)
        sheets, num_train = run.config.out / "samples", len(run.data)
        film(sheets, folder / "progress.webp", width=0.5, height=0.5, num_train=num_train)
        return facts | {"metrics": metrics.panel(samples, held_out, train, seed=0)}

    def _conditions_followed(self, pipeline: HubPipeline) -> dict[str, Any] | None:
        """Whether its conditions are followed, if it has any."""
        run = self.run
        if not run.data.schema:
            return None
        run.print("training a classifier of the conditions ...")
        return condition_accuracy.conditions_followed(
            pipeline,
            run.data,
            run.held_out,
            sampling=self.sampling,
            cache_dir=run.config.out / "cache",
            device=run.device,
            num_samples=condition_accuracy.NUM_SAMPLES,
        )


def _draw_strangest(samples: Tensor, train: Tensor, held_out: Tensor, worst: Path) -> None:
    """The samples that are least like any held-out image."""
    if min(len(train), len(held_out)) < 2:
        raise metrics.UndefinedFigureError("fewer than 2 images are trained on or held out")
    neighbours = metrics.nearest_neighbours(samples, train, held_out)["features"]
    strangest = np.argsort(-neighbours.held_out_distance)[:16].copy()
    images.grid(samples[strangest], 8).save(worst)


def _memorization(samples: Tensor, train: Tensor, held_out: Tensor, out: Path) -> dict[str, Any]:
    """How many samples are memorised; draws those nearest to training images above these."""
    try:
        found = memorization.check(samples, train, held_out)
    except metrics.UndefinedFigureError as error:
        return {"rate": None, "reason": str(error)}
    # Beside the repo and not in it: whoever may train on photographs may not always publish them.
    memorization.pairs_sheet(found, samples, train).save(out / "nearest.png")
    return found.facts()


def _layer_shares(pipeline: ImagePipeline) -> dict[str, float] | None:
    """How much of the variety each range of layers decides, of a family that has such ranges.

    None of a network that draws one picture only: it has no variety.
    """
    if not hasattr(pipeline, "layer_shares"):
        return None
    try:
        shares: dict[str, float] = pipeline.layer_shares(SHARES_FROM)
    except ValueError:
        return None
    return shares


def _truncation_sheet(
    pipeline: ImagePipeline, folder: Path, *, is_drawn: bool
) -> list[float] | None:
    """The same seeds at each truncation, a band of two rows each; None if the family has none."""
    if "truncation_psi" not in inspect.signature(type(pipeline).__call__).parameters:
        return None
    path = folder / "truncation.png"
    if not (is_drawn and path.is_file()):
        pictures = [p for psi in PSIS for p in pipeline(16, seed=0, truncation_psi=psi).images]
        images.grid(pictures, 8).save(path)
    return list(PSIS)
