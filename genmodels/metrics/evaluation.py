"""All that a model card prints of a set of generated images. Start at `panel`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from genmodels.metrics import open_nsfw
from genmodels.metrics.descriptors import Images, image_batches, lab_histograms, laplacian_patches
from genmodels.metrics.distribution import (
    MIN_SET,
    NUM_PAIRS,
    Figures,
    colour_figures,
    duplicates,
    ms_ssim_diversity,
    network_features,
    random_pairs,
    structure_figures,
    texture_figures,
)
from genmodels.metrics.figures import Figure, UndefinedFigureError, figure, figures, undefined
from genmodels.metrics.intervals import bootstrap_interval, subset_intervals
from genmodels.metrics.neighbours import nearest_neighbours, share_smaller
from genmodels.metrics.paired import Mean

METRIC_VERSION = 1  # Raised whenever a figure changes its value for the same images.
# Names of what `panel` gives, beside one "swd_level_i" per level of the pyramid.
STRUCTURE = ("random_kid", "density", "coverage")
COLOUR = tuple(
    f"colour_{channel}_{kind}"
    for channel in "Lab"
    for kind in ("mean_gap", "std_gap", "wasserstein")
)
MEMORISATION = (
    *("copies_pixels", "closer_to_train_pixels", "copies_shifted", "closer_to_train_shifted"),
    "copies_features",
)
FIGURES = (
    *("swd", *STRUCTURE, *COLOUR, "duplicates", "ms_ssim_diversity", *MEMORISATION),
    "open_nsfw_kid",
)


def _closer_to_train(a: np.ndarray, b: np.ndarray) -> Figures:
    return {"closer_to_train": share_smaller(a, b)}


def panel(
    samples: Images,
    held_out: Images,  # Real images that the model has not seen.
    train: Images,  # Real images that it was trained on.
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """What a model card prints, ready for JSON: each figure as a dict of four numbers.

    "value" between samples and held-out images, "low" and "high" its 95 % interval,
    "real_vs_real" the same figure with training images in the samples' place: the floor that a
    perfect model reaches. All at "n" images per side, a seeded choice of each set, n being the
    size of the smallest set. Memorisation looks among all of `train`; there real_vs_real takes
    half of the held-out images as samples. One set's diversity stands beside the held-out one's.

    What these images do not have is None, and "reason" says why: all of it below 16 images in a
    set, texture where a colour is flat, structure where the images are all alike.
    """
    names = ("samples", "held_out", "train")
    everything = image_batches(samples, held_out, train, names=names, at_least=0, min_side=32)
    n = min(len(batch) for batch in everything)
    height, width = everything[0].shape[2:]
    about = {"metric_version": METRIC_VERSION, "n": n, "resolution": [height, width], "seed": seed}
    few = [f"{len(x)} {name}" for x, name in zip(everything, names, strict=True)]
    if n < MIN_SET:
        reason = f"it needs {MIN_SET} or more images in each set, there are {', '.join(few)}"
        return about | undefined(FIGURES, reason.replace("_", "-"))
    rng = np.random.default_rng(seed)
    sets = [batch[rng.permutation(len(batch))[:n]] for batch in everything]
    fake, real, seen = sets

    patches = [laplacian_patches(batch, seed) for batch in sets]
    levels = [f"swd_level_{i}" for i in range(patches[0].shape[1])]
    panel: dict[str, Figure] = _with_intervals(
        ["swd", *levels], partial(texture_figures, seed=seed), *patches
    )
    panel |= _with_intervals(
        STRUCTURE, structure_figures, *(network_features(batch, seed) for batch in sets)
    )
    panel |= _with_intervals(COLOUR, colour_figures, *(lab_histograms(batch) for batch in sets))
    panel["duplicates"] = _figure(duplicates(fake, real), duplicates(seen, real))
    panel["ms_ssim_diversity"] = _diversity_figure(fake, real, seed)
    try:
        panel |= _memorisation_figures(fake, real, everything[2], seed)
    except UndefinedFigureError as error:
        panel |= undefined(MEMORISATION, str(error))
    panel |= open_nsfw.panel(*sets)
    return about | panel


def _with_intervals(
    names: Sequence[str],  # Names of the statistic's outputs.
    statistic: Callable[[np.ndarray, np.ndarray], Figures],
    fake: np.ndarray,  # Descriptions of the three sets, one row per image.
    real: np.ndarray,
    seen: np.ndarray,
) -> dict[str, Figure]:
    return figures(
        names,
        value=lambda: statistic(fake, real),
        interval=lambda: subset_intervals(statistic, fake, real),
        real_vs_real=lambda: statistic(seen, real),
    )


def _figure(mean: Mean, real_vs_real: float) -> Figure:
    return figure(
        value=lambda: mean,
        interval=lambda: bootstrap_interval(mean.values),
        real_vs_real=lambda: real_vs_real,
    )


def _diversity_figure(fake: Tensor, real: Tensor, seed: int) -> Figure:
    """The bootstrap counts how often each image was drawn: a pair weighs the product of both."""
    diversity = ms_ssim_diversity(fake, seed=seed)
    first, second = random_pairs(len(fake), NUM_PAIRS, seed)

    def weighted(drawn: np.ndarray) -> float:
        counts = np.bincount(drawn, minlength=len(fake))
        return float(np.average(diversity.values, weights=counts[first] * counts[second]))

    return figure(
        value=lambda: diversity,
        interval=lambda: bootstrap_interval(np.arange(len(fake)), weighted),
        real_vs_real=lambda: ms_ssim_diversity(real, seed=seed),
    )


def _memorisation_figures(
    fake: Tensor, real: Tensor, train: Tensor, seed: int
) -> dict[str, Figure]:
    half = len(real) // 2
    control = nearest_neighbours(real[:half], train, real[half:], seed=seed)
    panel: dict[str, Figure] = {}
    for space, neighbours in nearest_neighbours(fake, train, real, seed=seed).items():
        copies = control[space].copies.mean()
        panel[f"copies_{space}"] = _figure(Mean(neighbours.copies), copies)
        if space == "features":
            continue  # Its `closer_to_train` is chance for samples unlike real images.
        interval = subset_intervals(
            _closer_to_train, neighbours.closeness, neighbours.held_out_closeness
        )
        panel[f"closer_to_train_{space}"] = {
            "value": neighbours.closer_to_train,
            **interval["closer_to_train"]._asdict(),
            "real_vs_real": control[space].closer_to_train,
        }
    return panel
