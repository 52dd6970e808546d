"""The spectral penalty against singular values known by another route."""

import torch
from torch import nn

from genmodels.nn.spectral import SpectralPenalty


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, groups=4)
    )


def test_after_some_calls_it_is_the_sum_of_the_largest_singular_values():
    net = network()
    penalty = SpectralPenalty(net)
    for _ in range(200):
        found = penalty()
    matrices = [conv.weight.detach().flatten(1) for conv in net]
    expected = sum(torch.linalg.matrix_norm(matrix, 2) for matrix in matrices)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_its_gradient_makes_them_smaller():
    net = network()
    penalty = SpectralPenalty(net)
    before = penalty()
    before.backward()
    with torch.no_grad():
        for conv in net:
            conv.weight -= 0.1 * conv.weight.grad
    assert penalty() < before


def test_its_state_goes_on_where_it_was():
    net = network()
    one, other = SpectralPenalty(net), SpectralPenalty(net)
    one()
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(), other())


def test_two_calls_before_one_gradient_are_allowed():
    net = network()
    penalty = SpectralPenalty(net)
    (penalty() + penalty()).backward()
    assert all(conv.weight.grad.isfinite().all() for conv in net)
