"""prepare/labelled.py: images with a table, or in a folder per class, to two image folders."""

import csv

import pytest
from PIL import Image

from genmodels.data.image_folder import ImageFolder
from training.prepare.labelled import Config, prepare


@pytest.fixture
def photos(tmp_path):
    """Forty photographs in two folders."""
    for index in range(40):
        folder = tmp_path / "photos" / ("fire", "building_fire")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (6 * index, 0, 0)).save(folder / f"{index:02d}.jpg")
    return tmp_path / "photos"


def table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "sex", "eye_open_q", "age"], *rows])
    return path


def test_folders_are_classes(photos, tmp_path):
    config = Config(
        photos, tmp_path / "out", class_name="disaster", resolution=16, held_out_fraction=0.3
    )
    counts = prepare(config)
    train = ImageFolder(tmp_path / "out", 16, conditions=["disaster"])
    held_out = ImageFolder(tmp_path / "out", 16, split="held_out", conditions=["disaster"])
    assert counts == {"train": len(train), "held_out": len(held_out)}
    assert sum(counts.values()) == 40
    assert train.schema["disaster"]["values"] == ["building fire", "fire"]
    before = sorted(train.names)
    prepare(config)
    assert sorted(ImageFolder(tmp_path / "out", 16, conditions=["disaster"]).names) == before


def test_columns_of_a_table_are_labels_under_the_names_asked_for(photos, tmp_path):
    names = sorted(path.relative_to(photos) for path in photos.rglob("*.jpg"))
    rows = [[name, ("f", "m")[i % 2], i / 40, ""] for i, name in enumerate(names)]
    labels = table(tmp_path / "labels.csv", rows)
    columns = ("sex", "eye_open_q=eye_openness")
    prepare(Config(photos, tmp_path / "out", labels, columns, resolution=16))
    train = ImageFolder(tmp_path / "out", 16, conditions=["sex", "eye_openness"])
    assert train.schema["sex"]["values"] == ["f", "m"]
    assert 0 <= train.schema["eye_openness"]["min"] < train.schema["eye_openness"]["max"] < 1


def test_an_image_that_cannot_be_read_is_left_out_and_named(photos, tmp_path, capsys):
    (photos / "fire" / "broken.jpg").write_bytes(b"%PDF")
    counts = prepare(Config(photos, tmp_path / "out", resolution=16))
    assert sum(counts.values()) == 40
    assert "skipped" in (told := capsys.readouterr().out)
    assert "broken.jpg" in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": ()}, "columns must name"),
        ({"columns": ("colour",)}, r"must have the columns \['colour'\]"),
        ({"columns": ("sex",), "held_out_fraction": 1.0}, "held_out_fraction must be"),
    ],
)
def test_what_cannot_be_prepared_is_refused_before_anything_is_written(
    photos, tmp_path, changes, message
):
    labels = table(tmp_path / "labels.csv", [["fire/00.jpg", "f", 1, 2]])
    with pytest.raises(ValueError, match=message):
        prepare(Config(photos, tmp_path / "out", labels, **changes))
    assert not (tmp_path / "out").exists()


def test_a_table_that_points_outside_and_a_folder_of_others_are_refused(photos, tmp_path):
    labels = table(tmp_path / "labels.csv", [["../secret.jpg", "f", 1, 2]])
    with pytest.raises(ValueError, match="must name files in"):
        prepare(Config(photos, tmp_path / "out", labels, ("sex",)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="was not written by this script"):
        prepare(Config(photos, tmp_path / "out"))
