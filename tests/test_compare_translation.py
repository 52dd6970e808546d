"""The comparison of translating networks: equal runs, paired intervals, the project's formulas."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from genmodels import metrics
from tests import tiny_training
from training import compare_translation
from training.compare_translation import Arm, Config, Task, compare
from training.project_formulas import psnr_seed, ssim_seed


def photographs(count, seed=0):
    """Soft pictures, uint8 [N, 3, 32, 32]."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    large = [np.asarray(Image.fromarray(one).resize((32, 32))) for one in blocks]
    return torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2).contiguous()


def test_the_projects_ssim_cannot_see_structure():
    real = photographs(5)
    places = torch.randperm(32 * 32, generator=torch.Generator().manual_seed(0))
    shuffled = real.flatten(2)[..., places].view_as(real)
    assert ssim_seed(shuffled, real) == pytest.approx(1.0)
    assert metrics.ssim(shuffled, real) < 0.2
    assert (ssim_seed(255 - real, real) < 1).all()


def test_the_projects_psnr_is_lower_by_six_decibels():
    real = photographs(5)
    made = (real.int() + 9).clamp(0, 255).to(torch.uint8)
    true = 10 * np.log10(255**2 / float(metrics.mse(made, real)))
    assert psnr_seed(made, real) == pytest.approx(true - 20 * np.log10(2), abs=1e-4)


@pytest.fixture
def config(tmp_path, monkeypatch):
    sides = ("train/source", "train/target", "held_out/source", "held_out/target")
    for seed, side in enumerate(sides):
        folder = tmp_path / "data/pairs-tiny" / side
        tiny_training.photographs(folder, 12 if "train" in side else 6, seed)
        (folder / "metadata.jsonl").unlink()
    monkeypatch.setattr(compare_translation, "TASKS", {"comic": Task("Tiny", "pairs-tiny")})
    tiny = "--levels 3 --base-channels 4 --max-channels 8 --receptive-field 16"
    arms = {
        "identity": Arm("nothing done"),
        "autoencoder": Arm("the other", "train_pix2pix.py", tiny + " --adversarial-weight 0"),
        "pix2pix": Arm("ours", "train_pix2pix.py", tiny, is_ours=True),
    }
    monkeypatch.setattr(compare_translation, "ARMS", arms)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return Config(
        data=tmp_path / "data",
        out=tmp_path / "runs",
        tasks=("comic",),
        arms=tuple(arms),
        seeds=(0,),
        resolution=32,
        pairs_seen=8,
        results=tmp_path / "results",
    )


@pytest.mark.slow
def test_arms_are_trained_measured_and_set_beside_each_other(config):
    compare(config)
    record = json.loads((config.results / "translation.json").read_text())
    task = record["tasks"]["comic"]
    assert task["held_out"] == 6
    assert task["arms"]["identity"]["parameters"] == {"value": 0.0}
    ours, other = (task["arms"][arm]["psnr"]["value"] for arm in ("pix2pix", "autoencoder"))
    margin = task["margins"]["pix2pix - autoencoder"]["psnr"]
    assert margin["value"] == pytest.approx(ours - other)
    assert margin["low"] <= margin["value"] <= margin["high"]
    told = (config.results / "translation.md").read_text()
    assert "### Tiny, 6 held-out pairs" in told
    assert "- ours minus the other: PSNR" in told
    assert "the project printed 20.97 and 19.7 dB" in told
    ended = {path: path.stat().st_mtime_ns for path in config.out.glob("*/checkpoints/*")}
    compare(config)  # It resumes, where there is nothing left to do.
    assert {path: path.stat().st_mtime_ns for path in config.out.glob("*/checkpoints/*")} == ended
    assert (config.results / "translation.md").read_text() == told


def test_every_run_sees_as_many_pairs_with_the_same_schedule(tmp_path):
    config = Config(data=tmp_path, out=tmp_path)
    words = {
        arm: compare_translation.command(config, "coloring", arm, 1)[0]
        for arm, own in compare_translation.ARMS.items()
        if own.script
    }
    for flag in ("--steps", "--batch-size", "--resolution", "--seed", "--data", "--held-out"):
        assert len({own[own.index(flag) + 1] for own in words.values()}) == 1, flag
    assert words["pix2pix"][words["pix2pix"].index("--predicts") + 1] == "chroma"
    assert words["autoencoder"][words["autoencoder"].index("--predicts") + 1] == "rgb"


def test_what_cannot_be_compared_is_refused(config):
    for changed, words in (
        ({"tasks": ("depth",)}, "tasks must be among comic"),
        ({"arms": ("vae",)}, "arms must be among identity"),
        ({"pairs_seen": 9}, "multiple of 4"),
        ({"seeds": ()}, "one or more"),
    ):
        with pytest.raises(ValueError, match=words):
            compare(Config(**{**vars(config), **changed}))
