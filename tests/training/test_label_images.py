"""Labels learnt from some images for the rest, on pictures whose labels can be seen."""

import csv
import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from training.prepare import label_images
from training.prepare.label_images import Config, label

COUNT, LABELLED = 90, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Stripes or blobs, from dark to bright, and a table of both."""
    root = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(COUNT):
        kind = ("stripes", "blobs")[i % 2]
        cells = rng.normal(0, 40, (8, 1) if kind == "stripes" else (8, 8))
        brightness = rng.uniform(60, 200)
        pixels = np.broadcast_to(brightness + cells, (8, 8)).clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        name = f"{i:03d}.png"
        picture.convert("RGB").save(root / name)
        rows.append({"file": name, "kind": kind, "brightness": f"{brightness:.1f}"})
    write(root.parent / "labels.csv", rows)
    write(root.parent / "some.csv", rows[:LABELLED])
    return root


def write(path, rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def config(folder, out, labels="some.csv", **changes):
    settings = {"columns": ("kind", "brightness")} | changes
    return Config(images=folder, labels=folder.parent / labels, out=out / "all.csv", **settings)


@pytest.fixture(scope="module")
def learnt(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, label(config(folder, out, keep="kind=blobs"))


def test_every_image_gets_its_label_and_says_where_it_is_from(folder, learnt):
    with (learnt[0] / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder.parent / "labels.csv").open() as file:
        truth = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [row["file"] for row in truth]
    assert {row["kind_source"] for row in rows[:LABELLED]} == {"given"}
    new = list(zip(rows, truth, strict=True))[LABELLED:]
    assert {row["kind_source"] for row, _ in new} == {"learnt"}
    assert np.mean([row["kind"] == true["kind"] for row, true in new]) > 0.9
    guesses = [(float(row["brightness"]), float(true["brightness"])) for row, true in new]
    assert np.corrcoef(*zip(*guesses, strict=True))[0, 1] > 0.9


def test_the_figures_are_of_images_that_were_not_learnt_from(folder, tmp_path):
    noise = np.random.default_rng(1).permutation(COUNT)
    rows = [{"file": f"{i:03d}.png", "noise": f"{noise[i]}"} for i in range(COUNT)]
    write(folder.parent / "noise.csv", rows)
    wanted = {"labels": "noise.csv", "columns": ("noise",), "learn_from": 50}
    figures = label(config(folder, tmp_path, **wanted))["noise"].figures
    assert set(figures) == {"spearman, left out", "spearman, beyond"}
    assert max(figures.values()) < 0.7  # Of 50 images and 30; what is learnt has above 0.9.
    assert json.loads((tmp_path / "all.json").read_text()) == {"noise": figures}


def test_a_column_that_was_not_learnt_is_named(folder, tmp_path, capsys):
    test_the_figures_are_of_images_that_were_not_learnt_from(folder, tmp_path)
    assert "BELOW 0.8, do not use what was learnt" in capsys.readouterr().out


def test_a_deviation_is_as_large_as_the_errors(folder, learnt):
    with (folder.parent / "labels.csv").open() as file:
        truth = np.array([float(row["brightness"]) for row in csv.DictReader(file)])
    brightness = learnt[1]["brightness"]
    new = slice(LABELLED, None)
    errors = np.array([float(value) for value in brightness.values[new]]) - truth[new]
    assert 0.4 < np.sqrt((errors**2).mean()) / brightness.sureness[new].mean() < 2.5


def test_what_is_surely_of_a_class_is_listed_for_training(learnt):
    names = (learnt[0] / "all.txt").read_text().split()
    assert len(names) > 25
    assert np.mean([int(name[:3]) % 2 == 1 for name in names]) > 0.95


def test_a_mirrored_image_has_the_same_label(folder, learnt, tmp_path):
    mirrored = tmp_path / "mirrored"
    mirrored.mkdir()
    for path in folder.glob("*.png"):
        ImageOps.mirror(Image.open(path)).save(mirrored / path.name)
    again = label(
        Config(
            images=mirrored,
            labels=folder.parent / "some.csv",
            out=tmp_path / "all.csv",
            columns=("brightness",),
        )
    )
    both = [list(map(float, each["brightness"].values)) for each in (learnt[1], again)]
    np.testing.assert_allclose(*both, rtol=0.02)


def test_probabilities_that_are_right_as_often_as_they_say_have_no_calibration_error():
    p = np.repeat([0.55, 0.95], 1000)
    is_right = np.concatenate([np.arange(1000) < 550, np.arange(1000) < 950])
    assert label_images._calibration_error(p, is_right) < 1e-6
    assert label_images._calibration_error(p, np.ones(2000, bool)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": ()}, "columns must name the labels"),
        ({"columns": ("age",)}, r"must have the columns \['age'\]"),
        ({"keep": "age=old"}, 'keep must be "column=class" of kind, brightness'),
        ({"keep": "kind=dots"}, "kind must be one of blobs, stripes, got 'dots'"),
        ({"min_probability": 0.0}, r"min_probability must be in \(0, 1\]"),
        ({"learn_from": 3}, "learn_from must be 20 or more, got 3"),
    ],
)
def test_what_cannot_be_learnt_is_refused(folder, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        label(config(folder, tmp_path, **changes))
