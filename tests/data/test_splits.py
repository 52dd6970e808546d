"""splits.py: held out by name, and what repeats a picture on one side."""

import hashlib
import re

import numpy as np
import pytest
from PIL import Image, ImageOps

from genmodels.data.image_folder import ImageFolder
from genmodels.data.paired_folder import PairFolder
from genmodels.data.splits import first_repeats, held_apart


def noise(seed, size=(24, 24)):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def by_hash(names, fraction):
    """The rule that models have been measured by since the first version."""
    values = [int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) for name in names]
    return [value < fraction * 16**8 for value in values]


def test_names_alone_decide_where_nothing_repeats():
    names = [f"{index:03d}.png" for index in range(200)]
    keys = [[name, f"square of {name}"] for name in names]
    assert held_apart(names, 0.2, keys) == held_apart(names, 0.2) == by_hash(names, 0.2)


def test_repeats_go_where_the_first_of_their_names_goes():
    names = [f"{index:03d}.png" for index in range(200)]
    keys = [[f"{index % 100}"] for index in range(200)]
    apart = held_apart(names, 0.2, keys)
    assert apart[:100] == by_hash(names[:100], 0.2)
    assert apart[100:] == apart[:100]


def test_repeats_are_linked_by_others():
    assert first_repeats([["a"], ["b"], ["c"], ["b", "a"], ["d"], ["c", "e"]]) == [0, 0, 2, 0, 4, 2]


@pytest.mark.parametrize("count", range(2, 12))
def test_few_images_lie_on_both_sides(count):
    for start in range(40):
        apart = held_apart([f"{start}-{index}" for index in range(count)], 0.5)
        assert 0 < sum(apart) < count


@pytest.mark.parametrize("size", [(24, 24), (31, 24), (40, 24), (24, 41)])
@pytest.mark.parametrize("kind", ["again", "mirrored", "other format"])
def test_a_picture_and_its_repeat_are_on_one_side(tmp_path, size, kind):
    for index in range(30):
        picture = noise(index, size)
        picture.save(tmp_path / f"{index:02d}.png")
        if kind == "again":
            picture.save(tmp_path / f"copy of {index:02d}.png", compress_level=1)
        elif kind == "mirrored":
            ImageOps.mirror(picture).save(tmp_path / f"{index:02d}-mirrored.png")
        else:
            picture.save(tmp_path / f"z{index:02d}.bmp")
    train, held_out = ImageFolder(tmp_path, 16).hold_out(0.3)
    parts = (train, held_out)
    numbers = [{re.search(r"\d\d", name)[0] for name in part.names} for part in parts]
    assert not numbers[0] & numbers[1]
    assert len(numbers[0]) + len(numbers[1]) == 30
    assert len(train) == 2 * len(numbers[0])


def test_pairs_that_share_a_picture_are_on_one_side_but_blank_masks_link_none(tmp_path):
    for index in range(40):
        for side, picture in (("source", noise(index % 20)), ("target", Image.new("L", (24, 24)))):
            (tmp_path / side).mkdir(exist_ok=True)
            picture.save(tmp_path / side / f"{index:02d}.png")
    learnt, apart = PairFolder(tmp_path, 16).hold_out(0.3)
    numbers = [{int(name) % 20 for name in part.names} for part in (learnt, apart)]
    assert not numbers[0] & numbers[1]
    assert len(learnt) + len(apart) == 40
    assert len(numbers[1]) > 1


def test_a_part_by_names_is_that_of_another_size(tmp_path):
    for index in range(20):
        noise(index % 10, (33, 21)).save(tmp_path / f"{index:02d}.png")
    _, apart = ImageFolder(tmp_path, 16).hold_out(0.4)
    part = ImageFolder(tmp_path, 8).only(set(apart.names))
    assert part.names == apart.names
    assert part.images.shape == (len(apart), 3, 8, 8)


def test_one_picture_many_times_cannot_be_divided(tmp_path):
    for index in range(8):
        noise(0).save(tmp_path / f"{index}.png")
    with pytest.raises(ValueError, match="8 images, which show 1 pictures, are too few"):
        ImageFolder(tmp_path, 16).hold_out(0.5)
