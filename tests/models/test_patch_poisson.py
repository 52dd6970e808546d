"""Blending: the picture that has the differences asked for, near the colours asked for."""

import pytest
import torch

from genmodels.models.patches import poisson
from genmodels.nn.threads import threads_for

HEIGHT, WIDTH = 18, 24


@pytest.fixture(autouse=True)
def same_start_and_one_thread():
    torch.manual_seed(0)
    with threads_for(0):
        yield


def noise():
    return torch.rand(3, HEIGHT, WIDTH) * 2 - 1


def nothing_known():
    return torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)


def left_half_known():
    known = nothing_known()
    known[:, : WIDTH // 2] = True
    return known


def energy(x, colours, right, below, wrap, screen):
    """What the blended picture has less of than any other."""
    ours = poisson.differences(x, wrap)
    missed = (ours[0] - right).square() + (ours[1] - below).square()
    if not wrap:
        missed[:, :, -1] -= (ours[0] - right)[:, :, -1].square()
    missed[:, -1] -= (ours[1] - below)[:, -1].square()
    return float((missed + screen * (x - colours).square()).sum())


@pytest.mark.parametrize("wrap", [False, True])
def test_differences_are_what_the_next_pixel_has_more(wrap):
    x = noise()
    right, below = poisson.differences(x, wrap)
    assert right[:, :, :-1].equal(x[:, :, 1:] - x[:, :, :-1])
    assert below[:, :-1].equal(x[:, 1:] - x[:, :-1])
    assert below[:, -1].eq(0).all()
    assert right[:, :, -1].equal(x[:, :, 0] - x[:, :, -1] if wrap else torch.zeros(3, HEIGHT))


@pytest.mark.parametrize("wrap", [False, True])
def test_the_divergence_is_the_transpose_of_the_differences(wrap):
    x, a, b = (noise().double() for _ in range(3))
    right, below = poisson.differences(x, wrap)
    there = (right * a).sum() + (below * b).sum()
    assert float((x * poisson._divergence(a, b, wrap)).sum()) == pytest.approx(float(there))


@pytest.mark.parametrize("wrap", [False, True])
def test_known_pixels_are_kept_bit_for_bit(wrap):
    colours, known = noise(), torch.rand(HEIGHT, WIDTH) < 0.3
    blended = poisson.screened_poisson(colours, noise(), noise(), known, wrap=wrap)
    assert blended[:, known].equal(colours[:, known])
    assert not blended[:, ~known].allclose(colours[:, ~known], atol=0.01)


def test_where_all_is_known_nothing_changes():
    colours = noise()
    known = ~nothing_known()
    assert poisson.screened_poisson(colours, noise(), noise(), known).equal(colours)


def test_a_constant_offset_of_a_piece_vanishes():
    picture, known = noise(), left_half_known()
    colours = picture + 0.3 * ~known
    wanted = poisson.differences(picture, False)
    blended = poisson.screened_poisson(colours, *wanted, known, screen=0, iterations=300)
    assert blended.allclose(picture, atol=2e-3)


def test_a_screened_offset_fades_in_with_no_edge():
    picture, known = noise(), left_half_known()
    colours = picture + 0.3 * ~known
    blended = poisson.screened_poisson(colours, *poisson.differences(picture, False), known)
    offset = (blended - picture).mean((0, 1))
    assert offset.diff().max() < 0.06  # It was 0.3, at once.
    assert offset.diff().min() > -1e-3
    assert offset.min() >= 0
    assert offset.max() <= 0.3


def test_a_ramp_is_continued():
    ramp = torch.linspace(-1, 1, WIDTH).expand(3, HEIGHT, WIDTH).contiguous()
    known = left_half_known()
    wanted = poisson.differences(ramp, False)
    blended = poisson.screened_poisson(ramp * known, *wanted, known, screen=0, iterations=300)
    assert blended.allclose(ramp, atol=2e-3)


def test_a_picture_that_wraps_joins_its_ends():
    angle = torch.arange(WIDTH) * (2 * torch.pi / WIDTH)
    wave = angle.sin().expand(3, HEIGHT, WIDTH).contiguous()
    known = nothing_known()
    known[:, 8:12] = True
    colours = wave + 0.5 * (torch.arange(WIDTH) >= 12)  # Too bright at the right, not at the left.
    right, below = poisson.differences(wave, True)
    whole = poisson.screened_poisson(
        colours, right, below, known, wrap=True, screen=0, iterations=400
    )
    assert whole.allclose(wave, atol=2e-3)

    def offset_at_the_join(x):
        return ((x - wave)[:, :, 0] - (x - wave)[:, :, -1]).abs().max()

    joined = poisson.screened_poisson(colours, right, below, known, wrap=True)
    apart = poisson.screened_poisson(colours, right, below, known)
    assert offset_at_the_join(joined) < 0.1
    assert offset_at_the_join(apart) > 0.15


def test_a_wrapped_picture_has_no_first_column():
    parts = [noise() for _ in range(3)]
    known = torch.rand(HEIGHT, WIDTH) < 0.2
    blended = poisson.screened_poisson(*parts, known, wrap=True)
    rolled = poisson.screened_poisson(
        *(part.roll(5, 2) for part in parts), known.roll(5, 1), wrap=True
    )
    assert rolled.allclose(blended.roll(5, 2), atol=1e-3)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_picture_with_its_own_differences_stays(wrap):
    colours = noise()
    wanted = poisson.differences(colours, wrap)
    blended = poisson.screened_poisson(colours, *wanted, nothing_known(), wrap=wrap)
    assert blended.allclose(colours, atol=1e-4)


@pytest.mark.parametrize("screen", [0.02, 1.0, 100.0])
def test_without_known_pixels_the_mean_colours_stay(screen):
    colours = noise()
    blended = poisson.screened_poisson(colours, noise(), noise(), nothing_known(), screen=screen)
    assert blended.mean((1, 2)).allclose(colours.mean((1, 2)), atol=1e-3)


def test_a_stronger_screen_stays_nearer_to_the_colours():
    colours, right, below = noise(), noise(), noise()
    far = [
        (poisson.screened_poisson(colours, right, below, nothing_known(), screen=screen) - colours)
        .abs()
        .mean()
        for screen in (0.02, 0.2, 2, 200)
    ]
    assert far == sorted(far, reverse=True)
    assert far[-1] < 0.02


@pytest.mark.parametrize("wrap", [False, True])
def test_no_picture_nearby_is_better(wrap):
    colours, right, below = noise(), noise(), noise()
    known = torch.rand(HEIGHT, WIDTH) < 0.2
    blended = poisson.screened_poisson(colours, right, below, known, wrap=wrap, screen=0.1)
    best = energy(blended, colours, right, below, wrap, 0.1)
    assert best < energy(colours, colours, right, below, wrap, 0.1)
    for _ in range(10):
        other = blended + 0.05 * noise() * ~known
        assert energy(other, colours, right, below, wrap, 0.1) > best


def test_more_iterations_are_no_worse():
    parts, known = (noise(), noise(), noise()), left_half_known()
    energies = [
        energy(poisson.screened_poisson(*parts, known, iterations=n), *parts, False, 0.02)
        for n in (0, 2, 8, 32, 120)
    ]
    assert energies == sorted(energies, reverse=True)


def test_what_is_given_is_not_changed():
    given = [noise(), noise(), noise(), left_half_known()]
    before = [one.clone() for one in given]
    poisson.screened_poisson(*given)
    poisson.differences(given[0], True)
    assert all(one.equal(old) for one, old in zip(given, before, strict=True))
