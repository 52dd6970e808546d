"""The one command that trains several zoo models in turn."""

import json

import numpy as np
import pytest
from PIL import Image

from genmodels import zoo as embedded
from training import zoo


def tiny_recipe(script):
    return zoo.Recipe(
        script=script,
        data="squares-32",
        flags="--resolution 32 --steps 2 --batch-size 4 --base-channels 4 --max-channels 8 "
        "--threads 1",
        gpu_flags="--resolution 32 --steps 2 --batch-size 4 --base-channels 4 --max-channels 8",
        summary="squares",
        data_name="random squares",
        licence="none needed",
    )


def write_images(folder, count, seed):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(folder / f"{i:03d}.png")


@pytest.mark.slow
def test_models_are_trained_published_and_installed_in_turn(tmp_path, monkeypatch):
    write_images(tmp_path / "data/squares-32/train", 24, seed=0)
    write_images(tmp_path / "data/squares-32/held_out", 16, seed=1)
    monkeypatch.setattr(zoo, "ZOO", {"a-dcgan-32": tiny_recipe("train_dcgan.py")})
    monkeypatch.setattr(zoo, "INSTALLED", tmp_path / "zoo")
    monkeypatch.setattr(embedded, "FOLDER", tmp_path / "zoo")
    config = zoo.Config(
        data=tmp_path / "data",
        out=tmp_path / "runs",
        budget_seconds=600,
        models=("a-dcgan-32",),
        install=True,
    )
    zoo.train(config)
    assert embedded.names() == ["a-dcgan-32"]
    facts = json.loads((tmp_path / "zoo/a-dcgan-32/run.json").read_text())
    assert facts["name"] == "a-dcgan-32"
    assert facts["images_seen"] == 8
    assert facts["data"]["name"] == "random squares"


def test_a_budget_that_leaves_no_time_to_train_is_refused(tmp_path):
    config = zoo.Config(data=tmp_path, out=tmp_path / "runs", budget_seconds=60)
    with pytest.raises(ValueError, match="budget_seconds leaves 30 s"):
        zoo.train(config)


def test_an_unknown_model_is_refused_with_the_known_ones(tmp_path):
    config = zoo.Config(data=tmp_path, out=tmp_path, budget_seconds=600, models=("boats",))
    with pytest.raises(ValueError, match="cars-dcgan-64"):
        zoo.train(config)
