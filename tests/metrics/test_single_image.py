"""Figures of pictures made from one photo, against damage that each must, or must not, see."""

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from genmodels.metrics import single_image
from genmodels.nn.threads import threads_for

FIGURES = (
    *("rsifid", "patch_swd", "coherence", "completeness"),
    *("repetition", "symmetry", "layout_error"),
)


@pytest.fixture(autouse=True)
def one_thread():
    with threads_for(0):
        yield


@cache
def photo(width: int = 80, height: int = 60) -> np.ndarray:
    """Sky with clouds, hills, grass: uint8 [H, W, 3], whose heights look unlike each other."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / height
    clouds = texture(width, height, 3, 4)
    hills = 0.45 + 0.08 * np.sin(5 * x) + 0.04 * np.sin(13 * x + 1)
    sky = np.array([90, 140, 220]) + 60 * y[..., None] + 10 * clouds
    wood = np.array([60, 90, 50]) + 25 * texture(width, height, 1, 5)
    grass = np.array([150, 130, 60]) + 40 * texture(width, height, 0.7, 6)
    picture = np.where((y < hills)[..., None], sky, np.where((y < 0.7)[..., None], wood, grass))
    return (picture + rng.normal(0, 1, picture.shape)).round().clip(0, 255).astype(np.uint8)


def texture(width: int, height: int, sigma: float, seed: int) -> np.ndarray:
    """Blurred noise of mean 0 and standard deviation 1, [H, W, 1]."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(sigma)), dtype=float)
    return ((soft - soft.mean()) / soft.std())[..., None]


def noise_picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


def shuffled_tiles(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture's tiles in a random order."""
    height, width = picture.shape[:2]
    tiles = [
        picture[y : y + side, x : x + side]
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]
    order = np.random.default_rng(1).permutation(len(tiles))
    across = width // side
    rows = [
        np.concatenate([tiles[i] for i in order[start : start + across]], axis=1)
        for start in range(0, len(tiles), across)
    ]
    return np.concatenate(rows)


# All of them.


def test_a_photo_is_perfectly_like_itself():
    figures = single_image.panel(photo(), photo())
    for name in ("rsifid", "patch_swd", "coherence", "completeness", "layout_error"):
        assert figures[name] == pytest.approx(0, abs=1e-6), name
    assert figures["repetition"] == pytest.approx(0.05, abs=0.01)
    assert figures["layout_chance"] == pytest.approx(1 / 3, abs=0.05)


def test_the_panel_holds_what_each_figure_says():
    pair = (blurred(photo(), 1), photo())
    figures = single_image.panel(*pair)
    for name in FIGURES:
        assert figures[name] == float(getattr(single_image, name)(*pair)), name
    assert figures["rsifid_floor"] == single_image.rsifid_floor(photo())
    assert figures.keys() == {*FIGURES, "rsifid_floor", "layout_chance"}
    assert all(type(value) is float for value in figures.values())


def test_figures_are_the_same_for_any_kind_of_picture_and_any_number_of_calls():
    forms = [
        (np.array(each), Image.fromarray(each), torch.from_numpy(each.copy()).permute(2, 0, 1))
        for each in (photo()[:, :60], photo())
    ]
    for name in FIGURES:
        figure = getattr(single_image, name)
        first, *others = [float(figure(*pair)) for pair in zip(*forms, strict=True)]
        assert others == [first, first], name


@pytest.mark.parametrize("size", [(120, 60), (80, 90), (60, 40)])
def test_the_two_pictures_may_have_different_sizes(size):
    resized = Image.fromarray(photo()).resize(size, Image.Resampling.BICUBIC)
    for name in FIGURES:
        assert np.isfinite(getattr(single_image, name)(resized, photo())), name
    assert single_image.layout_error(resized, photo()) < 0.17


def test_a_large_pair_is_measured_at_the_working_size():
    large = Image.fromarray(photo()).resize((800, 600), Image.Resampling.BICUBIC)
    small = large.resize((80, 60), Image.Resampling.BICUBIC)
    spoilt = [each.filter(ImageFilter.GaussianBlur(each.width / 80)) for each in (large, small)]
    at_80 = single_image.rsifid(spoilt[0], large, longest=80)
    assert at_80 == pytest.approx(single_image.rsifid(spoilt[1], small), rel=0.1)
    assert at_80 > 1.2 * single_image.rsifid(spoilt[0], large, longest=40)


# Likeness.


@pytest.mark.parametrize("name", ["rsifid", "patch_swd", "coherence", "completeness"])
def test_more_blur_is_less_like(name):
    figure = getattr(single_image, name)
    values = [float(figure(blurred(photo(), sigma), photo())) for sigma in (0, 0.5, 1, 2)]
    assert values == sorted(values)
    assert values[2] > 2 * values[1] > 0


def test_blur_is_further_than_the_floor_and_the_place_beside_is_not():
    floor = single_image.rsifid_floor(photo(160, 60))
    left, right = photo(160, 60)[:, :120], photo(160, 60)[:, 40:]
    assert single_image.rsifid(left, right) == pytest.approx(floor, rel=0.3)
    assert single_image.rsifid(blurred(photo(160, 60), 1), photo(160, 60)) > 2 * floor


def test_fine_noise_is_seen_on_the_finest_level_above_all():
    spoilt = (photo() + np.random.default_rng(0).normal(0, 12, photo().shape)).clip(0, 255)
    fine, _, coarse = single_image.patch_swd(spoilt.astype(np.uint8), photo()).values
    assert fine > 5 * coarse


def test_a_shift_of_colour_is_seen_by_the_figures_that_say_so():
    darker = photo() - np.minimum(photo(), 20)
    assert single_image.patch_swd(darker, photo()).values[2] > 100
    assert single_image.coherence(darker, photo()) > 5
    assert single_image.rsifid(darker, photo()) < 0.02


def test_frechet_distance_of_normal_rows_is_the_textbook_one():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (200_000, 2))
    b = rng.normal(0, 1, (200_000, 2)) * [1, 3] + [2, 0]
    assert single_image._frechet(a, b) == pytest.approx(2**2 + (3 - 1) ** 2, rel=0.02)


