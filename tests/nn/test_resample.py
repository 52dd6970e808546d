"""Filtered resampling against convolutions that are spelled out."""

import pytest
import torch
import torch.nn.functional as F

from genmodels.nn.resample import downsample2x, upsample2x

TAPS = [1 / 8, 3 / 8, 3 / 8, 1 / 8]


def zero_stuffed(x):
    """x [N, C, H, W] -> [N, C, 2H, 2W] with a zero after every row and column."""
    stuffed = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    stuffed[:, :, ::2, ::2] = x
    return stuffed


def filtered(x, before, after):
    """The kernel at every place, by loops, on x padded with zeros."""
    x = F.pad(x, (before, after, before, after))
    height, width = x.shape[2] - 3, x.shape[3] - 3
    y = x.new_zeros(*x.shape[:2], height, width)
    for i in range(height):
        for j in range(width):
            for a, tap_a in enumerate(TAPS):
                for b, tap_b in enumerate(TAPS):
                    y[:, :, i, j] += tap_a * tap_b * x[:, :, i + a, j + b]
    return y


def picture(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 1, 1, 1), (1, 2, 5, 3)])
def test_upsampling_is_zero_stuffing_and_the_filter_borders_included(shape):
    x = picture(*shape)
    torch.testing.assert_close(
        upsample2x(x), 4 * filtered(zero_stuffed(x), before=2, after=1), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 1, 2, 2), (1, 2, 8, 2)])
def test_downsampling_is_the_filter_and_every_second_pixel_borders_included(shape):
    x = picture(*shape)
    every_second = filtered(x, before=1, after=1)[:, :, ::2, ::2]
    torch.testing.assert_close(downsample2x(x), every_second, rtol=0, atol=1e-14)


def test_upsampling_is_the_adjoint_of_downsampling():
    x, y = picture(2, 3, 4, 6), picture(2, 3, 8, 12) + 1
    torch.testing.assert_close((upsample2x(x) * y).sum(), 4 * (x * downsample2x(y)).sum())


def test_upsampling_is_bilinear_inside():
    x = picture(1, 2, 6, 5)
    bilinear = F.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(upsample2x(x)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1])


def test_a_constant_stays_itself_inside_and_fades_at_the_border():
    x = torch.ones(1, 1, 4, 4)
    assert upsample2x(x)[..., 1:-1, 1:-1].eq(1).all()
    assert upsample2x(x)[0, 0, 0, 3] == 0.75
    assert downsample2x(x)[0, 0, 0, 0] == 0.875**2


@pytest.mark.parametrize("resample", [upsample2x, downsample2x])
def test_gradients_are_right_to_the_second_order(resample):
    x = picture(1, 2, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(resample, x)
    assert torch.autograd.gradgradcheck(resample, x)


@pytest.mark.parametrize("shape", [(1, 1, 3, 4), (1, 1, 4, 5)])
def test_an_odd_side_is_refused(shape):
    with pytest.raises(ValueError, match=f"must be even, got {shape[2]}x{shape[3]}"):
        downsample2x(torch.zeros(shape))
