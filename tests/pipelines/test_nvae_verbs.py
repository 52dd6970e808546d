"""What NVAE's pipeline can do: sliders, redrawing, edits of photos, and recipes of all of it."""

import warnings

import numpy as np
import pytest
import torch

import genmodels
from genmodels.data import images
from genmodels.models import nvae
from genmodels.pipelines.pipeline_nvae import NVAEPipeline
from tests.support.families import FAMILIES, SCHEMA, photo

FAMILY = FAMILIES["NVAEPipeline"]
KEPT = {"body": "suv", "year": 2000}


@pytest.fixture(scope="module")
def pipe():
    return FAMILY.make()


def pixels(output):
    return [picture.tobytes() for picture in output.images]


def replayed(output, folder, image=None):
    """Every picture of it, made again from its recipe."""
    with warnings.catch_warnings(action="error"):
        return [genmodels.replay(one, image, model=folder).tobytes() for one in output.images]


def point(pipe, seed, **settings):
    """What a picture is drawn from."""
    return pipe._place(seed, **settings)[0]


def test_a_slider_keeps_the_noise_and_changes_the_picture(pipe):
    points = [point(pipe, 4, condition=KEPT | {"year": year}) for year in (1992, 2010)]
    assert torch.equal(points[0].noise, points[1].noise)
    assert not torch.equal(points[0].c, points[1].c)
    swept = pipe.sweep(seed=4, name="year", values=[1992, 2000, 2010], condition=KEPT)
    assert len(set(pixels(swept))) == 3
    assert pixels(swept)[1] == pixels(pipe(seed=4, condition=KEPT))[0]
    assert [one["settings"]["condition"]["year"] for one in swept.recipes] == [1992, 2000, 2010]


def test_what_is_left_out_is_drawn_and_what_is_none_is_unknown(pipe):
    drawn = pipe(seed=3).recipes[0]["settings"]["condition"]
    assert set(drawn) == set(SCHEMA)
    assert pixels(pipe(seed=3)) == pixels(pipe(seed=3, condition=drawn))
    unknown = pipe(seed=3, condition={"body": None})
    assert unknown.recipes[0]["settings"]["condition"]["body"] is None
    assert pixels(unknown) != pixels(pipe(seed=3))
    assert pipe._c({"body": None, "year": None}).tolist() == [[0] * 5]


def test_temperature_shrinks_the_noise_and_chooses_the_statistics(pipe):
    cold, hot = (point(pipe, 5, temperature=t) for t in (0.5, 1.0))
    torch.testing.assert_close(2 * cold.noise, hot.noise)
    assert (cold.temperature, hot.temperature) == (0.5, 1.0)
    with pytest.raises(ValueError, match=r"temperature must be a number from 0\.5 to 1\.0, got 2"):
        pipe(seed=1, temperature=2)


def test_redrawn_pictures_share_the_levels_that_are_kept(pipe):
    sizes = list(pipe.generator.level_sizes.values())
    noise = point(pipe, 5, keep_levels=1, redraw_seed=8).noise
    kept, drawn = (point(pipe, seed).noise for seed in (5, 8))
    assert torch.equal(noise[:, : sizes[0]], kept[:, : sizes[0]])
    assert torch.equal(noise[:, sizes[0] :], drawn[:, sizes[0] :])
    redrawn = pipe.redraw(seed=5, keep_levels=1, num_images=3)
    assert len({*pixels(redrawn), *pixels(pipe(seed=5))}) == 4
    assert pixels(pipe.redraw(seed=5, keep_levels=2, num_images=1)) == pixels(pipe(seed=5))
    with pytest.raises(ValueError, match="keep_levels must be a whole number from 0 to 2, got 3"):
        pipe.redraw(seed=5, keep_levels=3)
    with pytest.raises(ValueError, match="keep_levels needs a redraw_seed"):
        pipe(seed=5, keep_levels=1)


def test_variations_and_walks_begin_and_end_where_they_should(pipe):
    assert pixels(pipe.vary(seed=2, strength=0.0, num_images=2)) == 2 * pixels(pipe(seed=2))
    way = pipe.interpolate(seeds=[2, 3], frames=3, condition=KEPT)
    ends = [pixels(pipe(seed=seed, condition=KEPT))[0] for seed in (2, 3)]
    assert [pixels(way)[0], pixels(way)[-1]] == ends
    assert len(set(pixels(way))) == 4
    stops = [pipe(seed=2, temperature=0.5), pipe(seed=3, condition=KEPT, temperature=1.0)]
    way = pipe.interpolate(recipes=[stop.recipes[0] for stop in stops], frames=2)
    assert [pixels(way)[0], pixels(way)[-1]] == [pixels(stop)[0] for stop in stops]


