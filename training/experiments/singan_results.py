"""The sweep of SinGAN's dials as a CSV, a table with a named best buy, and a plot."""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from genmodels.metrics.intervals import bootstrap_interval

DIALS = ("mode", "max_size", "epochs", "optimizer")
FIGURES = {
    "cpu_seconds": "CPU seconds",
    "rsifid": "rSIFID",
    "patch_swd": "patch SWD",
    "rsifid_seen": "rSIFID as seen",
    "patch_swd_seen": "patch SWD as seen",
    "diversity": "diversity",
}
QUALITY = "rsifid_seen"  # What is weighed against the time.
NEAR_BEST = 1.1  # The best value is the fastest setting within this factor of the best quality.
MARKERS = {"adam": "o", "adamax": "s", "adamw": "D", "sgd": "v", "asgd": "^"}

Row = dict[str, Any]


class Point(NamedTuple):
    """One setting of the dials, with the means of its figures over scenes and seeds."""

    dials: tuple[Any, ...]  # In the order of DIALS.
    figures: dict[str, float]
    scenes: frozenset[str]


def write(
    rows: Sequence[Row],  # Dials, "scene", "seed" and figures of each run.
    folder: Path,  # Folder of singan_sweep.csv and singan_sweep.md.
    plot: Path,  # A PNG.
) -> None:
    """Write all three. ValueError when there is no run."""
    if not rows:
        raise ValueError("results need a run or more, got none")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "singan_sweep.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    (folder / "singan_sweep.md").write_text(_report(rows))
    _plot(points(rows)).savefig(plot, metadata={"Software": None})


def points(rows: Sequence[Row]) -> list[Point]:
    """Means over the scenes on which most settings were tried, of those tried on all of them."""
    grouped: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[tuple(row[dial] for dial in DIALS)].append(row)
    tried = {dials: frozenset(run["scene"] for run in runs) for dials, runs in grouped.items()}
    often = Counter(tried.values())
    scenes = max(often, key=lambda names: (often[names], len(names), sorted(names)))
    return [
        Point(
            dials,
            {
                key: float(np.mean([run[key] for run in runs if run["scene"] in scenes]))
                for key in FIGURES
            },
            scenes,
        )
        for dials, runs in sorted(grouped.items())
        if tried[dials] >= scenes
    ]


def best_buy(tried: Sequence[Point]) -> Point:
    """The quickest whose quality is near that of the best."""
    best = min(point.figures[QUALITY] for point in tried)
    near = [point for point in tried if point.figures[QUALITY] <= NEAR_BEST * best]
    return min(near, key=lambda point: point.figures["cpu_seconds"])


def pareto(tried: Sequence[Point]) -> list[Point]:
    """Those than which none is both quicker and better, the quickest first."""
    front: list[Point] = []
    for point in sorted(tried, key=lambda point: point.figures["cpu_seconds"]):
        if not front or point.figures[QUALITY] < front[-1].figures[QUALITY]:
            front.append(point)
    return front


def _report(rows: Sequence[Row]) -> str:
    tried = points(rows)
    swept = [point for point in tried if point.dials[0] == "fast"] or tried
    chosen, front = best_buy(swept), pareto(swept)
    head = " | ".join((*DIALS, *FIGURES.values()))
    lines = []
    for point in tried:
        cells = [str(dial) for dial in point.dials]
        cells += [f"{point.figures[key]:.3g}" for key in FIGURES]
        mark = "**" if point is chosen else "*" if point in front else ""
        lines.append(f"| {' | '.join(mark + cell + mark for cell in cells)} |")
    scenes = ", ".join(sorted(chosen.scenes))
    body = "\n".join(lines)
    return f"""## SinGAN: what its dials bring

Means over {scenes}; of {len(rows)} runs, those whose
dials were tried on all of these. All but diversity: lower is better. "As seen": at one size for
all, so that what is small is soft. In italics what nothing beats in both time and rSIFID as seen;
**the best buy**, the quickest that comes within {NEAR_BEST - 1:.0%} of the best:
{_named(chosen)}.

| {head} |
|{" --- |" * (len(DIALS) + len(FIGURES))}
{body}
{_fast_against_full(rows)}"""


def _named(point: Point) -> str:
    mode, max_size, epochs, optimizer = point.dials
    seconds = point.figures["cpu_seconds"]
    return f"{mode}, {max_size} px, {epochs} epochs, {optimizer} ({seconds:.0f} CPU seconds)"


