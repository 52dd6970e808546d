"""Condition accuracy: the classifier finds conditions that are there, and no others."""

import json
import random

import numpy as np
import pytest
import torch
from PIL import Image

from genmodels.data import conditions
from genmodels.data.image_folder import ImageFolder
from genmodels.hub.pipelines import ImageOutput
from genmodels.models import stylegan2
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline
from tests.support import tiny_training
from training.judges import agreement, classifier, condition_accuracy
from training.judges.condition_accuracy import card_section

SHAPES = ("bar", "column", "square")


def paint(shape, number, rng):
    """A light shape on dark noise; the number, 0 to 100, is how blue it is."""
    pixels = rng.integers(0, 60, (32, 32, 3)).astype(np.uint8)
    rows = slice(12, 20) if shape == "bar" else slice(4, 28)
    columns = slice(12, 20) if shape == "column" else slice(4, 28)
    pixels[rows, columns] = (160, 160, 100 + 1.5 * number)
    return Image.fromarray(pixels)


class Painter:
    """Paints what it is asked for, or what it likes; called as a pipeline is."""

    def __init__(self, schema, obeys):
        self.schema, self.obeys = schema, obeys

    def __call__(self, num_images, *, seed, condition):
        assert num_images == 1
        asked = conditions.draw(self.schema, condition, random.Random(seed))
        done = asked if self.obeys else conditions.draw(self.schema, None, random.Random(seed + 7))
        picture = paint(done["shape"], done["number"], np.random.default_rng(seed))
        recipe = {"settings": {"condition": asked}}
        return ImageOutput(images=[picture], recipes=[recipe])


def write_set(folder, count, seed, labelled=True):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        label = {"shape": SHAPES[min(i % 6, 2)], "number": int(rng.integers(101))}
        paint(**label, rng=rng).save(folder / f"{i:03d}.png")
        rows.append(json.dumps({"file_name": f"{i:03d}.png"} | (label if labelled else {})))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module", autouse=True)
def quick():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "MAX_IMAGES", 2_400)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("conditions")
    return (
        ImageFolder(write_set(root / "train", 120, 0), 32, conditions=("shape", "number")),
        ImageFolder(write_set(root / "held_out", 48, 1), 32),
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def followed(sets, cache):
    """The figures of a model that follows its conditions, and of one that ignores them."""
    data, held_out = sets
    return {
        obeys: condition_accuracy.conditions_followed(
            Painter(data.schema, obeys), data, held_out, cache_dir=cache, num_samples=90
        )
        for obeys in (True, False)
    }


def test_a_model_that_follows_its_conditions_scores_above_one_that_ignores_them(followed):
    obeyed, ignored = (followed[obeys]["conditions"] for obeys in (True, False))
    assert obeyed["shape"]["evenly"]["value"] > 0.9
    assert obeyed["number"]["spearman"]["value"] > 0.7
    assert ignored["shape"]["evenly"]["low"] < 1 / 3 < ignored["shape"]["evenly"]["high"]
    assert ignored["number"]["spearman"]["low"] < 0 < ignored["number"]["spearman"]["high"]
    errors = [each["number"]["mean_absolute_error"]["value"] for each in (obeyed, ignored)]
    assert errors[0] < errors[1]


def test_real_images_and_chance_stand_beside_the_samples(followed):
    shape = followed[False]["conditions"]["shape"]
    assert shape["evenly"]["real"] > 0.9
    assert shape["evenly"]["chance"] == pytest.approx(1 / 3)
    assert shape["by_frequency"]["chance"] == pytest.approx(4 / 6)  # "square" in four of six.
    assert followed[False]["num_held_out"] == 48
    assert set(shape["by_value"]) == set(SHAPES)


def test_the_card_says_in_words_whether_conditions_are_followed(followed):
    assert "no sign that the model follows it" in card_section(followed[False])
    assert "no sign that the model follows it" not in card_section(followed[True])
    json.dumps(followed)  # Goes into run.json.


def test_held_out_images_without_labels_leave_the_ceiling_open(sets, cache, tmp_path):
    data, _ = sets
    held_out = ImageFolder(write_set(tmp_path / "bare", 20, 2, labelled=False), 32)
    found = condition_accuracy.conditions_followed(
        Painter(data.schema, True), data, held_out, cache_dir=cache, num_samples=18
    )
    assert found["conditions"]["shape"]["evenly"]["real"] is None
    assert found["num_held_out"] == 0
    assert "carry no labels" in card_section(found)


def test_the_classifier_is_trained_once_per_data_set(sets, cache, followed, monkeypatch):
    data, _ = sets
    assert len(list(cache.glob("judge-*.safetensors"))) == 1
    first = condition_accuracy.condition_classifier(data, cache, torch.device("cpu"))
    monkeypatch.setattr(
        classifier, "MAX_IMAGES", 64
    )  # Would give another classifier, were it trained.
    again = condition_accuracy.condition_classifier(data, cache, torch.device("cpu"))
    assert torch.equal(first.head.weight, again.head.weight)
    other = condition_accuracy.condition_classifier(data, None, torch.device("cpu"))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_measuring_leaves_the_random_numbers_of_the_run_alone(sets, monkeypatch):
    monkeypatch.setattr(classifier, "MAX_IMAGES", 64)
    before = torch.get_rng_state()
    condition_accuracy.condition_classifier(sets[0], None, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_real_pipeline_can_be_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "MAX_IMAGES", 64)
    photos = tiny_training.photographs(tmp_path / "photos", 24)
    data = ImageFolder(photos, 32, conditions=("body", "year"))
    generator = stylegan2.Generator(
        32, 8, 8, conditions.size(data.schema), base_channels=4, max_channels=8
    )
    pipe = StyleGAN2Pipeline(generator.eval(), conditions=data.schema)
    found = condition_accuracy.conditions_followed(
        pipe, data, ImageFolder(photos, 32), num_samples=9
    )
    assert set(found["conditions"]) == {"body", "year"}


@pytest.mark.parametrize(
    ("asked", "seen", "correlation"),
    [([1, 2, 3, 4], [1, 4, 9, 16], 1), ([1, 2, 3], [3, 2, 1], -1), ([1, 2, 3], [5, 5, 5], 0)],
)
def test_rank_correlation_sees_order_only(asked, seen, correlation):
    pairs = np.stack([asked, seen], axis=1)
    assert agreement._spearman(pairs) == pytest.approx(correlation)


def test_favouring_the_frequent_value_wins_nothing():
    pairs = np.array([[0, 0]] * 9 + [[1, 0]])
    assert agreement._accuracy(pairs) == 0.9
    assert agreement._mean_over_values(pairs) == 0.5
