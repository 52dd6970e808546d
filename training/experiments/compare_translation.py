"""pix2pix against the autoencoder and the unchanged source, on the translation project's tasks.

    python -m training.experiments.compare_translation --data data/ --out runs/translation

Every variant sees the same pairs equally often, on the same splits, with the same optimizer and
schedule. The same command again resumes. Figures are of held-out pairs, split by source, with
intervals over pictures, paired between variants; a picture's figure is the mean over seeds. Figures
on training pairs are given as well, as the project seems to have measured those.

The command writes a card section for each task's models, the table in docs/translation-study.md,
and a sheet of held-out pairs: the source, each network's translation, and the target.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import genmodels.openmp  # Before torch: its threads wait passively.

import numpy as np
import torch
import tyro
from torch import Tensor

import genmodels
from genmodels import metrics
from genmodels.data import images
from genmodels.data.image_folder import evenly
from genmodels.data.paired_folder import PairFolder
from genmodels.metrics.registry import METRICS, paired_metrics
from training.experiments.project_formulas import psnr_seed, ssim_seed
from training.experiments.translation_networks import MARGINS, TASKS, VARIANTS
from training.experiments.translation_table import COMPARED, overview, section
from training.publish.paired_figures import translated
from training.runs.command import refuse_renamed, run_training, split_folders, training_command
from training.runs.translator import side_to_load

RESULTS = Path(__file__).with_name("results")
DOCUMENT = Path(__file__).parents[2] / "docs/translation-study.md"
MARKS = "<!-- compare_translation.py writes this -->\n", "<!-- up to here -->\n"
BATCH_SIZE = 4
PARTS = "held_out", "train"
SHOWN = 2  # Held-out pairs of each task on the sheet.
TRAINED_ON = 200  # Number of training pairs that are measured, evenly spread.

Pairs = tuple[Tensor, Tensor]  # Sources and targets, each uint8 [N, 3, R, R].


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    data: Path  # Where the prepared pairs are.
    out: Path  # Where the runs are, in folders named by task, variant and seed.
    tasks: tuple[str, ...] = tuple(TASKS)
    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: tuple[int, ...] = (0, 1)
    single_seed: tuple[str, ...] = ()  # Tasks and variants to train from the first seed only.
    resolution: int = 128  # Side of the pairs in pixels.
    pairs_seen: int = 12_000  # By each run; a multiple of 4.
    mixed_precision: Literal["no", "bf16"] = "no"  # bf16 where the hardware has it.
    threads: int = 1  # CPU threads of a run.
    results: Path = RESULTS  # Where translation.json, .jpg and translation-<task>.md are written.
    document: Path = DOCUMENT  # Has marks between which the table goes.


def compare(config: Config) -> None:
    """Train what is not trained yet, measure, and rewrite the table."""
    both = (*config.tasks, *config.variants)
    for name, known in (("tasks", TASKS), ("variants", VARIANTS), ("single_seed", both)):
        if unknown := set(getattr(config, name)) - set(known):
            raise ValueError(f"{name} must be among {', '.join(known)}, got {sorted(unknown)}")
    if config.pairs_seen % BATCH_SIZE or not config.seeds:
        raise ValueError(
            f"pairs_seen must be a multiple of {BATCH_SIZE} and seeds one or more, "
            f"got {config.pairs_seen} and {config.seeds}"
        )
    before, after = _around_table(config.document)  # Better now than after hours of training.
    results, shown = {}, []
    for task in config.tasks:
        pairs = {part: _pairs(config, task, part) for part in PARTS}
        results[task] = compared(config, task, pairs)
        shown += _shown(config, task, *pairs["held_out"])
    record = {
        "resolution": config.resolution,
        "pairs_seen": config.pairs_seen,
        "arms": {variant: VARIANTS[variant].title for variant in config.variants},
        "tasks": results,
    }
    config.results.mkdir(parents=True, exist_ok=True)
    (config.results / "translation.json").write_text(json.dumps(record, indent=1) + "\n")
    columns = len(shown) // len(config.tasks) // SHOWN
    images.grid(torch.stack(shown), columns).save(config.results / "translation.jpg", quality=90)
    for task in config.tasks:
        (config.results / f"translation-{task}.md").write_text(section(record, task))
    config.document.write_text(before + overview(record) + after, encoding="utf-8")


def _around_table(readme: Path) -> tuple[str, str]:
    text = readme.read_text(encoding="utf-8")
    if not all(mark in text for mark in MARKS):
        raise ValueError(f"{readme} must hold the lines {MARKS[0].strip()} and {MARKS[1].strip()}")
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return before + MARKS[0], MARKS[1] + after


def _pairs(config: Config, task: str, part: str) -> Pairs:
    folder = PairFolder(config.data / TASKS[task].data / part, config.resolution)
    rows = evenly(len(folder), TRAINED_ON if part == "train" else len(folder))
    return folder.sources[rows], folder.targets[rows]


def compared(config: Config, task: str, pairs: dict[str, Pairs]) -> dict[str, Any]:
    """What is recorded of a task."""
    each = {variant: measure(config, task, variant, pairs) for variant in config.variants}
    means = {
        variant: {part: _mean(starts) for part, starts in parts.items()}
        for variant, parts in each.items()
    }
    trained = {
        variant: parts["held_out"] for variant, parts in each.items() if VARIANTS[variant].script
    }
    return summary(TASKS[task].title, means) | {
        "starts": {variant: len(starts) for variant, starts in trained.items()},
        "moved": {variant: _moved(starts) for variant, starts in trained.items()},
        "predicts": TASKS[task].predicts,
    }


def measure(
    config: Config,
    task: str,
    variant: str,
    pairs: dict[str, Pairs],  # By part.
) -> dict[str, list[dict[str, Any]]]:
    """By part, figures of one variant from each start: those of a picture as [N], else numbers."""
    runs = [_trained(config, task, variant, seed) for seed in seeds(config, task, variant)]
    figures_by_part = {}
    for part, (sources, targets) in pairs.items():
        translations = [translated(genmodels.load(run), sources) for run in runs] or [sources]
        figures_by_part[part] = [_figures(one, targets) for one in translations]
    return figures_by_part


def _mean(starts: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: np.mean([start[key] for start in starts], axis=0) for key in starts[0]}


def _moved(starts: list[dict[str, Any]]) -> dict[str, float]:
    """How far apart a variant's starts end."""
    return {key: float(np.ptp([start[key].mean() for start in starts])) for key in COMPARED}


