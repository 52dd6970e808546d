"""Varying, interpolating and mixing the pictures of StyleGAN2."""

import numpy as np
import pytest
import torch

import genmodels
from genmodels.models import stylegan2
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline
from tests import golden

SCHEMA = {
    "body": {"values": ["suv", "van"], "counts": [3, 1]},
    "year": {"mean": 2009.0, "std": 4.0, "min": 1995, "max": 2012},
}


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    torch.manual_seed(0)
    G = stylegan2.Generator(64, 8, 8, c_dim=3, base_channels=2, max_channels=8)
    golden.stir(G)
    folder = tmp_path_factory.mktemp("model")
    StyleGAN2Pipeline(G.eval(), conditions=SCHEMA).save_pretrained(folder)
    return genmodels.load(folder)


def pixels(output):
    return np.stack([np.asarray(image, dtype=np.int16) for image in output.images])


def test_mixing_a_picture_with_itself_changes_nothing(pipe):
    plain = pixels(pipe(1, seed=3))
    for layers in ("coarse", "middle", "fine", (0, 9)):
        mixed = pixels(pipe.mix(row_seeds=[3], column_seeds=[3], layers=layers))
        np.testing.assert_array_equal(mixed, plain)


def test_mixing_all_layers_gives_the_columns_picture(pipe):
    condition = {"body": "suv", "year": 2005}
    settings = {"condition": condition, "truncation_psi": 1.0}
    mixed = pipe.mix(row_seeds=[1, 2], column_seeds=[5], layers=(0, 9), **settings)
    column = pixels(pipe(1, seed=5, **settings))[0]
    for picture in pixels(mixed):
        np.testing.assert_array_equal(picture, column)


def test_the_named_ranges_partition_the_layers(pipe):
    ranges = [pipe.layers(name) for name in ("coarse", "middle", "fine")]
    named = [layer for first, last in ranges for layer in range(first, last + 1)]
    assert named == list(range(pipe.generator.num_ws))


def test_every_range_has_a_part_in_the_picture(pipe):
    plain = pixels(pipe(1, seed=1))
    for layers in ("coarse", "middle", "fine"):
        assert (pixels(pipe.mix(row_seeds=[1], column_seeds=[2], layers=layers)) != plain).any()


def test_a_grid_goes_row_by_row(pipe):
    grid = pipe.mix(row_seeds=[1, 2], column_seeds=[3, 4, 5], layers="middle")
    asked = [(one["seed"], one["settings"]["mix_seed"]) for one in grid.recipes]
    assert asked == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]


def test_no_strength_varies_nothing_and_more_varies_more(pipe):
    plain = pixels(pipe(1, seed=4))
    np.testing.assert_array_equal(pixels(pipe.vary(seed=4, strength=0, num_images=2))[1:], plain)
    distances = [
        np.abs(pixels(pipe.vary(seed=4, strength=strength, num_images=8)) - plain).mean()
        for strength in (0.1, 0.4, 1.0)
    ]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_variations_differ_from_each_other_and_are_the_same_next_time(pipe):
    varied = pixels(pipe.vary(seed=4, strength=0.5, num_images=3))
    assert len({picture.tobytes() for picture in varied}) == 3
    np.testing.assert_array_equal(pixels(pipe.vary(seed=4, strength=0.5, num_images=3)), varied)


def test_an_interpolation_passes_through_its_pictures(pipe):
    condition = {"body": "van", "year": 2010}
    film = pixels(pipe.interpolate(seeds=[1, 2, 3], frames=4, condition=condition))
    assert len(film) == 9
    for frame, seed in ((0, 1), (4, 2), (8, 3)):
        expected = pixels(pipe(1, seed=seed, condition=condition))[0]
        np.testing.assert_array_equal(film[frame], expected)


def test_an_interpolation_has_no_jumps(pipe):
    film = pixels(pipe.interpolate(seeds=[1, 2], frames=32))
    steps = np.abs(np.diff(film, axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < 0.25 * np.abs(film[-1] - film[0]).mean()


def test_every_verbs_picture_has_a_recipe_that_replays(pipe, tmp_path):
    made = [
        pipe.vary(seed=4, strength=0.5, num_images=1),
        pipe.interpolate(seeds=[1, 2], frames=3),
        pipe.mix(row_seeds=[1], column_seeds=[2], layers="coarse"),
    ]
    for output in made:
        output.images[0].save(tmp_path / "picture.png")
        again = genmodels.replay(tmp_path / "picture.png")
        assert again.tobytes() == output.images[0].tobytes()


@pytest.mark.parametrize(
    ("verb", "settings", "words"),
    [
        ("mix", {"row_seeds": [1], "column_seeds": [2], "layers": "rough"}, "coarse, middle, fine"),
        ("mix", {"row_seeds": [1], "column_seeds": [2], "layers": (3, 1)}, "last layer"),
        ("mix", {"row_seeds": [1], "column_seeds": [2], "layers": (0, 10)}, "last layer"),
        ("mix", {"row_seeds": [1], "column_seeds": [-2]}, "mix_seed"),
        ("vary", {"seed": 1, "strength": 1.5}, "variation_strength"),
        ("vary", {"seed": 1, "num_images": 0}, "num_images"),
        ("interpolate", {"seeds": [1]}, "two or more"),
        ("interpolate", {"seeds": [1, 2], "frames": 0}, "frames"),
    ],
)
def test_what_cannot_be_is_refused_in_words(pipe, verb, settings, words):
    with pytest.raises(ValueError, match=words):
        getattr(pipe, verb)(**settings)
