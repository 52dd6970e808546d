"""One small photo, and modes of SinGAN so thin that they train in a second: for its tests."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image, ImageFilter

from genmodels.hub import loading
from genmodels.models.singan import settings
from genmodels.models.singan.settings import FastProtocol, Protocol
from genmodels.nn.threads import threads_for
from genmodels.pipelines.pipeline_singan import SinGANPipeline


@contextmanager
def tiny_mode() -> Iterator[None]:
    """Within it there are modes "tiny" and "tiny-fast", and torch computes on one thread."""
    with pytest.MonkeyPatch.context() as patch, threads_for(0):
        tiny = Protocol(epochs=3, base_channels=4, double_every=2)
        patch.setitem(settings.MODES, "tiny", tiny)
        fast = FastProtocol(
            epochs=3, base_channels=4, min_size=22, num_layouts=2, num_examples=1, crop=24
        )
        patch.setitem(settings.MODES, "tiny-fast", fast)
        patch.setitem(loading.PIPELINES, "SinGANPipeline", SinGANPipeline.__module__)
        yield


def photo(width=64, height=48, seed=0):
    """Sky over ground, with grain: something coarse and something fine to learn."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (height, width, 3))
    pixels[: height // 2] += [40, 90, 150]
    pixels[height // 2 :, ::6] += 120
    return Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))


def fit(**settings):
    return SinGANPipeline.fit(photo(), **{"mode": "tiny", "max_size": 64} | settings)


def same(a, b):
    """Whether two pipelines have the same weights, bit for bit."""
    a, b = a.generator.state_dict(), b.generator.state_dict()
    return a.keys() == b.keys() and all(a[key].equal(b[key]) for key in a)


def comes_back(pipe):
    """A loop's last frame goes over into its first as any frame does into the next."""
    last = {}
    for loop in (True, False):
        film = pipe.animate(12, loop=loop, seed=2).images
        frames = np.stack([np.asarray(frame) for frame in [*film, film[0]]]).astype(float)
        steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        last[loop] = steps[-1] / steps[:-1].mean()
    assert last[True] < 1.4
    assert last[False] > 1.6
