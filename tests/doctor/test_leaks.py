"""The leak probe: augmented pictures are told from real ones, soft and mirrored ones are not."""

import pytest
import torch
import torch.nn.functional as F

from genmodels.data import images
from genmodels.doctor.leaks import leak
from genmodels.doctor.training import THRESHOLDS
from genmodels.nn.augment import classical_augment
from tests.doctor.test_dataset import picture

BAR = THRESHOLDS["leak"].value


@pytest.fixture(scope="module")
def real():
    return images.from_pil([picture(seed) for seed in range(80)])


def augmented(pictures, seed=0):
    return classical_augment(pictures, torch.Generator().manual_seed(seed))


def softened(pictures):
    small = F.avg_pool2d(pictures.float(), 2)
    return F.interpolate(small, scale_factor=2, mode="bilinear").round().to(torch.uint8)


def measured(samples, real):
    return leak(samples, real[:50], augmented(real[:50]))


def test_rotated_and_shifted_samples_are_an_alarm(real):
    assert measured(augmented(real[50:], seed=1), real) > BAR
    assert measured(softened(augmented(real[50:], seed=1)), real) > BAR


def test_real_soft_and_mirrored_pictures_are_none(real):
    for healthy in (real[50:], softened(real[50:]), real[50:].flip(3)):
        assert measured(healthy, real) < BAR / 2


def test_half_of_a_leak_lies_between(real):
    held_out = real[50:]
    half = torch.cat([held_out[:15], augmented(held_out[15:], seed=1)])
    assert measured(held_out, real) < measured(half, real) < measured(augmented(held_out), real)


def test_larger_pictures_have_the_leak_of_smaller_ones(real):
    large = F.interpolate(real.float(), scale_factor=2).to(torch.uint8)
    assert measured(augmented(large[50:], seed=1), large) > BAR
    assert abs(measured(large[50:], large) - measured(real[50:], real)) < 0.01
