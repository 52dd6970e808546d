"""Losses and penalties against values known by other routes."""

import math

import pytest
import torch
import torch.nn.functional as F

from genmodels.nn import losses


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)


def test_discriminator_loss_is_binary_cross_entropy():
    real_logits, fake_logits = torch.randn(8), torch.randn(5)
    bce = F.binary_cross_entropy_with_logits
    expected = bce(real_logits, torch.ones(8)) + bce(fake_logits, torch.zeros(5))
    torch.testing.assert_close(losses.bce_d(real_logits, fake_logits), expected)


def test_generator_loss_is_minus_log_of_the_probability_of_being_real():
    fake_logits = torch.randn(8)
    expected = -fake_logits.sigmoid().log().mean()
    torch.testing.assert_close(losses.non_saturating_g(fake_logits), expected)


def test_an_undecided_discriminator_costs_twice_log_two():
    undecided = torch.zeros(4)
    assert losses.bce_d(undecided, undecided).item() == pytest.approx(2 * math.log(2))


def test_the_generator_is_pushed_hardest_where_the_discriminator_is_sure():
    fake_logits = torch.tensor([-20.0, 0.0, 20.0], requires_grad=True)
    losses.non_saturating_g(fake_logits).backward()
    # Descent raises every score; the original game's gradient would vanish at -20.
    torch.testing.assert_close(fake_logits.grad, torch.tensor([-1 / 3, -1 / 6, 0.0]))


def test_very_sure_logits_stay_finite():
    sure = torch.tensor([1e4])
    assert losses.bce_d(-sure, sure).item() == pytest.approx(2e4)
    assert losses.bce_d(sure, -sure).item() == 0


def test_r1_of_a_linear_critic_is_its_squared_slope():
    slope = torch.randn(3, 4, 4)
    real = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = losses.r1_penalty((real * slope).sum(dim=[1, 2, 3]), real)
    torch.testing.assert_close(penalty, slope.square().sum())


def test_r1_reaches_the_critic_weights():
    weight = torch.tensor(3.0, requires_grad=True)
    real = torch.randn(2, 1, 2, 2, requires_grad=True)
    losses.r1_penalty(weight * real.sum(dim=[1, 2, 3]), real).backward()
    torch.testing.assert_close(weight.grad, torch.tensor(4 * 2 * 3.0))  # d(4 w^2) / dw


def test_path_length_of_a_linear_generator_is_the_norm_of_its_jacobian_times_the_noise():
    jacobian = torch.randn(3, 4, 4, 5)  # Image by style: the same for both layers' styles.
    ws = torch.randn(6, 2, 5, requires_grad=True)
    noise = torch.randn(6, 3, 4, 4)
    images = torch.einsum("chwd,nld->nchw", jacobian, ws)
    lengths = losses.path_length(images, ws, noise)
    expected = torch.einsum("chwd,nchw->nd", jacobian, noise).norm(dim=1) / 4  # 4 = sqrt(H W)
    torch.testing.assert_close(lengths, expected)


def test_path_length_can_be_trained():
    gain = torch.tensor(2.0, requires_grad=True)
    ws = torch.randn(3, 1, 4, requires_grad=True)
    images = (gain * ws).reshape(3, 1, 2, 2)
    losses.path_length(images, ws, torch.ones(3, 1, 2, 2)).sum().backward()
    torch.testing.assert_close(
        gain.grad, torch.tensor(3.0)
    )  # Each length is gain * |1| / 2 = gain.


def test_patch_nce_is_the_cross_entropy_of_finding_the_own_place():
    places = torch.eye(4)[None]  # Of four places, each unlike the others.
    lost = places.roll(1, dims=1)
    alike, apart = math.exp(1 / 0.5), 1.0
    found = -math.log(alike / (alike + 3 * apart))
    missed = -math.log(apart / (alike + 3 * apart))
    assert losses.patch_nce(places, places, 0.5).item() == pytest.approx(found, rel=1e-5)
    assert losses.patch_nce(places, lost, 0.5).item() == pytest.approx(missed, rel=1e-5)


def test_texture_is_of_the_kind_and_not_of_the_place():
    """Stripes are as stripes wherever they begin, and unlike stripes of the other direction."""
    stripes = (torch.arange(64.0) % 4 < 2).float().expand(2, 3, 64, 64) * 2 - 1
    same = losses.texture_distance(stripes, stripes)
    moved = losses.texture_distance(stripes, stripes.roll(2, dims=3))
    turned = losses.texture_distance(stripes, stripes.transpose(2, 3))
    assert same == 0
    assert moved < turned / 3
    assert turned > 0.1


def test_texture_is_compared_where_it_lies():
    """A left half in stripes is not a right half in stripes."""
    noise = torch.randn(1, 3, 128, 128)
    left = noise * (torch.arange(128) < 64)
    assert losses.texture_distance(left, left.flip(3)) > 3 * losses.texture_distance(
        noise, noise.flip(3)
    )


def test_texture_teaches_and_takes_small_pictures():
    image = torch.rand(1, 3, 32, 40, requires_grad=True)
    losses.texture_distance(image, torch.rand(1, 3, 32, 40)).backward()
    assert image.grad.abs().sum() > 0
