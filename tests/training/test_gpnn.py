"""Exact GPNN, the baseline: what it makes is made of the photo."""

import numpy as np
import pytest
import torch
from PIL import Image

from genmodels.metrics import single_image
from genmodels.nn.threads import threads_for
from training.experiments import gpnn as module
from training.experiments.gpnn import gpnn


@pytest.fixture(autouse=True)
def one_thread():
    with threads_for(0):
        yield


def photo() -> Image.Image:
    """Soft slanted stripes, darker at the top: 36x30."""
    y, x = np.mgrid[:30, :36]
    stripes = 60 * np.sin((x + y / 2) * np.pi / 4)[..., None] * [1, 0.8, 0.3]
    return Image.fromarray((108 + stripes + 40 * y[..., None] / 29).astype(np.uint8))


def test_a_retarget_to_the_same_size_is_the_photo():
    same = np.asarray(gpnn(photo(), 36, 30, 0, "retarget"), dtype=int)
    assert np.abs(same - np.asarray(photo())).max() <= 1


@pytest.mark.parametrize("mode", ["random", "noisy", "retarget"])
@pytest.mark.parametrize("size", [(54, 30), (30, 40)])
def test_every_size_is_made_of_the_photos_patches(mode, size):
    result = gpnn(photo(), *size, 3, mode)
    assert result.size == size
    assert result.mode == "RGB"
    stretched = photo().resize(size, Image.Resampling.BICUBIC)
    near, far = (single_image.coherence(each, photo()) for each in (result, stretched))
    assert near.values[0] < 0.75 * far.values[0]


def test_a_seed_gives_the_same_picture_and_another_another():
    first, again, other = (gpnn(photo(), 40, 30, seed, "random").tobytes() for seed in (1, 1, 2))
    assert first == again != other


def test_the_noisy_start_keeps_the_layout_better_than_noise_alone():
    errors = {
        mode: np.mean([single_image.layout_error(gpnn(photo(), 48, 30, s, mode), photo())
                       for s in range(3)])
        for mode in ("random", "retarget")
    }  # fmt: skip
    assert errors["retarget"] < errors["random"]


def test_the_search_is_the_normalised_score_of_the_paper():
    rng = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(n, 12, generator=rng) for n in (700, 40))
    distances = (queries[:, None] - keys).square().mean(dim=2)
    expected = (distances / (module.ALPHA + distances.amin(dim=0))).argmin(dim=1)
    assert module._nearest(queries, keys).equal(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((13, 30, 0, "random"), "width must be a whole number from 14 to 4096, got 13"),
        ((36, 5000, 0, "random"), "height must be a whole number from 14 to 4096, got 5000"),
        ((36, 30, -1, "random"), "seed must be a whole number from 0 to .*, got -1"),
        ((36, 30, 0, "wrap"), 'mode must be "random", "noisy" or "retarget", got \'wrap\''),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gpnn(photo(), *arguments)


def test_a_photo_without_a_patch_is_refused():
    with pytest.raises(ValueError, match=r"image must be 14 px or more, got \(36, 13\)"):
        gpnn(photo().crop((0, 0, 36, 13)), 36, 30)