def seeds(config: Config, task: str, variant: str) -> tuple[int, ...]:
    """From how many and which starts a variant is trained for a task."""
    if VARIANTS[variant].script is None:
        return ()
    return config.seeds[:1] if {task, variant} & set(config.single_seed) else config.seeds


def _trained(config: Config, task: str, variant: str, seed: int) -> Path:
    """A run's published model; what it lacks in training it gets now."""
    words, folder = command(config, task, variant, seed)
    record = folder / "model" / "run.json"
    print(f"{task}, {variant}, seed {seed}", flush=True)
    if not record.is_file() or not _was_asked(words, json.loads(record.read_text())):
        run_training(words)
    facts = json.loads(record.read_text())
    if facts["images_seen"] != config.pairs_seen:
        raise ValueError(
            f"{folder} must have seen {config.pairs_seen} pairs, it has seen "
            f"{facts['images_seen']}: it was interrupted, or trained for longer"
        )
    _check_pairs(config, task, folder, facts)
    return folder / "model"


def _check_pairs(config: Config, task: str, folder: Path, facts: dict[str, Any]) -> None:
    """Refuse a run on other pairs: it may have learnt what is held out now."""
    recorded, data = facts["config"], config.data / TASKS[task].data
    for part, side, key in (
        ("train", side_to_load(recorded["resolution"], recorded["jitter"]), "fingerprint"),
        ("held_out", recorded["resolution"], "held_out_fingerprint"),
    ):
        if _fingerprint(data / part, side, config.out / "cache") != facts["data"][key]:
            raise ValueError(
                f"{folder} must be a run on the pairs in {data}, its {part} pairs were others: "
                "remove it to train it again"
            )


