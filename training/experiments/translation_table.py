"""The comparison of translating networks in Markdown: each task's section, all tasks' table."""

from collections.abc import Iterable
from typing import Any

from genmodels.metrics.registry import columns, paired_metrics

FIGURES = columns(*paired_metrics(), "swd")
COMPARED = {"psnr": "PSNR, dB", "ssim": "SSIM"}  # Between networks, and between tasks.
PROJECT = {  # What the project printed: PSNR and SSIM of its autoencoder, and of its pix2pix.
    "coloring": ((21.05, 0.8416), (28.77, 0.9982)),
    "monet": ((20.72, 0.6521), (21.53, 0.8424)),
    "comic": ((19.70, 0.6852), (20.97, 0.8835)),
}
NAMES = "its autoencoder, as it printed", "its pix2pix, as it printed"


def section(record: dict[str, Any], task: str) -> str:
    """The section for the cards of one task's models."""
    held_out = record["tasks"][task]["parts"]["held_out"]
    rows = (
        (title, *(_shown(held_out["arms"][variant][key]) for key in FIGURES))
        for variant, title in record["arms"].items()
    )
    return f"""## pix2pix against the autoencoder

Networks trained for this comparison, not the published one: each was trained on
{record["pairs_seen"]:,} pairs of {record["resolution"]} x {record["resolution"]} pixels, all with
the same pairs, optimizer and schedule; *for exactness*, the critic has a tenth of its weight.
{starts(record, task)} Figures are of
{held_out["pairs"]} held-out pairs, split by source picture, with 95 % intervals over pictures:
they do not cover another random initialisation.{_apart(record, task)}
Lower is better unless stated otherwise.
{_differences(record, task)}

{_table(("network", *FIGURES.values()), rows)}

{_margins(record, held_out)}

{_by_the_project(record, task)}
"""


def _differences(record: dict[str, Any], task: str) -> str:
    """How the networks differ besides their layers."""
    text = """*The paper's* has the layers and the dropout of the paper, but our training: least
squares instead of cross-entropy, batches of 4 instead of 1, EMA weights, no dropout at
inference."""
    if record["tasks"][task]["predicts"] == "chroma":
        text += """
The source already has the right brightness, which raises the SSIM of *ours*: they predict only
chroma and keep the brightness, while the others predict it too."""
    return text


def starts(record: dict[str, Any], task: str) -> str:
    """How often each network was trained, and which of them fewer times."""
    counts = record["tasks"][task]["starts"]
    most = max(counts.values())
    fewer = [
        f"{record['arms'][variant]}: {count}" for variant, count in counts.items() if count < most
    ]
    return f"Starts of each training: {'; '.join([str(most), *fewer])}."


def _apart(record: dict[str, Any], task: str) -> str:
    """How much the results of different seeds differ; empty for a single seed."""
    task_record = record["tasks"][task]
    if max(task_record["starts"].values()) < 2:
        return ""
    most = {key: max(moved[key] for moved in task_record["moved"].values()) for key in COMPARED}
    parts = (f"{_short(most[key])} in {name}" for key, name in COMPARED.items())
    return f"\nTwo starts of one network end at most so far apart: {'; '.join(parts)}."


def overview(record: dict[str, Any]) -> str:
    """All tasks side by side, and the margin of pix2pix in each."""
    tasks = record["tasks"]
    held_out = [task["parts"]["held_out"] for task in tasks.values()]
    head = [f"{task['title']}: {name}" for task in tasks.values() for name in COMPARED.values()]
    rows = [
        (title, *(_shown(part["arms"][variant][key]) for part in held_out for key in COMPARED))
        for variant, title in record["arms"].items()
    ]
    for key in held_out[0]["margins"]:
        ahead = (
            _shown(part["margins"][key][metric], "+") for part in held_out for metric in COMPARED
        )
        rows.append((_minus(record, key), *ahead))
    if set(tasks) <= set(PROJECT):
        printed = (f"{value:+.3g}" for name in tasks for value in _printed_margin(name))
        rows.append(("the project's pix2pix minus its autoencoder, as it printed", *printed))
    return _table(("network", *head), rows) + "\n"


def _by_the_project(record: dict[str, Any], task: str) -> str:
    """Its formulas on our networks, with what it printed below, and what may be compared."""
    parts = record["tasks"][task]["parts"]
    columns = {
        "*psnr_seed*, held out": ("held_out", "psnr_seed"),
        "*ssim_seed*, held out": ("held_out", "ssim_seed"),
        "*psnr_seed*, trained on": ("train", "psnr_seed"),
        "*ssim_seed*, trained on": ("train", "ssim_seed"),
        "SSIM, trained on": ("train", "ssim"),
    }
    rows: list[tuple[str, ...]] = [
        (
            title,
            *(
                f"{parts[part]['arms'][variant][key]['value']:.4g}"
                for part, key in columns.values()
            ),
        )
        for variant, title in record["arms"].items()
    ]
    if task in PROJECT:
        for name, (psnr, ssim) in zip(NAMES, PROJECT[task], strict=True):
            rows.append((name, "", "", f"{psnr:.4g}", f"{ssim:.4g}", ""))
    return f"""By the translation project's formulas, for its own table's sake: *psnr_seed* is
6.02 dB lower than the PSNR of the mean MSE, and *ssim_seed* cannot see structure (pictures of
shuffled pixels score 1). The project seems to have measured pictures that it trained on, which are
not known; so it is held beside {parts["train"]["pairs"]} of the pairs that were trained on here.

{_table(("network", *columns), rows)}

On these:

{_margins(record, parts["train"])}"""


def _margins(record: dict[str, Any], part: dict[str, Any]) -> str:
    return "\n".join(
        f"- {_minus(record, key)}: "
        + ", ".join(f"{name} {_shown(margin[metric], '+')}" for metric, name in COMPARED.items())
        + "."
        for key, margin in part["margins"].items()
    )


def _minus(record: dict[str, Any], key: str) -> str:
    return " minus ".join(record["arms"][variant] for variant in key.split(" - "))


def _printed_margin(task: str) -> tuple[float, float]:
    (psnr, ssim), (psnr_ahead, ssim_ahead) = PROJECT[task]
    return psnr_ahead - psnr, ssim_ahead - ssim


def _shown(figure: dict[str, float], sign: str = "") -> str:
    """A value with its interval, where it has one."""
    numbers = [_short(figure[key], sign) for key in ("value", "low", "high") if key in figure]
    return f"{numbers[0]} ({numbers[1]} to {numbers[2]})" if len(numbers) > 1 else numbers[0]


def _short(value: float, sign: str = "") -> str:
    """Three digits, but all of a whole number."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
