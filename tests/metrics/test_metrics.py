"""Metrics against independent routes, and against damage that each must, or must not, see."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from genmodels import metrics
from genmodels.metrics.descriptors import rgb_to_lab
from training.benchmarks.metrics import Config, check


@cache
def scenes(n: int, seed: int, side: int = 32, hues: int = 4) -> np.ndarray:
    """Discs with striped filling on shaded ground, uint8 [n, side, side, 3]; `hues` modes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    images = []
    for _ in range(n):
        hue = rng.integers(hues)
        ground = rng.uniform(60, 120) + 60 * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1))
        centre, radius = rng.uniform(0.3, 0.7, 2), rng.uniform(0.15, 0.35)
        disc = np.hypot(x - centre[0], y - centre[1]) < radius
        stripes = np.sin((x, y, x + y, x - y)[hue] * 6 * np.pi * (1 + hue)) > 0
        colour = np.eye(3)[hue % 3] * 90 + rng.uniform(60, 90, 3)
        image = np.where(disc[..., None], colour + 60 * stripes[..., None], ground[..., None])
        images.append(image + rng.normal(0, 3, image.shape))
    return np.stack(images).round().clip(0, 255).astype(np.uint8)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    kernel = ImageFilter.GaussianBlur(sigma)
    return np.stack([np.asarray(Image.fromarray(image).filter(kernel)) for image in images])


def noisy(images: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 255 * sigma, images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2)


# Pairs of images.


def test_equal_images_have_infinite_psnr_and_ssim_one():
    a = scenes(3, 0)
    assert metrics.mse(a, a) == 0
    assert metrics.psnr(a, a) == np.inf
    assert metrics.ssim(a, a) == pytest.approx(1)
    assert metrics.ms_ssim(a, a) == pytest.approx(1)


def test_offset_of_one_level_is_48_13_db():
    a = scenes(2, 0) // 2
    assert metrics.psnr(a, a + 1) == pytest.approx(48.1308, abs=1e-4)


def test_psnr_is_the_mean_over_images_not_the_psnr_of_the_mean():
    a = np.zeros((2, 16, 16, 3), np.uint8)
    b = a.copy()
    b[0] += 1
    b[1] += 10
    psnr = metrics.psnr(a, b)
    assert psnr.values == pytest.approx([48.1308, 28.1308], abs=1e-4)
    assert psnr == pytest.approx(38.1308, abs=1e-4)


def test_differences_do_not_wrap_around_at_eight_bits():
    a = np.zeros((1, 16, 16, 3), np.uint8)
    assert metrics.mse(a, a + 255) == 255**2
    assert metrics.psnr(a, a + 255) == pytest.approx(0)


def test_ssim_equals_scikit_image_at_odd_sizes():
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    a = scenes(3, 0, side=48)[:, :37, :, :]
    b = noisy(blurred(a, 1), 0.05)
    expected = [
        reference(
            x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            data_range=255, channel_axis=-1,
        )
        for x, y in zip(a, b, strict=True)
    ]  # fmt: skip
    assert metrics.ssim(a, b).values == pytest.approx(expected, abs=1e-6)


