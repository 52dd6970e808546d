"""Augmentations against brute force and the papers' own matrices."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from genmodels.nn import augment
from genmodels.nn.augment import AdaptiveAugment, classical_augment, diff_augment

POLICIES = ["color", "translation", "cutout", augment.POLICY]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 4, side: int = 16, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=seeded(0), dtype=dtype) * 2 - 1


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None]


def check_gradients(function, x: torch.Tensor) -> None:
    assert torch.autograd.gradcheck(function, x, fast_mode=True)
    # The squares make the second derivative other than zero.
    assert torch.autograd.gradgradcheck(lambda x: function(x).square(), x, fast_mode=True)


@pytest.mark.parametrize("policy", POLICIES)
def test_diff_augment_differentiates_twice(policy):
    x = images(2, 8, torch.float64).requires_grad_()
    check_gradients(lambda x: diff_augment(x, policy, seeded(3)), x)
    (gradient,) = torch.autograd.grad(diff_augment(x, policy, seeded(3)).sum(), x)
    assert gradient.abs().sum() > 0


def test_ada_differentiates_twice():
    x = images(2, 8, torch.float64).requires_grad_()
    ada = AdaptiveAugment(initial_p=1.0).double()
    check_gradients(lambda x: ada(x, seeded(3)), x)
    (gradient,) = torch.autograd.grad(ada(x, seeded(3)).square().sum(), x)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("policy", POLICIES)
def test_the_seed_decides_the_augmentation(policy):
    x = images()
    first = diff_augment(x, policy, seeded(1))
    assert torch.equal(first, diff_augment(x, policy, seeded(1)))
    assert not torch.equal(first, diff_augment(x, policy, seeded(2)))


def test_without_rng_the_global_source_is_used():
    torch.manual_seed(5)
    first = diff_augment(images())
    torch.manual_seed(5)
    assert torch.equal(first, diff_augment(images()))
    assert not torch.equal(first, diff_augment(images()))


def test_every_image_has_its_own_draw():
    x = images(1).expand(4, -1, -1, -1)
    for policy in POLICIES:
        y = diff_augment(x, policy, seeded(1))
        assert not torch.equal(y[0], y[1])


def test_empty_policy_changes_nothing():
    assert torch.equal(diff_augment(images(), policy=""), images())


def test_channels_last_gives_the_same_values():
    x = images()
    y = diff_augment(x.to(memory_format=torch.channels_last), rng=seeded(1))
    torch.testing.assert_close(y, diff_augment(x, rng=seeded(1)))


def test_translation_moves_whole_pixels_and_fills_zeros():
    x = images(3)[..., :12]  # Not square: 16 rows, 12 columns.
    downs, rights = [2, -3, 0], [-1, 4, 0]
    expected = torch.zeros_like(x)
    for n, (down, right) in enumerate(zip(downs, rights, strict=True)):
        for row in range(16):
            for col in range(12):
                if 0 <= row - down < 16 and 0 <= col - right < 12:
                    expected[n, :, row, col] = x[n, :, row - down, col - right]
    moved = augment.translate(x, torch.tensor(downs), torch.tensor(rights))
    assert torch.equal(moved, expected)


def test_translation_stays_within_an_eighth_and_reaches_it():
    x = torch.zeros(400, 3, 16, 16)
    x[:, :, 8, 8] = 1
    rows, columns = diff_augment(x, "translation", seeded(1))[:, 0].nonzero()[:, 1:].T
    for position in (rows, columns):
        assert position.min() == 6
        assert position.max() == 10


def test_cutout_erases_exactly_the_rectangle():
    x = images(2)
    expected = x.clone()
    expected[0, :, 3:11, 5:13] = 0
    expected[1, :, :4, 12:] = 0  # The rest of this one lies outside.
    assert torch.equal(
        augment.cut_out(x, torch.tensor([3, -4]), torch.tensor([5, 12]), 8, 8), expected
    )


def test_cutout_erases_at_most_a_quarter_of_the_image():
    erased = (diff_augment(torch.ones(400, 3, 16, 16), "cutout", seeded(1)) == 0).sum((1, 2, 3))
    assert erased.max() == 3 * 8 * 8
    assert erased.min() == 3 * 4 * 4  # Centred on a corner.


def test_color_equals_the_three_steps_of_the_paper():
    x = images(2)
    brightness, saturation, contrast = column(0.3, -0.4), column(0.2, 1.8), column(0.6, 1.4)
    y = x + brightness
    grey = y.mean(1, keepdim=True)
    y = grey + saturation * (y - grey)
    mean = y.mean((1, 2, 3), keepdim=True)
    y = mean + contrast * (y - mean)
    torch.testing.assert_close(augment.jitter_color(x, brightness, saturation, contrast), y)


def test_color_keeps_spatial_structure():
    x = images()
    x[:, :, 8:] = x[:, :, :8]
    y = diff_augment(x, "color", seeded(1))
    assert torch.equal(y[:, :, 8:], y[:, :, :8])
    assert not torch.equal(x, y)


def test_ada_without_probability_is_the_identity():
    x = images(16)
    assert torch.equal(AdaptiveAugment()(x, seeded(1)), x)


def test_ada_with_full_probability_changes_every_image():
    x = images(16)
    y = AdaptiveAugment(initial_p=1.0)(x, seeded(1))
    assert y.shape == x.shape
    assert (y != x).any((1, 2, 3)).all()


def test_ada_changes_about_the_expected_share_of_images():
    x = images(400, 8)
    share = (AdaptiveAugment(initial_p=0.1)(x, seeded(1)) != x).any((1, 2, 3)).float().mean()
    # Ten draws with p = 0.1 (half of a flip's and a quarter of a turn's do nothing), and two turns.
    assert 0.5 < share < 0.7


def test_blit_turns_as_rot90_does():
    x, zero = images(4), torch.zeros(4, dtype=torch.long)
    turned = augment.blit(x, zero, torch.arange(4), zero, zero)
    for turns in range(4):
        assert torch.equal(turned[turns], torch.rot90(x[turns], turns, (1, 2)))


def test_blit_mirrors_then_turns_then_shifts_with_reflection():
    x = images(1)
    one = torch.ones(1, dtype=torch.long)
    y = augment.blit(x, flip=one, turns=one, down=3 * one, right=-2 * one)
    turned = torch.rot90(x[0].flip(2), 1, (1, 2)).numpy()
    # Symmetric padding repeats the edge pixel: three rows on top, two columns on the right.
    padded = np.pad(turned, ((0, 0), (3, 0), (0, 2)), mode="symmetric")
    assert torch.equal(y[0], torch.from_numpy(padded[:, :16, 2:]))


def smooth_images(side: int = 32) -> torch.Tensor:
    coarse = torch.rand(2, 3, 4, 4, generator=seeded(0))
    return F.interpolate(coarse, size=(side, side), mode="bicubic")


def test_warp_by_the_identity_keeps_a_smooth_image():
    x = smooth_images()
    y = augment.warp(x, torch.eye(2).expand(2, 2, 2), torch.zeros(2, 2))
    torch.testing.assert_close(y, x, atol=0.01, rtol=0)


def test_warp_by_a_quarter_turn_agrees_with_blit():
    x, zero = smooth_images(), torch.zeros(2, dtype=torch.long)
    quarter = augment._rotation(torch.full((2,), math.pi / 2))
    y = augment.warp(x, quarter, torch.zeros(2, 2))
    expected = [augment.blit(x, zero, zero + turns, zero, zero) for turns in (1, 3)]
    assert min((y - e).abs().max() for e in expected) < 0.01


def test_warp_moves_by_the_offset():
    x = smooth_images()
    offset = torch.tensor([[2 * 4 / 32, 0.0]]).expand(2, 2)  # Four pixels: the side is 2 long.
    y = augment.warp(x, torch.eye(2).expand(2, 2, 2), offset)
    torch.testing.assert_close(y[..., :28], x[..., 4:], atol=0.01, rtol=0)


def paper_color_matrix(b: float, c: float, flip: float, hue: float, s: float) -> torch.Tensor:
    """The product of ADA's five 4x4 matrices, one after the other."""
    projection = torch.full((3, 3), 1 / 3)  # On the grey axis (1, 1, 1) / sqrt(3).
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # Axis x colour.
    turn = math.cos(hue) * torch.eye(3) + (1 - math.cos(hue)) * projection + math.sin(hue) * cross
    product = torch.eye(4)
    product[:3, 3] = b
    for linear in (
        c * torch.eye(3),
        torch.eye(3) + (flip - 1) * projection,
        turn,
        projection + (torch.eye(3) - projection) * s,
    ):
        step = torch.eye(4)
        step[:3, :3] = linear
        product = step @ product
    return product


