"""image_folder.py: folders to arrays, labels to c, the order of batches, and the cache on disk."""

import json
import os
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from genmodels.data import image_folder, metadata, pixel_cache
from genmodels.data.image_folder import ImageFolder, epoch_flips, epoch_indices
from tests.support.hub_server import HubServer


def save(path, value=0, size=(10, 8)):
    """Save a picture of one grey, its left edge white: mirroring shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (value,) * 3)
    image.paste("white", (0, 0, 3, size[1]))
    image.save(path)


def save_all(folder, count=3):
    for index in range(count):
        save(folder / f"{index}.png", 20 * index)


def write_jsonl(folder, rows):
    lines = [json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_images_are_sorted_squares_without_conditions(tmp_path):
    save_all(tmp_path)
    folder = ImageFolder(tmp_path, 8)
    assert folder.names == ["0.png", "1.png", "2.png"]
    assert folder.images.shape == (3, 3, 8, 8)
    assert folder.images.dtype == torch.uint8
    assert folder.images[:, 0, 4, 7].tolist() == [0, 20, 40]
    assert folder.c.shape == (3, 0)
    assert (folder.schema, folder.rows, folder.skipped) == ({}, [{}, {}, {}], [])
    assert len(folder) == 3


def test_class_folders_give_the_label_class(tmp_path):
    for name in ("suv/deep/1.png", "sedan/1.jpg", "sedan/0.PNG", ".hidden/0.png", "__MACOSX/0.png"):
        save(tmp_path / name)
    folder = ImageFolder(str(tmp_path), 8, conditions=["class"])
    assert folder.names == ["sedan/0.PNG", "sedan/1.jpg", "suv/deep/1.png"]
    assert folder.schema == {"class": {"values": ["sedan", "suv"], "counts": [2, 1]}}
    assert folder.c.tolist() == [[1, 0], [1, 0], [0, 1]]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_metadata_gives_class_and_continuous_labels(tmp_path, suffix):
    save_all(tmp_path / "pictures")
    rows = [
        {"file_name": "pictures/2.png", "body": "suv", "year": 2012, "open": 0.5},
        {"file_name": "pictures/0.png", "body": "sedan, long", "year": 2008, "open": 1},
        {"file_name": "pictures/1.png", "body": "suv", "year": 2010, "open": 0},
    ]
    if suffix == "jsonl":
        write_jsonl(tmp_path, rows)
    else:
        lines = ["file_name,body,year,open"]
        lines += [f'{r["file_name"]},"{r["body"]}",{r["year"]},{r["open"]}' for r in rows]
        # With the mark that spreadsheets put in front.
        (tmp_path / "metadata.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    folder = ImageFolder(tmp_path, 8, conditions=["year", "body"])
    assert folder.names == ["pictures/0.png", "pictures/1.png", "pictures/2.png"]
    assert folder.rows[0] == {"body": "sedan, long", "year": 2008, "open": 1}
    assert folder.schema["body"] == {"values": ["sedan, long", "suv"], "counts": [1, 2]}
    root = 1.5**0.5
    expected = torch.tensor([[-root, 1, 0], [0, 0, 1], [root, 0, 1]])
    torch.testing.assert_close(folder.c, expected)


def test_a_csv_column_with_one_word_is_text(tmp_path):
    save_all(tmp_path, 2)
    (tmp_path / "metadata.csv").write_text("file_name,code\n0.png,12\n1.png,B\n")
    assert [row["code"] for row in ImageFolder(tmp_path, 8).rows] == ["12", "B"]


def test_a_missing_label_names_file_and_column(tmp_path):
    save_all(tmp_path, 2)
    write_jsonl(tmp_path, [{"file_name": "0.png", "body": "suv"}, {"file_name": "1.png"}])
    ImageFolder(tmp_path, 8)  # Nobody asked for the label.
    with pytest.raises(ValueError, match=r"1\.png has no value for 'body'"):
        ImageFolder(tmp_path, 8, conditions=["body"])


def test_what_cannot_be_used_is_listed_and_skipped(tmp_path):
    save_all(tmp_path, 2)
    save(tmp_path / "unlisted.png")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "photo.heic").write_bytes(b"....ftypheic")
    names = ["0.png", "text.png", "1.png", "gone.png", "photo.heic"]
    write_jsonl(tmp_path, [{"file_name": name, "size": name} for name in names])
    folder = ImageFolder(tmp_path, 8, conditions=["size"])
    assert folder.names == ["0.png", "1.png"]
    assert [row["size"] for row in folder.rows] == ["0.png", "1.png"]
    assert folder.schema["size"]["values"] == ["0.png", "1.png"]
    reasons = dict(folder.skipped)
    assert reasons.keys() == {"text.png", "gone.png", "photo.heic", "unlisted.png"}
    assert "not a readable" in reasons["text.png"]
    assert "missing" in reasons["gone.png"]
    assert "does not end in" in reasons["photo.heic"]
    assert "not named in metadata.jsonl" in reasons["unlisted.png"]


@pytest.mark.parametrize("use_cache", [False, True])
def test_no_readable_image_at_all_is_an_error(tmp_path, use_cache):
    cache_dir = tmp_path / "cache" if use_cache else None
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(ValueError, match=r"photos holds no readable image \(it is empty\)"):
        ImageFolder(photos, 8, cache_dir=cache_dir)
    (photos / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"no readable image \(text\.png: .*not a readable"):
        ImageFolder(photos, 8, cache_dir=cache_dir)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.jsonl", '{"file_name": "0.png"}\n\n{"file_name": ', r"jsonl, line 3: not JSON"),
        ("metadata.jsonl", '["0.png"]', r"line 1: expected an object"),
        ("metadata.jsonl", '{"name": "0.png"}', r"line 1: file_name is missing"),
        ("metadata.jsonl", '{"file_name": "../0.png"}', r"line 1: '\.\./0\.png' leaves the folder"),
        ("metadata.jsonl", '{"file_name": "/0.png"}', r"line 1: '/0\.png' leaves the folder"),
        ("metadata.jsonl", '{"file_name": "0.png"}\n' * 2, r"line 2: '0\.png' is named a second"),
        ("metadata.csv", "file_name,year\n0.png,1\n1.png\n", r"csv, line 3: expected 2 cells"),
        ("metadata.csv", "file_name,year\n0.png,1,2\n", r"csv, line 2: expected 2 cells"),
        ("metadata.csv", 'file_name,year\n0.png,"1"2\n', r"csv, line 2"),
        ("metadata.csv", "name,year\n0.png,1\n", r"csv, line 2: file_name is missing"),
    ],
)
def test_a_broken_metadata_line_is_named(tmp_path, name, text, message):
    save_all(tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        ImageFolder(tmp_path, 8)


def test_metadata_of_another_encoding_is_refused(tmp_path):
    save_all(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,body\n0.png,Coupé\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"metadata\.csv must be UTF-8"):
        ImageFolder(tmp_path, 8)


def test_two_metadata_files_are_refused(tmp_path):
    save_all(tmp_path)
    for name in metadata.NAMES:
        (tmp_path / name).write_text("")
    with pytest.raises(ValueError, match="not both"):
        ImageFolder(tmp_path, 8)


def test_splits_are_sub_folders_and_train_is_the_default(tmp_path):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "held_out" / "b.png")
    assert ImageFolder(tmp_path, 8).names == ["a.png"]
    assert ImageFolder(tmp_path, 8, split="train").names == ["a.png"]
    assert ImageFolder(tmp_path, 8, split="held_out").names == ["b.png"]
    with pytest.raises(ValueError, match=r"no split 'test'; .*\['held_out', 'train'\]"):
        ImageFolder(tmp_path, 8, split="test")


def test_a_folder_of_trains_beside_other_classes_is_a_class(tmp_path):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "bus" / "b.png")
    assert ImageFolder(tmp_path, 8, conditions=["class"]).names == ["bus/b.png", "train/a.png"]


def test_a_source_that_is_no_folder_is_refused(tmp_path):
    save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", tmp_path / "nowhere", "three/part/name"):
        with pytest.raises(ValueError, match='data must be a folder or "user/repo"'):
            ImageFolder(source, 8)
    with pytest.raises(ValueError, match="resolution must be 1 or more, got 0"):
        ImageFolder(tmp_path, 0)


def test_batch_gives_copies_in_the_order_asked_and_flips_some(tmp_path):
    save_all(tmp_path)
    write_jsonl(tmp_path, [{"file_name": f"{i}.png", "kind": "abc"[i]} for i in range(3)])
    folder = ImageFolder(tmp_path, 8, conditions=["kind"])
    images, c = folder.batch(np.array([2, 0, 2]), np.array([False, True, True]))
    assert images[0].equal(folder.images[2])
    assert images[1].equal(folder.images[0].flip(-1))
    assert images[2].equal(folder.images[2].flip(-1))
    assert not images[2].equal(images[0])
    assert c.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    images.zero_()
    assert folder.images[2].any()
    assert folder.batch([1])[0].equal(folder.images[1:2])
    with pytest.raises(ValueError, match=r"flips must be bool \[2\], got bool \[3\]"):
        folder.batch([0, 1], np.zeros(3, dtype=bool))


def test_holding_out_is_disjoint_and_stays_put_when_images_are_added(tmp_path):
    save_all(tmp_path, 12)
    train, held_out = ImageFolder(tmp_path, 8).hold_out(0.3)
    assert not set(train.names) & set(held_out.names)
    assert len(train) + len(held_out) == 12
    assert train.images[:, 0, 4, 7].tolist() == [20 * int(name[:-4]) for name in train.names]
    assert len({train.fingerprint, held_out.fingerprint, ImageFolder(tmp_path, 8).fingerprint}) == 3
    save(tmp_path / "new.png")
    more_train, more_held_out = ImageFolder(tmp_path, 8).hold_out(0.3)
    assert set(train.names) <= set(more_train.names)
    assert set(held_out.names) <= set(more_held_out.names)
    with pytest.raises(ValueError, match="fraction must lie between 0 and 1, got 8"):
        train.hold_out(8)
    with pytest.raises(ValueError, match="too few to hold out"):
        train.hold_out(1e-9)


def test_the_number_of_workers_changes_nothing(tmp_path):
    save_all(tmp_path, 12)
    one, four = (ImageFolder(tmp_path, 8, num_workers=n) for n in (1, 4))
    assert one.images.equal(four.images)
    assert one.fingerprint == four.fingerprint


def test_the_fingerprint_tells_pixels_names_and_labels_apart(tmp_path):
    save_all(tmp_path)
    rows = [{"file_name": f"{i}.png", "kind": "abc"[i]} for i in range(3)]
    write_jsonl(tmp_path, rows)
    prints = [ImageFolder(tmp_path, 8).fingerprint, ImageFolder(tmp_path, 8).fingerprint]
    assert len(set(prints)) == 1

    with Image.open(tmp_path / "1.png") as image:
        image.putpixel((5, 5), (0, 0, 1))
        image.save(tmp_path / "1.png")
    prints.append(ImageFolder(tmp_path, 8).fingerprint)

    rows[0]["kind"] = "z"
    write_jsonl(tmp_path, rows)
    prints.append(ImageFolder(tmp_path, 8).fingerprint)

    (tmp_path / "2.png").rename(tmp_path / "3.png")
    rows[2]["file_name"] = "3.png"
    write_jsonl(tmp_path, rows)
    prints.append(ImageFolder(tmp_path, 8).fingerprint)
    assert len(set(prints)) == 4


@pytest.mark.parametrize(("num_items", "batch_size"), [(10, 5), (10, 4), (7, 3), (3, 8), (1, 4)])
def test_each_epoch_visits_every_item_once(num_items, batch_size):
    steps = range(4 * num_items)
    batches = [epoch_indices(num_items, batch_size, step, seed=3) for step in steps]
    assert {(len(batch), batch.dtype) for batch in batches} == {(batch_size, np.dtype(np.int64))}
    stream = np.concatenate(batches)
    for epoch in range(len(stream) // num_items):
        visited = stream[epoch * num_items : (epoch + 1) * num_items]
        assert sorted(visited) == list(range(num_items))


def test_the_stream_does_not_depend_on_batch_size_or_where_it_starts():
    def stream(take, batch_size, steps):
        return np.concatenate([take(9, batch_size, step, 5) for step in steps])

    for take in (epoch_indices, epoch_flips):
        whole = stream(take, 4, range(30))
        image_folder._permutation.cache_clear()
        image_folder._coin_tosses.cache_clear()
        assert (stream(take, 4, range(17, 30)) == whole[17 * 4 :]).all()
        assert (stream(take, 10, range(12)) == whole).all()


def test_seeds_and_epochs_differ():
    orders = [tuple(epoch_indices(20, 20, step, seed)) for step in range(5) for seed in range(5)]
    assert len(set(orders)) == 25


def test_the_order_is_the_same_in_every_release():
    # Written down once: a run resumed under a newer numpy must go on with the same items.
    assert epoch_indices(8, 8, 1, 2).tolist() == [4, 6, 2, 5, 7, 1, 0, 3]
    assert np.flatnonzero(epoch_flips(8, 8, 1, 2)).tolist() == [2, 3, 6]


def test_half_of_the_items_are_flipped_and_not_always_the_same():
    flips = np.stack([epoch_flips(100, 100, step, 0) for step in range(100)])
    assert flips.dtype == bool
    assert abs(flips.mean() - 0.5) < 0.02
    # Over 100 epochs no item is flipped always or never.
    counts = Counter()
    for step in range(100):
        counts.update(epoch_indices(100, 100, step, 0)[flips[step]].tolist())
    assert len(counts) == 100
    assert 25 < min(counts.values()) <= max(counts.values()) < 75


@pytest.mark.parametrize("arguments", [(0, 1, 0, 0), (1, 0, 0, 0), (1, 1, -1, 0), (1, 1, 0, -1)])
def test_impossible_steps_are_refused(arguments):
    with pytest.raises(ValueError, match="must be 1 or more"):
        epoch_indices(*arguments)


def save_for_cache(tmp_path):
    photos, cache = tmp_path / "photos", tmp_path / "cache"
    save_all(photos, 4)
    (photos / "1.png").write_text("damaged")
    return photos, cache, ImageFolder(photos, 8, cache_dir=cache)


def assert_same(a, b):
    assert a.images.equal(b.images)
    assert (a.names, a.rows, a.skipped) == (b.names, b.rows, b.skipped)
    assert a.fingerprint == b.fingerprint


def test_the_second_start_reads_the_cache(tmp_path, monkeypatch):
    photos, cache, first = save_for_cache(tmp_path)
    assert_same(first, ImageFolder(photos, 8))
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]
    monkeypatch.setattr(pixel_cache, "_decode", None)  # Calling it would fail.
    second = ImageFolder(photos, 8, cache_dir=cache)
    assert_same(first, second)
    assert second.names == ["0.png", "2.png", "3.png"]


def test_a_changed_file_or_resolution_is_decoded_anew(tmp_path):
    photos, cache, first = save_for_cache(tmp_path)
    assert ImageFolder(photos, 4, cache_dir=cache).images.shape == (3, 3, 4, 4)
    stat = (photos / "2.png").stat()
    save(photos / "2.png", 41)
    os.utime(photos / "2.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    changed = ImageFolder(photos, 8, cache_dir=cache)
    assert changed.images[1, 0, 4, 7] == 41
    assert first.images[1, 0, 4, 7] == 40


@pytest.mark.parametrize("damage", ["flip a byte", "cut", "text", "pickle", "no array", "note"])
def test_a_damaged_cache_is_rebuilt_with_a_line(tmp_path, capsys, damage):
    photos, cache, first = save_for_cache(tmp_path)
    array, note = next(cache.glob("*.npy")), next(cache.glob("*.json"))
    content = array.read_bytes()
    if damage == "flip a byte":
        array.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    elif damage == "cut":
        array.write_bytes(content[:400])
    elif damage == "text":
        array.write_text("x" * len(content))
    elif damage == "pickle":
        np.save(array, np.array([{"an": "object"}]), allow_pickle=True)
    elif damage == "no array":
        array.unlink()
    else:
        note.write_text("[]")
    capsys.readouterr()
    assert_same(first, ImageFolder(photos, 8, cache_dir=cache))
    assert "is damaged" in capsys.readouterr().out
    assert_same(first, ImageFolder(photos, 8, cache_dir=cache))
    assert capsys.readouterr().out == ""


def test_a_killed_decoding_leaves_no_cache(tmp_path, monkeypatch):
    save_all(tmp_path / "photos")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pixel_cache, "_decode", killed)
        with pytest.raises(KeyboardInterrupt):
            ImageFolder(tmp_path / "photos", 8, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(ImageFolder(tmp_path / "photos", 8, cache_dir=tmp_path / "cache")) == 3


def test_what_is_too_large_for_memory_lives_in_the_cache(tmp_path, monkeypatch):
    photos, cache, first = save_for_cache(tmp_path)
    monkeypatch.setattr(pixel_cache, "MAX_RAM_BYTES", 100)
    with pytest.raises(ValueError, match=r"4 images at 8 px take .* GiB: give a cache_dir"):
        ImageFolder(photos, 8)
    mapped = ImageFolder(photos, 8, cache_dir=cache)
    assert_same(first, mapped)
    # Writing to the images must not reach the file.
    mapped.images.zero_()
    assert_same(first, ImageFolder(photos, 8, cache_dir=cache))


ON_THE_HUB = """
import json
from genmodels.data.image_folder import ImageFolder

