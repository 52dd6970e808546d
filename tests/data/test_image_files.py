"""image_files.py and metadata.py: no file is dropped in silence, however it is called."""

import json
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from genmodels.data import image_files, metadata
from genmodels.data.image_folder import ImageFolder


def save(path, value=0, **options):
    """Save a picture of one grey; the path may be bytes."""
    path = os.fsdecode(path) if isinstance(path, bytes) else str(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    Image.new("RGB", (12, 12), (value,) * 3).save(path, options.pop("format", "PNG"), **options)


def write_table(folder, rows, name="metadata.jsonl"):
    lines = [json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines), encoding="utf-8")


def names_and_reasons(folder, **options):
    read = ImageFolder(folder, 8, **options)
    return read.names, dict(read.skipped)


NAMES = [
    "__original_drawn_by_someone__01.png",
    "__classes__/sub__dir/1.png",
    "UPPER.PNG",
    "Mixed.JpEg",
    "with spaces/a b.png",
    "trailing space.png ",
    "two.dots.in.it.png",
    unicodedata.normalize("NFC", "café.png"),
    unicodedata.normalize("NFD", "crème.png"),
    "日本/絵.png",
    "emoji 🙂.png",
    "new\nline.png",
    "-dash.png",
    "%20.png",
    "back\\slash.png",
]


def test_every_image_is_read_whatever_its_name(tmp_path):
    for value, name in enumerate(NAMES):
        save(tmp_path / name, value)
    assert names_and_reasons(tmp_path) == (sorted(NAMES), {})


def test_a_name_that_is_no_utf_8_is_read_and_held_out_and_cached(tmp_path):
    for value in range(12):
        save(os.fsencode(tmp_path / "photos") + b"/caf\xe9-%d.png" % value, 20 * value)
    first = ImageFolder(tmp_path / "photos", 8, cache_dir=tmp_path / "cache")
    assert first.names[0] == "caf\udce9-0.png"
    train, held_out = first.hold_out(0.3)
    assert len(train) + len(held_out) == 12
    again = ImageFolder(tmp_path / "photos", 8, cache_dir=tmp_path / "cache")
    assert again.names == first.names
    assert again.images.equal(first.images)


def test_a_class_that_cannot_be_written_down_is_refused_as_a_condition(tmp_path):
    for value, folder in enumerate((b"caf\xe9", b"bar")):
        save(os.fsencode(tmp_path) + b"/%s/1.png" % folder, value)
    assert len(ImageFolder(tmp_path, 8)) == 2
    with pytest.raises(ValueError, match="that UTF-8 can write"):
        ImageFolder(tmp_path, 8, conditions=["class"])


def test_what_is_left_out_is_listed_with_its_reason(tmp_path):
    save(tmp_path / "a.png")
    for name in (".hidden.png", ".cache/b.png", "__MACOSX/._a.png", "cat/.DS_Store"):
        save(tmp_path / name)
    (tmp_path / "no_ending").write_bytes(b"1")
    (tmp_path / "photo.heic").write_bytes(b"1")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    names, reasons = names_and_reasons(tmp_path)
    assert names == ["a.png"]
    hidden = {".hidden.png", ".cache/b.png", "__MACOSX/._a.png", "cat/.DS_Store"}
    assert {name for name, reason in reasons.items() if "hidden" in reason} == hidden
    assert reasons["pipe.png"] == "not a regular file"
    assert "does not end in" in reasons["no_ending"] and "does not end in" in reasons["photo.heic"]
    assert "not a readable" in reasons["empty.png"]
    assert len(reasons) == len(hidden) + 4