def test_ada_color_equals_the_product_of_the_papers_matrices():
    x = images(1)
    values = (0.2, 1.4, -1.0, 0.9, 0.3)
    matrix = paper_color_matrix(*values)
    homogeneous = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    expected = torch.einsum("ij,njhw->nihw", matrix, homogeneous)[:, :3]
    torch.testing.assert_close(augment.shift_color(x, *map(column, values)), expected)


def test_ada_color_with_only_brightness_adds_a_constant():
    x = images(1)
    y = augment.shift_color(x, column(0.25), *map(column, (1.0, 1.0, 0.0, 1.0)))
    torch.testing.assert_close(y, x + 0.25)


def test_a_third_of_the_hue_circle_turns_red_into_green():
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None]
    neutral = column(1.0)
    y = augment.shift_color(red, column(0.0), neutral, neutral, column(2 * math.pi / 3), neutral)
    torch.testing.assert_close(y, torch.tensor([-1.0, 1.0, -1.0])[None, :, None, None])


def test_ada_p_rises_when_all_real_logits_are_positive():
    ada = AdaptiveAugment(speed_images=1000)
    ada.update(torch.rand(8, 1) + 0.1)
    ada.adjust(images_seen=100)
    torch.testing.assert_close(ada.p, torch.tensor(0.1))
    assert ada.r_t == 1


