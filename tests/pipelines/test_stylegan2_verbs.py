"""Varying, interpolating, sweeping and mixing the pictures of StyleGAN2, and what decides them."""

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
def folder(tmp_path_factory):
    torch.manual_seed(0)
    G = stylegan2.Generator(64, 8, 8, c_dim=3, base_channels=2, max_channels=8)
    golden.stir(G)
    folder = tmp_path_factory.mktemp("model")
    StyleGAN2Pipeline(G.eval(), conditions=SCHEMA).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(folder):
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


def test_all_the_way_toward_a_picture_is_that_picture_and_no_way_is_the_own(pipe):
    own = {"seed": 1, "condition": {"body": "suv", "year": 1999}, "variation_seed": 4}
    others = [
        {"seed": 2, "condition": {"body": "van"}},
        {"seed": 2, "truncation_psi": 1.0, "variation_seed": 3, "variation_strength": 0.5},
        {"seed": 2, "mix_seed": 5, "mix_layers": "coarse", "mix_condition": {"body": "van"}},
    ]
    for other in others:
        there = pipe(1, **own, toward=other, toward_strength=1.0)
        np.testing.assert_array_equal(pixels(there), pixels(pipe(1, **other)))
        here = pipe(1, **own, toward=other)
        np.testing.assert_array_equal(pixels(here), pixels(pipe(1, **own)))


def test_a_film_passes_through_any_pictures(pipe):
    stops = [
        pipe(1, seed=1, condition={"body": "van", "year": 2010}),
        pipe.vary(seed=2, strength=0.4, num_images=1, condition={"body": "suv"}),
        pipe.mix(row_seeds=[3], column_seeds=[4], layers="coarse", truncation_psi=0.9),
    ]
    film = pipe.interpolate(recipes=[stop.recipes[0] for stop in stops], frames=8)
    assert len(film.images) == 17
    for stop, frame in zip(stops, pixels(film)[::8], strict=True):
        np.testing.assert_array_equal(frame, pixels(stop)[0])
    for first in (0, 8):  # Nor does it jump between them.
        part = pixels(film)[first : first + 9]
        steps = np.abs(np.diff(part, axis=0)).mean(axis=(1, 2, 3))
        assert steps.min() > 0
        assert steps.max() < 0.5 * np.abs(part[-1] - part[0]).mean()


def test_a_film_takes_no_other_models_pictures_and_none_that_are_between_two(pipe):
    made = pipe(2, seed=1).recipes
    with pytest.raises(ValueError, match="of this model's pictures"):
        pipe.interpolate(recipes=[made[0], made[1] | {"weights_sha256": "0"}])
    between = pipe.interpolate(recipes=made, frames=2).recipes[1]
    with pytest.raises(ValueError, match="between two others"):
        pipe.interpolate(recipes=[made[0], between])
    with pytest.raises(ValueError, match="recipes say all"):
        pipe.interpolate(recipes=made, condition={"body": "suv"})


def test_a_sweep_changes_one_condition_and_keeps_the_rest(pipe):
    years = [1995, 2005.5, 2012, 2030]
    film = pipe.sweep(seed=5, name="year", values=years, truncation_psi=1.0)
    plain = pipe(1, seed=5, truncation_psi=1.0).recipes[0]["settings"]
    for told, year in zip(film.recipes, years, strict=True):
        assert told["seed"] == 5
        assert told["settings"] == plain | {"condition": plain["condition"] | {"year": year}}
    assert len({picture.tobytes() for picture in film.images}) == 4
    for frame, year in enumerate(years):
        asked = pipe(1, seed=5, truncation_psi=1.0, condition={"year": year})
        np.testing.assert_array_equal(pixels(film)[frame], pixels(asked)[0])


def test_a_sweep_runs_through_classes_and_keeps_what_is_asked(pipe):
    film = pipe.sweep(seed=5, name="body", values=["van", "suv"], condition={"year": 2001})
    asked = [told["settings"]["condition"] for told in film.recipes]
    assert asked == [{"body": "van", "year": 2001}, {"body": "suv", "year": 2001}]


def test_a_sweep_of_a_varied_and_mixed_picture_takes_all_its_parts_along(pipe):
    settings = {
        "condition": {"body": "suv"},
        "variation_seed": 2,
        "variation_strength": 0.5,
        "mix_seed": 3,
        "mix_condition": {"body": "suv", "year": 1999},
    }
    film = pipe.sweep(seed=1, values=[2000, 2010], **settings)
    for told, year in zip(film.recipes, (2000, 2010), strict=True):
        parts = [told["settings"][part] for part in ("condition", "mix_condition")]
        assert parts == [{"body": "suv", "year": year}] * 2


