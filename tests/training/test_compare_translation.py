"""The comparison of translating networks: equal runs, paired intervals, the project's formulas."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from genmodels import metrics
from tests.support import tiny_training
from training.experiments import compare_translation, translation_table
from training.experiments.compare_translation import MARKS, Config, compare
from training.experiments.project_formulas import psnr_seed, ssim_seed
from training.experiments.translation_networks import Task, Variant


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
    variants = {
        "identity": Variant("nothing done"),
        "autoencoder": Variant("the other", "train_pix2pix.py", tiny + " --adversarial-weight 0"),
        "pix2pix": Variant("ours", "train_pix2pix.py", tiny, is_ours=True),
    }
    monkeypatch.setattr(compare_translation, "VARIANTS", variants)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    (tmp_path / "README.md").write_text("Above.\n" + "an old table\n".join(MARKS) + "Below.\n")
    return Config(
        data=tmp_path / "data",
        out=tmp_path / "runs",
        tasks=("comic",),
        variants=tuple(variants),
        seeds=(0,),
        resolution=32,
        pairs_seen=8,
        results=tmp_path / "results",
        document=tmp_path / "README.md",
    )


@pytest.mark.slow
def test_arms_are_trained_measured_and_set_beside_each_other(config):
    compare(config)
    record = json.loads((config.results / "translation.json").read_text())
    parts = record["tasks"]["comic"]["parts"]
    assert [parts[part]["pairs"] for part in ("held_out", "train")] == [6, 12]
    for part in parts.values():
        ours, other = (
            part["arms"][variant]["psnr"]["value"] for variant in ("pix2pix", "autoencoder")
        )
        margin = part["margins"]["pix2pix - autoencoder"]["psnr"]
        assert margin["value"] == pytest.approx(ours - other)
        assert margin["low"] <= margin["value"] <= margin["high"]
    told = (config.results / "translation-comic.md").read_text()
    assert "Figures are of\n6 held-out pairs" in told
    assert "12 of the pairs that were trained on" in told
    assert told.count("- ours minus the other: PSNR, dB ") == 2
    assert "| its autoencoder, as it printed |  |  | 19.7 | 0.6852 |  |" in told
    above, table, below = re.split("|".join(map(re.escape, MARKS)), config.document.read_text())
    assert (above, below) == ("Above.\n", "Below.\n")
    nothing = parts["held_out"]["arms"]["identity"]["psnr"]["value"]
    assert f"| nothing done | {nothing:.3g} (" in table
    assert "| ours minus the other | " in table
    assert "as it printed | +1.27 | +0.198 |" in table
    with Image.open(config.results / "translation.jpg") as sheet:
        assert sheet.size == (4 * 32 + 3 * 2, 2 * 32 + 2)  # Source, two networks, target.
    ended = {path: path.stat().st_mtime_ns for path in config.out.glob("*/checkpoints/*")}
    compare(config)  # It resumes, where there is nothing left to do.
    assert {path: path.stat().st_mtime_ns for path in config.out.glob("*/checkpoints/*")} == ended
    assert (config.results / "translation-comic.md").read_text() == told
    pairs = config.data / "pairs-tiny"
    (pairs / "held_out").rename(pairs / "spare")
    shutil.copytree(pairs / "train", pairs / "held_out")  # All of it was trained on.
    compare_translation._fingerprint.cache_clear()
    with pytest.raises(ValueError, match="its held_out pairs were others"):
        compare(config)
    assert (config.results / "translation-comic.md").read_text() == told


def test_a_flag_is_compared_by_its_value(config):
    words, _ = compare_translation.command(config, "comic", "autoencoder", 0)
    told = {"steps": 2, "batch_size": 4, "adversarial_weight": 0.0, "mixed_precision": "no"}
    facts = {"steps": 2, "config": told}
    assert compare_translation._was_asked(words, facts)
    for key, other in (("adversarial_weight", 0.5), ("batch_size", 8), ("mixed_precision", "bf16")):
        assert not compare_translation._was_asked(
            words, {"steps": 2, "config": told | {key: other}}
        )
    assert not compare_translation._was_asked(words, facts | {"steps": 1})


def test_a_variant_or_a_task_that_takes_hours_may_be_trained_once(config):
    config = Config(**{**vars(config), "seeds": (3, 4), "single_seed": ("pix2pix", "monet")})
    starts = {
        variant: compare_translation.seeds(config, "comic", variant) for variant in config.variants
    }
    assert starts == {"identity": (), "autoencoder": (3, 4), "pix2pix": (3,)}
    assert compare_translation.seeds(config, "monet", "autoencoder") == (3,)
    tasks = {"comic": {"starts": {"autoencoder": 2, "pix2pix": 1}}}
    record = {"tasks": tasks, "arms": {"pix2pix": "ours"}}
    assert translation_table.starts(record, "comic") == "Starts of each training: 2; ours: 1."


def test_how_far_apart_two_starts_end_is_told():
    near, far = ({"psnr": np.full(3, 20.0 + x), "ssim": np.full(3, x)} for x in (0, 0.25))
    moved = {"autoencoder": compare_translation._moved([near, far])}
    assert moved["autoencoder"] == pytest.approx({"psnr": 0.25, "ssim": 0.25})
    moved["pix2pix"] = compare_translation._moved([near])
    tasks = {"comic": {"starts": {"autoencoder": 2, "pix2pix": 1}, "moved": moved}}
    told = translation_table._apart({"tasks": tasks}, "comic")
    assert told.endswith("so far apart: 0.25 in PSNR, dB; 0.25 in SSIM.")
    tasks["comic"]["starts"]["autoencoder"] = 1
    assert translation_table._apart({"tasks": tasks}, "comic") == ""


def test_every_run_sees_as_many_pairs_with_the_same_schedule(tmp_path):
    config = Config(data=tmp_path, out=tmp_path)
    words = {
        variant: compare_translation.command(config, "coloring", variant, 1)[0]
        for variant, own in compare_translation.VARIANTS.items()
        if own.script
    }
    for flag in ("--steps", "--batch-size", "--resolution", "--seed", "--data", "--held-out"):
        assert len({own[own.index(flag) + 1] for own in words.values()}) == 1, flag
    assert words["pix2pix"][words["pix2pix"].index("--predicts") + 1] == "chroma"
    assert words["autoencoder"][words["autoencoder"].index("--predicts") + 1] == "rgb"


def test_what_cannot_be_compared_is_refused(config):
    for changed, words in (
        ({"tasks": ("depth",)}, "tasks must be among comic"),
        ({"variants": ("vae",)}, "variants must be among identity"),
        ({"pairs_seen": 9}, "multiple of 4"),
        ({"seeds": ()}, "one or more"),
        ({"single_seed": ("pix2pix-paper",)}, "single_seed must be among comic, identity"),
    ):
        with pytest.raises(ValueError, match=words):
            compare(Config(**{**vars(config), **changed}))


def test_a_readme_without_marks_is_refused_before_anything_is_trained(config):
    config.document.write_text("Nothing to be written between.\n")
    with pytest.raises(ValueError, match="must hold the lines <!-- compare_translation"):
        compare(config)
    assert not config.out.exists()
