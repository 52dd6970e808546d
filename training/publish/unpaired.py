"""From a finished run without pairs to a Hub repo: its figures, its sheet, its film."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genmodels.data import images
from genmodels.data.paired_folder import cut
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline
from training.publish import translator
from training.publish.paired_figures import translated
from training.publish.unpaired_figures import figures
from training.runs.unpaired import UnpairedRun


def publish(
    run: UnpairedRun,
    pipeline: HubPipeline,  # Holds the EMA weights.
    discriminator: HubModel,  # Published beside them, so that others can fine-tune.
) -> Path:
    """Write the repo's folder, `out/model`, and push it when the command says so."""
    sources, measure = run.shown_pictures(), partial(_measure, run)
    return translator.publish(
        run, pipeline, discriminator, sources, measure, num_targets=len(run.targets)
    )


def _measure(run: UnpairedRun, published: HubPipeline, folder: Path) -> dict[str, Any]:
    """Figures on what was held out; also draws the sheet and the film of the run."""
    run.print("measuring on held-out pictures ...")
    sources, targets = run.held_out.images, run.held_out_targets.images
    made = translated(published, sources)
    shown = run.shown_pictures()
    both = torch.cat([shown, translated(published, shown)])
    images.grid(both, len(shown)).save(folder / "samples.png")
    translator.draw_film(run, folder)
    return {
        "made": figures(made, sources, targets),
        "nothing_done": figures(sources, sources, targets),
        "real": _real(run.targets.images, targets),
    }


def _real(trained: Tensor, held_out: Tensor) -> dict[str, Any]:
    """Figures of real pictures of the kind, of which nothing is kept: they show something else."""
    n, whole, side = len(trained), trained.shape[-1], held_out.shape[-1]
    all_of_it, unflipped = np.tile([0, 0, whole], (n, 1)), np.zeros(n, dtype=bool)
    smaller = cut(trained, range(n), flips=unflipped, boxes=all_of_it, side=side)
    panel = figures(smaller, smaller, held_out)
    del panel["kept"]
    return panel
