"""SinGAN's fast mode: layouts of patches, networks above them."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from genmodels.data import images
from genmodels.models.singan import fast as singan_fast
from genmodels.models.singan import layouts as singan_layouts
from genmodels.models.singan import networks
from genmodels.models.singan import settings as singan_settings
from genmodels.models.singan import training as singan_training
from genmodels.models.singan.settings import OPTIMIZERS
from genmodels.pipelines.pipeline_singan import SinGANPipeline
from tests.support.one_photo import comes_back, fit, photo, same, tiny_mode


@pytest.fixture(autouse=True)
def a_tiny_mode():
    torch.manual_seed(0)
    with tiny_mode():
        yield


@pytest.fixture(scope="module")
def fitted():
    with tiny_mode():
        return fit(mode="tiny-fast")


def started(scale=0, **settings):
    """A training at the beginning of a scale."""
    settings = {"mode": "tiny-fast", "max_size": 64} | settings
    training = singan_fast.FastTraining(
        singan_training.check_photo(photo()), singan_settings.Settings(**settings)
    )
    while training.scale < scale:
        list(training.iterate())
        if training.end_iteration():
            training.end_scale()
    return training


def floats(image):
    return images.to_float(images.from_pil([image]))


# Layouts.


@pytest.mark.parametrize("size", [(24, 32), (24, 90), (50, 20), (3, 40), (7, 7)])
def test_a_layout_has_the_asked_size_and_no_colour_that_the_photo_has_not(size):
    small = floats(photo(32, 24))
    for wrap in (False, True):
        *_, layout = singan_layouts.draw(small, size, seed=0, wrap=wrap)
        assert layout.shape == (1, 3, *size)
        assert small.min() - 0.1 <= layout.min()
        assert layout.max() <= small.max() + 0.1


def test_layouts_differ_by_seed_and_keep_the_sky_above_the_ground():
    small = floats(photo(32, 24))
    first, second, again = (
        list(singan_layouts.draw(small, (24, 48), seed=seed))[-1] for seed in (0, 1, 0)
    )
    assert first.equal(again)
    assert not first.equal(second)
    for layout in (first, second):
        blue = layout[0, 2] - layout[0, 0]
        assert blue[:8].mean() > blue[-8:].mean() + 0.2


def test_a_projection_of_the_photo_is_nearly_the_photo_and_of_flat_colours_has_texture():
    small = floats(photo(32, 24))
    again = singan_layouts.project(small, floats(photo(64, 48)), (24, 32), seed=0)
    assert (again - small).square().mean() < (small - small.mean()).square().mean() / 2
    flat = small.mean(dim=(2, 3), keepdim=True).expand(1, 3, 60, 100)
    textured = singan_layouts.project(small, flat, (24, 40), seed=0)
    assert textured.shape == (1, 3, 24, 40)
    assert textured.std() > 0.05


def test_a_photo_too_small_for_patches_is_refused():
    with pytest.raises(ValueError, match=r"the photo's shorter side must be .* from 16"):
        next(singan_layouts.draw(torch.zeros(1, 3, 15, 40), (24, 32), seed=0))


# The networks.


def test_a_score_is_of_the_15_pixels_around_it_and_of_their_height():
    D = networks.HeightDiscriminator(4)
    image = torch.randn(1, 4, 30, 30, requires_grad=True)
    scores = D(image)
    assert scores.shape == (1, 1, 16, 16)
    (slope,) = torch.autograd.grad(scores[0, 0, 4, 7], image)
    assert (slope.abs().sum(dim=(0, 2, 3)) > 0).all()
    seen = slope.abs().sum(dim=(0, 1)).nonzero()
    assert seen.min(dim=0).values.tolist() == [4, 7]
    assert seen.max(dim=0).values.tolist() == [18, 21]


def test_a_model_of_layouts_starts_from_one_and_draws_none():
    pyramid = networks.SinGAN([[24, 32], [48, 64]], [0, 4]).eval()
    noise = torch.randn(1, 3, 48, 64)
    assert pyramid([noise], 1, torch.zeros(1, 3, 24, 32)).shape == (1, 3, 48, 64)
    with pytest.raises(ValueError, match="start_scale must be 1 or more, and image a layout"):
        pyramid([torch.randn(1, 3, 24, 32), noise])
    with pytest.raises(ValueError, match="channels must be a whole number from 1 to 512, got 0"):
        networks.SinGAN([[24, 32], [48, 64]], [4, 0])
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in pyramid.modules())


# Training.


@pytest.mark.parametrize(
    ("max_size", "heights"),
    [
        (40, [20, 30]),
        (100, [49, 75]),
        (150, [73, 112]),
        (200, [98, 150]),
        (400, [83, 127, 196, 300]),
    ],
)
def test_a_layout_is_at_most_100_high_and_each_scale_half_as_high_again(max_size, heights):
    training = singan_fast.FastTraining(
        torch.rand(1, 3, 300, 400), singan_settings.Settings(mode="fast", max_size=max_size)
    )
    sizes = training.model.sizes
    assert [height for height, _ in sizes][: len(heights)] == pytest.approx(heights, abs=1)
    assert training.model.channels == [0] + [32] * (len(sizes) - 1)


def test_events_count_pictures_first_and_steps_of_each_scale_then():
    events = list(SinGANPipeline.fit_steps(photo(), mode="tiny-fast", max_size=64))
    *going, last = events
    steps = [(event.scale, event.step) for event in going]
    assert steps == sorted(steps)
    assert set(steps) >= {(scale, step) for scale in (0, 1, 2) for step in (1, 2, 3)}
    assert {event.num_scales for event in events} == {3}
    assert next(event for event in going if event.step).preview.size == (64, 48)
    assert {event.scale for event in going if event.preview} == {0, 1, 2}
    assert set(going[-1].losses) == {"D", "penalty", "G", "reconstruction"}
    assert any(event.eta_seconds for event in going)
    assert last.pipeline.generator.channels == [0, 4, 4]
    assert last.preview.size == (64, 48)


def test_two_steps_change_every_parameter_and_none_below():
    training = started(scale=2)
    assert len(training.layouts) == 2
    assert len(training.examples) == 2
    below = {k: v.clone() for k, v in training.model.generators[1].state_dict().items()}
    kept = training.model.generators[2].state_dict()
    assert all(kept[key].equal(value) for key, value in below.items())  # Where it starts.
    after = [*training.G.parameters(), *list(training.D.parameters())[:-1]]
    after += training.model.generators[2].parameters()
    before = [parameter.detach().clone() for parameter in after]
    for _ in range(2):
        list(training.iterate())
        training.end_iteration()
    assert not any(new.equal(old) for new, old in zip(after, before, strict=True))
    frozen = training.model.generators[1].state_dict()
    assert all(frozen[key].equal(value) for key, value in below.items())


def test_a_piece_is_made_as_the_whole_picture_would_be():
    training = started(scale=1)
    training.model.noise_amps[1] = 0
    training.G.load_state_dict(training.model.generators[1].state_dict())
    height, width = training.model.sizes[1]
    with torch.no_grad():
        again, wanted, fake, _ = training._pieces(torch.Generator().manual_seed(0))
        wholes = [training.model.refine(1, one, None) for one in training._below_examples]
    pieces = [
        whole[..., y : y + 24, x : x + 24]
        for whole in wholes
        for y in range(height - 23)
        for x in range(width - 23)
    ]
    assert min((again - piece).abs().max() for piece in pieces) < 1e-5
    assert again.shape == wanted.shape == (1, 3, 24, 24)
    heights = fake[0, 3]
    assert (heights.diff(dim=0) > 0).all()
    assert -1 <= heights.min() <= heights.max() <= 1


def test_training_learns_the_photo():
    events = list(SinGANPipeline.fit_steps(photo(48, 40), mode="tiny-fast", max_size=48, epochs=70))
    model = events[-1].pipeline.generator
    real = floats(photo(48, 40))
    enlarged = networks.resize(model.z_rec, (40, 48))
    with torch.no_grad():
        missed = (model.reconstruct() - real).square().mean()
    assert missed < (enlarged - real).square().mean()


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(fitted):
    torch.manual_seed(9)  # torch's own source has no say.
    assert same(fit(mode="tiny-fast"), fitted)
    assert not same(fit(mode="tiny-fast", seed=1), fitted)


@pytest.mark.parametrize("optimizer", ["asgd"])
def test_stopped_and_resumed_is_the_same_as_never_stopped(optimizer, tmp_path):
    settings = {"mode": "tiny-fast", "max_size": 48, "optimizer": optimizer, "epochs": 4}
    whole = SinGANPipeline.fit(photo(48, 40), **settings)
    for stop in ((0, 2), (1, 1), (1, 3)):
        events = SinGANPipeline.fit_steps(photo(48, 40), **settings, out=tmp_path)
        for event in events:
            if (event.scale, event.step) >= stop:
                break
        events.close()
    resumed = list(SinGANPipeline.fit_steps(photo(48, 40), **settings, out=tmp_path))
    assert min((event.scale, event.step) for event in resumed) >= (1, 3)
    assert same(resumed[-1].pipeline, whole)
    (again,) = SinGANPipeline.fit_steps(photo(48, 40), **settings, out=tmp_path)
    assert same(again.pipeline, whole)


def test_a_budget_ends_the_training_with_all_scales_in_it():
    events = list(
        SinGANPipeline.fit_steps(
            photo(), mode="tiny-fast", max_size=64, epochs=10_000, budget_seconds=1
        )
    )
    model = events[-1].pipeline.generator
    assert len(model.channels) == len(model.sizes)
    assert 4 <= max(event.step for event in events) < 10_000


@pytest.mark.parametrize(("stop", "channels"), [((0, 1), [0]), ((1, 3), [0, 4])])
def test_finished_early_it_publishes_what_it_has_at_full_size(stop, channels, tmp_path):
    finish = threading.Event()
    events = SinGANPipeline.fit_steps(photo(), mode="tiny-fast", max_size=64, finish=finish)
    for event in events:
        if (event.scale, event.step) == stop:
            finish.set()
    assert event.pipeline.generator.channels[: len(channels)] == channels
    assert len(event.pipeline.generator.sizes) == 3
    event.pipeline.save_pretrained(tmp_path)
    (picture,) = genmodels.load(tmp_path)(1, seed=0).images
    assert picture.size == (64, 48)
    if channels == [0]:
        assert event.pipeline.animate(2, seed=0).images[1].size == (64, 48)
        with pytest.raises(ValueError, match="without a trained scale cannot add detail"):
            event.pipeline.super_resolution(2)


def test_a_training_that_diverges_says_so(monkeypatch):
    kind, arguments = OPTIMIZERS["sgd"]
    monkeypatch.setitem(OPTIMIZERS, "sgd", (kind, arguments | {"lr": 1e30}))
    with pytest.raises(FloatingPointError, match=r"diverged at scale 1, iteration .*: try adam"):
        fit(mode="tiny-fast", optimizer="sgd")


# Pictures.


def test_a_saved_model_draws_the_same_and_its_recipes_replay(fitted, tmp_path):
    fitted.save_pretrained(tmp_path)
    loaded = genmodels.load(tmp_path)
    assert same(loaded, fitted)
    for settings in ({}, {"width": 90, "height": 40, "start_scale": 1, "wrap": True}):
        out = loaded(2, seed=5, **settings)
        assert out.images[1].tobytes() == fitted(1, seed=6, **settings).images[0].tobytes()
        assert genmodels.replay(out.images[1], model=tmp_path).tobytes() == out.images[1].tobytes()


@pytest.mark.parametrize(("width", "height"), [(64, 48), (25, 25), (301, 33), (40, 200)])
def test_a_picture_has_the_asked_size(fitted, width, height):
    for wrap in (False, True):
        (image,) = fitted(width=width, height=height, seed=0, wrap=wrap).images
        assert image.size == (width, height)


def test_pictures_differ_in_detail_above_one_layout_and_in_more_above_none(fitted):
    fitted.generator.noise_amps[1:] = 0.2  # Three steps teach no more than to enlarge.
    seen = []
    for start_scale in (0, 1):
        out = fitted(4, seed=0, start_scale=start_scale).images
        assert len({image.tobytes() for image in out}) == 4
        seen.append(np.stack([np.asarray(image) for image in out]).std(axis=0).mean())
    assert seen[1] < seen[0]


def test_a_painting_enters_as_a_layout_of_patches_or_higher(fitted):
    painting = Image.new("RGB", (80, 60), (30, 60, 90))
    out = fitted.paint_to_image(painting, seed=3)
    assert out.images[0].size == (80, 60)
    assert out.recipes[0]["settings"]["start_scale"] == 0
    higher = fitted.paint_to_image(painting, start_scale=1, seed=3).images[0]
    assert np.asarray(higher).std() < np.asarray(out.images[0]).std()
    with pytest.raises(ValueError, match="start_scale must be a whole number from 0 to 2, got 3"):
        fitted.paint_to_image(painting, start_scale=3)


def test_the_other_verbs_work(fitted):
    image, mask = photo(), Image.new("L", (64, 48))
    mask.paste(255, (10, 10, 20, 20))
    (out,) = fitted.harmonize(image, mask, seed=0).images
    assert (np.asarray(image)[27:] == np.asarray(out)[27:]).all()
    assert fitted.super_resolution(2.5, seed=0).images[0].size == (160, 120)
    film = fitted.animate(4, seed=1).images
    with torch.no_grad():
        (first,) = images.to_pil(fitted.generator.reconstruct())
    assert film[0].tobytes() == first.tobytes()
    assert len({frame.tobytes() for frame in film}) == 4


def test_a_layout_sways_in_a_film(fitted):
    comes_back(fitted)
    far, near = (
        np.stack([np.asarray(f) for f in fitted.animate(9, start_scale=k, seed=1).images])
        for k in (0, 1)
    )
    moved = [np.abs(film.astype(float) - film[0]).mean() for film in (far, near)]
    assert moved[0] > 1.5 * moved[1]
