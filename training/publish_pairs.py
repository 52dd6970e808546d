"""From a finished run on pairs to a Hub repo: weights, config, card, run.json, sheets, film."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genmodels import images, metrics
from genmodels.hub import HubModel, HubPipeline
from training.facts import film, of_run, seal, storage_dtype
from training.pair_figures import figures, translated
from training.pair_run import PairRun
from training.translation_card import card

SHOWN = 8  # Pictures on a sheet.


def publish(
    run: PairRun,
    pipeline: HubPipeline,  # Holds the EMA weights.
    discriminator: HubModel | None,  # Published beside them, so that others can fine-tune.
) -> Path:
    """Write the repo's folder, `out/model`, and push it when the command says so."""
    folder = run.config.out / "model"
    if not run.is_main:
        return folder
    few = images.to_pil(images.to_float(run.held_out.sources[:SHOWN]))

    def draw(one: HubPipeline) -> list[Image.Image]:
        return one(few).images

    pipeline.save_pretrained(folder, dtype=storage_dtype(pipeline, draw))
    if discriminator is not None:
        discriminator.save_pretrained(folder / "discriminator", dtype=torch.float16)
    published = type(pipeline).from_pretrained(folder)
    facts = of_run(run, published, predicts=run.config.predicts)
    facts["metrics"] = _measure(run, published, folder)
    _write_card(folder, facts, run.config.card_notes)
    seal(run, folder, facts)
    return folder


def recard(
    folder: Path,  # Of a published model.
    notes: Sequence[Path],  # Markdown files to append to the card.
) -> None:
    """Write a model's card anew, from its run.json."""
    _write_card(folder, json.loads((folder / "run.json").read_text()), notes)


def _write_card(folder: Path, facts: dict[str, Any], notes: Sequence[Path]) -> None:
    texts = [note.read_text(encoding="utf-8") for note in notes]
    (folder / "README.md").write_text(card(facts, texts), encoding="utf-8")


def _measure(run: PairRun, published: HubPipeline, folder: Path) -> dict[str, Any]:
    """Figures on the held-out pairs; also draws the sheets and the film of the run."""
    run.print("measuring on held-out pairs ...")
    sources, targets = run.held_out.sources, run.held_out.targets
    made = translated(published, sources)
    order = np.argsort(metrics.mse(made, targets).values)
    evenly = np.linspace(0, len(made) - 1, min(SHOWN, len(made))).astype(int)
    for name, chosen in (("samples.png", evenly), ("worst.png", order[::-1][:SHOWN])):
        rows = torch.from_numpy(chosen.copy())
        _sheet(sources[rows], made[rows], targets[rows]).save(folder / name)
    film(run.config.out / "samples", folder / "progress.gif", width=3 / 8, height=1, frames=20)
    return figures(made, targets, sources)


def _sheet(*rows: Tensor) -> Image.Image:
    """Rows of uint8 pictures, below each other."""
    return images.grid(torch.cat(rows), len(rows[0]))