def test_links_are_followed_and_each_folder_is_read_once(tmp_path):
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    save(photos / "cat" / "1.png", 1)
    save(elsewhere / "2.png", 2)
    (photos / "a dog").symlink_to(elsewhere)  # Sorted before what it is told apart from.
    (photos / "an alias").symlink_to(photos / "cat")
    (photos / "cat" / "up").symlink_to(photos)
    (photos / "one.png").symlink_to(elsewhere / "2.png")
    (photos / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    names, reasons = names_and_reasons(photos)
    assert names == ["a dog/2.png", "cat/1.png", "one.png"]
    assert reasons.pop("gone.png") == "a broken link"
    assert "link" in reasons.pop("loop.png")
    assert reasons == dict.fromkeys(
        ("an alias/", "cat/up/"), "a link to a folder that is read already"
    )


def test_a_loop_of_links_to_folders_ends(tmp_path):
    save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "c").symlink_to(tmp_path)
    assert names_and_reasons(tmp_path)[0] == ["a/1.png"]


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": "{}", "checkpoints/step/1": "", "samples/000.png": None},
        {"preview.png": None, "state/x": "", "model/samples.png": None},
        {"model_index.json": "{}", "worst.png": None},
    ],
)
def test_the_sheets_of_a_run_are_no_photographs(tmp_path, files):
    save(tmp_path / "a.png")
    for name, text in files.items():
        path = tmp_path / "run" / name
        if text is None:
            save(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    names, reasons = names_and_reasons(tmp_path)
    assert names == ["a.png"]
    assert reasons == {"run/": "the folder of a training run or a model"}


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"), ("Training", "train"), ("train_images", "train"), ("1-train", "train"),
        ("valid", "validation"), ("VAL", "validation"), ("validation set", "validation"),
        ("dev.2", "validation"), ("Test", "test"), ("testing", "test"), ("eval", "test"),
        ("my evaluation", "test"), ("held_out", "held_out"), ("Held-Out", "held_out"),
        ("trains", None), ("trainer", None), ("valley", None), ("contest", None), ("device", None),
        ("cat", None), ("medieval", None), ("latest", None),
    ],
)  # fmt: skip
def test_split_folders_are_known_by_the_names_that_datasets_takes(tmp_path, folder, split):
    assert image_files.split_named(folder) == split
    if split not in (None, "train"):
        save(tmp_path / "cat" / "1.png", 1)
        save(tmp_path / folder / "cat" / "2.png", 2)
        names, reasons = names_and_reasons(tmp_path, conditions=["class"])
        assert names == ["cat/1.png"]
        assert reasons == {f"{folder}/": f"the split {split}: 1 files"}
        assert ImageFolder(tmp_path, 8, split=split).names == ["cat/2.png"]


@pytest.mark.parametrize("wrapper", ["", "archive/", "some/data set/"])
def test_classes_are_those_of_train_wherever_it_lies(tmp_path, wrapper):
    for value, name in enumerate(("train/cat/1.png", "train/dog/2.png", "valid/cat/3.png")):
        save(tmp_path / f"{wrapper}{name}", value)
    folder = ImageFolder(tmp_path, 8, conditions=["class"])
    assert folder.names == ["cat/1.png", "dog/2.png"]
    assert folder.schema["class"]["values"] == ["cat", "dog"]
    assert dict(folder.skipped) == {f"{wrapper}valid/": "the split validation: 1 files"}


def test_splits_inside_of_classes_divide_too(tmp_path):
    for value, name in enumerate(("cat/train/1.png", "cat/test/2.png", "dog/train/1.png")):
        save(tmp_path / name, value)
    folder = ImageFolder(tmp_path, 8, conditions=["class"])
    assert folder.names == ["cat/train/1.png", "dog/train/1.png"]
    assert [row["class"] for row in folder.rows] == ["cat", "dog"]


def test_what_lies_beside_the_splits_is_listed(tmp_path):
    for value, name in enumerate(("train/1.png", "test/2.png", "loose.png", "extra/3.png")):
        save(tmp_path / name, value)
    names, reasons = names_and_reasons(tmp_path)
    assert names == ["1.png"]
    beside = dict.fromkeys(("loose.png", "extra/3.png"), "in no split, beside train")
    assert reasons == beside | {"test/": "the split test: 1 files"}


def test_a_folder_of_other_splits_alone_is_never_trained_on(tmp_path):
    save(tmp_path / "Valid" / "1.png")
    with pytest.raises(ValueError, match=r"no split 'train'.*\['Valid'\]; to learn from one"):
        ImageFolder(tmp_path, 8)
    assert len(ImageFolder(tmp_path / "Valid", 8)) == 1


def test_the_folder_held_out_may_have_any_of_its_names(tmp_path):
    for name in ("train/1.png", "dev/2.png"):
        save(tmp_path / name)
    for split in ("dev", "validation", "Val"):
        assert ImageFolder(tmp_path, 8, split=split).names == ["2.png"]


