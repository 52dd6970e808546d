"""The discretised logistic mixture: probabilities that sum to 1, and what is shown of them."""

import math

import pytest
import torch

from genmodels.data import images
from genmodels.nn import logistic

LEVELS = images.to_float(torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1))


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)


def parameters(components, count=1, side=1):
    """Random ones, of all widths."""
    found = torch.randn(count, logistic.num_parameters(components), side, side)
    found.view(count, components, 10, side, side)[:, :, 4:7] -= 2
    return found


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("log_scale", [-9.0, -2.0, 4.0])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_probabilities_of_all_levels_of_a_colour_sum_to_one(components, log_scale, channel):
    given = parameters(components)
    each = given.view(1, components, 10, 1, 1)
    each[:, :, 4:7] = log_scale
    # The other colours are black for certain, so that they cost nothing whatever this one is.
    others = [i for i in range(3) if i != channel]
    for other in others:
        each[:, :, 1 + other], each[:, :, 4 + other] = -9.0, -9.0
    image = torch.full((256, 3, 1, 1), -1.0)
    image[:, channel] = LEVELS[:, 0]
    nats = logistic.log_likelihood(image, given.expand(256, -1, -1, -1))
    assert torch.logsumexp(nats, dim=0).item() == pytest.approx(0, abs=2e-4)


def test_a_picture_that_the_means_hit_needs_few_bits_and_noise_needs_eight():
    image = images.to_float(torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8))
    sure = torch.zeros(2, 10, 8, 8)
    sure[:, 1:4], sure[:, 4:7] = image, -9.0
    bits = logistic.bits_per_dim(-logistic.log_likelihood(image, sure), (3, 8, 8))
    assert bits.max() < 0.1
    wide = torch.zeros(2, 10, 8, 8)
    wide[:, 4:7] = -1.0
    bits = logistic.bits_per_dim(-logistic.log_likelihood(image, wide), (3, 8, 8))
    assert 7 < bits.min() <= bits.max() < 10


def test_green_and_blue_follow_the_colours_before_them():
    given = torch.zeros(1, 10, 1, 1)
    given[:, 7:] = 20.0  # tanh of it is 1.
    given[:, 1] = 0.4
    shown = logistic.mode(given).flatten().tolist()
    assert shown == pytest.approx([0.4, 0.4, 0.8])


def test_what_is_shown_is_the_most_probable_component():
    given = parameters(2, side=4)
    each = given.view(1, 2, 10, 4, 4)
    each[:, 0, 0], each[:, 1, 0] = -5.0, 5.0
    assert torch.equal(logistic.mode(given), logistic.mode(given[:, 10:]))


def test_nothing_overflows_at_the_extremes():
    given = torch.full((1, 10, 2, 2), 60.0, requires_grad=True)
    for sign in (1.0, -1.0):
        image = torch.full((1, 3, 2, 2), sign)
        nats = logistic.log_likelihood(image, sign * given)
        (gradient,) = torch.autograd.grad(nats.sum(), given)
        assert nats.isfinite().all()
        assert gradient.isfinite().all()


def test_bits_are_nats_of_a_channel_over_log_two():
    nats = torch.tensor([math.log(2) * 12])
    assert logistic.bits_per_dim(nats, (3, 2, 2)).item() == pytest.approx(1)
