"""Distances between two sets of images, and the diversity of one, without a downloaded network.

They order models within one data set, resolution and number of images, and mean nothing beyond:
print the real-vs-real value beside each. None is to be called by the name of a metric that needs
ImageNet features.
"""

import numpy as np
from torch import Tensor

from genmodels.metrics.descriptors import (
    LAB_BIN,
    LAB_BINS,
    LAB_LOW,
    Images,
    image_batch,
    image_batches,
    lab_histograms,
    laplacian_patches,
    random_conv_features,
    standardised,
    thumbnails,
)
from genmodels.metrics.figures import UndefinedFigureError
from genmodels.metrics.neighbours import DensityCoverage, density_and_coverage, duplicate_flags
from genmodels.metrics.paired import Mean, ms_ssim

NUM_PROJECTIONS = 512
NUM_NETWORKS = 5  # Seeds over which figures of random features are averaged.
NEAREST_K = 5
NUM_PAIRS = 1000
MIN_SET = 16  # Fewest images per set: halves of it must still have NEAREST_K neighbours.
MIN_SIDE = 16  # The pyramid's coarsest level.

Figures = dict[str, float]


def swd(
    samples: Images,
    reference: Images,  # As many as `samples`.
    *,
    seed: int = 0,  # Places of patches and directions of projection.
) -> Mean:
    """Sliced Wasserstein distance x 1e3 (Karras et al. 2018, arXiv:1710.10196), lower is better.

    `.values` [L] per level of a Laplacian pyramid, finest first, down to 16 px; 128 patches of
    7x7 per image and level, 512 projections. Colours are normalised per set, so a global shift of
    colour, brightness or contrast is not seen. Equal sets give exactly 0. UndefinedFigureError if a
    colour is flat in all images of a set, as in masks and label maps.
    """
    a, b = _two_sets(samples, reference, same_count=True)
    return Mean(_swd_levels(laplacian_patches(a, seed), laplacian_patches(b, seed), seed))


