"""Measuring generated images without any downloaded network. Start at `panel`.

Pairs of images: `mse`, `psnr`, `ssim`, `ms_ssim`, `chroma_error`. Two sets of images: `swd`
(texture per scale), `random_kid` and `density_coverage` (structure, missing modes), `colour_panel`
(what the others are blind to), `duplicates`, `nearest_neighbours` (memorisation). One set:
`ms_ssim_diversity`.

The figures of two sets order models within one data set, resolution and number of images, and
mean nothing beyond: print the real-vs-real value beside each. None is to be called by the name
of a metric that needs ImageNet features.
"""

from genmodels.metrics.distribution import (
    MIN_SET,
    Figures,
    colour_panel,
    compare_sets,
    density_coverage,
    duplicates,
    ms_ssim_diversity,
    random_features,
    random_kid,
    structure,
    swd,
)
from genmodels.metrics.evaluation import FIGURES, METRIC_VERSION, panel
from genmodels.metrics.figures import UndefinedFigureError
from genmodels.metrics.intervals import Interval, bootstrap_interval, subset_intervals
from genmodels.metrics.neighbours import (
    DensityCoverage,
    Neighbours,
    near_repeats,
    nearest_neighbours,
)
from genmodels.metrics.paired import Mean, chroma_error, ms_ssim, mse, psnr, ssim

__all__ = [
    "FIGURES",
    "METRIC_VERSION",
    "MIN_SET",
    "DensityCoverage",
    "Figures",
    "Interval",
    "Mean",
    "Neighbours",
    "UndefinedFigureError",
    "bootstrap_interval",
    "chroma_error",
    "colour_panel",
    "compare_sets",
    "density_coverage",
    "duplicates",
    "ms_ssim",
    "ms_ssim_diversity",
    "mse",
    "near_repeats",
    "nearest_neighbours",
    "panel",
    "psnr",
    "random_features",
    "random_kid",
    "ssim",
    "structure",
    "subset_intervals",
    "swd",
]
