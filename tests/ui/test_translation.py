"""Translating pictures: any size, alpha kept, luma kept, strength, hints, recipes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from genmodels.hub import recipe
from genmodels.models import autoencoder, pix2pix
from genmodels.ui.services import workers
from tests.ui.test_panoramas import scene


@pytest.fixture(scope="module")
def comic():
    torch.manual_seed(0)
    return genmodels.Pix2PixPipeline(pix2pix.Generator(levels=3, base_channels=8, max_channels=16))


@pytest.fixture(scope="module")
def colourist():
    torch.manual_seed(0)
    generator = pix2pix.Generator(4, 2, levels=3, base_channels=8, max_channels=16)
    with torch.no_grad():  # As if it had learnt something.
        generator.to_image.weight.mul_(20)
    return genmodels.Pix2PixPipeline(generator, predicts="chroma", network_size=64)


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (64, 64), (130, 67)])
def test_what_comes_out_has_the_size_of_what_came_in(comic, colourist, size):
    for pipe in (comic, colourist):
        (picture,) = pipe(scene(*size, seed=0)).images
        assert picture.size == size
        assert picture.mode == "RGB"


def test_transparency_stays(comic):
    given = scene(50, 40, 0).convert("RGBA")
    alpha = Image.fromarray(np.arange(2000, dtype=np.uint32).astype(np.uint8).reshape(40, 50))
    given.putalpha(alpha)
    (made,) = comic(given).images
    assert made.mode == "RGBA"
    assert np.array_equal(np.asarray(made.getchannel("A")), np.asarray(alpha))


def test_strength_goes_from_the_picture_to_the_networks(comic):
    given = scene(48, 40, 0)
    none, half, full = (
        np.float32(comic(given, strength=strength).images[0]) for strength in (0.0, 0.5, 1.0)
    )
    assert np.array_equal(none, np.float32(given))
    assert np.abs(full - none).mean() > 1
    assert np.abs((none + full) / 2 - half).max() <= 1


def test_colouring_leaves_the_brightness_of_every_pixel(colourist):
    given = scene(200, 120, 0)  # Larger than the network sees.
    made = colourist(given).images[0]
    assert np.array_equal(np.asarray(made.convert("L")), np.asarray(given.convert("L")))
    colours = np.asarray(made).astype(np.int16)
    assert np.abs(colours[..., 0] - colours[..., 2]).mean() > 2
    grey = np.asarray(colourist(given, strength=0.0).images[0])
    assert np.array_equal(grey[..., 0], grey[..., 2])
    # What colours the picture had does not matter: it is coloured anew.
    again = colourist(given.convert("L").convert("RGB")).images[0]
    assert np.array_equal(np.asarray(again), np.asarray(made))


def test_a_hint_is_seen_where_it_is(colourist):
    given = scene(128, 96, 0)
    without = np.float32(colourist(given).images[0])
    hinted = np.float32(colourist(given, hints=[(20, 30, "#ff2010")]).images[0])
    change = np.abs(hinted - without).mean(axis=2)
    assert change[20:40, 10:30].mean() > 5 * change[70:, 100:].mean()
    assert change.max() > 0.5


def test_a_network_that_sees_less_is_given_back_what_is_finer(comic):
    given = scene(160, 120, 0)
    without = comic(given, network_size=30).images[0]
    kept = comic(given, network_size=30, detail=1.0).images[0]

    def fine(picture):
        return np.abs(np.diff(np.float32(picture.convert("L")), axis=1)).mean()

    assert without.size == kept.size == given.size
    assert fine(kept) > 1.5 * fine(without)


def test_several_pictures_come_out_as_one_by_one(comic):
    given = [scene(40, 30, seed) for seed in range(3)]
    together = comic(given)
    assert len(together.images) == len(together.recipes) == 3
    for picture, alone in zip(
        together.images, (comic(one).images[0] for one in given), strict=True
    ):
        assert np.array_equal(np.asarray(picture), np.asarray(alone))


def test_pictures_that_are_alike_are_drawn_together_where_that_changes_none(comic):
    given = [scene(64, 48, seed) for seed in range(5)] + [scene(40, 40, 9)]
    alone = [comic(picture, seed=0).images[0] for picture in given]
    sizes = []
    hook = comic.generator.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    together = comic(given, seed=0).images
    hook.remove()
    assert max(sizes) == 4  # Of the five; one that is tried, too, against two of its pictures.
    for one, same in zip(alone, together, strict=True):
        assert one.tobytes() == same.tobytes()


@pytest.mark.parametrize("settings", [{}, {"hints": [(5, 6, "#102030")], "strength": 0.7}])
def test_a_recipe_makes_the_picture_again_from_the_same_photo(colourist, tmp_path, settings):
    colourist.save_pretrained(tmp_path / "model")
    pipe = genmodels.load(tmp_path / "model")
    assert (pipe.config.predicts, pipe.config.network_size) == ("chroma", 64)
    given = scene(90, 60, 1)
    pipe(given, **settings).images[0].save(tmp_path / "made.png")
    told = recipe.read(tmp_path / "made.png")
    assert told["generated"]
    again = genmodels.replay(json.loads(json.dumps(told)), given, model=tmp_path / "model")
    assert np.array_equal(np.asarray(again), np.asarray(Image.open(tmp_path / "made.png")))
    with pytest.raises(ValueError, match="not the image"):
        genmodels.replay(told, scene(90, 60, 2), model=tmp_path / "model")


def test_grain_is_chance_that_a_seed_and_a_recipe_repeat(comic, tmp_path):
    pipe = genmodels.Pix2PixPipeline(comic.generator, grain=0.2)
    pipe.save_pretrained(tmp_path / "model")
    pipe = genmodels.load(tmp_path / "model")
    assert pipe.config.grain == 0.2
    given = scene(48, 40, 0)
    first, again, other = (pipe(given, seed=seed) for seed in (0, 0, 7))
    pixels = [np.asarray(output.images[0]) for output in (first, again, other)]
    assert np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[0], pixels[2])
    told = json.loads(json.dumps(other.recipes[0]))
    again = genmodels.replay(told, given, model=tmp_path / "model")
    assert np.array_equal(np.asarray(again), pixels[2])
    assert np.array_equal(*(np.asarray(comic(given, seed=seed).images[0]) for seed in (0, 7)))


def test_each_picture_of_a_batch_has_a_seed_of_its_own(comic):
    grainy = genmodels.Pix2PixPipeline(comic.generator, grain=0.2)
    given = scene(48, 40, 0)
    both = grainy([given, given], seed=3)
    assert [one["seed"] for one in both.recipes] == [3, 4]
    second = grainy(given, seed=4).images[0]
    assert np.array_equal(np.asarray(both.images[1]), np.asarray(second))
    assert not np.array_equal(np.asarray(both.images[0]), np.asarray(second))
    drawn = [grainy(given, seed=None) for _ in range(2)]
    assert drawn[0].recipes[0]["seed"] != drawn[1].recipes[0]["seed"]


def test_the_autoencoder_translates_too(tmp_path):
    torch.manual_seed(0)
    pipe = genmodels.AutoencoderPipeline(autoencoder.Generator())
    pipe.save_pretrained(tmp_path, dtype=torch.float16)
    (made,) = genmodels.load(tmp_path)(scene(70, 33, 0)).images
    assert made.size == (70, 33)


def test_what_cannot_be_translated_is_refused(comic, colourist):
    given = scene(40, 30, 0)
    for wrong, words in (
        ("photo.jpg", "must be a PIL image or a uint8 array, got str"),
        ([], "1 to 256, got 0"),
        (None, "must be a PIL image or a uint8 array, got NoneType"),
        (Image.new("RGB", (5000, 5000)), "at most 24000000 pixels, got 5000x5000"),
        (Image.new("RGB", (0, 5)), "must have one pixel .* got 0x5"),
    ):
        with pytest.raises(ValueError, match=words):
            comic(wrong)
    for settings, words in (
        ({"strength": float("nan")}, "strength must be"),
        ({"strength": 1.5}, "strength must be"),
        ({"detail": -1}, "detail must be"),
        ({"seed": -1}, "seed must be"),
        ({"network_size": 99999}, "network_size must be"),
        ({"hints": [(1, 1, "#ffffff")]}, "predicts chroma, this one predicts rgb"),
    ):
        with pytest.raises(ValueError, match=words):
            comic(given, **settings)
    for hint, words in (
        ((40, 0, "#ffffff"), "column must be a whole number from 0 to 39"),
        ((0, 30, "#ffffff"), "row must be"),
        ((0, 0, "red"), "a hint must be"),
        ((0, 0), "a hint must be"),
    ):
        with pytest.raises(ValueError, match=words):
            colourist(given, hints=[hint])
    for hints, words in (
        (5, "hints must be a list of at most 500, got 5"),
        (None, "hints must be a list of at most 500, got None"),
        ([(1, 1, "#ffffff")] * 501, "hints must be a list of at most 500, got 501"),
    ):
        with pytest.raises(ValueError, match=words):
            colourist(given, hints=hints)


def test_as_many_hints_as_it_takes_can_be_replayed(colourist, tmp_path):
    colourist.save_pretrained(tmp_path / "model")
    given = scene(200, 120, 0)
    hints = [(i % 200, i % 120, "#c03020") for i in range(500)]
    genmodels.load(tmp_path / "model")(given, hints=hints).images[0].save(tmp_path / "made.png")
    again = genmodels.replay(tmp_path / "made.png", given, model=tmp_path / "model")
    with Image.open(tmp_path / "made.png") as made:
        assert np.array_equal(np.asarray(again), np.asarray(made))


def test_a_network_of_the_wrong_channels_is_refused():
    for generator, predicts in (
        (pix2pix.Generator(levels=3), "chroma"),
        (pix2pix.Generator(4, 2, levels=3), "rgb"),
    ):
        with pytest.raises(ValueError, match=f"predicts {predicts} must have"):
            genmodels.Pix2PixPipeline(generator, predicts=predicts)
    with pytest.raises(ValueError, match="predicts must be one of"):
        genmodels.Pix2PixPipeline(pix2pix.Generator(levels=3), predicts="depth")
    with pytest.raises(ValueError, match="grain must be"):
        genmodels.Pix2PixPipeline(pix2pix.Generator(levels=3), grain=1.5)
    with pytest.raises(ValueError, match="grain must be"):
        genmodels.Pix2PixPipeline(pix2pix.Generator(4, 2, levels=3), predicts="chroma", grain=0.1)


def test_a_strip_that_padding_would_swell_is_refused(comic):
    comic(Image.new("RGB", (500, 5)))
    with pytest.raises(ValueError, match="at most 100 times as long as it is wide, got 6x601"):
        comic(Image.new("RGB", (6, 601)))


def test_a_network_of_half_precision_translates_nearly_the_same(comic):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    whole = np.int16(comic(photo).images[0])
    half = np.int16(comic.to(torch.bfloat16)(photo).images[0])
    assert 0 < np.abs(whole - half).max() <= 16


def large_picture(side):
    """A task: a picture of side x side pixels, through a network that sees it small."""
    generator = pix2pix.Generator(levels=3, base_channels=8, max_channels=16)
    pipe = genmodels.Pix2PixPipeline(generator, network_size=64)
    yield pipe(Image.new("RGB", (side, side), "olive"), detail=0.5).images[0].size


def test_a_large_photo_is_not_held_many_times_as_numbers():
    # As floats alone it would be 110 MB, and was held six times.
    assert workers.result(large_picture, 3000, megabytes=400) == (3000, 3000)