WRITTEN = [
    "cat/a b.png",
    "./cat/a b.png",
    "cat//a b.png",
    "dog/../cat/a b.png",
    "cat\\a b.png",
    ".\\cat\\a b.png",
    "cat/a%20b.png",
    "  cat/a b.png ",
    "a b.png",
    "train/cat/a b.png",
    "photos/cat/a b.png",
    "CAT/A B.PNG",
    "{folder}/cat/a b.png",
]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_file_is_found_however_a_table_writes_its_name(tmp_path, written, kind):
    photos = tmp_path / "photos"
    save(photos / "cat" / "a b.png")
    name = written.format(folder=photos)
    if kind == "jsonl":
        write_table(photos, [{"file_name": name, "age": "old"}])
    else:
        (photos / "metadata.csv").write_text(f'file_name,age\n"{name}",old\n')
    folder = ImageFolder(photos, 8)
    assert folder.skipped == []
    assert folder.rows == [{"age": "old"}]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_written_in_either_form(tmp_path, on_disk, in_table):
    save(tmp_path / unicodedata.normalize(on_disk, "é.png"))
    write_table(tmp_path, [{"file_name": unicodedata.normalize(in_table, "é.png"), "k": 1}])
    assert ImageFolder(tmp_path, 8).rows == [{"k": 1}]


def test_a_table_at_the_root_speaks_of_files_in_splits(tmp_path):
    for value, name in enumerate(("train/a.png", "train/b.png", "test/a.png")):
        save(tmp_path / name, value)
    rows = [{"file_name": f"{split}/a.png", "k": split} for split in ("test", "train")]
    write_table(tmp_path, [*rows, {"file_name": "train/b.png", "k": "b"}])
    folder = ImageFolder(tmp_path, 8, conditions=["k"])
    assert (folder.names, folder.rows) == (["a.png", "b.png"], [{"k": "train"}, {"k": "b"}])
    assert ImageFolder(tmp_path, 8, split="test").rows == [{"k": "test"}]


def test_a_table_of_all_splits_may_lie_in_one_of_them(tmp_path):
    save(tmp_path / "train" / "a.png")
    rows = [{"file_name": f"{split}/a.png", "k": split} for split in ("test", "train")]
    write_table(tmp_path / "train", rows)
    folder = ImageFolder(tmp_path, 8)
    assert folder.rows == [{"k": "train"}]
    assert "another line fits" in dict(folder.skipped)["test/a.png"]


def test_the_nearest_table_has_the_last_word(tmp_path):
    for value, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png")):
        save(tmp_path / name, value)
    write_table(
        tmp_path, [{"file_name": name, "k": "outer"} for name in ("cat/1.png", "dog/1.png")]
    )
    write_table(tmp_path / "cat", [{"file_name": "1.png", "k": "inner"}])
    folder = ImageFolder(tmp_path, 8)
    assert folder.names == ["cat/1.png", "dog/1.png"]
    assert folder.rows == [{"class": "cat", "k": "inner"}, {"k": "outer"}]
    assert dict(folder.skipped) == {"cat/2.png": "not named in cat/metadata.jsonl"}


def test_a_name_that_fits_two_files_labels_neither(tmp_path):
    for value, name in enumerate(("cat/1.png", "dog/1.png", "2.png")):
        save(tmp_path / name, value)
    write_table(tmp_path, [{"file_name": "1.png"}, {"file_name": "2.png"}])
    names, reasons = names_and_reasons(tmp_path)
    assert names == ["2.png"]
    assert reasons.keys() == {"1.png", "cat/1.png", "dog/1.png"}


@pytest.mark.parametrize(
    "written",
    ["/etc/passwd", "../a.png", "cat/../../a.png", "C:\\photos\\a.png", "\\\\host\\a.png"],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, written):
    save(tmp_path / "photos" / "a.png")
    save(tmp_path / "a.png")
    write_table(tmp_path / "photos", [{"file_name": written}])
    with pytest.raises(ValueError, match=r"line 1: .* leaves the folder"):
        ImageFolder(tmp_path / "photos", 8)


def test_a_file_whose_own_name_looks_odd_is_found_as_it_is(tmp_path):
    for name in ("C:a.png", "a%20b.png", "a\\b.png"):
        save(tmp_path / name)
    rows = [{"file_name": name, "k": name} for name in ("C:a.png", "a%20b.png", "a\\b.png")]
    write_table(tmp_path, rows)
    assert {row["k"] for row in ImageFolder(tmp_path, 8).rows} == {row["k"] for row in rows}


