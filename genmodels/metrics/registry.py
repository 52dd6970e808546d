"""All metrics in one table: name, title, unit, which direction is better, function.

Cards, tables and comparisons take all of that from here. A metric of pairs of images that is added
here is measured, printed and compared wherever the others are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from genmodels.metrics import distribution, neighbours, open_nsfw, paired

Takes = Literal["pair", "pairs", "sets", "set", "memory"]


@dataclass(frozen=True)
class Metric:
    """One figure, by the name that it has in run.json."""

    name: str
    # What `function` takes. "pair": two sets of images, each against its target; `.values` has one
    # number per image. "pairs": the same, but one number for all. "sets": samples and reference.
    # "set": samples. "memory": samples, training images, held-out images.
    takes: Takes
    function: Callable[..., Any]
    title: str  # On cards.
    short: str  # Above a column of a table.
    better: str  # "higher", "lower", or what a perfect model has.
    unit: str = ""
    on_cards: bool = True  # Or in run.json alone.

    @property
    def heading(self) -> str:
        """Title, unit and direction."""
        return f"{self._with_unit(self.title)} ({self.better})"

    @property
    def column(self) -> str:
        """The same in short, of a table that says that lower is better unless it says otherwise."""
        return self._with_unit(self.short) + (
            " (higher)" if self.better.startswith("higher") else ""
        )

    def _with_unit(self, text: str) -> str:
        return f"{text}, {self.unit}" if self.unit else text


def _density(a: Any, b: Any) -> float:
    return distribution.density_coverage(a, b).density


def _coverage(a: Any, b: Any) -> float:
    return distribution.density_coverage(a, b).coverage


def _open_nsfw_kid(a: Any, b: Any) -> float:
    return open_nsfw.kid(open_nsfw.features(a), open_nsfw.features(b))


def _colour(channel: str, kind: str) -> Metric:
    """A figure of one channel of CIE Lab; cards show the distance of the brightness."""
    words = {"wasserstein": "1-D Wasserstein distance", "mean_gap": "gap of means"}
    text = words.get(kind, "gap of standard deviations")
    is_shown = (channel, kind) == ("L", "wasserstein")

    def function(a: Any, b: Any) -> float:
        return distribution.colour_panel(a, b)[channel][kind]

    title = f"{'brightness' if channel == 'L' else 'colour'}: {text} of {channel}*"
    better = "lower" if kind == "wasserstein" else "0"
    name = f"colour_{channel}_{kind}"
    return Metric(name, "sets", function, title, f"{channel}*, {text}", better, on_cards=is_shown)


def _memory(figure: str, space: str, *, title: str, better: str, is_shown: bool) -> Metric:
    """A memorisation figure: how close samples are to training images, for one distance."""

    def function(samples: Any, train: Any, held_out: Any) -> float:
        nearest = neighbours.nearest_neighbours(samples, train, held_out)[space]
        return float(np.mean(getattr(nearest, figure)))

    full = title if is_shown else f"{title}, by {space}"
    name, short = f"{figure}_{space}", f"{figure.replace('_', ' ')}, by {space}"
    return Metric(name, "memory", function, full, short, better, on_cards=is_shown)


CLOSER = {"title": "chance to lie closer to a training image", "better": "0.5 is healthy"}
COPIES = {"title": "copies of a training image", "better": "0"}
# fmt: off
_ALL = (  # In the order of tables.
    Metric("psnr", "pair", paired.psnr,
           "PSNR, mean over pictures", "PSNR", "higher", "dB"),
    Metric("psnr_of_mean", "pairs", paired.psnr_of_mean,
           "PSNR of the mean squared error", "PSNR of the mean MSE", "higher", "dB"),
    Metric("ssim", "pair", paired.ssim,
           "SSIM, 11 px Gaussian window", "SSIM", "higher"),
    Metric("mse", "pair", paired.mse,
           "mean squared error", "MSE", "lower", "grey levels squared"),
    Metric("chroma_error", "pair", paired.chroma_error,
           "distance in colour (CIE a and b), 2 is just seen", "chroma error", "lower"),
    Metric("swd", "sets", distribution.swd,
           "texture: sliced Wasserstein distance of patches", "texture (SWD)", "lower", "x1000"),
    Metric("random_kid", "sets", distribution.random_kid,
           "structure: kernel distance of random features", "structure (KID of random features)",
           "lower"),
    Metric("open_nsfw_kid", "sets", _open_nsfw_kid,
           "content: KID, open_nsfw features, which nothing here trains with",
           "KID, open_nsfw features", "lower"),
    Metric("density", "sets", _density,
           "density among held-out images", "density", "near 1"),
    Metric("coverage", "sets", _coverage,
           "coverage of the held-out images", "coverage", "higher"),
    *(_colour(x, kind) for x in "Lab" for kind in ("mean_gap", "std_gap", "wasserstein")),
    Metric("colour", "sets", distribution.colour_distance,
           "colours: Wasserstein distance in CIE Lab, 2 is just seen", "colours (Lab)", "lower"),
    Metric("kept", "pair", paired.grey_ssim,
           "SSIM of its grey with the photograph's", "kept (SSIM of grey)",
           "higher: more of the picture stays"),
    Metric("ms_ssim_diversity", "set", distribution.ms_ssim_diversity,
           "sameness: MS-SSIM of random pairs", "sameness (MS-SSIM of pairs)", "as low as real"),
    Metric("duplicates", "sets", distribution.duplicates,
           "near-duplicates among the samples", "near-duplicates", "lower"),
    *(_memory("closer_to_train", x, **CLOSER, is_shown=x == "pixels")
      for x in ("pixels", "shifted")),
    *(_memory("copies", x, **COPIES, is_shown=x == "features")
      for x in ("features", "pixels", "shifted")),
)
# fmt: on
METRICS = {metric.name: metric for metric in _ALL}


def paired_metrics() -> tuple[str, ...]:
    """Names of the metrics of a translation and its target; `kept` is of the source instead."""
    return tuple(
        m.name for m in METRICS.values() if m.takes in ("pair", "pairs") if m.name != "kept"
    )


def columns(*names: str) -> dict[str, str]:
    """Headings for columns of a table, by name."""
    return {name: METRICS[name].column for name in names}


def headings(*names: str) -> dict[str, str]:
    """Headings for rows of a table, by name; of all that cards show without names."""
    shown = names or [name for name, metric in METRICS.items() if metric.on_cards]
    return {name: METRICS[name].heading for name in shown}
