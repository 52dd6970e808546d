"""Check my images on the page, without a browser: archives good and hostile."""

import json
import struct
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from genmodels.ui.services import datasets
from tests.doctor.test_dataset import picture


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The page's work folder, and an empty folder to unpack into."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "work"))
    folder = tmp_path / "work" / "unpacked"
    folder.mkdir(parents=True)
    return folder


def archive(path, contents, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as new:
        for name, content in contents.items():
            new.writestr(name, content)
    return path


def files_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def png(seed, folder):
    picture(seed, 32).save(folder / "one.png")
    return (folder / "one.png").read_bytes()


def test_names_that_lead_out_of_the_folder_are_left_out(place, tmp_path):
    names = ["/abs.png", "../up.png", "a/../../b.png", "C:/c.png", "d\\e.png", "n" * 300 + ".png"]
    before = files_below(tmp_path)
    path = archive(tmp_path / "x.zip", dict.fromkeys([*names, "ok/f.png"], b"x"))
    skipped = datasets.unpacked(path, place)
    assert files_below(place) == ["ok/f.png"]
    assert len(skipped) == len(names)
    assert set(files_below(tmp_path)) - set(before) == {"x.zip", "work/unpacked/ok/f.png"}


def test_a_file_where_a_folder_lies_and_a_name_twice_are_left_out(place, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as new:
            for name in ("a.png", "a.png", "a.png/b.png"):
                new.writestr(name, b"x")
    assert len(datasets.unpacked(tmp_path / "x.zip", place)) == 2
    assert files_below(place) == ["a.png"]


def test_a_bomb_is_refused_before_it_fills_the_disk(place, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "MAX_BYTES", 3 << 20)
    monkeypatch.setattr(datasets, "MAX_ENTRY_BYTES", 2 << 20)
    zeros = bytes(1 << 20)
    path = archive(tmp_path / "x.zip", {f"{n}.png": zeros for n in range(9)})
    with pytest.raises(ValueError, match="may hold 3 MB unpacked"):
        datasets.unpacked(path, place)
    assert sum(p.stat().st_size for p in place.iterdir()) <= 3 << 20
    large = archive(tmp_path / "y.zip", {"l.png": zeros * 3, "z.png": b"x"})
    assert [name for name, _ in datasets.unpacked(large, place)] == ["l.png"]


def test_too_many_entries_an_encrypted_archive_and_none_at_all_are_refused(place, tmp_path):
    many = archive(tmp_path / "m.zip", {f"{n}.png": b"" for n in range(5_001)}, 0)
    with pytest.raises(ValueError, match="may hold 5000 files, got 5001"):
        datasets.unpacked(many, place)
    path = archive(tmp_path / "e.zip", {"a.png": b"x"})
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 8, 1)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="encrypted"):
        datasets.unpacked(path, place)
    (tmp_path / "n.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match="no ZIP that can be read"):
        datasets.unpacked(tmp_path / "n.zip", place)
    assert files_below(place) == []


def test_damaged_entries_and_rare_methods_are_left_out(place, tmp_path):
    path = archive(tmp_path / "x.zip", {"a.png": b"abc" * 50, "b.png": b"def"}, zipfile.ZIP_STORED)
    content = path.read_bytes().replace(b"abcabc", b"abxabc", 1)
    path.write_bytes(content)
    assert [name for name, _ in datasets.unpacked(path, place)] == ["a.png"]
    rare = archive(tmp_path / "y.zip", {"c.png": b"abc" * 50}, zipfile.ZIP_LZMA)
    assert datasets.unpacked(rare, place)[0][1] == "it is packed in a way that is not read here"


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "bring a ZIP"), (["a.zip", "b.png"], "not both"), (["a.png"] * 65, "64 files at most")],
)
def test_what_is_neither_an_archive_nor_a_few_files_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        next(datasets.checked(names, None))


def test_a_set_is_checked_and_the_list_has_the_names_in_its_folder(place, tmp_path):
    contents = {f"photos/{seed}.png": png(seed, tmp_path) for seed in range(3)}
    contents |= {"photos/copy.png": png(0, tmp_path), "photos/text.jpg": b"text", "../x.png": b""}
    path = archive(tmp_path / "set.zip", contents)
    *steps, done = datasets._check([str(path)], str(place), None)
    assert steps[-1] == (5, 5)
    report = json.loads(done.report)
    assert report["verdict"] == "stop"
    assert report["issues"]["unreadable"]["images"] == ["text.jpg"]
    assert report["issues"]["not_unpacked"]["images"] == ["../x.png"]
    assert str(tmp_path) not in done.report
    assert Path(done.clean).read_text().split() == ["0.png", "1.png", "2.png"]
    captions = [caption for _, caption in done.pictures]
    assert "Exact duplicates: copy.png" in captions
    with Image.open(done.pictures[0][0]) as small:
        assert max(small.size) <= datasets.THUMBNAIL_SIDE


def test_names_are_shown_as_text():
    issue = {"title": "<b>", "level": "stop", "images": ["x"], "summary": "<script>"}
    report = {
        "verdict": "stop",
        "reasons": ["<img src=x>"],
        "num_images": 1,
        "effective_images": 1,
        "resolution": 64,
        "issues": {"blurry": issue},
        "expected": [{"model": "<i>", "band": "<i>", "words": "<i>"}],
    }
    for shown in (datasets.verdict_html, datasets.table_html, datasets.expectations_html):
        assert not {"<b>x", "<script>", "<img src=x>", "<i>"} & {
            part for part in ("<script>", "<img src=x>", "<i>") if part in shown(report)
        }
