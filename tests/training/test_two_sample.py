"""The two-sample test: chance for the same source, certainty for another one."""

import numpy as np
import pytest
import torch

from training.judges import two_sample


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(two_sample, "MAX_IMAGES", 600)
    monkeypatch.setattr(two_sample, "NUM_NETWORKS", 1)
    yield
    torch.set_num_threads(threads)


def stripes(count, seed, down):
    """Soft noise with stripes across or down."""
    rng = np.random.default_rng(seed)
    wave = 60 * np.sin(np.arange(32) + rng.uniform(0, 6, (count, 1, 1, 1)))
    pixels = 128 + (wave if down else wave.swapaxes(2, 3)) + rng.normal(0, 20, (count, 3, 32, 32))
    return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))


def test_two_sets_of_the_same_source_score_at_chance():
    sets = [stripes(64, seed, True) for seed in range(4)]
    found = two_sample.two_sample_test((sets[0], sets[1]), (sets[2], sets[3]))
    assert found["low"] < 0.5 < found["high"]


def test_sets_of_different_sources_are_always_distinguished():
    real = (stripes(64, 0, True), stripes(64, 1, True))
    fake = (stripes(64, 2, False), stripes(64, 3, False))
    found = two_sample.two_sample_test(real, fake)
    assert found["value"] > 0.95
    assert found["low"] <= found["value"] <= found["high"]
    assert (found["n_learnt"], found["n_asked"]) == (64, 64)


def test_fine_detail_gives_nothing_away_where_only_the_rough_layout_is_left():
    real = (stripes(64, 0, True), stripes(64, 1, True))
    checks = torch.where((torch.arange(32)[:, None] + torch.arange(32)) % 2 == 0, 40, -40)
    fake = tuple(
        (stripes(64, seed, True) + checks).clamp(0, 255).to(torch.uint8) for seed in (2, 3)
    )
    whole, rough = (two_sample.two_sample_test(real, fake, side=side) for side in (None, 4))
    assert whole["value"] > 0.95
    assert rough["low"] < 0.5 < rough["high"]


def test_unequal_numbers_are_refused():
    few, many = stripes(20, 0, True), stripes(30, 1, True)
    with pytest.raises(ValueError, match="as many of each"):
        two_sample.two_sample_test((many, many), (few, many))


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    rows = np.array([[3.0, 1], [2, 1], [2, 0], [1, 0]])  # Pairs: 3 > 2, 3 > 1, 2 = 2, 2 > 1.
    assert two_sample.area_under_curve(rows) == pytest.approx(3.5 / 4)