def _swd_levels(a: np.ndarray, b: np.ndarray, seed: int) -> np.ndarray:
    """Patches [N, L, P, 3, 49] of two sets -> distance per level [L]."""
    directions = np.random.default_rng(seed).standard_normal((NUM_PROJECTIONS, a[0, 0, 0].size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    levels = []
    for level in range(a.shape[1]):
        flat = [_normalised_patches(patches[:, level]) for patches in (a, b)]  # [N * P, 147]
        gaps = []
        # Few directions at a time: the projections of a whole set would take gigabytes.
        for few in np.split(directions.astype(np.float32), 16):
            x, y = (np.sort(few @ patches.T, axis=1) for patches in flat)
            gaps.append(np.abs(x - y).mean(dtype=np.float64))
        levels.append(1e3 * np.mean(gaps))
    return np.array(levels)


def _normalised_patches(patches: np.ndarray) -> np.ndarray:
    """[N, P, 3, 49] -> [N * P, 147], mean 0 and standard deviation 1 per colour."""
    mean = patches.mean(axis=(0, 1, 3), keepdims=True, dtype=np.float64)
    std = patches.std(axis=(0, 1, 3), keepdims=True, dtype=np.float64)
    if std.min() < 1e-3:  # Grey levels; rounding leaves 1e-5 of a flat image.
        raise UndefinedFigureError("a colour is flat in all images of a set: it has no texture")
    return ((patches - mean) / std).astype(np.float32).reshape(-1, patches[0, 0].size)


def random_features(images: Images, seed: int = 0) -> np.ndarray:
    """Features [N, 480] of a random convolutional network; see `random_conv_features`."""
    return random_conv_features(image_batch(images, "images", min_side=MIN_SIDE), seed)


def random_kid(
    samples: Images,
    reference: Images,  # Standardises the features.
    *,
    seed: int = 0,  # The five networks have seeds derived from it.
) -> Mean:
    """Kernel distance of random-network features (MMD^2), 0 for equal distributions.

    The unbiased estimate with kernel (x.y / D + 1)^3 of Binkowski et al. 2018, arXiv:1801.01401,
    which may fall below 0; `.values` [5] per network. Not comparable with Inception's KID.
    """
    a, b = (network_features(x, seed) for x in _two_sets(samples, reference))
    return Mean(_kid_values(a, b))


def density_coverage(
    samples: Images,
    reference: Images,
    *,
    k: int = NEAREST_K,  # Neighbours that span the ball of a reference image.
    seed: int = 0,  # As for `random_kid`, whose features it shares.
) -> DensityCoverage:
    """Density: how deep samples lie among real images; coverage: share of real images reached.

    Naeem et al. 2020, arXiv:2002.09797; mean over five random networks. Healthy: density 1,
    coverage 1 - 2^-k at equal numbers. Coverage falls when modes are missing.
    """
    batches = _two_sets(samples, reference)
    if not 1 <= k < len(batches[1]):
        raise ValueError(f"k must be 1 to {len(batches[1]) - 1}, below the references, got {k}")
    a, b = (network_features(batch, seed) for batch in batches)
    return _density_coverage(a, b, k)


def structure(samples: Images, reference: Images, *, seed: int = 0) -> Figures:
    """`random_kid`, density and coverage by name, from one reading of the images."""
    a, b = (network_features(batch, seed) for batch in _two_sets(samples, reference))
    return structure_figures(a, b)


def network_features(batch: Tensor, seed: int) -> np.ndarray:
    """Features of all networks, [N, 5, 480]."""
    seeds = range(NUM_NETWORKS * seed, NUM_NETWORKS * (seed + 1))
    return np.stack([random_conv_features(batch, each) for each in seeds], axis=1)


def _kid_values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    values = []
    for network in range(a.shape[1]):
        x, y = (standardised(each[:, network], b[:, network]) for each in (a, b))
        within = [_off_diagonal_mean((each @ each.T / each.shape[1] + 1) ** 3) for each in (x, y)]
        values.append(sum(within) - 2 * ((x @ y.T / x.shape[1] + 1) ** 3).mean())
    return np.array(values)


def _off_diagonal_mean(kernel: np.ndarray) -> float:
    return (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))


def _density_coverage(a: np.ndarray, b: np.ndarray, k: int) -> DensityCoverage:
    pairs = [
        density_and_coverage(standardised(a[:, i], b[:, i]), standardised(b[:, i], b[:, i]), k)
        for i in range(a.shape[1])
    ]
    return DensityCoverage(*(float(each) for each in np.mean(pairs, axis=0)))


def colour_panel(samples: Images, reference: Images) -> dict[str, Figures]:
    """Colours of two sets in CIE L*a*b* (D65): {"L" | "a" | "b": {figure: value}}.

    "mean_gap" and "std_gap" are samples minus reference; "wasserstein" is the 1-D distance of the
    distributions over all pixels, exact to the histogram's bin of 0.25. About 2 is just visible.
    """
    a, b = (lab_histograms(x) for x in _two_sets(samples, reference, at_least=1, min_side=1))
    return _colour_channels(a, b)


def colour_distance(samples: Images, reference: Images) -> float:
    """The mean of `colour_panel`'s Wasserstein distances over L*, a* and b*."""
    channels = colour_panel(samples, reference).values()
    return float(np.mean([channel["wasserstein"] for channel in channels]))


def _colour_channels(a: np.ndarray, b: np.ndarray) -> dict[str, Figures]:
    """Histograms [N, 3, bins] of two sets -> figures per channel."""
    centres = LAB_LOW + LAB_BIN * (np.arange(LAB_BINS) + 0.5)
    shares = [x.mean(axis=0) for x in (a, b)]  # [3, bins]
    (mean_a, std_a), (mean_b, std_b) = (_moments(x, centres) for x in shares)
    distance = LAB_BIN * np.abs(np.cumsum(shares[0] - shares[1], axis=1)).sum(axis=1)
    return {
        name: {
            "mean_gap": float(mean_a[i] - mean_b[i]),
            "std_gap": float(std_a[i] - std_b[i]),
            "wasserstein": float(distance[i]),
        }
        for i, name in enumerate("Lab")
    }


def _moments(shares: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = shares @ centres
    return mean, np.sqrt((shares * (centres - mean[:, None]) ** 2).sum(axis=1))


def duplicates(samples: Images, reference: Images) -> Mean:
    """Share of samples that nearly repeat another sample, 0.05 when healthy; `.values` [N].

    A sample counts if another is nearer to it, in 16x16 thumbnails, than the nearest neighbour of
    95 % of the reference images among themselves: a birthday check for collapse.
    """
    sets = _two_sets(samples, reference, same_count=True)
    a, b = (thumbnails(batch).reshape(len(batch), -1) for batch in sets)
    return Mean(duplicate_flags(a, b))


def ms_ssim_diversity(
    images: Images,  # Two or more, 32 px or more.
    *,
    num_pairs: int = NUM_PAIRS,  # Random pairs of different images; all pairs if there are no more.
    seed: int = 0,
) -> Mean:
    """Mean MS-SSIM of random pairs, higher is *less* diverse; `.values` per pair.

    Compare it with the same figure of real images: 0.05 above means collapse. The number of
    scales follows the resolution, see `ms_ssim`.
    """
    batch = image_batch(images, "images", at_least=2, min_side=32)
    if num_pairs < 1:
        raise ValueError(f"num_pairs must be 1 or more, got {num_pairs}")
    first, second = random_pairs(len(batch), num_pairs, seed)
    return ms_ssim(batch[first], batch[second])


def random_pairs(n: int, num_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row indices of `num_pairs` random pairs of n rows; all pairs if there are fewer."""
    if n * (n - 1) // 2 <= num_pairs:
        first, second = np.triu_indices(n, k=1)
        return first, second
    rng = np.random.default_rng(seed)
    first = rng.integers(n, size=num_pairs)
    return first, (first + rng.integers(1, n, size=num_pairs)) % n


def compare_sets(samples: Images, reference: Images, *, seed: int = 0) -> Figures:
    """All figures of two equally large sets by name, without intervals: see `panel`."""
    a, b = _two_sets(samples, reference, same_count=True)
    values = texture_figures(laplacian_patches(a, seed), laplacian_patches(b, seed), seed)
    values |= structure_figures(network_features(a, seed), network_features(b, seed))
    values |= colour_figures(lab_histograms(a), lab_histograms(b))
    return values | {"duplicates": float(duplicates(a, b))}


def texture_figures(a: np.ndarray, b: np.ndarray, seed: int) -> Figures:
    """Sliced Wasserstein distances by name, of Laplacian patches [N, L, P, 3, 49] of two sets."""
    levels = _swd_levels(a, b, seed)
    return {"swd": float(levels.mean())} | {
        f"swd_level_{i}": float(x) for i, x in enumerate(levels)
    }


def structure_figures(a: np.ndarray, b: np.ndarray) -> Figures:
    """Kernel distance, density and coverage by name, of two sets of `network_features`."""
    kid = float(_kid_values(a, b).mean())
    return {"random_kid": kid} | _density_coverage(a, b, NEAREST_K)._asdict()


def colour_figures(a: np.ndarray, b: np.ndarray) -> Figures:
    """Figures of colour by name, of two sets of `lab_histograms`."""
    channels = _colour_channels(a, b)
    return {f"colour_{c}_{figure}": x for c in channels for figure, x in channels[c].items()}


def _two_sets(
    samples: Images,
    reference: Images,
    *,
    at_least: int = 2,
    min_side: int = MIN_SIDE,
    same_count: bool = False,
) -> list[Tensor]:
    return image_batches(
        samples,
        reference,
        names=("samples", "reference"),
        at_least=at_least,
        min_side=min_side,
        same_count=same_count,
    )
