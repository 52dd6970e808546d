"""What models that learnt without pairs are measured by: two sets of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genmodels.data import images
from genmodels.data.paired_folder import cut
from genmodels.hub.pipelines import HubPipeline
from training.publish.evaluation import Evaluation
from training.publish.paired import TranslationCard, draw_film, translations
from training.publish.paired_figures import translated
from training.publish.unpaired_figures import figures
from training.runs.unpaired import UnpairedRun


class UnpairedCard(TranslationCard):
    """The card of a model that learnt without pairs."""

    caption = "Held-out photographs and their translations."

    @property
    def panel(self) -> dict[str, Any]:
        """Its figures, beside those of the untranslated photographs and of real target pictures."""
        outputs, nothing, real = (
            self.facts["metrics"][x] for x in ("made", "nothing_done", "real")
        )
        merged = dict(outputs)
        for name, panel in outputs.items():
            if isinstance(panel, dict):
                others = {"baseline": nothing.get(name), "real_vs_real": real.get(name)}
                merged[name] = panel | {k: x["value"] for k, x in others.items() if x is not None}
        return merged

    @property
    def measured_on(self) -> str:
        """The number of pictures of both kinds."""
        return f"""{self.panel["n"]} held-out photographs at {self.facts["resolution"]} px, \
translated, against
{self.panel["n_targets"]} held-out pictures of the wanted kind, with 95 % intervals; distances \
use equally many of both.
*Nothing done* is the untranslated photograph, *real* are training pictures of the wanted kind."""

    @property
    def images(self) -> str:
        """Photographs and pictures of the other kind."""
        return f"photographs and {self.facts['num_targets']} pictures of the wanted kind"


class UnpairedEvaluation(Evaluation):
    """Evaluation of networks trained without pairs, on the held-out images of both sets."""

    name, card = "unpaired", UnpairedCard

    def __init__(self, run: UnpairedRun) -> None:
        self.run = run

    @property
    def facts(self) -> dict[str, Any]:
        """How many pictures of the wanted kind it learnt from."""
        return {"num_targets": len(self.run.targets)}

    def draw(self, pipeline: HubPipeline) -> Sequence[Image.Image]:
        """The pictures of the sheet."""
        return translations(pipeline, self.run.shown_pictures())

    def measure(
        self, pipeline: HubPipeline, folder: Path, earlier: dict[str, Any]
    ) -> dict[str, Any]:
        """Figures on what was held out; also draws the sheet and the film of the run."""
        run = self.run
        run.print("measuring on held-out pictures ...")
        sources, targets = run.held_out.images, run.held_out_targets.images
        translations = translated(pipeline, sources)
        shown = run.shown_pictures()
        both = torch.cat([shown, translated(pipeline, shown)])
        images.grid(both, len(shown)).save(folder / "samples.png")
        draw_film(run, folder)
        panels = {
            "made": figures(translations, sources, targets),
            "nothing_done": figures(sources, sources, targets),
            "real": _real(run.targets.images, targets),
        }
        return {"metrics": panels}


def _real(trained: Tensor, held_out: Tensor) -> dict[str, Any]:
    """Figures of real pictures of the kind, of which nothing is kept: they show something else."""
    n, whole, side = len(trained), trained.shape[-1], held_out.shape[-1]
    all_of_it, unflipped = np.tile([0, 0, whole], (n, 1)), np.zeros(n, dtype=bool)
    smaller = cut(trained, range(n), flips=unflipped, boxes=all_of_it, side=side)
    panel = figures(smaller, smaller, held_out)
    del panel["kept"]
    return panel
