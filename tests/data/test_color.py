"""Luma and chroma: linear, as Pillow's, and luma that stays whatever the chroma."""

import numpy as np
import pytest
import torch
from PIL import Image

from genmodels.data import color, images


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (2, 3, 24, 40), dtype=np.uint8))


def test_a_picture_is_its_luma_and_its_chroma(pixels):
    rgb = images.to_float(pixels)
    y, cb_cr = color.luma(rgb), color.chroma(rgb)
    assert y.shape == (2, 1, 24, 40)
    assert cb_cr.abs().max() <= 1
    assert torch.allclose(color.join(y, cb_cr), rgb, atol=1e-5)


def test_grey_has_no_chroma_and_is_pillows(pixels):
    grey = color.to_grey(pixels)
    for own, theirs in zip(grey, images.to_pil(images.to_float(pixels)), strict=True):
        assert np.array_equal(own[0].numpy(), np.asarray(theirs.convert("L")))
    assert color.chroma(images.to_float(grey)).abs().max() < 1e-6
    assert torch.allclose(color.luma(images.to_float(grey)), images.to_float(grey)[:, :1])


def test_a_colour_that_does_not_exist_is_paled_and_keeps_its_luma():
    y = torch.linspace(-1, 1, 50).view(1, 1, 5, 10)
    for cb_cr in ((1.0, 1.0), (-1.0, 1.0), (0.9, -0.9), (0.0, 1.0)):
        wild = torch.tensor(cb_cr).view(1, 2, 1, 1).expand(1, 2, 5, 10)
        made = color.join(y, wild)
        assert made.abs().max() <= 1 + 1e-6
        assert torch.allclose(color.luma(made), y, atol=1e-6)
        (picture,) = images.to_pil(made)
        seen = np.asarray(picture.convert("L"), dtype=np.int16)
        assert np.abs(seen - ((y[0, 0].numpy() + 1) * 127.5)).max() <= 1.5


def test_luma_in_bytes_is_kept_at_every_brightness_and_colour():
    levels = torch.arange(256, dtype=torch.uint8)
    grey = levels.view(1, 1, 256, 1).expand(1, 3, 256, 400).contiguous()
    rng = torch.Generator().manual_seed(0)
    wild = torch.rand(1, 2, 256, 400, generator=rng) * 2 - 1
    joined = images.to_uint8(color.join(images.to_float(grey)[:, :1], wild))
    assert torch.equal(color.to_grey(joined), grey)
    assert (joined[:, 0].int() - joined[:, 2]).abs().float().mean() > 20


def test_other_shapes_and_types_are_refused(pixels):
    for wrong in (pixels.float(), pixels[0], pixels[:, :2]):
        with pytest.raises(ValueError, match="images must be uint8"):
            color.to_grey(wrong)
    assert Image.fromarray(color.to_grey(pixels)[0, 0].numpy()).mode == "L"
