"""monet_teacher.py and comic_teacher.py: photographs to paintings and comics."""

import cv2
import numpy as np
import pytest

from training.prepare.comic_teacher import comic_teacher, quantise
from training.prepare.monet_teacher import monet_teacher, study, to_lab, transport
from training.prepare.pair_checks import edges, registration


def scene(seed, height=96, width=96):
    """A sky over hills with a dark disc, as a photograph with some grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    horizon = 0.5 * height + 6 * np.sin(x / 13 + seed)
    sky = np.dstack([90 + 60 * y / height, 130 + 60 * y / height, 200 + 30 * y / height])
    ground = np.dstack([110 + 20 * np.sin(x / 5), 130 + 10 * np.sin(y / 4), 60 + 0 * x])
    pixels = np.where((y > horizon)[..., None], ground, sky)
    pixels[(y - 0.35 * height) ** 2 + (x - 0.6 * width) ** 2 < (0.14 * height) ** 2] = (40, 25, 20)
    return np.clip(pixels + 4 * rng.standard_normal(pixels.shape), 0, 255).astype(np.uint8)


def painting(colour, seed):
    """A painting of one colour's shades."""
    rng = np.random.default_rng(seed)
    return np.clip(np.array(colour) + 25 * rng.standard_normal((64, 64, 3)), 0, 255).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def paintings():
    colours = [(90, 120, 170), (120, 130, 90), (170, 140, 110), (110, 150, 160)]
    return study([painting(colour, seed) for seed, colour in enumerate(colours)])


@pytest.fixture(params=["comic", "monet"])
def teach(request, paintings):
    if request.param == "comic":
        return comic_teacher
    return lambda image, **settings: monet_teacher(image, paintings, **settings)


@pytest.mark.parametrize("shape", [(96, 96), (64, 128), (131, 77)])
def test_a_target_has_the_size_of_its_photograph(teach, shape):
    target = teach(scene(0, *shape))
    assert target.shape == (*shape, 3)
    assert target.dtype == np.uint8


def test_the_same_photograph_gives_the_same_target_and_is_not_changed(teach):
    photo = scene(1)
    copy = photo.copy()
    first = teach(photo)
    assert (first == teach(photo)).all()
    assert (photo == copy).all()


def test_a_target_stays_where_its_photograph_is(teach):
    for seed in range(3):
        photo = scene(seed, 128, 128)
        found = registration(photo, teach(photo))
        assert found.shift_px < 2
        assert found.correlation > 0.5


def test_flat_pictures_black_white_and_grey_can_be_taught_from(teach):
    for level in (0, 128, 255):
        target = teach(np.full((64, 64, 3), level, np.uint8))
        assert target.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((96, 96, 3)), "must be uint8"),
        (np.zeros((96, 96), np.uint8), "must be uint8"),
        ("photo.jpg", "must be uint8"),
        (np.zeros((96, 96, 4), np.uint8), r"must be \[H, W, 3\]"),
        (np.zeros((32, 96, 3), np.uint8), "sides of 64 to 1024"),
        (np.zeros((96, 2000, 3), np.uint8), "sides of 64 to 1024"),
    ],
)
def test_what_is_no_picture_is_refused(teach, image, message):
    with pytest.raises(ValueError, match=message):
        teach(image)


# Comic.


def test_what_is_dark_becomes_ink_and_what_is_bright_does_not():
    photo = scene(0, 128, 128)
    comic = comic_teacher(photo)
    assert comic[40:50, 72:82].max() < 30  # The disc.
    assert comic[2:10].min() > 60  # The sky.


def test_an_edge_between_bright_colours_gets_a_line():
    photo = np.full((128, 128, 3), (225, 200, 180), np.uint8)
    photo[:, 64:] = (160, 190, 230)
    comic = cv2.cvtColor(comic_teacher(photo), cv2.COLOR_RGB2GRAY).astype(int)
    photo[:, 64:] = (120, 150, 190)
    inked = cv2.cvtColor(comic_teacher(photo), cv2.COLOR_RGB2GRAY).astype(int)
    line = inked[20:108, 58:70].min(axis=1)
    assert (line < inked[20:108, 110] - 40).all()
    assert comic[:, :40].std() < 2


def test_grain_leaves_no_ink():
    rng = np.random.default_rng(0)
    photo = np.clip(190 + 6 * rng.standard_normal((128, 128, 3)), 0, 255).astype(np.uint8)
    assert comic_teacher(photo).min() > 100


def test_lightness_in_steps_is_ordered_and_stays_near():
    lightness = np.linspace(0, 100, 1001)
    steps = quantise(lightness, 5)
    assert (np.diff(steps) >= 0).all()
    assert abs(steps - lightness).max() <= 10 + 1e-9
    assert 5 <= len(np.unique(steps.round(6))) < 400


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": 1}, "levels must be"),
        ({"levels": 4.0}, "levels must be"),
        ({"ink_below": float("nan")}, "ink_below must be"),
        ({"ink_below": 1.5}, "ink_below must be"),
    ],
)
def test_settings_of_the_comic_outside_their_ranges_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        comic_teacher(scene(0), **settings)


# Monet.


def test_a_painting_takes_the_colours_of_the_paintings():
    photo = scene(2)
    warm = study([painting((190, 120, 70), seed) for seed in range(3)])
    cool = study([painting((80, 120, 190), seed) for seed in range(3)])
    means = [to_lab(monet_teacher(photo, p, strength=1.0))[..., 2].mean() for p in (warm, cool)]
    assert means[0] > means[1] + 30


def test_at_strength_0_a_painting_keeps_the_photographs_colours(paintings):
    photo = scene(3)
    painted = monet_teacher(photo, paintings, strength=0.0, jitter=0.0)
    gap = to_lab(painted).mean(axis=(0, 1)) - to_lab(photo).mean(axis=(0, 1))
    assert abs(gap).max() < 2.5


def test_strokes_give_a_flat_sky_texture_that_follows_contours(paintings):
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:] = (120 + 60 * np.sin(np.arange(128) / 6))[:, None, None]  # Horizontal.
    painted = to_lab(monet_teacher(stripes, paintings))[..., 0]
    along, across = np.abs(np.diff(painted, axis=1)).mean(), np.abs(np.diff(painted, axis=0)).mean()
    assert 0.1 < along < 0.7 * across
    flat = np.full((128, 128, 3), (120, 150, 190), np.uint8)
    rough = edges(monet_teacher(flat, paintings), 1.0).mean()
    assert rough > 1.2 * edges(monet_teacher(flat, paintings, jitter=0.0), 1.0).mean()


def test_transport_gives_the_distribution_of_the_palette():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((2000, 3)) * (3, 9, 2) + (50, 0, 0)
    palette = rng.standard_normal((2500, 3)) * (8, 2, 4) + (70, 10, -20)
    moved = transport(points, points, palette)
    assert abs(moved.mean(axis=0) - palette.mean(axis=0)).max() < 0.5
    assert abs(moved.std(axis=0) / palette.std(axis=0) - 1).max() < 0.1
    still = transport(palette, palette, palette)
    assert abs(still - palette).max() < 1e-3


def test_settings_of_the_painting_outside_their_ranges_are_refused(paintings):
    for settings in ({"strength": 1.1}, {"strength": float("nan")}, {"jitter": -0.1}):
        with pytest.raises(ValueError, match="must be 0 to"):
            monet_teacher(scene(0), paintings, **settings)
    with pytest.raises(ValueError, match="at least one picture, got none"):
        study([])
    with pytest.raises(ValueError, match="painting must be uint8"):
        study([np.zeros((64, 64, 3))])