def shares_when_only(blocks, resolution=64):
    """The shares of a network that reads its styles in these blocks only."""
    torch.manual_seed(0)
    G = stylegan2.Generator(resolution, 8, 8, c_dim=3, base_channels=2, max_channels=8)
    golden.stir(G)
    for i, block in enumerate(G.blocks):
        for layer in (block.up, block.layer) if block.up else (block.layer,):
            layer.conv.to_style.weight.data *= i in blocks
        block.to_rgb.to_style.weight.data *= i in blocks
    return StyleGAN2Pipeline(G.eval(), conditions=SCHEMA).layer_shares(96)


@pytest.mark.parametrize(("blocks", "name"), [([0], "coarse"), ([2], "middle"), ([4], "fine")])
def test_a_range_that_decides_all_has_the_whole_share(blocks, name):
    shares = shares_when_only(blocks)
    assert shares[name] == pytest.approx(1, abs=0.1)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    # What follows the range has no part at all; what precedes it, none but the estimate's error.
    names = list(shares)
    assert all(shares[later] == 0 for later in names[names.index(name) + 1 :])


@pytest.mark.parametrize(("resolution", "name"), [(32, "fine"), (16, "fine"), (8, "middle")])
def test_shares_are_those_of_the_ranges_a_small_network_has(resolution, name):
    shares = shares_when_only(range(8), resolution)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert min(shares.values()) > -0.2
    if resolution == 16:
        assert shares[name] == 0


def test_the_shares_partition_the_variance_and_are_the_same_next_time(pipe):
    shares = pipe.layer_shares(16)
    assert list(shares) == ["coarse", "middle", "fine"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert all(-0.2 < share < 1.2 for share in shares.values())
    assert pipe.layer_shares(16) == shares
    assert pipe.layer_shares(16, seed=100) != shares


def test_an_interpolation_has_no_jumps(pipe):
    film = pixels(pipe.interpolate(seeds=[1, 2], frames=32))
    steps = np.abs(np.diff(film, axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < 0.25 * np.abs(film[-1] - film[0]).mean()


def test_every_verbs_picture_has_a_recipe_that_replays(pipe, folder, tmp_path):
    made = [
        pipe.vary(seed=4, strength=0.5, num_images=1),
        pipe.interpolate(seeds=[1, 2], frames=3),
        pipe.interpolate(recipes=pipe(2, seed=6).recipes, frames=2),
        pipe.sweep(seed=6, values=[2020]),
        pipe.mix(row_seeds=[1], column_seeds=[2], layers="coarse"),
    ]
    for output in made:
        picture = output.images[len(output.images) // 2]
        picture.save(tmp_path / "picture.png")
        again = genmodels.replay(tmp_path / "picture.png", model=folder)
        assert again.tobytes() == picture.tobytes()


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
        ("interpolate", {"recipes": [{}]}, "recipes must be two or more"),
        ("__call__", {"toward": {"seed": 1, "toward": {}}}, "toward must be a dict of seed and"),
        ("__call__", {"toward": {"condition": {}}}, "toward must be a dict of seed and"),
        ("__call__", {"toward": {"seed": -1}}, "seed must be a whole number"),
        ("__call__", {"toward": {"seed": 1}, "toward_strength": 2}, "toward_strength"),
        ("sweep", {"seed": 1, "values": []}, "values must be 1 to 600, got 0"),
        ("sweep", {"seed": 1, "name": "colour", "values": [1]}, "name must be one of .*'year'"),
        ("sweep", {"seed": 1, "values": [2050]}, r"between 1969 and 2049 \(the data's own range"),
        ("sweep", {"seed": 1, "name": "body", "values": ["boat"]}, "must be one of 'suv', 'van'"),
        ("sweep", {"seed": 1, "values": [2000], "condition": [1]}, "condition must be a dict"),
        ("layer_shares", {"num_images": 1}, "num_images"),
        ("layer_shares", {"truncation_psi": 3}, "truncation_psi"),
        ("layer_shares", {"truncation_psi": 0, "condition": {"body": "suv", "year": 2000}}, "same"),
    ],
)
def test_what_cannot_be_is_refused_in_words(pipe, verb, settings, words):
    with pytest.raises(ValueError, match=words):
        getattr(pipe, verb)(**settings)


def test_a_small_network_says_which_layers_it_lacks():
    pipe = StyleGAN2Pipeline(stylegan2.Generator(16, 8, 8, base_channels=2, max_channels=8))
    with pytest.raises(ValueError, match="a network of 16 px has no fine layers"):
        pipe.mix(row_seeds=[1], column_seeds=[2], layers="fine")
