"""viewpoints.py: a few labels tell the views of many photographs."""

import csv

import numpy as np
import pytest
from PIL import ImageOps

from tests.support import drawn_cars
from training.prepare import viewpoints

KINDS = [("front-three-quarter", "left"), ("front-three-quarter", "right"), ("front", "")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Sixty photographs, number i of kind i % 3."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(60):
        drawn_cars.draw(*KINDS[index % 3], seed=index)[0].save(folder / f"{index}.png")
    return folder


FILES = [f"{index}.png" for index in range(60)]


def write_labels(path, kinds, columns=viewpoints.COLUMNS):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *((name, *kind) for name, kind in kinds.items())])
    return path


def test_views_are_found_from_the_labels_of_some(photos, tmp_path, capsys):
    labels = write_labels(tmp_path / "l.csv", {f"{i}.png": KINDS[i % 3] for i in range(24)})
    found, reasons = viewpoints.find(photos, FILES, labels)
    assert [(v.view, v.facing) for v in found.values()] == [KINDS[i % 3] for i in range(60)]
    assert list(found) == FILES
    assert reasons == {}
    assert "100% of 24 guesses are right" in capsys.readouterr().out


def test_what_was_labelled_by_eye_stays_so(photos, tmp_path):
    kinds = {f"{i}.png": KINDS[i % 3] for i in range(24)} | {"0.png": ("rear", "")}
    found, _ = viewpoints.find(photos, FILES, write_labels(tmp_path / "l.csv", kinds))
    assert found["0.png"] == viewpoints.Viewpoint("rear", "", 1.0)
    assert found["30.png"].view == "front-three-quarter"
    assert found["30.png"].margin < 1


def test_an_unreadable_photograph_is_named_and_the_others_are_found(photos, tmp_path):
    labels = write_labels(tmp_path / "l.csv", {f"{i}.png": KINDS[i % 3] for i in range(24)})
    found, reasons = viewpoints.find(photos, [*FILES, "missing.png"], labels)
    assert len(found) == 60
    assert list(reasons) == ["missing.png"]


def test_a_mirrored_photograph_has_the_mirrored_description():
    photo, _ = drawn_cars.draw("front-three-quarter", "left", seed=1)
    mirrored = viewpoints.describe(ImageOps.mirror(photo))
    assert np.allclose(mirrored, viewpoints.describe(photo)[::-1], atol=0.02)


def test_the_mirror_turns_left_into_right_and_nothing_else():
    for (view, facing), other in zip(viewpoints.CLASSES, viewpoints.MIRROR, strict=True):
        turned = {"left": "right", "right": "left", "": ""}[facing]
        assert viewpoints.CLASSES[other] == (view, turned)


def test_only_what_faces_right_is_to_be_mirrored():
    assert viewpoints.Viewpoint("side", "right", 0.5).labels["mirrored"] is True
    assert viewpoints.Viewpoint("side", "left", 0.5).labels["mirrored"] is False
    assert viewpoints.Viewpoint("front", "", 0.5).labels["mirrored"] is False


def test_ridge_regression_finds_a_linear_rule():
    rng = np.random.default_rng(0)
    rows, rule = rng.normal(size=(50, 4)) + 3, rng.normal(size=(4, 2))
    mean, target_mean, weights = viewpoints.ridge(rows, rows @ rule + 5, 1e-6)
    assert np.allclose((rows - mean) @ weights + target_mean, rows @ rule + 5, atol=1e-4)


@pytest.mark.parametrize("kind", [("top", "left"), ("front", "left"), ("side", "")])
def test_a_label_that_is_none_is_named_with_its_line(tmp_path, kind):
    labels = write_labels(tmp_path / "l.csv", {"0.png": KINDS[0], "1.png": kind})
    with pytest.raises(ValueError, match=r"line 3: .*got \('" + kind[0]):
        viewpoints.read_labels(labels)


def test_labels_without_a_column_or_of_too_few_photographs_are_refused(photos, tmp_path):
    labels = write_labels(tmp_path / "l.csv", {}, columns=["file", "view"])
    with pytest.raises(ValueError, match=r"lacks \['facing'\]"):
        viewpoints.read_labels(labels)
    labels = write_labels(tmp_path / "l.csv", {"0.png": KINDS[0], "elsewhere.png": KINDS[1]})
    with pytest.raises(ValueError, match="must label 20 of the photographs or more, it labels 1"):
        viewpoints.find(photos, FILES, labels)
