"""Who paints most like paintings: our teacher, networks that it taught, networks taught by none.

    python -m training.experiments.compare_painters --photos data/pairs-monet/held_out/source \
        --paintings monet/ --painters monet-pix2pix-128 runs/unpaired/model

Every painter paints the same photographs, which none may have been trained on, and is held against
paintings that the teacher did not study and `train_unpaired.py` holds out by itself.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import genmodels.openmp  # Before torch: its threads wait passively.

import numpy as np
import torch
import tyro
from torch import Tensor

import genmodels
from genmodels import metrics
from genmodels.data.image_folder import ImageFolder, evenly
from genmodels.metrics.registry import columns
from training.prepare.monet_teacher import monet_teacher, study
from training.publish.paired_figures import translated
from training.publish.unpaired_figures import KINDS, distances, figures, rows
from training.runs.held_out import share_to_hold_out

RESULTS = Path(__file__).with_name("results")
COLUMNS = {
    **columns("swd"),
    "swd_nearer": "... than the photographs",
    **columns("colour"),
    "colour_nearer": "... than the photographs",
    **columns("kept"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    photos: Path  # Folder of photographs that no painter has seen.
    paintings: Path  # Folder of paintings; the share that is held out is what all are measured by.
    painters: tuple[str, ...]  # Models: zoo names, folders or "user/repo".
    resolution: int = 128  # Side of the pictures in pixels.
    results: Path = RESULTS  # Where painters.json and painters.md are written.


def compare(config: Config) -> None:
    """Let all of them paint, measure, and write the table."""
    labels = [label(name) for name in config.painters]
    if len(set(labels)) < len(labels):
        raise ValueError(f"painters must differ by name, got {', '.join(labels)}")
    photos = ImageFolder(config.photos, config.resolution).images
    paintings = ImageFolder(config.paintings, config.resolution)
    studied, held_out = paintings.hold_out(share_to_hold_out(len(paintings)))
    painted = {"the photographs": photos, "the teacher": taught(photos, studied.images)}
    for own, name in zip(labels, config.painters, strict=True):
        painted[own] = translated(genmodels.load(name), photos)
    panels = {name: figures(made, photos, held_out.images) for name, made in painted.items()}
    for name, nearer in margins(painted, held_out.images).items():
        panels[name] |= nearer
    panels["other paintings"] = figures(studied.images, studied.images, held_out.images)
    del panels["other paintings"]["kept"]  # No photograph was translated.
    record = {"resolution": config.resolution, "painters": panels}
    config.results.mkdir(parents=True, exist_ok=True)
    (config.results / "painters.json").write_text(json.dumps(record, indent=1) + "\n")
    (config.results / "painters.md").write_text(table(record))


def label(name: str) -> str:
    """What the table calls a model: a run's folder holds it in model/."""
    path = Path(name)
    return path.parent.name if path.name == "model" else path.name


def margins(painted: dict[str, Tensor], held_out: Tensor) -> dict[str, dict[str, Any]]:
    """How much nearer each painter is than the first: of the same photographs and paintings."""
    first, *others = painted
    n = min(len(painted[first]), len(held_out))
    # One row per photograph with all that was made of it, so that halves are of the same ones.
    together = np.stack([rows(x[evenly(len(x), n)]) for x in painted.values()], axis=1)

    def nearer(translations: np.ndarray, real: np.ndarray) -> dict[str, float]:
        panels = [distances(translations[:, i], real) for i in range(len(painted))]
        return {
            f"{name}/{key}": panel[key] - panels[0][key]
            for name, panel in zip(others, panels[1:], strict=True)
            for key in KINDS
        }

    real = rows(held_out[evenly(len(held_out), n)])
    values, intervals = nearer(together, real), metrics.subset_intervals(nearer, together, real)
    return {
        name: {
            f"{key}_nearer": {
                "value": values[f"{name}/{key}"],
                **intervals[f"{name}/{key}"]._asdict(),
            }
            for key in KINDS
        }
        for name in others
    }


def taught(photos: Tensor, paintings: Tensor) -> Tensor:
    """What our teacher paints after these paintings: uint8 [N, 3, R, R] of the same."""
    seen = study(list(rows(paintings)))
    teacher = partial(monet_teacher, paintings=seen)
    return torch.stack([torch.from_numpy(teacher(x)).permute(2, 0, 1) for x in rows(photos)])


def table(record: dict[str, Any]) -> str:
    """The figures in Markdown."""
    first = next(iter(record["painters"].values()))
    lines = [
        f"| {name} | {' | '.join(_cell(panel.get(key)) for key in COLUMNS)} |"
        for name, panel in record["painters"].items()
    ]
    body = "\n".join(lines)
    return f"""## Painters against paintings

{first["n"]} photographs at {record["resolution"]} px that no painter was trained on, against
{first["n_targets"]} paintings that no network was shown and this table's teacher has not studied,
with 95 % intervals. (The targets of pairs were painted after all paintings, so that a network that
learnt from pairs may know their colours.) Texture and colours are of as many of the photographs as
there are paintings. Lower is more alike, but for *kept*, which says how much of the photograph is
still there.

| painter | {" | ".join(COLUMNS.values())} |
| --- |{" --- |" * len(COLUMNS)}
{body}
"""


def _cell(figure: dict[str, float] | None) -> str:
    if figure is None or figure["value"] is None:
        return ""
    return f"{figure['value']:.3g} ({figure['low']:.3g} to {figure['high']:.3g})"


if __name__ == "__main__":
    compare(tyro.cli(Config))
