"""cutouts.py: where the car is, and the car on a plain background."""

import numpy as np
import pytest
from PIL import Image

from tests import drawn_cars
from training import cutouts


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve photographs, and the true masks."""
    folder, truth = tmp_path_factory.mktemp("photos"), {}
    for index in range(12):
        facing = ("left", "right")[index % 2]
        photo, truth[f"{index}.png"] = drawn_cars.draw("front-three-quarter", facing, seed=index)
        photo.save(folder / f"{index}.png")
    return folder, truth


def test_cars_are_found_without_any_label(photos):
    folder, truth = photos
    masks, reasons = cutouts.find_masks(folder, list(truth))
    assert reasons == {}
    assert min(cutouts.iou(masks[file], truth[file]) for file in truth) > 0.95


def test_the_same_photographs_give_the_same_masks(photos):
    folder, truth = photos
    first, again = (cutouts.find_masks(folder, list(truth))[0] for _ in range(2))
    assert all((first[file] == again[file]).all() for file in truth)


def test_a_photograph_without_a_car_is_left_out_with_a_reason(photos):
    folder, truth = photos
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    Image.new("RGB", (128, 128), "white").save(folder / "blank.png")
    masks, reasons = cutouts.find_masks(folder, [*truth, "noise.png", "blank.png", "missing.png"])
    assert set(masks) == set(truth)
    assert "mask" in reasons["noise.png"]
    assert "mask" in reasons["blank.png"]
    assert "no such file" in reasons["missing.png"]


def test_a_networks_mask_that_is_unlike_those_of_similar_photographs_is_left_out(photos):
    folder, truth = photos
    Image.open(folder / "0.png").save(folder / "again.png")
    given = iter([*truth.values(), np.roll(truth["0.png"], 30, axis=0)])
    masks, reasons = cutouts.find_masks(folder, [*truth, "again.png"], lambda photo: next(given))
    assert set(masks) == set(truth)
    assert "outline" in reasons["again.png"]


def test_photographs_none_of_which_can_be_read_give_no_mask(tmp_path):
    masks, reasons = cutouts.find_masks(tmp_path, ["a.png"])
    assert masks == {}
    assert list(reasons) == ["a.png"]


def test_a_mask_keeps_its_largest_piece_without_holes():
    mask = np.zeros((128, 128), bool)
    mask[40:90, 10:110] = True
    whole = cutouts.tidy(mask)
    mask[60:66, 50:56] = False  # A window.
    mask[5:15, 5:15] = True  # Another car.
    assert (cutouts.tidy(mask) == whole).all()
    assert not cutouts.tidy(np.zeros((128, 128), bool)).any()


def test_what_goes_on_beyond_the_margins_of_a_square_is_another_car():
    mask = np.zeros((128, 128), bool)
    mask[40:90, 10:128] = True
    mask[30:50, :6] = True
    columns = np.flatnonzero(cutouts.tidy(mask).any(0))
    assert columns.min() >= 9
    assert columns.max() <= 128 - cutouts.MARGIN


def test_an_area_that_no_car_has_is_a_failure():
    y, x = np.mgrid[:128, :128]
    assert "0%" in cutouts.failure(np.zeros((128, 128), bool))
    assert "100%" in cutouts.failure(np.ones((128, 128), bool))
    car = (abs(y - 64) < 24) & (abs(x - 64) < 60)
    assert cutouts.failure(car) is None
    assert "outline" in cutouts.failure(car, outline=np.roll(car, 20, axis=0).astype(float))


@pytest.mark.parametrize("resolution", [32, 128, 160])
def test_the_car_keeps_its_colour_and_all_else_is_grey(resolution):
    photo = Image.new("RGB", (200, 150), (250, 10, 10))
    mask = np.zeros((128, 128), bool)
    mask[40:90, 10:110] = True
    square = np.asarray(cutouts.paste(photo, mask, resolution)).astype(int)
    assert square.shape == (resolution, resolution, 3)
    middle = resolution // 2
    assert abs(square[middle, middle] - (250, 10, 10)).max() <= 2
    outside = square[: resolution // 4]
    assert abs(outside - cutouts.GREY).max() <= 2
    assert (square[..., 0] >= 195).all()  # No dark rim.


def test_the_edge_of_a_car_is_soft_and_shows_no_old_background():
    photo, inside = drawn_cars.draw("front", "", seed=3)
    pixels = np.array(photo)
    pixels[~inside] = (0, 255, 0)
    square = np.asarray(cutouts.paste(Image.fromarray(pixels), inside, 128)).astype(int)
    green = square[..., 1] - square[..., [0, 2]].max(-1)
    assert green.max() < 64  # Of 255, in the sharpest corner.
    column = square[:64, 64].sum(-1)  # From the background down into the car.
    steps = abs(np.diff(column))
    assert steps.max() < 0.75 * abs(column[0] - column[-1])


@pytest.mark.parametrize("resolution", [32, 128, 160])
def test_an_aligned_car_has_its_length_and_ground_wherever_it_was(resolution):
    photo = Image.new("RGB", (200, 200), (250, 10, 10))
    for top, left, length in ((10, 4, 120), (60, 30, 80), (70, 64, 64)):
        mask = np.zeros((128, 128), bool)
        mask[top : top + length // 2, left : left + length] = True
        square = np.asarray(cutouts.paste(photo, mask, resolution, align=True)).astype(int)
        assert square.shape == (resolution, resolution, 3)
        rows, columns = np.nonzero(square[..., 1] < 105)
        assert abs(rows.max() + 1 - cutouts.GROUND * resolution) <= 2
        assert abs(columns.max() + 1 - columns.min() - cutouts.LENGTH * resolution) <= 4
        assert abs(columns.min() + columns.max() + 1 - resolution) <= 2
        assert abs(square[: resolution // 4] - cutouts.GREY).max() <= 2
