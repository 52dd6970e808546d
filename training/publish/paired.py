"""From a finished run on pairs to a Hub repo: its figures, its sheets, its film."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genmodels import metrics
from genmodels.data import images
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline
from training.publish import translator
from training.publish.paired_figures import figures, translated
from training.runs.paired import PairRun
from training.runs.translator import SHOWN


def publish(
    run: PairRun,
    pipeline: HubPipeline,  # Holds the EMA weights.
    discriminator: HubModel | None,  # Published beside them, so that others can fine-tune.
) -> Path:
    """Write the repo's folder, `out/model`, and push it when the command says so."""
    sources, measure = run.shown_pairs()[0], partial(_measure, run)
    return translator.publish(
        run, pipeline, discriminator, sources, measure, predicts=run.config.predicts
    )


def _measure(run: PairRun, published: HubPipeline, folder: Path) -> dict[str, Any]:
    """Figures on the held-out pairs; also draws the sheets and the film of the run."""
    run.print("measuring on held-out pairs ...")
    sources, targets = run.held_out.sources, run.held_out.targets
    made = translated(published, sources)
    shown = run.shown_pairs()
    _sheet(shown[0], translated(published, shown[0]), shown[1]).save(folder / "samples.png")
    if len(made):
        rows = np.argsort(metrics.mse(made, targets).values)[::-1][:SHOWN].copy()
        _sheet(sources[rows], made[rows], targets[rows]).save(folder / "worst.png")
    translator.draw_film(run, folder)
    return figures(made, targets, sources)


def _sheet(*rows: Tensor) -> Image.Image:
    """Rows of uint8 pictures, below each other."""
    return images.grid(torch.cat(rows), len(rows[0]))