def test_ms_ssim_is_the_product_of_scikit_images_terms_over_three_scales_at_64_px():
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    a = scenes(2, 0, side=64)
    b = noisy(blurred(a, 1), 0.05)
    expected = np.zeros((2, 3))
    for image, colour in np.ndindex(2, 3):
        x, y = a[image, ..., colour].astype(float), b[image, ..., colour].astype(float)
        product = 1.0
        for scale, weight in enumerate(np.array([0.0448, 0.2856, 0.3001]) / 0.6305):
            # A huge K1 turns the luminance term into 1, which leaves contrast and structure.
            term = reference(
                x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                data_range=255, K1=0.01 if scale == 2 else 1e6,
            )  # fmt: skip
            product *= term**weight
            x, y = (z.reshape(len(z) // 2, 2, -1, 2).mean(axis=(1, 3)) for z in (x, y))
        expected[image, colour] = product
    assert metrics.ms_ssim(a, b).values == pytest.approx(expected.mean(axis=1), abs=1e-6)


def test_arrays_tensors_and_pictures_give_the_same_figures():
    a, b = scenes(16, 0), scenes(16, 1)
    as_pictures = [[Image.fromarray(image) for image in x] for x in (a, b)]
    for metric in (metrics.psnr, metrics.ssim, metrics.swd, metrics.random_kid):
        expected = metric(a, b)
        assert metric(as_tensor(a), as_tensor(b)) == expected
        assert metric(*as_pictures) == expected


# Two sets of images.


def test_equal_sets_have_distance_zero_and_swd_is_symmetric():
    a, b = scenes(40, 0), scenes(40, 1)
    assert metrics.swd(a, a) == 0
    assert metrics.swd(a, b) == pytest.approx(metrics.swd(b, a))
    assert all(x == 0 for channel in metrics.colour_panel(a, a).values() for x in channel.values())
    assert metrics.duplicates(a, a) == pytest.approx(0.05, abs=0.03)


def test_swd_has_one_value_per_level_down_to_16_px():
    assert len(metrics.swd(scenes(4, 0), scenes(4, 1)).values) == 2
    assert len(metrics.swd(scenes(4, 0, side=64), scenes(4, 1, side=64)).values) == 3
    swd = metrics.swd(scenes(4, 0, side=64), scenes(4, 1, side=64))
    assert swd == pytest.approx(swd.values.mean())


def test_unbiased_random_kid_of_one_distribution_is_near_zero():
    values = [metrics.random_kid(scenes(60, i), scenes(60, i + 100)) for i in range(4)]
    assert abs(np.mean(values)) < 0.1
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize("damage", [blurred, noisy])
def test_distances_grow_with_blur_and_noise(damage):
    reference, clean = scenes(60, 0), scenes(60, 1)
    severities = (0.7, 1.5, 3) if damage is blurred else (0.03, 0.08, 0.2)
    sets = [clean] + [damage(clean, severity) for severity in severities]
    swd = [metrics.swd(each, reference) for each in sets]
    kid = [metrics.random_kid(each, reference) for each in sets]
    assert swd == sorted(swd)
    assert kid == sorted(kid)
    assert swd[1] > 1.5 * swd[0]


def test_colour_shift_is_seen_by_the_colour_panel_only():
    reference, clean = scenes(80, 0), scenes(80, 1)
    shifted = clean // 2 + 40
    warm = shifted + np.array([20, 0, 0], np.uint8)
    assert metrics.swd(warm, reference) == pytest.approx(metrics.swd(shifted, reference), rel=1e-3)
    kids = [metrics.random_kid(each, reference) for each in (warm, shifted)]
    assert kids[0] == pytest.approx(kids[1], abs=1e-3)
    before, after = (metrics.colour_panel(each, shifted) for each in (shifted, warm))
    assert before["a"]["wasserstein"] == 0
    assert after["a"]["wasserstein"] > 5
    assert after["a"]["mean_gap"] == pytest.approx(after["a"]["wasserstein"], rel=0.05)


def test_lab_agrees_with_scikit_image():
    colour = pytest.importorskip("skimage.color")
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), dtype=np.uint8)
    expected = colour.rgb2lab(images).transpose(0, 3, 1, 2)
    assert rgb_to_lab(as_tensor(images)) == pytest.approx(expected, abs=0.02)


def test_lab_histogram_distance_equals_the_exact_one():
    stats = pytest.importorskip("scipy.stats")
    a, b = scenes(20, 0), blurred(noisy(scenes(20, 1), 0.1), 1)
    figures = metrics.colour_panel(a, b)
    lab_a, lab_b = (rgb_to_lab(as_tensor(x)) for x in (a, b))
    for i, name in enumerate("Lab"):
        x, y = lab_a[:, i].ravel(), lab_b[:, i].ravel()
        expected = stats.wasserstein_distance(x, y)
        assert figures[name]["wasserstein"] == pytest.approx(expected, abs=0.1)
        assert figures[name]["mean_gap"] == pytest.approx(x.mean() - y.mean(), abs=0.1)
        assert figures[name]["std_gap"] == pytest.approx(x.std() - y.std(), abs=0.1)


def test_losing_modes_lowers_coverage_and_raises_random_kid():
    reference = scenes(120, 0)
    whole, half = scenes(120, 1), scenes(120, 1, hues=2)
    assert metrics.density_coverage(whole, reference).coverage > 0.9
    assert metrics.density_coverage(half, reference).coverage < 0.8
    assert metrics.random_kid(half, reference) > metrics.random_kid(whole, reference) + 0.1


