"""pix2pix against the autoencoder on the translation project's three tasks, and against nothing.

    python -m training.experiments.compare_translation --data data/ --out runs/translation

Every arm sees the same pairs as often, on the same splits, with the same optimizer and schedule; it
resumes where its folder stands. Figures are of held-out pairs, split by source, with intervals over
pictures that are paired between arms; a picture's figure is the mean over seeds. Beside them are
those of pairs that were trained on, as the project seems to have measured.

It writes a section for the cards of each task's models, the table in docs/translation-study.md, and
a sheet of pictures: of some held-out pairs the source, what each network makes of it, and the
target.
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
from training.experiments.translation_networks import ARMS, MARGINS, TASKS
from training.experiments.translation_table import COMPARED, overview, section
from training.publish.paired_figures import translated
from training.runs.command import run_training, split_folders, training_command
from training.runs.translator import side_to_load

RESULTS = Path(__file__).with_name("results")
DOCUMENT = Path(__file__).parents[2] / "docs/translation-study.md"
MARKS = "<!-- compare_translation.py writes this -->\n", "<!-- up to here -->\n"
BATCH_SIZE = 4
PARTS = "held_out", "train"
SHOWN = 2  # Held-out pairs of each task on the sheet.
TRAINED_ON = 200  # Of the pairs that were trained on so many are measured, evenly spread.

Pairs = tuple[Tensor, Tensor]  # Sources and targets, each uint8 [N, 3, R, R].


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the comparison."""

    data: Path  # Where the prepared pairs are.
    out: Path  # Where the runs are, in folders named by task, arm and seed.
    tasks: tuple[str, ...] = tuple(TASKS)
    arms: tuple[str, ...] = tuple(ARMS)
    seeds: tuple[int, ...] = (0, 1)
    once: tuple[str, ...] = ()  # Tasks and arms that have the first seed only, to save hours.
    resolution: int = 128  # Side of the pairs in pixels.
    pairs_seen: int = 12_000  # By each run; a multiple of 4.
    mixed_precision: Literal["no", "bf16"] = "no"  # bf16 where the hardware has it.
    threads: int = 1  # CPU threads of a run.
    results: Path = RESULTS  # Where translation.json, .jpg and translation-<task>.md are written.
    document: Path = DOCUMENT  # Has marks between which the table goes.