def _fast_against_full(rows: Sequence[Row]) -> str:
    """Runs of the two modes on one scene at one size with one optimizer, the longest of each."""
    longest: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["epochs"]):
        key = (row["scene"], row["max_size"], row["optimizer"], row["mode"])
        runs = longest.get(key, [])
        longest[key] = [each for each in runs if each["epochs"] == row["epochs"]] + [row]
    lines, differences = [], defaultdict(list)
    for (scene, size, optimizer, mode), full in longest.items():
        fast = longest.get((scene, size, optimizer, "fast"))
        if mode != "full" or fast is None:
            continue
        cells = []
        for figure in ("cpu_seconds", "rsifid", "patch_swd", "diversity"):
            ours, theirs = (float(np.mean([run[figure] for run in runs])) for runs in (fast, full))
            differences[figure].append(ours - theirs)
            cells.append(f"{_number(ours)} / {_number(theirs)}")
        epochs = f"{fast[0]['epochs']} / {full[0]['epochs']}"
        seeds = f"{len(fast)} / {len(full)}"
        lines.append(f"| {scene} | {size} | {epochs} | {seeds} | {' | '.join(cells)} |")
    if not lines:
        return ""
    difference = ""
    if len(lines) > 1:
        columns = map(_difference, differences.values())
        difference = f"| difference | | | | {' | '.join(columns)} |\n"
    body = "\n".join(lines)
    return f"""
### `fast` against the paper's protocol

Fast / full; the difference is fast minus full, paired by scene, with its 95 % interval.

| scene | px | epochs | seeds | CPU seconds | rSIFID | patch SWD | diversity |
| --- | --- | --- | --- | --- | --- | --- | --- |
{body}
{difference}"""


def _difference(values: Sequence[float]) -> str:
    low, high = bootstrap_interval(np.array(values))
    return f"{_number(float(np.mean(values)))} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _plot(tried: Sequence[Point]) -> Figure:
    """Quality against time: sizes on the left, optimizers, if there are several, on the right."""
    tried = [point for point in tried if point.dials[0] == "fast"] or tried
    chosen = best_buy(tried)
    names = [name for name in MARKERS if any(point.dials[3] == name for point in tried)]
    figure = Figure(figsize=(4.5 * min(len(names), 2), 4), layout="constrained", dpi=110)
    panels = figure.subplots(1, min(len(names), 2), sharey=True, squeeze=False)[0]
    for size in sorted({point.dials[1] for point in tried}):
        chosen_points = [p for p in tried if (p.dials[1], p.dials[3]) == (size, chosen.dials[3])]
        _line(panels[0], chosen_points, f"{size} px")
    panels[0].plot(*_xy(pareto(tried)), ":", color="black", zorder=0, label="nothing beats")
    panels[0].set(title=f"Sizes, with {chosen.dials[3]}", ylabel="rSIFID as seen (lower is better)")
    x, y = (chosen.figures[key] for key in ("cpu_seconds", QUALITY))
    panels[0].plot(x, y, "*", color="black", markersize=15, zorder=3, label="best buy")
    for axes in panels[1:]:
        size = _most_optimizers(tried)
        for name in names:
            chosen_points = [p for p in tried if (p.dials[1], p.dials[3]) == (size, name)]
            _line(axes, chosen_points, name, MARKERS[name])
        axes.set(title=f"Optimizers, at {size} px")
    for axes in panels:
        axes.set(xscale="log", yscale="log", xlabel="CPU seconds")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_formatter(ScalarFormatter())
        axes.grid(which="both", alpha=0.25)
        axes.legend(fontsize="small")
    return figure


def _most_optimizers(tried: Sequence[Point]) -> int:
    """The size at which most optimizers were tried."""
    optimizers = defaultdict(set)
    for point in tried:
        optimizers[point.dials[1]].add(point.dials[3])
    return max(optimizers, key=lambda size: len(optimizers[size]))


def _line(axes: Any, points: Sequence[Point], label: str, marker: str = "o") -> None:
    if points:
        axes.plot(*_xy(points), marker=marker, markersize=4, label=label)


def _xy(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [p.figures["cpu_seconds"] for p in points], [p.figures[QUALITY] for p in points]
