"""The ablation of the car models: equal variants, one table, nothing trained twice."""

import json
import sys

import pytest

from tests.support import tiny_training
from training.experiments import compare_cars
from training.runs.command import refuse_renamed

TINY = "--base-channels 4 --max-channels 8 --z-dim 8"


@pytest.fixture
def config(tmp_path, monkeypatch):
    for split, count, seed in (("train", 40, 0), ("held_out", 16, 1)):
        tiny_training.photographs(tmp_path / "data/tiny" / split, count, seed)
    variants = {
        "plain": compare_cars.Variant("As they are", "tiny", TINY, "train_dcgan.py"),
        "conditions": compare_cars.Variant(
            "With conditions", "tiny", TINY + " --conditions body year"
        ),
    }
    monkeypatch.setattr(compare_cars, "VARIANTS", variants)
    return compare_cars.Config(
        data=tmp_path / "data",
        out=tmp_path / "runs",
        variants=("plain",),
        images_seen=128,
        num_learnt=32,
        results=tmp_path / "results",
    )


def value_of(words, flag):
    return int(words[words.index(flag) + 1])


def test_every_variant_sees_as_many_images(tmp_path):
    config = compare_cars.Config(data=tmp_path, out=tmp_path)
    for name in compare_cars.VARIANTS:
        words = compare_cars.command(config, name)
        seen = value_of(words, "--steps") * value_of(words, "--batch-size")
        assert seen == config.images_seen, name


def test_images_that_do_not_divide_into_batches_are_refused(tmp_path):
    config = compare_cars.Config(data=tmp_path, out=tmp_path, images_seen=100_000)
    with pytest.raises(ValueError, match="images_seen must be a multiple"):
        compare_cars.compare(config)


def test_an_unknown_variant_is_refused_with_the_known_ones(tmp_path):
    config = compare_cars.Config(data=tmp_path, out=tmp_path, variants=("boats",))
    with pytest.raises(ValueError, match="stylegan2-view"):
        compare_cars.compare(config)


def test_an_interrupted_variant_is_not_measured(config):
    with pytest.raises(ValueError, match="plain must have seen 128 images, it has seen 0"):
        compare_cars.measure(config, "plain")


@pytest.mark.slow
def test_a_variant_is_trained_measured_and_tabled_once(config, monkeypatch, capfd):
    monkeypatch.setattr(compare_cars, "two_sample_test", fixed_answer)
    compare_cars.compare(config)
    record = json.loads((config.results / "cars_ablation.json").read_text())
    assert record["images_seen"] == 128
    variant = record["arms"]["plain"]
    assert variant["metrics"]["n"] == 16
    assert list(variant["told_apart"]) == ["4", "8", "32"]
    text = (config.results / "cars_ablation.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| As they are"))
    assert "| 16 | 0.54 (0.50 to 0.90) | 0.58 (0.50 to 0.90) | 0.82 (0.50 to 0.90) |" in row
    assert f"{variant['metrics']['swd']['value']:.3g} (" in row
    capfd.readouterr()
    compare_cars.compare(config)
    assert "measuring" not in capfd.readouterr().out
    assert (config.results / "cars_ablation.md").read_text() == text


def test_a_renamed_flag_is_refused_with_its_new_name(monkeypatch):
    for words in (["--arms", "dcgan"], ["--arms=dcgan"]):
        monkeypatch.setattr(sys, "argv", ["compare_cars", *words])
        with pytest.raises(ValueError, match="--arms is now called --variants"):
            refuse_renamed({"--arms": "--variants"})


def fixed_answer(real, fake, *, side):
    """In the test's own second, rather than in three trainings."""
    assert [len(part) for part in real] == [len(part) for part in fake] == [32, 16]
    return {"value": 0.5 + side / 100, "low": 0.5, "high": 0.9}
