"""The comparison of panoramas: figures kept, a table with paired intervals, clear refusals."""

import json

import pytest
from PIL import Image

from tests.ui.test_panoramas import scene
from training.benchmarks import panoramas
from training.experiments import compare_panoramas
from training.experiments.compare_panoramas import Config, compare

WAYS = ("new: GPNN", "new: ours", "shape: GPNN", "shape: ours", "extend: ours")


def twice(photo, seed):
    """The photo beside itself, brighter with the seed."""
    wide = Image.new("RGB", (2 * photo.width, photo.height))
    wide.paste(photo, (0, 0))
    wide.paste(photo.point(lambda value: min(255, value + seed)), (photo.width, 0))
    return wide


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / "scenes").mkdir()
    for seed, name in enumerate(("fence", "field", "wall")):
        scene(72, 48, seed).save(tmp_path / "scenes" / f"{name}.png")
    monkeypatch.setattr(compare_panoramas, "WAYS", dict.fromkeys(WAYS, twice))
    pairs = (("new: ours", "new: GPNN"), ("shape: ours", "shape: GPNN"))
    monkeypatch.setattr(compare_panoramas, "PAIRS", pairs)
    return Config(
        scenes=tmp_path / "scenes",
        out=tmp_path / "out",
        names=("fence", "field", "wall"),
        longest=64,
        results=tmp_path / "results",
    )


def test_the_same_pictures_differ_by_nothing_and_nothing_is_drawn_twice(config, monkeypatch):
    compare(config)
    written = (config.results / "panoramas.md").read_text()
    difference = next(line for line in written.splitlines() if line.startswith("| minus"))
    assert difference.count("| 0 (0 to 0)") >= 6
    record = json.loads((config.results / "panoramas.json").read_text())
    assert set(record["scenes"]) == set(WAYS)
    assert record["scenes"]["extend: ours"]["fence"]["seam_left"] > 0
    assert "diversity" not in record["scenes"]["shape: ours"]["fence"]  # It has no chance in it.
    monkeypatch.setattr(compare_panoramas, "WAYS", dict.fromkeys(WAYS))  # Would fail to draw.
    compare(config)
    assert (config.results / "panoramas.md").read_text() == written


def test_what_cannot_be_compared_is_refused(config):
    for changed in ({"seeds": 1}, {"names": ("fence",)}):
        with pytest.raises(ValueError, match="two or more"):
            compare(Config(**{**vars(config), **changed}))
    with pytest.raises(ValueError, match="must hold a photo moon"):
        compare(Config(**{**vars(config), "names": ("fence", "moon")}))


def test_a_drawing_is_timed_in_a_process_of_its_own(config, monkeypatch, capsys):
    monkeypatch.setitem(panoramas.CASES, "tiny", ((48, 32), (64, 32)))
    flags = {"scenes": config.scenes, "names": ("fence",)}
    seconds, preview, gigabytes = panoramas.one(panoramas.Config(**flags), "tiny", "fence")
    assert 0 < preview <= seconds < 60
    assert 0.05 < gigabytes < 8
    panoramas.measure(panoramas.Config(**flags, cases=("200 px, twice as wide",)))
    assert "| 200 px, twice as wide | " in capsys.readouterr().out
