"""From a finished run to a Hub repo: weights, config, card, run.json, sheets of samples.

Everything on the card is measured here, on images that were held out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline
from training.publish.evaluation import Evaluation
from training.publish.facts import of_run, seal, storage_dtype
from training.publish.paired import PairEvaluation
from training.publish.samples import SampleEvaluation
from training.publish.unpaired import UnpairedEvaluation
from training.publish.variational import VariationalEvaluation
from training.runs.run import Run

EVALUATIONS: dict[str, type[Evaluation]] = {
    each.name: each
    for each in (SampleEvaluation, VariationalEvaluation, PairEvaluation, UnpairedEvaluation)
}


def publish(
    run: Run,
    pipeline: HubPipeline,  # Holds the EMA weights.
    evaluation: Evaluation,  # How it is measured, and its card.
    *,
    extra_networks: Mapping[str, HubModel] | None = None,  # By folder: for others to fine-tune.
) -> Path:
    """Write the repo's folder, `out/model`, and push it when the command says so.

    `--card-notes` are appended to the card.
    """
    folder = run.config.out / "model"
    if not run.is_main:
        return folder
    pipeline.save_pretrained(folder, dtype=storage_dtype(pipeline, evaluation.draw))
    for name, network in (extra_networks or {}).items():
        network.save_pretrained(folder / name, dtype=torch.float16)
    published = type(pipeline).from_pretrained(folder)
    facts = of_run(run, published, evaluation=evaluation.name, **evaluation.facts)
    facts |= evaluation.measure(published, folder, _earlier(folder / "run.json", facts))
    _write_card(folder, type(evaluation), facts, run.config.card_notes)
    seal(run, folder, facts)
    return folder


def recard(
    folder: Path,  # Folder of a published model.
    notes: Sequence[Path],  # Markdown files to append to the card.
    data: Path,  # Images that it learnt from, and ...
    held_out: Path,  # ... images that it did not, for what an older version did not measure.
) -> None:
    """Rewrite a model's card: from its run.json, completed where an older version wrote less."""
    path = folder / "run.json"
    facts = json.loads(path.read_text())
    evaluation = _evaluation_of(facts)
    completed = evaluation.completed(facts, folder, data, held_out)
    _write_card(folder, evaluation, completed, notes)
    if completed != facts:
        path.write_text(json.dumps(completed, indent=1) + "\n")


def _evaluation_of(facts: dict[str, Any]) -> type[Evaluation]:
    """By the facts of a published model; before 0.5 they did not name it."""
    before = "pairs" if "psnr" in facts["metrics"] else "samples"
    before = "unpaired" if "made" in facts["metrics"] else before
    return EVALUATIONS[facts.get("evaluation", before)]


def _write_card(
    folder: Path, evaluation: type[Evaluation], facts: dict[str, Any], notes: Sequence[Path]
) -> None:
    texts = [note.read_text(encoding="utf-8") for note in notes]
    (folder / "README.md").write_text(evaluation.card(facts).text(texts), encoding="utf-8")


def _earlier(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """What an earlier command found of the same weights, data and sampling; empty if it did not."""
    if not path.is_file():
        return {}
    try:
        earlier: dict[str, Any] = json.loads(path.read_text())
        same = {key: earlier[key] for key in ("weights_sha256", "data")}
        same["metric_sampling"] = earlier.get("metric_sampling")
        dict(earlier["metrics"])
        dict(earlier.get("conditions_followed") or {})
    except (ValueError, KeyError, TypeError) as error:
        print(f"{path} is damaged ({error!r}): measuring again", flush=True)
        return {}
    return earlier if all(facts.get(key) == value for key, value in same.items()) else {}
