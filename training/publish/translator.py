"""From a finished run to a Hub repo: what those of networks that translate share."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from genmodels.data import images
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline
from training.publish.facts import film, of_run, seal, storage_dtype
from training.publish.translation_card import card
from training.runs.translator import SHOWN, TranslatorRun

# What the published pipeline is worth, for run.json; it also draws the folder's sheets and film.
Measure = Callable[[HubPipeline, Path], dict[str, Any]]


def publish(
    run: TranslatorRun,
    pipeline: HubPipeline,  # Holds the EMA weights.
    discriminator: HubModel | None,  # Published beside them, so that others can fine-tune.
    sources: Tensor,  # uint8 [N, 3, R, R]: what half precision is tried on.
    measure: Measure,
    **others: Any,  # More facts.
) -> Path:
    """Write the repo's folder, `out/model`, and push it when the command says so."""
    folder = run.config.out / "model"
    if not run.is_main:
        return folder
    few = images.to_pil(images.to_float(sources[:SHOWN]))

    def draw(one: HubPipeline) -> list[Image.Image]:
        return one(few).images

    pipeline.save_pretrained(folder, dtype=storage_dtype(pipeline, draw))
    if discriminator is not None:
        discriminator.save_pretrained(folder / "discriminator", dtype=torch.float16)
    published = type(pipeline).from_pretrained(folder)
    facts = of_run(run, published, **others)
    facts["metrics"] = measure(published, folder)
    _write_card(folder, facts, run.config.card_notes)
    seal(run, folder, facts)
    return folder


def draw_film(run: TranslatorRun, folder: Path) -> None:
    """The film of the run: the first three pictures of its sheets."""
    sheets, shares = run.config.out / "samples", {"width": 3 / SHOWN, "height": 1.0}
    film(sheets, folder / "progress.webp", num_train=len(run.data), frames=20, **shares)


def recard(
    folder: Path,  # Of a published model.
    notes: Sequence[Path],  # Markdown files to append to the card.
) -> None:
    """Write a model's card anew, from its run.json."""
    _write_card(folder, json.loads((folder / "run.json").read_text()), notes)


def _write_card(folder: Path, facts: dict[str, Any], notes: Sequence[Path]) -> None:
    texts = [note.read_text(encoding="utf-8") for note in notes]
    (folder / "README.md").write_text(card(facts, texts), encoding="utf-8")