def test_density_and_coverage_match_a_direct_count():
    a, b = scenes(12, 0), scenes(14, 1)
    densities, coverages = [], []
    for seed in range(5):
        x, y = metrics.random_features(a, seed), metrics.random_features(b, seed)
        x, y = ((each - y.mean(0)) / y.std(0) for each in (x, y))
        inside = np.zeros((14, 12), bool)
        for j in range(14):
            radius = sorted(np.linalg.norm(y[j] - y[i]) for i in range(14) if i != j)[2]
            inside[j] = [np.linalg.norm(y[j] - each) < radius for each in x]
        densities.append(inside.sum() / (3 * 12))
        coverages.append(inside.any(axis=1).mean())
    expected = (np.mean(densities), np.mean(coverages))
    assert metrics.density_coverage(a, b, k=3) == pytest.approx(expected)


def test_repeated_images_raise_duplicates_and_diversity():
    reference, fresh = scenes(80, 0), scenes(80, 1)
    repeated = np.resize(fresh[:8], fresh.shape)
    assert metrics.duplicates(fresh, reference) < 0.2
    assert metrics.duplicates(repeated, reference) == 1
    drop = metrics.ms_ssim_diversity(repeated) - metrics.ms_ssim_diversity(fresh)
    assert drop > 0.05


# Memorisation.


def test_copies_of_the_training_set_are_flagged_in_every_space():
    train, held_out = scenes(150, 0), scenes(60, 1)
    copied = np.concatenate([noisy(train[20:50], 0.01), scenes(30, 2)])
    for found in metrics.nearest_neighbours(copied, train, held_out).values():
        assert found.closer_to_train > 0.65
        assert found.copies[:30].mean() > 0.9
        assert found.copies[30:].mean() < 0.1
        assert list(found.train_index[:30]) == list(range(20, 50))
        assert (found.worst < 30).all()


def test_fresh_draws_are_not_called_memorised():
    train, held_out = scenes(150, 0), scenes(100, 1)
    for found in metrics.nearest_neighbours(scenes(100, 2), train, held_out).values():
        assert 0.4 < found.closer_to_train < 0.6
        assert found.copies.mean() < 0.05


def test_blur_is_not_mistaken_for_memorisation():
    train, held_out = scenes(150, 0), scenes(100, 1)
    found = metrics.nearest_neighbours(blurred(scenes(100, 2), 2), train, held_out)
    assert 0.35 < found["pixels"].closer_to_train < 0.65


def test_mirrored_and_shifted_copies_are_found():
    train, held_out = scenes(60, 0, side=64), scenes(60, 1, side=64)
    moved = np.roll(train[:30, :, ::-1], 4, axis=2)
    found = metrics.nearest_neighbours(moved, train, held_out)
    assert found["shifted"].copies.mean() > 0.9
    assert found["pixels"].copies.mean() < 0.5
    assert (found["shifted"].train_index == np.arange(30)).mean() > 0.9


def test_nearest_distances_match_a_direct_search():
    samples, train, held_out = (scenes(n, i) for n, i in ((5, 0), (7, 1), (6, 2)))
    found = metrics.nearest_neighbours(samples, train, held_out)["pixels"]
    small = [x.reshape(len(x), 16, 2, 16, 2, 3).mean(axis=(2, 4)) for x in (samples, train)]
    for i, sample in enumerate(small[0]):
        distances = np.sqrt(np.square(small[1] - sample).mean(axis=(1, 2, 3)))
        assert found.train_index[i] == distances.argmin()
        two = [found.train_distance[i], found.second_train_distance[i]]
        assert two == pytest.approx(np.sort(distances)[:2], abs=1e-3)


# Intervals.


def test_bootstrap_interval_covers_the_mean_at_about_its_level():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        interval = metrics.bootstrap_interval(
            rng.normal(3, 2, 40), level=0.9, num_resamples=300, seed=trial
        )
        hits += interval.low < 3 < interval.high
    assert 165 <= hits <= 192  # 180 expected; the percentile method is a little narrow at N = 40.


def test_bootstrap_interval_takes_a_statistic_of_whole_rows():
    images = scenes(30, 0)
    interval = metrics.bootstrap_interval(images, lambda x: x.std(), num_resamples=50)
    assert interval.low < images.std() < interval.high


def test_subset_interval_is_as_wide_as_theory_says():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 400), rng.normal(0, 1, 400)
    interval = metrics.subset_intervals(
        lambda x, y: {"gap": float(x.mean() - y.mean())}, a, b, num_subsets=400
    )["gap"]
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * (2 / 400) ** 0.5, rel=0.15)
    assert (interval.high + interval.low) / 2 == pytest.approx(a.mean() - b.mean())


