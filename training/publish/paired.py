"""Evaluation of models trained on pairs: translations compared with their targets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genmodels import metrics
from genmodels.data import images
from genmodels.hub.pipelines import HubPipeline
from training.publish.card import Card
from training.publish.evaluation import Evaluation
from training.publish.facts import film
from training.publish.paired_figures import figures, translated
from training.runs.paired import PairRun
from training.runs.translator import SHOWN, TranslatorRun


class TranslationCard(Card):
    """What the cards of all models that translate pictures say."""

    task = tag = "image-to-image"
    alt = "held-out pictures and their translations"
    usage = """from genmodels import images

photo = images.open_rgb("photo.jpg")
genmodels.load("{model}")(photo).images[0]"""
    notice = (
        "Its results are partly synthetic; their metadata says so and holds a recipe. Do not "
        "present\n  them as untouched photographs."
    )


class PairCard(TranslationCard):
    """The card of a model trained on pairs."""

    caption = "Held-out pairs: sources, translations, targets."
    digits = ".4g"

    @property
    def measured_on(self) -> str:
        """The number of pairs, and the baseline."""
        return f"""{self.panel["n"]} held-out pairs at {self.facts["resolution"]} px, with 95 % \
intervals over pictures.
*Nothing done* compares the source itself with the target."""

    @property
    def images(self) -> str:
        """Pairs."""
        return "pairs"

    @property
    def worst_caption(self) -> str:
        """Nothing where no pairs were held out."""
        if not self.panel["n"]:
            return ""
        return "The held-out pairs with the largest squared error: sources, translations, targets."


class PairEvaluation(Evaluation):
    """Evaluation of networks trained on pairs, on held-out pairs."""

    name, card = "pairs", PairCard

    def __init__(self, run: PairRun) -> None:
        self.run = run

    @property
    def facts(self) -> dict[str, Any]:
        """What the network predicts."""
        return {"predicts": self.run.config.predicts}

    def draw(self, pipeline: HubPipeline) -> Sequence[Image.Image]:
        """The pictures of the sheets."""
        return translations(pipeline, self.run.shown_pairs()[0])

    def measure(
        self, pipeline: HubPipeline, folder: Path, earlier: dict[str, Any]
    ) -> dict[str, Any]:
        """Figures on the held-out pairs; also draws the sheets and the film of the run."""
        run = self.run
        run.print("measuring on held-out pairs ...")
        sources, targets = run.held_out.sources, run.held_out.targets
        translations = translated(pipeline, sources)
        shown = run.shown_pairs()
        _sheet(shown[0], translated(pipeline, shown[0]), shown[1]).save(folder / "samples.png")
        if len(translations):
            rows = np.argsort(metrics.mse(translations, targets).values)[::-1][:SHOWN].copy()
            _sheet(sources[rows], translations[rows], targets[rows]).save(folder / "worst.png")
        draw_film(run, folder)
        return {"metrics": figures(translations, targets, sources)}


def translations(pipeline: HubPipeline, sources: Tensor) -> Sequence[Image.Image]:
    """What it makes of the first of some pictures, uint8 [N, 3, R, R], as its settings say."""
    shown: Sequence[Image.Image] = pipeline(images.to_pil(images.to_float(sources[:SHOWN]))).images
    return shown


def draw_film(run: TranslatorRun, folder: Path) -> None:
    """The film of the run: the first three pictures of its sheets."""
    sheets, shares = run.config.out / "samples", {"width": 3 / SHOWN, "height": 1.0}
    film(sheets, folder / "progress.webp", num_train=len(run.data), frames=20, **shares)


def _sheet(*rows: Tensor) -> Image.Image:
    """Rows of uint8 pictures, below each other."""
    return images.grid(torch.cat(rows), len(rows[0]))