def test_half_of_a_photo_is_coherent_but_not_complete():
    half = photo()[:, :40]
    assert single_image.coherence(half, photo()) == pytest.approx(0, abs=0.05)
    assert single_image.completeness(half, photo()) > 3
    assert single_image.completeness(photo(), half) == pytest.approx(0, abs=0.05)
    assert single_image.coherence(photo(), half) > 3


def test_a_piece_moved_by_one_pixel_is_coherent_at_all_scales():
    assert single_image.coherence(photo()[5:, 7:70], photo()).values.max() < 0.05


def test_the_nearest_patches_are_the_nearest():
    a, b = (torch.from_numpy(noise_picture(40, 30, seed)) for seed in (1, 2))
    rows = [x.unfold(0, 7, 1).unfold(1, 7, 1).reshape(-1, 147).double() for x in (a, b)]
    expected = torch.cdist(*rows).amin(dim=1).mean() / 147**0.5
    values = single_image.coherence(a.numpy(), b.numpy()).values
    assert values[0] == pytest.approx(float(expected), rel=1e-5)


# What likeness does not see.


def test_a_picture_upside_down_or_in_pieces_has_lost_its_layout():
    error = single_image.layout_error
    assert error(photo()[::-1], photo()) > 0.35
    pieces = shuffled_tiles(photo(), 10)
    chance = single_image.panel(pieces, photo())["layout_chance"]
    assert error(pieces, photo()) == pytest.approx(chance, rel=0.15)
    assert chance == pytest.approx(1 / 3, rel=0.15)


def test_moving_things_sideways_or_stretching_the_picture_keeps_the_layout():
    stretched = Image.fromarray(photo()).resize((160, 60), Image.Resampling.BICUBIC)
    for generated in (np.roll(photo(), 30, axis=1), photo()[:, ::-1], stretched):
        assert single_image.layout_error(generated, photo()) < 0.08


def test_like_patches_at_several_heights_are_no_error():
    same_everywhere = np.full((60, 80, 3), 128, np.uint8)
    assert single_image.layout_error(same_everywhere, same_everywhere) == 0


def test_a_repeated_patch_is_found_and_noise_is_not():
    source = noise_picture(88, 66)
    tiled = np.tile(source[:22, :22], (3, 4, 1))
    assert single_image.repetition(tiled, source) > 0.95
    assert single_image.repetition(noise_picture(88, 66, seed=1), source) < 0.1


def test_repetition_is_the_share_that_repeats():
    half_new = photo(160, 60).copy()
    half_new[:, 80:] = half_new[:, :80]
    assert single_image.repetition(half_new, photo(160, 60)) > 0.9
    some_new = photo(160, 60).copy()
    some_new[:, 120:] = some_new[:, :40]
    assert 0.2 < single_image.repetition(some_new, photo(160, 60)) < 0.7


def test_a_picture_beside_its_mirror_image_has_an_axis_and_one_beside_itself_has_none():
    beside = {
        "mirrored": np.concatenate([photo()[:, ::-1], photo()], axis=1),
        "again": np.concatenate([photo(), photo()], axis=1),
    }
    symmetry = {name: single_image.symmetry(both, photo()) for name, both in beside.items()}
    assert symmetry["mirrored"] > 0.5
    assert abs(symmetry["again"]) < 0.15


def test_a_symmetric_scene_is_not_blamed_for_it():
    gate = np.concatenate([photo()[:, ::-1], photo()], axis=1)
    assert single_image.symmetry(np.concatenate([gate, gate], axis=1), gate) < 0.05


def test_a_smeared_border_repeats():
    smeared = photo().copy()
    smeared[:, 40:] = smeared[:, 39:40]
    assert single_image.repetition(smeared, photo()) > 0.2


def test_a_clear_sky_does_not_count_as_repeated():
    y = np.linspace(0, 40, 60)[:, None, None]
    sky = np.broadcast_to(np.array([90, 140, 200]) + y, (60, 80, 3)).astype(np.uint8)
    assert single_image.repetition(sky, photo()) == 0
    assert single_image.repetition(np.concatenate([sky, photo()], axis=1), photo()) < 0.1


