"""Photographs and runs so small that a test can train on them: shared by the tests of training."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from genmodels.metrics import distribution
from tests import golden
from training.judges import classifier, condition_accuracy
from training.publish import samples
from training.runs import checkpoint, forecast

BODIES = ("coupe", "suv", "van")
SMALL = {"resolution": 32, "z_dim": 8, "base_channels": 4, "max_channels": 8, "batch_size": 8}
QUIET = {"log_every": 1, "save_every": 1, "threads": 1}
DCGAN = SMALL | QUIET
# Everything that keeps a state: ADA, conditions that fade in, path length, mixing, lazy R1.
STYLEGAN2 = DCGAN | {
    "w_dim": 8,
    "augment": "ada",
    "conditions": ("body", "year"),
    "conditions_from_images": 8,
    "conditions_full_images": 24,
    "path_length_weight": 2.0,
    "path_length_every": 2,
    "r1_every": 2,
    "mixing_probability": 0.9,
}
NVAE = QUIET | {
    "resolution": 32,
    "batch_size": 8,
    "base_channels": 4,
    "max_channels": 8,
    "latents": "4:1x2 8:1x2",
    "conditions": ("body", "year"),
    "kl_warmup_images": 16,
    "lr_warmup_steps": 2,
    "decay_from": 1.0,  # A falling rate depends on how many steps there are in all.
    "calibration_passes": 1,
}


# Forecasts and judges would take longer than these runs: modules, names, and what is enough here.
SHORTENED = (
    (forecast, "PROBE_SECONDS", 0.0),
    (classifier, "MAX_IMAGES", 128),
    (condition_accuracy, "NUM_SAMPLES", 18),
    (samples, "SHARES_FROM", 8),
    (distribution, "NUM_PROJECTIONS", 16),
)


@contextmanager
def quick_on_the_cpu() -> Iterator[None]:
    """Exactness is promised on CPUs; what would take long is shortened."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        for module, name, value in SHORTENED:
            patch.setattr(module, name, value)
        yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def photographs(folder: Path, count: int, seed: int = 0) -> Path:
    """Soft random pictures of 32 px, labelled with a class and a number."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    with (folder / "metadata.jsonl").open("w") as metadata:
        for i in range(count):
            blocks = Image.fromarray(rng.integers(256, size=(4, 4, 3), dtype=np.uint8))
            blocks.resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{i:03d}.png")
            row = {"file_name": f"{i:03d}.png", "body": BODIES[i % 3], "year": 1990 + i}
            metadata.write(json.dumps(row) + "\n")
    return folder


def pairs(root: Path) -> dict[str, str]:
    """Soft pictures, and as targets the same ones upside down in brightness: the flags of both."""
    for split, count in (("train", 12), ("held_out", 6)):
        source, target = root / split / "source", root / split / "target"
        photographs(source, count, seed=len(split))
        (source / "metadata.jsonl").unlink()
        target.mkdir()
        for path in source.iterdir():
            Image.fromarray(255 - np.asarray(Image.open(path))).save(target / path.name)
    return {"data": str(root / "train"), "held_out": str(root / "held_out")}


def two_sets(root: Path) -> dict[str, str]:
    """Soft pictures, and others in warm colours: the flags of both."""
    for name, count, seed in (("photos", 70, 1), ("warm", 72, 2)):
        photographs(root / name, count, seed=seed)
        (root / name / "metadata.jsonl").unlink()
    for path in (root / "warm").iterdir():
        pixels = np.asarray(Image.open(path)) * np.array([1.0, 0.6, 0.2]) + [0, 40, 20]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return {"data": str(root / "photos"), "targets": str(root / "warm")}


def flags(**settings: Any) -> list[str]:
    """The command line of these settings."""
    words: list[str] = []
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        words += ["--" + name.replace("_", "-"), *map(str, values)]
    return words


def state(out: Path) -> dict[str, Tensor]:
    """Every tensor of a run's newest checkpoint: networks, averages, moments, ADA."""
    newest = checkpoint.newest(out / "checkpoints")
    assert newest is not None
    return load_file(newest / checkpoint.TENSORS)


def assert_is_named_as_before(out: Path, family: str) -> None:
    """The newest checkpoint names its tensors and counters as those of runs that are to go on."""
    known = json.loads((golden.FOLDER / "checkpoints.json").read_text())[family]
    newest = checkpoint.newest(out / "checkpoints")
    assert newest is not None
    counters = json.loads((newest / checkpoint.NUMBERS).read_text())["counters"]
    assert sorted(state(out)) == known["tensors"]
    assert set(known["counters"]) <= counters.keys()


def forget(out: Path, *steps: int) -> None:
    """Take a run's checkpoints of these steps away."""
    for step in steps:
        shutil.rmtree(out / "checkpoints" / f"step_{step:08d}")


def log(out: Path) -> list[dict[str, float]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
