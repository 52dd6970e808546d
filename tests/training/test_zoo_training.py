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


def config_of(tmp_path, **settings):
    return zoo.Config(data=tmp_path / "data", out=tmp_path / "runs", budget_seconds=0, **settings)


def begun(tmp_path, name, **flags):
    (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / name / "config.json").write_text(json.dumps(flags))


def test_images_without_a_held_out_folder_are_given_as_one(tmp_path):
    words = zoo.command(config_of(tmp_path), "anime-dcgan-64", 60)
    assert words[words.index("--data") + 1] == str(tmp_path / "data/anime-64")
    assert "--held-out" not in words
    words = zoo.command(config_of(tmp_path), "cars-dcgan-64", 60)
    assert words[words.index("--held-out") + 1] == str(tmp_path / "data/cars-64/held_out")


def test_anime_faces_are_trained_on_as_many_images_as_the_cars_beside_them():
    flags = zoo.ZOO["anime-dcgan-64"].flags.split()
    cars = embedded.facts("cars-dcgan-64")
    steps = int(flags[flags.index("--steps") + 1])
    assert steps * cars["config"]["batch_size"] == 296_448


@pytest.mark.parametrize("name", zoo.ZOO)
def test_the_notes_of_a_card_exist(name, tmp_path):
    for note in zoo.ZOO[name].card_notes:
        assert (zoo.RESULTS / note).is_file()
        assert str(zoo.RESULTS / note) in zoo.command(config_of(tmp_path), name, 60)


def test_a_new_run_starts_from_nothing_unless_told_to_continue(tmp_path):
    name = "cars-stylegan2-64"
    assert zoo.start_flags(config_of(tmp_path), name) == []
    words = zoo.start_flags(config_of(tmp_path, continue_installed=True), name)
    assert words[:2] == ["--init-from", name]
    assert words[2:] == ["--conditions-from-images", "0", "--conditions-full-images", "0"]
    not_installed = "cars-stylegan2-128"
    assert zoo.start_flags(config_of(tmp_path, continue_installed=True), not_installed) == []


def test_a_model_with_a_parent_starts_from_it_and_a_begun_one_from_where_it_stands(tmp_path):
    name = "cars-stylegan2-studio-64"
    words = zoo.start_flags(config_of(tmp_path), name)
    assert words[:2] == ["--init-from", "cars-stylegan2-64"]
    begun(tmp_path, name, init_from=None)
    assert zoo.start_flags(config_of(tmp_path), name) == []


@pytest.mark.parametrize("continue_installed", [True, False])
def test_a_begun_run_keeps_what_it_started_from(continue_installed, tmp_path):
    config = config_of(tmp_path, continue_installed=continue_installed)
    begun(tmp_path, "cars-dcgan-64", init_from=None)
    begun(tmp_path, "cars-stylegan2-64", init_from="cars-stylegan2-64")
    assert zoo.start_flags(config, "cars-dcgan-64") == []
    words = zoo.start_flags(config, "cars-stylegan2-64")
    assert words[:2] == ["--init-from", "cars-stylegan2-64"]
