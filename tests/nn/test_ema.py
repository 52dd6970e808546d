"""The running average of weights and buffers."""

import pytest
import torch
from torch import nn

from genmodels.nn.ema import EMA

LATE = 10**9  # Images seen when the ramp is long over.


def constant(value):
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, value)
    nn.init.constant_(layer.bias, value)
    return layer


@pytest.mark.parametrize("images", [1, 40, 1000])
def test_the_old_weights_count_half_after_exactly_the_half_life(images):
    ema = EMA(constant(1.0).double(), halflife_images=1000)
    for _ in range(1000 // images):
        ema.update(constant(0.0).double(), images, LATE)
    torch.testing.assert_close(
        ema.model.weight, torch.full((2, 2), 0.5, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_the_average_does_not_depend_on_how_the_images_come_in_batches():
    together, apart = (EMA(constant(1.0).double(), halflife_images=300) for _ in range(2))
    together.update(constant(0.0).double(), 64, LATE)
    for images in (1, 15, 48):
        apart.update(constant(0.0).double(), images, LATE)
    torch.testing.assert_close(together.model.weight, apart.model.weight, rtol=0, atol=1e-12)


def test_early_on_the_average_keeps_up():
    ema = EMA(constant(1.0), halflife_images=1000, ramp=0.05)
    assert ema.decay(32, images_seen=0) == 0
    assert ema.decay(32, images_seen=640) == pytest.approx(0.5)  # Half-life: 5 % of 640 images.
    assert ema.decay(1000, images_seen=20_000) == ema.decay(1000, images_seen=LATE) == 0.5
    ema.update(constant(7.0), 32, images_seen=0)
    assert ema.model.bias.tolist() == [7, 7]


def test_float_buffers_are_averaged_and_counters_are_copied():
    trained = nn.BatchNorm2d(1)
    ema = EMA(trained, halflife_images=8)
    trained(torch.full((4, 1, 2, 2), 10.0))
    ema.update(trained, images=8, images_seen=LATE)
    assert trained.running_mean.item() == pytest.approx(1)
    assert ema.model.running_mean.item() == pytest.approx(0.5)
    assert ema.model.num_batches_tracked.item() == 1


def test_the_average_is_a_frozen_copy_in_eval_mode():
    trained = constant(1.0).train()
    ema = EMA(trained, halflife_images=8)
    assert trained.training
    assert trained.weight.requires_grad
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    nn.init.zeros_(trained.weight)
    assert ema.model.weight.eq(1).all()


def test_a_half_life_must_be_positive():
    with pytest.raises(ValueError, match="halflife_images must be positive, got 0"):
        EMA(constant(1.0), halflife_images=0)
