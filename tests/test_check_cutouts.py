"""check_cutouts.py: masks measured against outlines drawn by hand; here, by the tests."""

import pytest

from tests import drawn_cars
from training.check_cutouts import OUTLINES, Config, check, read_outlines


@pytest.fixture
def config(tmp_path):
    """Eight photographs, and the true outlines of four."""
    (tmp_path / "photos").mkdir()
    lines = ["file,outline"]
    for index in range(8):
        view, facing = [("front-three-quarter", "left"), ("front", "")][index % 2]
        photo, mask = drawn_cars.draw(view, facing, seed=index)
        photo.save(tmp_path / "photos" / f"{index}.png")
        columns = [x for x in range(128) if mask[:, x].any()]
        top = [f"{x}:{mask[:, x].argmax()}" for x in columns]
        bottom = [f"{x}:{128 - mask[::-1, x].argmax()}" for x in columns[::-1]]
        if index < 4:
            lines.append(f"{index}.png,{' '.join(top + bottom)}")
    (tmp_path / "outlines.csv").write_text("\n".join(lines))
    return Config(tmp_path / "photos", tmp_path / "outlines.csv")


def test_what_is_cut_by_colour_and_shape_beats_the_mean_outline(config, capsys):
    found = check(config)
    assert found["GrabCut from learned outlines"] > 0.95
    assert found["GrabCut from learned outlines"] > found["mean of the other outlines"]
    assert found["u2netp"] > 0.8
    assert capsys.readouterr().out.count("4 of 4 kept") == 4


def test_a_missing_photograph_is_named(config):
    (config.photos / "2.png").unlink()
    with pytest.raises(ValueError, match=r"lacks \['2.png'\]"):
        check(config)


def test_the_outlines_that_come_with_the_script_are_of_cars():
    areas = [mask.mean() for mask in read_outlines(OUTLINES).values()]
    assert len(areas) == 36
    assert 0.15 < min(areas) < max(areas) < 0.5