# The panel.


def test_panel_is_deterministic_and_ready_for_json():
    samples, held_out, train = scenes(20, 0), scenes(16, 1), scenes(24, 2)
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    panel = metrics.panel(samples, held_out, train)
    assert (np.random.get_state()[1] == state[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[1])
    assert metrics.panel(samples, held_out, train) == panel
    assert json.loads(json.dumps(panel, allow_nan=False)) == panel
    about = {k: v for k, v in panel.items() if not isinstance(v, dict)}
    assert about == {"metric_version": 1, "n": 16, "resolution": [32, 32], "seed": 0}
    for name, figure in panel.items():
        if name == "open_nsfw_kid":
            assert figure["value"] is None  # These are too few images for it.
            assert "images" in figure["reason"]
        elif name not in about:
            assert list(figure) == ["value", "low", "high", "real_vs_real"], name
            assert figure["low"] <= figure["value"] <= figure["high"], name
            assert "fid" not in name and "inception" not in name  # Those need ImageNet features.


def test_panel_tells_damaged_samples_from_real_ones():
    held_out, train = scenes(40, 1), scenes(40, 2)
    panel = metrics.panel(blurred(scenes(40, 0), 2), held_out, train)
    for name in ("swd", "swd_level_0", "random_kid"):
        assert panel[name]["low"] > panel[name]["real_vs_real"], name


# Doors.


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 32, 32, 3), np.float32), "a must be a uint8 array .* got float32"),
        (np.zeros((32, 32, 3), np.uint8), r"got uint8 \[32, 32, 3\]"),
        (np.zeros((2, 3, 32, 32), np.uint8), r"a must be a uint8 array \[N, H, W, 3\]"),
        (torch.zeros(2, 32, 32, 3, dtype=torch.uint8), r"a must be a uint8 tensor \[N, 3, H, W\]"),
        ([Image.new("RGBA", (32, 32))], "must be RGB"),
        ([Image.new("RGB", (32, 32)), Image.new("RGB", (16, 32))], "one size"),
        ([], "at least one"),
        ("cars", "got str"),
        (np.zeros((2, 16, 32, 3), np.uint8), "same height and width"),
        (np.zeros((3, 32, 32, 3), np.uint8), "equally many"),
    ],
)
def test_images_of_a_wrong_kind_are_refused_in_words(images, message):
    with pytest.raises(ValueError, match=message):
        metrics.psnr(images, np.zeros((2, 32, 32, 3), np.uint8))


def test_too_few_or_too_small_images_are_refused_in_words():
    some, few = scenes(20, 0), scenes(3, 1)
    panel = metrics.panel(some, some, few)
    reason = "it needs 16 or more images in each set, there are 20 samples, 20 held-out, 3 train"
    assert {name for name in metrics.FIGURES if panel[name]["reason"] == reason} == set(
        metrics.FIGURES
    )
    with pytest.raises(ValueError, match="equally many"):
        metrics.swd(some, few)
    with pytest.raises(ValueError, match="k must be 1 to 2"):
        metrics.density_coverage(some, few)
    with pytest.raises(ValueError, match="at least 11 px"):
        metrics.ssim(some[:, :8], some[:, :8])
    with pytest.raises(ValueError, match="at least 32 px"):
        metrics.ms_ssim_diversity(some[:, :31])
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        metrics.bootstrap_interval(np.arange(5.0), level=95)


def test_flat_images_have_no_texture_to_compare():
    flat = np.full((7, 32, 32, 3), 137, np.uint8)
    with pytest.raises(ValueError, match="no texture"):
        metrics.swd(flat, scenes(7, 0))
    for reference in (flat, scenes(1, 1).repeat(7, axis=0)):
        with pytest.raises(ValueError, match="all alike"):
            metrics.random_kid(scenes(7, 0), reference)


def test_ladder_command_reports_every_corruption(tmp_path):
    for i, image in enumerate(scenes(32, 0)):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    report = check(Config(data=tmp_path, resolution=32, num_images=8))
    values, verdicts = (table.splitlines() for table in report.split("\n\n"))
    assert len(values) == 3 + 20
    assert any(line.startswith("| copies_pixels") for line in verdicts)
    with pytest.raises(ValueError, match="4 x 100 images or more, got 32"):
        check(Config(data=tmp_path, num_images=100))