def test_the_photo_itself_comes_back_when_nothing_is_changed(pipe):
    network = pipe.generator
    small = images.from_pil([images.fit_square(photo(), 16)])
    c = pipe._c(KEPT)
    with torch.no_grad():
        noise = network.encode(images.to_float(small), c)
        (expected,) = images.to_pil(network(noise, c))
    assert pixels(pipe.edit(photo(), original=KEPT)) == [expected.tobytes()]


def test_an_edit_changes_what_is_asked_and_takes_any_picture(pipe):
    same = pipe.edit(photo(), original=KEPT)
    older = pipe.edit(photo(), original=KEPT, condition={"year": 1992})
    assert pixels(older) != pixels(same)
    assert older.recipes[0]["settings"]["condition"] == {"body": "suv", "year": 1992}
    assert pixels(pipe.edit(np.asarray(photo()), original=KEPT)) == pixels(same)
    assert pixels(pipe.edit(photo())) == pixels(pipe.edit(photo(), original={"body": None}))


def test_levels_of_a_photo_can_be_redrawn(pipe):
    redrawn = pipe.edit(photo(), keep_levels=1, redraw_seed=5)
    assert pixels(redrawn) != pixels(pipe.edit(photo()))
    assert pixels(redrawn) == pixels(pipe.edit(photo(), keep_levels=1, redraw_seed=5, seed=9))


def test_every_verb_replays_from_its_recipes(pipe, tmp_path):
    folder = tmp_path / "toy"
    pipe.save_pretrained(folder)
    pipe = genmodels.load(folder)
    for output in (
        pipe.sweep(seed=1, name="body", values=["suv", "sedan", None]),
        pipe.vary(seed=1, num_images=2),
        pipe.redraw(seed=1, num_images=2, temperature=0.9),
        pipe.interpolate(seeds=[1, 2], frames=2),
    ):
        assert replayed(output, folder) == pixels(output)
    edited = pipe.edit(photo(), original={"body": "suv"}, condition={"year": 1995})
    assert replayed(edited, folder, photo()) == pixels(edited)
    needed = edited.recipes[0]["image"]
    assert (needed["width"], needed["height"]) == photo().size
    with pytest.raises(ValueError, match="give that as `image`"):
        genmodels.replay(edited.images[0], model=folder)
    with pytest.raises(ValueError, match="not the image"):
        genmodels.replay(edited.images[0], photo().rotate(180), model=folder)
    with pytest.raises(ValueError, match="made from no other one"):
        genmodels.replay(pipe(seed=1).images[0], photo(), model=folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"condition": {"colour": "red"}}, r"unknown condition \['colour'\]"),
        ({"condition": {"body": "van"}}, "'body' must be one of"),
        ({"condition": "suv"}, "condition must be a dict"),
        ({"original": {"body": "suv"}}, "original is what is known of a photo"),
        ({"variation_seed": -1}, "variation_seed must be a whole number"),
        ({"toward": {"seed": 1, "toward": {}}}, "toward must be a dict of seed and"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(pipe, settings, message):
    with pytest.raises(ValueError, match=message):
        pipe(seed=1, **settings)


def test_a_photo_has_no_way_to_another_picture(pipe):
    with pytest.raises(ValueError, match="leave toward out"):
        pipe.edit(photo(), toward={"seed": 1}, toward_strength=0.5)
    edited = pipe.edit(photo()).recipes * 2
    with pytest.raises(ValueError, match="made from a photo cannot be passed through"):
        pipe.interpolate(recipes=edited)


def test_conditions_that_do_not_fit_the_network_are_refused():
    network = nvae.NVAE(resolution=16, c_dim=3, latents="4:1x2", base_channels=4, max_channels=8)
    with pytest.raises(ValueError, match="conditions must describe c_dim = 3 numbers, got 5"):
        NVAEPipeline(network, conditions=SCHEMA)


def test_a_network_without_conditions_draws(tmp_path):
    torch.manual_seed(0)
    network = nvae.NVAE(resolution=16, latents="1:1x8", base_channels=4, max_channels=8)
    pipe = NVAEPipeline(network.eval())
    pipe.save_pretrained(tmp_path)
    assert pixels(genmodels.load(tmp_path)(2, seed=3)) == pixels(pipe(2, seed=3))
    assert len(pipe.edit(photo()).images) == 1