@lru_cache
def _fingerprint(folder: Path, resolution: int, cache_dir: Path) -> str:
    return PairFolder(folder, resolution, cache_dir=cache_dir).fingerprint


def _was_asked(words: list[str], facts: dict[str, Any]) -> bool:
    """Whether a published model is what the command asks for: then there is nothing to do."""
    flags = zip(words[2::2], words[3::2], strict=True)
    requested = {flag[2:].replace("-", "_"): value for flag, value in flags}
    recorded = facts["config"]  # Without the paths of a machine; the summary changes no weight.
    shared = requested.keys() & recorded.keys() - {"summary"}
    is_whole = facts["steps"] == recorded["steps"]
    return is_whole and all(_says(requested[key], recorded[key]) for key in shared)


def _says(word: str, value: Any) -> bool:
    """Whether a word of a command is the value of a flag: "0" is 0.0."""
    return word == str(value) or (isinstance(value, float) and float(word) == value)


def _shown(config: Config, task: str, sources: Tensor, targets: Tensor) -> list[Tensor]:
    """Row by row some sources, what each network makes of them, and their targets."""
    rows = evenly(len(sources), SHOWN + 2)[1:-1]  # Not the ends.
    sources, targets = sources[rows], targets[rows]
    runs = [
        command(config, task, variant, config.seeds[0])[1] / "model"
        for variant in config.variants
        if VARIANTS[variant].script
    ]
    translations = [translated(genmodels.load(run), sources) for run in runs]
    return list(torch.stack([sources, *translations, targets], dim=1).flatten(0, 1))


def command(config: Config, task: str, variant: str, seed: int) -> tuple[list[str], Path]:
    """The training command of one run, and its folder."""
    chosen, own = VARIANTS[variant], TASKS[task]
    assert chosen.script is not None
    folder = config.out / f"{task}-{variant}-{seed}"
    steps = config.pairs_seen // BATCH_SIZE
    settings = {
        "resolution": config.resolution,
        "batch_size": BATCH_SIZE,
        "steps": steps,
        "save_every": max(steps // 10, 1),
        "mixed_precision": config.mixed_precision,
        "threads": config.threads,
        "seed": seed,
        "predicts": own.predicts if chosen.is_ours else "rgb",
        **split_folders(config.data / own.data),
        "out": folder,
        "summary": f"{own.title}: {chosen.title}",
    }
    return training_command(chosen.script, chosen.flags, settings), folder


def summary(title: str, values: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """By part, means with intervals, and by how much pix2pix is ahead, picture by picture."""
    record: dict[str, Any] = {"title": title, "parts": {}}
    for part in PARTS:
        panels = {variant: parts[part] for variant, parts in values.items()}
        record["parts"][part] = {
            "pairs": len(next(iter(panels.values()))["psnr"]),
            "arms": {
                variant: {key: _with_interval(value) for key, value in panel.items()}
                for variant, panel in panels.items()
            },
            "margins": {
                f"{first} - {second}": {
                    key: _with_interval(panels[first][key] - panels[second][key])
                    for key in COMPARED
                }
                for first, second in MARGINS
                if first in panels and second in panels
            },
        }
    return record


def _figures(translations: Tensor, targets: Tensor) -> dict[str, Any]:
    names = (*paired_metrics(), "swd")
    results = {name: METRICS[name].function(translations, targets) for name in names}
    return {
        name: result.values if METRICS[name].takes == "pair" else float(result)
        for name, result in results.items()
    } | {
        "ssim_seed": ssim_seed(translations, targets),
        "psnr_seed": psnr_seed(translations, targets),
    }


def _with_interval(values: Any) -> dict[str, float]:
    """The mean with its interval of values per picture; a single number has no interval."""
    if not np.ndim(values):
        return {"value": float(values)}
    low, high = metrics.bootstrap_interval(values)
    return {"value": float(values.mean()), "low": low, "high": high}


if __name__ == "__main__":
    refuse_renamed({"--arms": "--variants", "--once": "--single-seed"})
    compare(tyro.cli(Config))
