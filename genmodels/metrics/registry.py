"""Every metric in one place: what it is called, its unit, which way is better, what computes it.

Cards, tables and comparisons take all of that from here. A metric of pairs of images that is added
here is measured, printed and compared wherever the others are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from genmodels.metrics import distribution, neighbours, open_nsfw, paired


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure, by the name that it has in run.json."""

    name: str
    title: str  # On cards.
    short: str  # Above a column of a table.
    unit: str = ""
    better: str  # "higher", "lower", or what a perfect model has.
    # What `function` takes. "pair": two sets of images, each against its target; `.values` has one
    # number per image. "pairs": the same, but one number for all. "sets": samples and reference.
    # "set": samples. "memory": samples, training images, held-out images.
    takes: Literal["pair", "pairs", "sets", "set", "memory"]
    function: Callable[..., Any]
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


def _colour(channel: str, kind: str) -> Metric:
    words = {"L": "brightness (L*)", "a": "green to red (a*)", "b": "blue to yellow (b*)"}
    names = {
        "wasserstein": "1-D Wasserstein distance",
        "mean_gap": "difference of means",
        "std_gap": "difference of standard deviations",
    }
    is_headline = (channel, kind) == ("L", "wasserstein")
    return Metric(
        name=f"colour_{channel}_{kind}",
        title="brightness: 1-D Wasserstein distance of L*"
        if is_headline
        else f"{words[channel]}: {names[kind]}",
        short=f"{channel}*, {names[kind]}",
        better="lower" if kind == "wasserstein" else "0",
        takes="sets",
        function=lambda a, b: distribution.colour_panel(a, b)[channel][kind],
        on_cards=is_headline,
    )


def _memory(figure: str, space: str) -> Metric:
    is_copies = figure == "copies"
    title = (
        "copies of a training image" if is_copies else "chance to lie closer to a training image"
    )

    def function(samples: Any, train: Any, held_out: Any) -> float:
        found = neighbours.nearest_neighbours(samples, train, held_out)[space]
        return float(found.copies.mean()) if is_copies else found.closer_to_train

    is_headline = f"{figure}_{space}" in ("closer_to_train_pixels", "copies_features")
    return Metric(
        name=f"{figure}_{space}",
        title=title if is_headline else f"{title}, by {space}",
        short=f"{'copies' if is_copies else 'closer to training images'}, by {space}",
        better="0" if is_copies else "0.5 is healthy",
        takes="memory",
        function=function,
        on_cards=is_headline,
    )


# In the order of tables.
_ALL = (
    Metric(
        name="psnr",
        title="PSNR, mean over pictures",
        short="PSNR",
        unit="dB",
        better="higher",
        takes="pair",
        function=paired.psnr,
    ),
    Metric(
        name="psnr_of_mean",
        title="PSNR of the mean squared error",
        short="PSNR of the mean MSE",
        unit="dB",
        better="higher",
        takes="pairs",
        function=paired.psnr_of_mean,
    ),
    Metric(
        name="ssim",
        title="SSIM, 11 px Gaussian window",
        short="SSIM",
        better="higher",
        takes="pair",
        function=paired.ssim,
    ),
    Metric(
        name="mse",
        title="mean squared error",
        short="MSE",
        unit="grey levels squared",
        better="lower",
        takes="pair",
        function=paired.mse,
    ),
    Metric(
        name="chroma_error",
        title="distance in colour (CIE a and b), 2 is just seen",
        short="chroma error",
        better="lower",
        takes="pair",
        function=paired.chroma_error,
    ),
    Metric(
        name="swd",
        title="texture: sliced Wasserstein distance of patches",
        short="texture (SWD)",
        unit="x1000",
        better="lower",
        takes="sets",
        function=distribution.swd,
    ),
    Metric(
        name="random_kid",
        title="structure: kernel distance of random features",
        short="structure (KID of random features)",
        better="lower",
        takes="sets",
        function=distribution.random_kid,
    ),
    Metric(
        name="open_nsfw_kid",
        title="content: KID, open_nsfw features, which nothing here trains with",
        short="KID, open_nsfw features",
        better="lower",
        takes="sets",
        function=lambda a, b: open_nsfw.kid(open_nsfw.features(a), open_nsfw.features(b)),
    ),
    Metric(
        name="density",
        title="density among held-out images",
        short="density",
        better="near 1",
        takes="sets",
        function=lambda a, b: distribution.density_coverage(a, b).density,
    ),
    Metric(
        name="coverage",
        title="coverage of the held-out images",
        short="coverage",
        better="higher",
        takes="sets",
        function=lambda a, b: distribution.density_coverage(a, b).coverage,
    ),
    *(_colour(x, kind) for x in "Lab" for kind in ("mean_gap", "std_gap", "wasserstein")),
    Metric(
        name="colour",
        title="colours: Wasserstein distance in CIE Lab, 2 is just seen",
        short="colours (Lab)",
        better="lower",
        takes="sets",
        function=distribution.colour_distance,
    ),
    Metric(
        name="kept",
        title="SSIM of its grey with the photograph's",
        short="kept (SSIM of grey)",
        better="higher: more of the picture stays",
        takes="pair",
        function=paired.grey_ssim,
    ),
    Metric(
        name="ms_ssim_diversity",
        title="sameness: MS-SSIM of random pairs",
        short="sameness (MS-SSIM of pairs)",
        better="as low as real",
        takes="set",
        function=distribution.ms_ssim_diversity,
    ),
    Metric(
        name="duplicates",
        title="near-duplicates among the samples",
        short="near-duplicates",
        better="lower",
        takes="sets",
        function=distribution.duplicates,
    ),
    _memory("closer_to_train", "pixels"),
    _memory("closer_to_train", "shifted"),
    _memory("copies", "features"),
    _memory("copies", "pixels"),
    _memory("copies", "shifted"),
)
METRICS = {metric.name: metric for metric in _ALL}


def paired() -> tuple[str, ...]:
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
