"""Painters against paintings: on small pictures, with the real teacher and a tiny network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from genmodels.models import pix2pix
from training.experiments import compare_painters
from training.experiments.compare_painters import Config, compare

WARM = np.array([1.0, 0.75, 0.45])


def pictures(folder, count, tint, seed):
    """Soft pictures of 64 px with fine noise, tinted."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        blocks = Image.fromarray(rng.integers(256, size=(5, 5, 3), dtype=np.uint8))
        soft = np.asarray(blocks.resize((64, 64), Image.Resampling.BICUBIC)) * tint
        noisy = soft + rng.normal(0, 8, soft.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("painters")
    torch.manual_seed(0)
    generator = pix2pix.Generator(levels=3, base_channels=4, max_channels=8)
    genmodels.Pix2PixPipeline(generator).save_pretrained(root / "toy" / "model")
    return Config(
        photos=pictures(root / "photos", 16, np.ones(3), seed=1),
        paintings=pictures(root / "paintings", 36, WARM, seed=2),
        painters=(str(root / "toy" / "model"),),
        resolution=64,
        results=root / "results",
    )


@pytest.fixture(scope="module")
def record(config):
    compare(config)
    return json.loads((config.results / "painters.json").read_text())["painters"]


def test_every_painter_is_measured_beside_the_photographs_and_other_paintings(record):
    assert list(record) == ["the photographs", "the teacher", "toy", "other paintings"]
    assert record["the photographs"]["kept"]["value"] == 1
    assert 0 < record["the teacher"]["kept"]["value"] < 1
    for panel in record.values():
        assert panel["colour"]["low"] <= panel["colour"]["value"] <= panel["colour"]["high"]


def test_the_teacher_has_the_paintings_colours_and_is_said_to_be_nearer(record):
    nearer = record["the teacher"]["colour_nearer"]
    assert nearer["value"] < nearer["high"] < 0
    apart = record["the teacher"]["colour"]["value"] - record["the photographs"]["colour"]["value"]
    assert nearer["value"] == pytest.approx(apart)
    assert "colour_nearer" not in record["the photographs"]


def test_the_table_has_a_line_for_each_of_them(config, record):
    text = (config.results / "painters.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == list(record)
    assert f"{record['toy']['swd']['value']:.3g} (" in text
    assert "16 photographs at 64 px" in text


def test_painters_of_one_name_are_refused(config):
    (own,) = config.painters
    with pytest.raises(ValueError, match="must differ by name, got toy, toy"):
        compare(replace(config, painters=(own, own)))


def test_a_runs_model_is_called_after_the_run():
    assert compare_painters.label("runs/mine/model") == "mine"
    assert compare_painters.label("monet-pix2pix-128") == "monet-pix2pix-128"
