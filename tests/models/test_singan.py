"""SinGAN: the pyramid of networks, and what is drawn from it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import genmodels
from genmodels.data import images
from genmodels.models.singan import networks
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
        return fit()


def model(channels=(4, 4, 8)):
    pyramid = networks.SinGAN([[25, 32], [32, 48], [40, 64]], list(channels)).eval()
    pyramid.z_rec.normal_()
    pyramid.noise_amps[1:] = 0.3
    for module in pyramid.modules():  # Off the zeros and ones that would hide a mistake.
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return pyramid


# The networks.


@pytest.mark.parametrize(("max_size", "num_scales"), [(100, 5), (150, 6), (200, 7), (250, 8)])
def test_scales_lie_three_quarters_apart_from_25_pixels_up(max_size, num_scales):
    sizes = networks.pyramid_sizes(366, 585, max_size=max_size)
    assert len(sizes) == num_scales
    assert sizes[0] == [25, 40]
    assert sizes[-1] == [round(366 * max_size / 585), max_size]
    for small, large in pairwise(sizes):
        assert 0.73 < small[1] / large[1] < 0.82


@pytest.mark.parametrize(("num_scales", "millions"), [(5, 0.23), (7, 0.46), (8, 0.58), (9, 1.03)])
def test_the_networks_have_the_published_number_of_parameters(num_scales, millions):
    with torch.device("meta"):
        channels = [32 * 2 ** (i // 4) for i in range(num_scales)]
        pyramid = networks.SinGAN([[25, 40]] * num_scales, channels)
    count = sum(parameter.numel() for parameter in pyramid.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.006)


def test_a_small_photo_is_not_enlarged_and_a_narrow_one_is_refused():
    assert networks.pyramid_sizes(25, 30, max_size=400) == [[25, 30]]
    with pytest.raises(ValueError, match="must have 25 pixels or more, got 15: the photo has 1000"):
        networks.pyramid_sizes(100, 1000, max_size=150)


def test_a_score_is_of_the_patch_of_11_pixels_around_it():
    D = networks.Discriminator(4)
    for module in D:
        if isinstance(module, networks.PatchNorm):
            module.forward = lambda x: x  # Statistics of the whole image aside.
    image = torch.randn(1, 3, 30, 30, requires_grad=True)
    scores = D(image)
    assert scores.shape == (1, 1, 20, 20)
    (slope,) = torch.autograd.grad(scores[0, 0, 4, 7], image)
    seen = slope.abs().sum(dim=(0, 1)).nonzero()
    assert seen.min(dim=0).values.tolist() == [4, 7]
    assert seen.max(dim=0).values.tolist() == [14, 17]


def test_the_discriminators_normalisation_is_batch_normalisation_to_the_second_derivative():
    ours, theirs = networks.PatchNorm(5).double(), nn.BatchNorm2d(5).double()
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(mine.normal_())
    x = torch.randn(2, 5, 7, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ours(x), theirs(x))
    seconds = []
    for norm in (ours, theirs):
        (slope,) = torch.autograd.grad(norm(x).sin().sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(slope.square().sum(), [x, *norm.parameters()]))
    for mine, other in zip(*seconds, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(("height", "width"), [(40, 64), (33, 200), (90, 25)])
def test_a_picture_has_the_size_of_its_noise(height, width):
    pyramid = model()
    shapes = pyramid.shapes(height, width)
    assert shapes[-1] == (height, width)
    noises = [torch.randn(2, 3, *shape) for shape in shapes]
    assert pyramid(noises).shape == (2, 3, height, width)
    assert pyramid(noises[1:], 1, torch.zeros(2, 3, 9, 9)).shape == (2, 3, height, width)
    assert pyramid(noises, size=(50, 70)).shape == (2, 3, 50, 70)


def test_a_picture_does_not_depend_on_its_batch_nor_on_the_strips_it_is_made_in(monkeypatch):
    pyramid = model()
    noises = [torch.randn(3, 3, *shape) for shape in pyramid.shapes(70, 90)]
    whole = pyramid(noises)
    torch.testing.assert_close(pyramid([noise[1:2] for noise in noises]), whole[1:2])
    monkeypatch.setattr(networks, "STRIP_ELEMENTS", 3 * 100 * 4 * 7)
    torch.testing.assert_close(pyramid(noises), whole)


def test_a_wrapped_picture_turns_with_its_noise_and_a_plain_one_does_not():
    pyramid = model()
    noises = [torch.randn(1, 3, *shape) for shape in pyramid.shapes(40, 128)]  # 64, 96, 128 wide.
    turned = [noise.roll(noise.shape[3] // 4, dims=3) for noise in noises]
    for wrap in (True, False):
        expected = pyramid(noises, wrap=wrap).roll(32, dims=3)
        assert torch.allclose(pyramid(turned, wrap=wrap), expected, atol=1e-4) == wrap


def test_resizing_keeps_flat_colour_and_what_is_in_the_middle():
    flat = torch.full((1, 3, 10, 12), 0.25)
    torch.testing.assert_close(networks.resize(flat, (17, 5)), torch.full((1, 3, 17, 5), 0.25))
    torch.testing.assert_close(
        networks.resize(flat, (7, 31), True), torch.full((1, 3, 7, 31), 0.25)
    )
    assert networks.resize(flat, (10, 12)) is flat


def test_the_photo_comes_from_its_own_noise_and_a_shorter_pyramid_is_its_start():
    pyramid = model()
    noises = [pyramid.z_rec, *[torch.zeros(1, 3, *shape) for shape in pyramid.sizes[1:]]]
    torch.testing.assert_close(pyramid.reconstruct(), pyramid(noises))
    short = pyramid.first(2)
    assert short.channels == [4, 4]
    assert short.sizes == pyramid.sizes
    torch.testing.assert_close(short.reconstruct(), pyramid.reconstruct(2))
    assert short.reconstruct(size=short.sizes[-1]).shape == (1, 3, 40, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": []}, "sizes must be a list of 1 to 24"),
        ({"sizes": [[25, 25]] * 25}, "sizes must be a list of 1 to 24"),
        ({"sizes": [25, 25]}, r"sizes must be of \[height, width\], got 25"),
        ({"sizes": [[25, 10**9]]}, "sizes must be a whole number from 11 to 2048"),
        ({"sizes": [[25, float("nan")]]}, "sizes must be a whole number from 11 to 2048"),
        ({"sizes": [[30, 30], [25, 40]]}, "sizes must grow from scale to scale"),
        ({"channels": []}, "channels must be a list of 1 to 2"),
        ({"channels": [4, 4, 4]}, "channels must be a list of 1 to 2"),
        ({"channels": [4, 10**6]}, "channels must be a whole number from 1 to 512"),
        ({"channels": "44"}, "channels must be a list of 1 to 2"),
    ],
)
def test_an_impossible_pyramid_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        networks.SinGAN(**arguments)


def test_wrong_noise_is_refused_in_words():
    pyramid = model()
    noises = [torch.randn(1, 3, *shape) for shape in pyramid.shapes()]
    with pytest.raises(ValueError, match="noises must be 1 to 3 from this scale on, got 4"):
        pyramid([*noises, noises[-1]])
    with pytest.raises(ValueError, match=r"noises must be \[N, 3, H, W\], got \[1, 1, 5, 5\]"):
        pyramid([torch.zeros(1, 1, 5, 5)])
    with pytest.raises(ValueError, match="image must be given exactly when start_scale is above 0"):
        pyramid(noises[1:], 1)
    with pytest.raises(ValueError, match="start_scale must be a whole number from 0 to 2, got 3"):
        pyramid(noises, 3)


# Pictures.


def test_a_saved_model_draws_the_same_and_its_recipes_replay(fitted, tmp_path):
    fitted.save_pretrained(tmp_path)
    loaded = genmodels.load(tmp_path)
    assert isinstance(loaded, SinGANPipeline)
    assert same(loaded, fitted)
    for settings in ({}, {"width": 90, "height": 40, "start_scale": 1, "wrap": True}):
        out = loaded(2, seed=5, **settings)
        assert out.images[1].tobytes() == fitted(1, seed=6, **settings).images[0].tobytes()
        assert genmodels.replay(out.images[1], model=tmp_path).tobytes() == out.images[1].tobytes()


@pytest.mark.parametrize(("width", "height"), [(64, 48), (25, 25), (301, 33), (40, 200)])
def test_a_picture_has_the_asked_size(fitted, width, height):
    (image,) = fitted(width=width, height=height, seed=0).images
    assert image.size == (width, height)


def test_pictures_differ_and_a_higher_start_keeps_more_of_the_photo(fitted):
    seen = []
    for start_scale in (0, 1):
        out = fitted(4, seed=0, start_scale=start_scale).images
        assert len({image.tobytes() for image in out}) == 4
        seen.append(np.stack([np.asarray(image) for image in out]).std(axis=0).mean())
    assert seen[1] < seen[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 24}, "width must be a whole number from 25 to 8192, got 24"),
        ({"height": 0}, "height must be a whole number from 25 to 8192, got 0"),
        ({"width": 99_999}, "width must be a whole number from 25 to 8192, got 99999"),
        ({"width": float("nan")}, "width must be a whole number from 25 to 8192, got nan"),
        ({"width": 8192, "height": 8192}, "at most 16777216 pixels, got 8192x8192"),
        ({"num_images": 0}, "num_images must be a whole number from 1 to 256, got 0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"start_scale": 9}, "start_scale must be a whole number from 0 to"),
        ({"wrap": 1}, "wrap must be True or False, got 1"),
    ],
)
def test_impossible_requests_are_refused(fitted, arguments, message):
    with pytest.raises(ValueError, match=message):
        fitted(**arguments)


def test_harmonizing_leaves_what_is_far_from_the_mask(fitted):
    image, mask = photo(), Image.new("L", (64, 48))
    mask.paste(255, (10, 10, 20, 20))
    (out,) = fitted.harmonize(image, mask, start_scale=1, seed=0).images
    before, after = np.asarray(image), np.asarray(out)
    assert (before[:, 27:] == after[:, 27:]).all()
    assert (before[27:] == after[27:]).all()
    assert (before[10:20, 10:20] != after[10:20, 10:20]).mean() > 0.5
    with pytest.raises(ValueError, match=r"mask must have the image's size, \(64, 48\)"):
        fitted.harmonize(image, Image.new("L", (10, 10)))
    white = fitted.harmonize(image, mask.convert("RGB"), start_scale=1, seed=0).images[0]
    assert white.tobytes() == out.tobytes()


def test_a_painting_becomes_a_picture_of_its_own_size(fitted):
    painting = Image.new("RGB", (80, 60), (30, 60, 90))
    out = fitted.paint_to_image(painting, start_scale=1, seed=3)
    assert out.images[0].size == (80, 60)
    assert out.recipes[0]["settings"]["verb"] == "paint_to_image"
    again = fitted.paint_to_image(painting, start_scale=1, seed=3).images[0]
    assert again.tobytes() == out.images[0].tobytes()
    with pytest.raises(ValueError, match="start_scale must be a whole number from 1"):
        fitted.paint_to_image(painting, start_scale=0)
    with pytest.raises(ValueError, match="image must be a PIL image or a uint8 array, got str"):
        fitted.paint_to_image("painting.png")


@pytest.mark.parametrize("factor", [1, 2, 2.5, 4])
def test_super_resolution_enlarges_by_the_factor(fitted, factor):
    assert fitted.super_resolution(factor, seed=0).images[0].size == (64 * factor, 48 * factor)
    given = fitted.super_resolution(factor, image=photo(30, 40), seed=0).images[0]
    assert given.size == (30 * factor, 40 * factor)


def test_super_resolution_is_bounded(fitted):
    with pytest.raises(ValueError, match="factor must be a number from 1 to 4, got nan"):
        fitted.super_resolution(float("nan"))
    with pytest.raises(ValueError, match="at most 16777216 pixels"):
        fitted.super_resolution(4, image=photo(2000, 1500))


def test_a_film_starts_at_the_photo_and_moves_more_smoothly_with_beta(fitted):
    with torch.no_grad():
        (first,) = images.to_pil(fitted.generator.reconstruct())
    jumps = []
    for beta in (0.2, 0.95):
        film = fitted.animate(6, beta=beta, seed=1).images
        assert film[0].tobytes() == first.tobytes()
        assert len({frame.tobytes() for frame in film}) == 6
        frames = np.stack([np.asarray(frame) for frame in film]).astype(float)
        jumps.append(np.abs(np.diff(frames, axis=0)).mean())
    assert jumps[1] < jumps[0]
    comes_back(fitted)
    with pytest.raises(ValueError, match="loop must be True or False, got 1"):
        fitted.animate(3, loop=1)
    still = fitted.animate(3, alpha=1, beta=1, seed=1).images
    assert {frame.tobytes() for frame in still} == {first.tobytes()}
