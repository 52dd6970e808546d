"""prepare_cars.py: a label table and photographs to two image folders."""

import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from genmodels.data import ImageFolder
from tests import drawn_cars
from training import cutouts, viewpoints
from training.prepare_cars import VIEW_LABELS, Config, make_of, prepare, split_of

COLUMNS = ["file", "class", "year", "body", "source_path", "filled_fraction"]


def write_table(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns, *rows])


@pytest.fixture
def config(tmp_path):
    """Sixty photographs and their table."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = []
    for index in range(60):
        Image.new("RGB", (40, 30), (4 * index, 0, 0)).save(photos / f"{index:03d}.jpg")
        body = ("suv", "sedan")[index % 2]
        model = ("Land Rover LR2 SUV 2012", "Audi A4 Sedan 2007")[index % 2]
        rows.append([f"{index:03d}.jpg", model, model[-4:], body, "x", index / 100])
    write_table(tmp_path / "labels.csv", rows)
    return Config(
        photos,
        tmp_path / "labels.csv",
        tmp_path / "out",
        resolution=16,
        held_out_fraction=0.3,
    )


def names(config, split):
    return ImageFolder(config.out, 16, split=split).names


def test_the_two_folders_are_image_folders_with_labels(config, capsys):
    counts = prepare(config)
    train = ImageFolder(config.out, 16, conditions=["body", "year"])
    held_out = ImageFolder(config.out, 16, split="held_out")
    assert counts == {"train": len(train), "held_out": len(held_out)}
    assert len(train) + len(held_out) == 60
    assert 8 <= len(held_out) <= 28
    assert [name for name, _ in train.skipped] == [".prepare_cars", "held_out/"]
    assert held_out.skipped == []
    index = int(train.names[0][:3])
    assert train.rows[0] == {
        "body": ("suv", "sedan")[index % 2],
        "year": (2012, 2007)[index % 2],
        "make": ("Land Rover", "Audi")[index % 2],
        "filled_fraction": index / 100,
    }
    assert train.schema["body"]["values"] == ["sedan", "suv"]
    assert f"train: {len(train)} images" in capsys.readouterr().out


def test_the_split_is_disjoint_and_does_not_move_when_photographs_go(config):
    prepare(config)
    train, held_out = set(names(config, "train")), set(names(config, "held_out"))
    assert not train & held_out
    (config.photos / "010.jpg").unlink()
    (config.photos / "020.jpg").unlink()
    prepare(config)
    gone = {"010.png", "020.png"}
    assert set(names(config, "train")) == train - gone
    assert set(names(config, "held_out")) == held_out - gone


def test_a_larger_held_out_part_contains_the_smaller_one():
    photos = [f"{index:06d}.jpg" for index in range(5000)]
    small, large = (
        {name for name in photos if split_of(name, fraction) == "held_out"}
        for fraction in (0.08, 0.2)
    )
    assert small < large
    assert abs(len(small) / 5000 - 0.08) < 0.015
    # Written down once: a photograph that was held out must stay so in every release.
    assert sorted(small)[:3] == ["000005.jpg", "000018.jpg", "000023.jpg"]


def test_unusable_photographs_are_skipped_with_a_line(config, capsys):
    (config.photos / "000.jpg").write_text("not a picture")
    Image.new("RGB", (9, 30)).save(config.photos / "001.jpg")
    limited = Config(**{**vars(config), "min_side": 10, "max_filled_fraction": 0.49})
    counts = prepare(limited)
    assert sum(counts.values()) == 48
    out = capsys.readouterr().out
    assert "000.jpg: not a readable" in out
    assert "001.jpg: 9x30 is too small" in out


def test_a_folder_of_somebody_else_is_not_touched(config):
    config.out.mkdir()
    (config.out / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="not empty and was not written by prepare_cars"):
        prepare(config)
    assert [path.name for path in config.out.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["0.jpg", "Audi A4 2007", "", "sedan", "x", "0.1"], r"line 2: \['year'\] is empty"),
        (["0.jpg", "Audi A4 2007", "new", "sedan", "x", "0.1"], r"line 2: .*'new'"),
        (["0.jpg", "Audi A4 2007", "2007", "sedan"], r"line 2: \['filled_fraction'\] is empty"),
    ],
)
def test_a_bad_line_of_the_table_is_named(config, row, message):
    write_table(config.labels, [row])
    with pytest.raises(ValueError, match=message):
        prepare(config)
    assert not config.out.exists()


def test_a_table_without_a_column_or_with_a_file_twice_is_refused(config):
    row = ["0.jpg", "Audi A4 Sedan 2007", 2007, "sedan", "x", 0.1]
    write_table(config.labels, [row, row])
    with pytest.raises(ValueError, match="must name each file once"):
        prepare(config)
    write_table(config.labels, [], columns=["file", "class"])
    with pytest.raises(ValueError, match=r"it lacks \['year', 'body', 'filled_fraction'\]"):
        prepare(config)


def test_makes_of_two_words_are_known():
    assert make_of("Aston Martin Virage Coupe 2012") == "Aston Martin"
    assert make_of("Ram C/V Cargo Van Minivan 2012") == "Ram"


def test_without_new_flags_the_metadata_has_no_new_columns(config):
    prepare(config)
    assert set(ImageFolder(config.out, 16).rows[0]) == {"body", "year", "make", "filled_fraction"}
    assert not list(config.out.glob("*.png"))


# Views and backgrounds.

KINDS = [("front-three-quarter", "left"), ("front-three-quarter", "right"), ("front", "")]


@pytest.fixture
def drawn(config, tmp_path):
    """The same table with photographs that show drawn cars; 30 of the 60 have a labelled view."""
    labels = []
    for index in range(60):
        photo, _ = drawn_cars.draw(*KINDS[index % 3], seed=index)
        photo.save(config.photos / f"{index:03d}.jpg", quality=95)
        labels.append([f"{index:03d}.jpg", *KINDS[index % 3]])
    write_table(tmp_path / "views.csv", labels[:30], ["file", "view", "facing"])
    return replace(config, resolution=64, view_labels=tmp_path / "views.csv")


def test_one_view_is_kept_and_all_its_cars_face_left(drawn, capsys):
    counts = prepare(replace(drawn, view="front-three-quarter", min_view_margin=0.0))
    assert sum(counts.values()) == 40
    said = capsys.readouterr().out
    assert "view: 40 of 60 photographs kept" in said
    assert "view: 20 left out, seen from another side than front-three-quarter" in said
    for split in counts:
        data = ImageFolder(drawn.out, 64, split=split)
        dark = (data.images.float().mean(1) < 110).numpy()  # Cars are darker than the ground.
        nose, tail = dark[:, 20:34, :16].mean((1, 2)), dark[:, 20:34, 48:].mean((1, 2))
        assert (nose < tail).all()  # The bonnet is lower than the boot.
        for name, row in zip(data.names, data.rows, strict=True):
            assert row["view"] == "front-three-quarter"
            assert row["mirrored"] is (int(name[:3]) % 3 == 1)


def test_a_view_that_is_not_sure_is_left_out(drawn, capsys):
    counts = prepare(replace(drawn, view="front-three-quarter", min_view_margin=1.0))
    assert sum(counts.values()) == 20  # Those labelled by eye.
    assert "20 left out, front-three-quarter by a margin below 1.0" in capsys.readouterr().out


def test_no_photograph_changes_sides_when_others_are_left_out(drawn):
    prepare(drawn)
    before = {split: set(names(drawn, split)) for split in ("train", "held_out")}
    prepare(replace(drawn, view="front"))
    assert all(set(names(drawn, split)) <= before[split] for split in before)


def test_all_views_are_kept_with_their_labels(drawn):
    assert sum(prepare(replace(drawn, view="all")).values()) == 60
    rows = ImageFolder(drawn.out, 64).rows
    assert {row["view"] for row in rows} == {"front-three-quarter", "front"}


def test_cars_are_cut_out_and_the_sheets_show_it(drawn):
    prepare(replace(drawn, view="all", background="grey", segmenter="grabcut"))
    images = ImageFolder(drawn.out, 64).images.numpy().astype(int)
    grey = np.array(cutouts.GREY).reshape(3, 1, 1)
    assert (abs(images[:, :, :12] - grey) <= 2).all()
    assert (images[:, :, 32:40, 28:36].mean((1, 2, 3)) < 110).all()
    for sheet in ("views.png", "before_after.png"):
        with Image.open(drawn.out / sheet) as image:
            assert image.width > 1000
    prepare(drawn)  # Old sheets would tell of other images.
    assert not list(drawn.out.glob("*.png"))


def test_a_photograph_that_cannot_be_cut_out_is_left_out_with_a_line(drawn, capsys):
    Image.new("RGB", (128, 128), "white").save(drawn.photos / "007.jpg")
    (drawn.photos / "008.jpg").write_text("not a picture")
    assert sum(prepare(replace(drawn, background="grey", segmenter="grabcut")).values()) == 58
    said = capsys.readouterr().out
    assert "background: 58 of 60 photographs kept" in said
    assert "008.jpg: not a readable" in said
    assert "007.png" not in names(drawn, "train") + names(drawn, "held_out")


def test_aligned_cars_have_one_length_and_stand_on_one_line(drawn):
    config = replace(drawn, view="front-three-quarter", min_view_margin=0.0, background="grey")
    prepare(replace(config, segmenter="grabcut", align=True))
    images = ImageFolder(drawn.out, 64).images.numpy().astype(int)
    cars = (abs(images - np.array(cutouts.GREY).reshape(3, 1, 1)) > 40).any(1)  # [N, 64, 64]
    columns, rows = cars.any(1), cars.any(2)
    ground = 64 - rows[:, ::-1].argmax(1)
    left, right = columns.argmax(1), 64 - columns[:, ::-1].argmax(1)
    assert (abs(ground - cutouts.GROUND * 64) <= 1).all()
    assert (abs(right - left - cutouts.LENGTH * 64) <= 2).all()
    assert (abs(left - (64 - right)) <= 2).all()


def test_align_without_a_background_is_refused(config):
    with pytest.raises(ValueError, match='align needs background "grey", got "keep"'):
        prepare(replace(config, align=True))
    assert not config.out.exists()


def test_the_labels_that_come_with_the_script_are_complete():
    labels = viewpoints.read_labels(VIEW_LABELS)
    assert len(labels) == 480
    assert set(labels.values()) == set(range(len(viewpoints.CLASSES)))


@pytest.mark.slow
def test_the_script_runs_from_the_command_line(config):
    flags = ["--photos", config.photos, "--labels", config.labels, "--out", config.out]
    command = [sys.executable, "training/prepare_cars.py", *flags, "--resolution", "16"]
    subprocess.run(command, check=True, capture_output=True)
    assert names(config, "train")