LABELS = {
    "nan in JSON": (
        '{"file_name": "0.png", "k": NaN}\n{"file_name": "1.png", "k": 1}',
        "0.png.*nan",
    ),
    "null": ('{"file_name": "0.png", "k": null}\n{"file_name": "1.png", "k": 1}', "0.png has no"),
    "empty": ('{"file_name": "0.png", "k": ""}\n{"file_name": "1.png", "k": "a"}', "0.png has no"),
    "list": (
        '{"file_name": "0.png", "k": [1]}\n{"file_name": "1.png", "k": [2]}',
        "0.png.*must be",
    ),
    "mixed": ('{"file_name": "0.png", "k": true}\n{"file_name": "1.png", "k": 1}', "must be text"),
    "constant": ('{"file_name": "0.png", "k": 1}\n{"file_name": "1.png", "k": 1}', "every row"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_a_label_that_is_no_condition_is_refused_by_name(tmp_path, kind):
    text, message = LABELS[kind]
    for index in range(2):
        save(tmp_path / f"{index}.png", index)
    (tmp_path / "metadata.jsonl").write_text(text)
    ImageFolder(tmp_path, 8)  # Nobody asked for the label.
    with pytest.raises(ValueError, match=message):
        ImageFolder(tmp_path, 8, conditions=["k"])


def test_a_column_with_nan_is_no_class_of_a_hundred_numbers(tmp_path):
    for index in range(3):
        save(tmp_path / f"{index}.png", index)
    (tmp_path / "metadata.csv").write_text("file_name,k\n0.png,1.5\n1.png,nan\n2.png,2\n")
    with pytest.raises(ValueError, match=r"1\.png.*finite number.*nan"):
        ImageFolder(tmp_path, 8, conditions=["k"])


@pytest.mark.parametrize("value", [True, "one"])
def test_booleans_and_a_single_class_are_conditions(tmp_path, value):
    for index in range(2):
        save(tmp_path / f"{index}.png", index)
    write_table(tmp_path, [{"file_name": f"{index}.png", "k": value} for index in range(2)])
    folder = ImageFolder(tmp_path, 8, conditions=["k"])
    assert folder.schema == {"k": {"values": [value], "counts": [2]}}


def test_a_number_far_from_all_others_is_refused_by_the_name_of_its_file(tmp_path):
    for index in range(300):
        save(tmp_path / f"{index:03d}.png", index % 256)
    rows = [{"file_name": f"{i:03d}.png", "k": 1e6 if i == 7 else i % 2} for i in range(300)]
    write_table(tmp_path, rows)
    with pytest.raises(ValueError, match=r"007\.png: 'k' must be between"):
        ImageFolder(tmp_path, 8, conditions=["k"])


def odd_files(folder):
    """Files as people have them, by name; those whose name starts with "bad" cannot be read."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    Image.fromarray(rng.integers(0, 65536, (20, 20), dtype=np.uint16)).save(folder / "16bit.png")
    noise.convert("CMYK").save(folder / "cmyk.jpg")
    noise.quantize(16).save(folder / "palette.gif")
    noise.convert("1").save(folder / "bits.bmp")
    noise.convert("LA").save(folder / "grey_alpha.png")
    noise.save(folder / "animated.webp", save_all=True, append_images=[noise.rotate(90)])
    Image.new("RGB", (1, 1), "red").save(folder / "one_pixel.png")
    Image.new("RGB", (5000, 1), "red").save(folder / "wide.png")
    Image.new("RGB", (1, 5000), "red").save(folder / "high.png")
    noise.save(folder / "as_jpeg_but_png.jpg", "PNG")
    noise.save(folder / "whole.png")
    content = (folder / "whole.png").read_bytes()
    (folder / "bad_truncated.png").write_bytes(content[: len(content) // 2])
    (folder / "bad_zero.png").touch()
    (folder / "bad_text.tif").write_text("II*\0 not really")
    (folder / "bad_header.gif").write_bytes(b"GIF89a" + b"\xff" * 30)
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(folder / "bad_nan.tif")
    (folder / "bad_html.jpg").write_text("<html>404</html>")


def test_files_as_people_have_them_are_read_or_listed(tmp_path):
    odd_files(tmp_path / "photos")
    names, reasons = names_and_reasons(tmp_path / "photos", cache_dir=tmp_path / "cache")
    everything = {path.name for path in (tmp_path / "photos").iterdir()}
    assert set(names) == {name for name in everything if not name.startswith("bad")}
    assert reasons.keys() == {name for name in everything if name.startswith("bad")}


def test_a_file_or_archive_in_place_of_a_folder_is_refused_with_advice(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="a file: unpack it"):
        ImageFolder(tmp_path / "photos.zip", 8)


def test_nested_json_in_a_table_is_an_error_with_its_line(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="line 1"):
        metadata.read(tmp_path / "metadata.jsonl")