def compare(config: Config) -> None:
    """Train what is not trained yet, measure, and write the table anew."""
    both = (*config.tasks, *config.arms)
    for name, known in (("tasks", TASKS), ("arms", ARMS), ("once", both)):
        if unknown := set(getattr(config, name)) - set(known):
            raise ValueError(f"{name} must be among {', '.join(known)}, got {sorted(unknown)}")
    if config.pairs_seen % BATCH_SIZE or not config.seeds:
        raise ValueError(
            f"pairs_seen must be a multiple of {BATCH_SIZE} and seeds one or more, "
            f"got {config.pairs_seen} and {config.seeds}"
        )
    before, after = _around_table(config.document)  # Better now than after hours of training.
    found, shown = {}, []
    for task in config.tasks:
        pairs = {part: _pairs(config, task, part) for part in PARTS}
        found[task] = compared(config, task, pairs)
        shown += _shown(config, task, *pairs["held_out"])
    record = {
        "resolution": config.resolution,
        "pairs_seen": config.pairs_seen,
        "arms": {arm: ARMS[arm].title for arm in config.arms},
        "tasks": found,
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
    each = {arm: measure(config, task, arm, pairs) for arm in config.arms}
    means = {
        arm: {part: _mean(starts) for part, starts in parts.items()} for arm, parts in each.items()
    }
    trained = {arm: parts["held_out"] for arm, parts in each.items() if ARMS[arm].script}
    return summary(TASKS[task].title, means) | {
        "starts": {arm: len(starts) for arm, starts in trained.items()},
        "moved": {arm: _moved(starts) for arm, starts in trained.items()},
        "predicts": TASKS[task].predicts,
    }


def measure(
    config: Config,
    task: str,
    arm: str,
    pairs: dict[str, Pairs],  # By part.
) -> dict[str, list[dict[str, Any]]]:
    """By part, figures of one arm from each start: those of a picture as [N], else numbers."""
    runs = [_trained(config, task, arm, seed) for seed in seeds(config, task, arm)]
    found = {}
    for part, (sources, targets) in pairs.items():
        made = [translated(genmodels.load(run), sources) for run in runs] or [sources]
        found[part] = [_figures(one, targets) for one in made]
    return found


def _mean(starts: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: np.mean([own[key] for own in starts], axis=0) for key in starts[0]}


def _moved(starts: list[dict[str, Any]]) -> dict[str, float]:
    """How far apart an arm's starts end."""
    return {key: float(np.ptp([own[key].mean() for own in starts])) for key in COMPARED}


def seeds(config: Config, task: str, arm: str) -> tuple[int, ...]:
    """From how many and which starts an arm is trained for a task."""
    if ARMS[arm].script is None:
        return ()
    return config.seeds[:1] if {task, arm} & set(config.once) else config.seeds


def _trained(config: Config, task: str, arm: str, seed: int) -> Path:
    """A run's published model; what it lacks in training it gets now."""
    words, folder = command(config, task, arm, seed)
    record = folder / "model" / "run.json"
    print(f"{task}, {arm}, seed {seed}", flush=True)
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
    told, data = facts["config"], config.data / TASKS[task].data
    for part, side, key in (
        ("train", side_to_load(told["resolution"], told["jitter"]), "fingerprint"),
        ("held_out", told["resolution"], "held_out_fingerprint"),
    ):
        if _fingerprint(data / part, side, config.out / "cache") != facts["data"][key]:
            raise ValueError(
                f"{folder} must be a run on the pairs in {data}, its {part} pairs were others: "
                "remove it to train it anew"
            )


@lru_cache
def _fingerprint(folder: Path, resolution: int, cache_dir: Path) -> str:
    return PairFolder(folder, resolution, cache_dir=cache_dir).fingerprint


def _was_asked(words: list[str], facts: dict[str, Any]) -> bool:
    """Whether a published model is what the command asks for: then there is nothing to do."""
    flags = zip(words[2::2], words[3::2], strict=True)
    asked = {flag[2:].replace("-", "_"): value for flag, value in flags}
    told = facts["config"]  # Without the paths of a machine; the summary changes no weight.
    shared = asked.keys() & told.keys() - {"summary"}
    is_whole = facts["steps"] == told["steps"]
    return is_whole and all(_says(asked[key], told[key]) for key in shared)


def _says(word: str, value: Any) -> bool:
    """Whether a word of a command is the value of a flag: "0" is 0.0."""
    return word == str(value) or (isinstance(value, float) and float(word) == value)


def _shown(config: Config, task: str, sources: Tensor, targets: Tensor) -> list[Tensor]:
    """Row by row some sources, what each network makes of them, and their targets."""
    rows = evenly(len(sources), SHOWN + 2)[1:-1]  # Not the ends.
    sources, targets = sources[rows], targets[rows]
    runs = [
        command(config, task, arm, config.seeds[0])[1] / "model"
        for arm in config.arms
        if ARMS[arm].script
    ]
    made = [translated(genmodels.load(run), sources) for run in runs]
    return list(torch.stack([sources, *made, targets], dim=1).flatten(0, 1))


def command(config: Config, task: str, arm: str, seed: int) -> tuple[list[str], Path]:
    """The training command of one run, and its folder."""
    chosen, own = ARMS[arm], TASKS[task]
    assert chosen.script is not None
    folder = config.out / f"{task}-{arm}-{seed}"
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
    found: dict[str, Any] = {"title": title, "parts": {}}
    for part in PARTS:
        own = {arm: parts[part] for arm, parts in values.items()}
        found["parts"][part] = {
            "pairs": len(next(iter(own.values()))["psnr"]),
            "arms": {
                arm: {key: _with_interval(value) for key, value in panel.items()}
                for arm, panel in own.items()
            },
            "margins": {
                f"{one} - {other}": {
                    key: _with_interval(own[one][key] - own[other][key]) for key in COMPARED
                }
                for one, other in MARGINS
                if one in own and other in own
            },
        }
    return found


def _figures(made: Tensor, targets: Tensor) -> dict[str, Any]:
    results = {name: METRICS[name].function(made, targets) for name in (*paired_metrics(), "swd")}
    return {
        name: result.values if METRICS[name].takes == "pair" else float(result)
        for name, result in results.items()
    } | {"ssim_seed": ssim_seed(made, targets), "psnr_seed": psnr_seed(made, targets)}


def _with_interval(values: Any) -> dict[str, float]:
    """Of one value per picture; of a single number there is none."""
    if not np.ndim(values):
        return {"value": float(values)}
    low, high = metrics.bootstrap_interval(values)
    return {"value": float(values.mean()), "low": low, "high": high}


if __name__ == "__main__":
    compare(tyro.cli(Config))