folder = ImageFolder("other/cars@main", 8, conditions=["body"])
told = {"names": folder.names, "schema": folder.schema, "skipped": folder.skipped}
for name in ("other/tables", "other/nothing"):
    try:
        ImageFolder(name, 8)
    except ValueError as error:
        told[name] = str(error)
print(json.dumps(told))
"""


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_read_like_a_folder(tmp_path):
    save_all(tmp_path, 2)
    rows = [{"file_name": f"{i}.png", "body": "ab"[i]} for i in range(2)]
    write_jsonl(tmp_path, rows)
    files = {f"train/{path.name}": path.read_bytes() for path in tmp_path.iterdir()}
    with HubServer() as hub:
        hub.add("other/cars", files | {"code.py": b"raise SystemExit"}, kind="datasets")
        hub.add("other/tables", {"data/train-0.parquet": b"PAR1"}, kind="datasets")
        told = json.loads(hub.run(ON_THE_HUB, tmp_path / "home", HF_DATASETS_OFFLINE="1"))
    assert told["names"] == ["0.png", "1.png"]
    assert told["schema"]["body"]["values"] == ["a", "b"]
    assert told["skipped"] == []
    assert not hub.seen("GET */code.py")
    assert "no data set of the Hub could be read" in told["other/nothing"]
    assert "other/tables" in told["other/tables"]


def test_a_table_of_images_is_read_with_its_labels(tmp_path):
    datasets = pytest.importorskip("datasets")
    from pyarrow import parquet, table

    save(tmp_path / "1.png", 20)
    features = datasets.Features(
        {"picture": datasets.Image(), "body": datasets.ClassLabel(names=["suv", "van"])}
    )
    cells = [
        None,
        {"bytes": (tmp_path / "1.png").read_bytes(), "path": None},
        {"bytes": None, "path": str(tmp_path / "1.png")},
    ]
    columns = {"picture": cells, "body": [1, 0, 0]}
    parquet.write_table(table(columns, schema=features.arrow_schema), tmp_path / "a.parquet")
    rows = datasets.Dataset.from_parquet(str(tmp_path / "a.parquet"), cache_dir=str(tmp_path))
    items = image_folder._list_table(rows, "stamp")
    assert [item.labels["body"] for item in items] == ["van", "suv", "suv"]
    decoded = pixel_cache.load(items, 8, None, 1)
    assert decoded.array[:, 0, 4, 7].tolist() == [20]
    # A path in a stranger's table is not followed.
    assert dict(decoded.skipped) == {
        "00000000": "row 0 holds no picture",
        "00000002": "row 2 holds no picture",
    }
    with pytest.raises(ValueError, match="no column of images"):
        image_folder._list_table(rows.remove_columns(["picture"]), "stamp")