# Joins.


def ramp(width: int = 64, height: int = 300) -> np.ndarray:
    """A rough ramp that rises by 2 a column: uint8 [H, W, 3]."""
    levels = 2 * np.arange(width)[None, :, None] + 20 * texture(width, height, 0.5, 1)
    return (levels + np.array([20, 30, 40])).clip(0, 255).astype(np.uint8)


def test_a_hard_edge_is_a_visible_join_and_a_smooth_continuation_is_not():
    edge = ramp() // 2
    edge[:, 32:] += 100
    assert single_image.seam_ratio(edge, 32) > 2
    for column in (20, 31, 33, 50):
        assert 0.8 < single_image.seam_ratio(edge, column) < 1.25
        assert 0.8 < single_image.seam_ratio(ramp(), column) < 1.25


def test_a_smeared_join_is_below_the_usual():
    smeared = ramp().copy()
    smeared[:, 32] = smeared[:, 31]
    assert single_image.seam_ratio(smeared, 32) == 0


def test_column_0_is_the_join_of_the_last_and_the_first():
    assert single_image.seam_ratio(ramp(), 0) > 3
    there_and_back = np.concatenate([ramp(), ramp()[:, ::-1]], axis=1)
    assert single_image.seam_ratio(there_and_back, 0) == 0
    assert single_image.seam_ratio(np.roll(ramp(), 10, axis=1), 10) == pytest.approx(
        single_image.seam_ratio(ramp(), 0), rel=0.1
    )


def test_rows_have_joins_too():
    for position in (0, 5, 63):
        assert single_image.seam_ratio(
            ramp().transpose(1, 0, 2), row=position
        ) == single_image.seam_ratio(ramp(), position)


# Several samples.


def test_diversity_is_0_for_equal_samples_and_1_for_any_pixels():
    assert single_image.diversity([Image.fromarray(photo())] * 3, photo()) == 0
    rng = np.random.default_rng(0)
    pixels = photo().reshape(-1, 3)
    samples = np.stack([rng.permutation(pixels).reshape(photo().shape) for _ in range(40)])
    assert single_image.diversity(samples, photo()) == pytest.approx(1, abs=0.03)


def test_more_varied_samples_are_more_diverse():
    rng = np.random.default_rng(0)
    values = []
    for shift in (0, 1, 4, 16):
        moves = [np.roll(photo(), rng.integers(-shift, shift + 1), axis=1) for _ in range(8)]
        values.append(single_image.diversity(np.stack(moves), photo()))
    assert values == sorted(values)
    assert values[0] == 0 < values[1]


# The door.


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("rsifid", (photo()[None], photo()), r"generated must be one RGB .*; got \[1, 60, 80, 3\]"),
        ("rsifid", (photo(), Image.new("L", (64, 64))), "source must be one RGB picture.*; got L"),
        ("rsifid", (photo(), "photo.png"), "source must be one RGB picture.*; got str"),
        ("coherence", (photo() / 255, photo()), "generated must be a uint8 array"),
        ("coherence", (photo()[:27], photo()), "generated must be at least 28 px.*got 80x27"),
        ("coherence", (photo(), photo()[:, :20]), "source must be at least 28 px.*got 20x60"),
        ("panel", (photo()[:50, :50], photo()), "longer side 56,.*; got 50x50 from 50x50"),
        ("rsifid", (photo(), np.zeros((64, 64, 3), np.uint8)), "source must not be one flat"),
        ("repetition", (photo(), np.zeros((64, 64, 3), np.uint8)), "source must have a 15x15"),
        ("diversity", (photo()[None], photo()), "samples must hold at least 2 images, got 1"),
        ("diversity", (photo()[None, :2], photo()), "samples must hold at least 2 images, got 1"),
        ("diversity", (np.stack([photo()] * 2), np.zeros((64, 64, 3), np.uint8)), "one flat"),
        ("seam_ratio", (photo(), 80), "column must be a whole number from 0 to 79.*, got 80"),
        ("seam_ratio", (photo(), -1), "column must be a whole number from 0 to 79.*, got -1"),
        ("seam_ratio", (photo(), 3.0), "column must be a whole number from 0 to 79.*, got 3.0"),
        ("seam_ratio", (photo(),), "give a column or a row, got column=None and row=None"),
        ("seam_ratio", (np.zeros((64, 64, 3), np.uint8), 3), "half of the picture's columns equal"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(single_image, name)(*arguments)


def test_a_photo_too_flat_for_the_working_size_is_told_both_sizes():
    with pytest.raises(ValueError, match="source's is at most 200; got 200x20 from 1000x100"):
        single_image.coherence(noise_picture(1000, 100), noise_picture(1000, 100))
    with pytest.raises(ValueError, match=r"longest must be .* from 28 on, got 200\.0"):
        single_image.coherence(photo(), photo(), longest=200.0)


def test_samples_of_different_sizes_are_refused():
    pictures = [Image.fromarray(photo()), Image.fromarray(photo()[:, :60])]
    with pytest.raises(ValueError, match=r"pictures must be RGB of one size, \(80, 60\)"):
        single_image.diversity(pictures, photo())