def test_ada_p_falls_when_real_logits_are_negative():
    ada = AdaptiveAugment(speed_images=1000, initial_p=0.5)
    ada.update(-torch.rand(8) - 0.1)
    ada.adjust(images_seen=100)
    torch.testing.assert_close(ada.p, torch.tensor(0.4))
    assert ada.r_t == -1


def test_ada_p_stays_between_zero_and_one():
    ada = AdaptiveAugment(speed_images=1000, initial_p=0.95)
    ada.update(torch.ones(8))
    ada.adjust(images_seen=500)
    assert ada.p == 1
    ada.update(-torch.ones(8))
    ada.adjust(images_seen=5000)
    assert ada.p == 0


def test_ada_crosses_its_whole_range_in_a_hundred_thousand_images():
    ada = AdaptiveAugment()
    for images_seen in range(1000, 99_001, 1000):
        ada.update(torch.ones(4))
        ada.adjust(images_seen)
    torch.testing.assert_close(ada.p, torch.tensor(0.99))
    ada.update(torch.ones(4))
    ada.adjust(100_000)
    torch.testing.assert_close(ada.p, torch.tensor(1.0))


def test_ada_averages_over_all_updates_since_the_last_adjustment():
    ada = AdaptiveAugment(target=0.6, initial_p=0.5)
    ada.update(torch.ones(8))
    ada.update(-torch.ones(4))  # r_t = 1 / 3, below the target.
    ada.adjust(1000)
    assert ada.p < 0.5
    torch.testing.assert_close(ada.r_t, torch.tensor(1 / 3))
    ada.adjust(2000)  # Nothing new was seen: neither up nor down.
    torch.testing.assert_close(ada.p, torch.tensor(0.49))


def test_ada_state_survives_a_round_trip_between_updates():
    ada = AdaptiveAugment(initial_p=0.3)
    ada.update(torch.ones(3))
    ada.adjust(64)
    ada.update(-torch.ones(2))
    resumed = AdaptiveAugment()
    resumed.load_state_dict({name: value.clone() for name, value in ada.state_dict().items()})
    for twin in (ada, resumed):
        twin.update(torch.ones(1))
        twin.adjust(128)
    assert ada.state_dict().keys() == resumed.state_dict().keys()
    for name, value in ada.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert torch.equal(ada(images(), seeded(1)), resumed(images(), seeded(1)))


@pytest.mark.parametrize(
    "arguments", [{"target": 1.0}, {"speed_images": 0}, {"initial_p": 1.5}], ids=str
)
def test_ada_refuses_values_without_meaning(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        AdaptiveAugment(**arguments)


def test_classical_keeps_type_shape_and_range():
    pixels = torch.randint(0, 256, (8, 3, 16, 16), generator=seeded(0), dtype=torch.uint8)
    y = classical_augment(pixels, seeded(1))
    assert y.dtype == torch.uint8
    assert y.shape == pixels.shape
    z = classical_augment(images(8), seeded(1))
    assert z.dtype == torch.float32
    assert z.abs().max() <= 1 + 1e-5
    assert torch.equal(z, classical_augment(images(8), seeded(1)))
    assert (z != images(8)).any((1, 2, 3)).all()


def test_classical_keeps_a_plain_image_plain():
    plain = torch.full((8, 3, 16, 16), 77, dtype=torch.uint8)
    assert torch.equal(classical_augment(plain, seeded(1)), plain)


def test_classical_moves_a_dot_no_further_than_it_may():
    side = 64
    x = torch.zeros(300, 3, side, side)
    x[:, :, 31:33, 47:49] = 1  # 15.5 pixels right of the centre.
    y = classical_augment(x, seeded(1))[:, 0]
    middle = torch.arange(side) - (side - 1) / 2
    mass = y.sum((1, 2))
    across = (y.sum(1) * middle).sum(1) / mass
    down = (y.sum(2) * middle).sum(1) / mass
    mirrored = across < 0
    assert 0.35 < mirrored.float().mean() < 0.65
    # A turn of 15 degrees moves it by 4, the shift by 6.4 before the turn.
    assert down.abs().max() < 6.4 * (math.cos(math.pi / 12) + math.sin(math.pi / 12)) + 4.1
    assert down.abs().max() > 6
    assert (across.abs() - 15.5).abs().max() < 8.5


def test_unknown_policy_word_is_refused():
    with pytest.raises(ValueError, match="'colour'"):
        diff_augment(images(), "colour,cutout")


@pytest.mark.parametrize("function", [diff_augment, AdaptiveAugment(), classical_augment])
def test_images_that_are_not_rgb_are_refused(function):
    with pytest.raises(ValueError, match=r"\[N, 3, H, W\]"):
        function(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"\[N, 3, H, W\]"):
        function(torch.zeros(3, 8, 8))


@pytest.mark.parametrize("function", [AdaptiveAugment(), classical_augment])
def test_turning_what_is_not_square_is_refused(function):
    with pytest.raises(ValueError, match="8x6"):
        function(torch.zeros(2, 3, 8, 6))


@pytest.mark.parametrize("function", [diff_augment, AdaptiveAugment()])
def test_integer_images_are_refused(function):
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        function(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
