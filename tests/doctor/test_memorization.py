"""The memorisation check: copies of training images are caught, held-out images are not."""

import math

import numpy as np
import pytest
import torch

from genmodels.data import images
from genmodels.doctor import memorization
from genmodels.metrics import UndefinedFigureError
from genmodels.metrics.intervals import wilson_interval
from tests.doctor.test_dataset import picture


@pytest.fixture(scope="module")
def pictures():
    """40 to train on, 40 held out, 30 more as a good model would draw them."""
    everything = images.from_pil([picture(seed) for seed in range(110)])
    return everything[:40], everything[40:80], everything[80:]


def test_copies_are_caught_also_noisy_and_mirrored_and_others_are_not(pictures):
    train, held_out, healthy = pictures
    noise = torch.randint(-6, 7, (30, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    noisy = (train[:30] + noise).clamp(0, 255).to(torch.uint8)
    for copies in (train[:30], train[:30].flip(3), noisy):
        found = memorization.check(copies, train, held_out)
        assert found.rate == 1
        assert found.low > 0.8
        assert np.array_equal(found.nearest, np.arange(30))
    found = memorization.check(healthy, train, held_out)
    assert found.rate <= 0.05
    assert found.low == 0
    assert found.real_rate <= 0.05


def test_the_share_of_copies_is_the_rate_and_they_come_first(pictures):
    train, held_out, healthy = pictures
    mixed = torch.cat([healthy[:20], train[5:15]])
    found = memorization.check(mixed, train, held_out)
    assert found.rate == pytest.approx(1 / 3, abs=0.04)
    assert found.low < 1 / 3 < found.high
    assert set(found.worst[:10]) == set(range(20, 30))
    copies = found.worst[:10]
    assert np.array_equal(found.nearest[copies], copies - 15)
    assert memorization.pairs_sheet(found, mixed, train).height > 4 * 64  # Two rows of pairs.
    assert "of 30 samples are memorised" in str(found)


def test_too_few_images_are_refused(pictures):
    train, held_out, healthy = pictures
    with pytest.raises(UndefinedFigureError, match="needs 32 held-out and 2 training images"):
        memorization.check(healthy, train, held_out[:31])
    with pytest.raises(ValueError, match="same height and width"):
        memorization.check(healthy[:, :, :32, :32], train, held_out)


def test_the_command_prints_the_rate_and_draws_the_pairs(pictures, tmp_path, capsys):
    for name, batch in zip(("train", "others", "healthy"), pictures, strict=True):
        (tmp_path / name).mkdir()
        for row, image in enumerate(images.to_pil(batch)):
            image.save(tmp_path / name / f"{row}.png")
    train, others = str(tmp_path / "train"), str(tmp_path / "others")
    command = ["--train", train, "--held-out", others, "--pairs", str(tmp_path / "pairs.png")]
    assert memorization.main([str(tmp_path / "healthy"), *command]) == 0
    assert memorization.main([train, *command]) == 1
    assert "100.0% of 40 samples are memorised" in capsys.readouterr().out
    assert (tmp_path / "pairs.png").is_file()
    assert memorization.main([str(tmp_path / "nowhere"), *command]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_wilsons_interval_is_that_of_the_textbook():
    low, high = wilson_interval(0, 100)
    assert low == 0
    assert high == pytest.approx(1.96**2 / (100 + 1.96**2), rel=1e-3)
    low, high = wilson_interval(50, 100)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 103.84), rel=1e-3)
    with pytest.raises(ValueError, match="between 0 and total"):
        wilson_interval(3, 2)
