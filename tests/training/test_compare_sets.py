"""The comparison of two sets of images: diversity that was put in must be found."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from training.experiments import compare_sets
from training.judges import diversity

PANEL = {"value": 0.4, "low": 0.3, "high": 0.5, "real_vs_real": 0.1}


def pictures(count, seed, place, background):
    """A disc on a plain ground; place and background are how much these differ between images."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    sheet = np.empty((count, 3, 32, 32))
    for i in range(count):
        centre = 16 + place * rng.uniform(-8, 8, 2)
        ground = 100 + background * rng.uniform(-80, 80, 3)
        is_disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 49
        sheet[i] = np.where(is_disc, 220, ground[:, None, None])
        sheet[i] += rng.normal(0, 4, (3, 32, 32))
    return torch.from_numpy(sheet.clip(0, 255).round().astype(np.uint8))


@pytest.fixture(scope="module")
def found():
    still, moving = pictures(60, 0, 0, 0.1), pictures(60, 1, 1, 0.1)
    colourful = pictures(60, 2, 0, 1)
    return {
        "place": diversity.diversity(moving, still, 0),
        "background": diversity.diversity(colourful, still, 0),
        "nothing": diversity.diversity(still, pictures(60, 3, 0, 0.1), 0),
    }


@pytest.mark.parametrize("key", ["unshared_pixels", "unshared_edges", "ms_ssim"])
def test_things_in_other_places_are_a_more_diverse_layout(found, key):
    assert diversity.is_first_more_diverse(key, found["place"][key]) is True


@pytest.mark.parametrize("key", ["border_colour", "border_to_centre"])
def test_other_backgrounds_are_more_diverse_borders(found, key):
    assert diversity.is_first_more_diverse(key, found["background"][key]) is True


@pytest.mark.parametrize("key", ["border_colour", "unshared_edges", "border_detail"])
def test_two_sets_of_one_source_do_not_differ(found, key):
    assert diversity.is_first_more_diverse(key, found["nothing"][key]) is None


@pytest.fixture
def config(tmp_path):
    """Two folders of pictures and what was published of two models."""
    for index, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        for i, picture in enumerate(pictures(40, index, 1 - index, 0.5)):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / name / f"{i:02d}.png")
        facts = {"name": f"{name}-model", "parameters": 7, "images_seen": 99, "resolution": 64}
        facts["metrics"] = dict.fromkeys(compare_sets.LEARNT, PANEL)
        (tmp_path / f"{name}-model").mkdir()
        (tmp_path / f"{name}-model/run.json").write_text(json.dumps(facts))
    return compare_sets.Config(
        first=tmp_path / "first",
        second=tmp_path / "second",
        names=("moving", "still"),
        models=(str(tmp_path / "first-model"), str(tmp_path / "second-model")),
        results=tmp_path / "results",
    )


def test_the_table_holds_both_sets_and_both_models(config):
    compare_sets.compare(config)
    told = json.loads((config.results / "cars_vs_anime.json").read_text())
    text = (config.results / "cars_vs_anime.md").read_text()
    assert told["num_images"] == 40
    assert set(told["diversity"]) == set(diversity.DIVERSITY)
    assert "`first-model`" in text
    assert "0.4 (0.3 to 0.5; 0.1)" in text
    for title, _ in diversity.DIVERSITY.values():
        assert f"| {title} |" in text


def test_a_figure_that_a_model_has_not_is_none_in_the_table(config, tmp_path):
    record = tmp_path / "second-model/run.json"
    facts = json.loads(record.read_text())
    facts["metrics"]["swd"] = {"value": None, "low": None, "high": None, "real_vs_real": 0.1}
    record.write_text(json.dumps(facts))
    compare_sets.compare(config)
    text = (config.results / "cars_vs_anime.md").read_text()
    assert "| texture (SWD), x1000 | 0.4 (0.3 to 0.5; 0.1) | none |" in text
    assert f"further from real in 0 of {len(compare_sets.LEARNT) - 1} figures" in text


def test_a_model_without_figures_is_refused_with_what_there_is(config, tmp_path):
    (tmp_path / "second-model/run.json").unlink()
    with pytest.raises(ValueError, match="second-model is neither"):
        compare_sets.compare(config)
