"""Figures as cards print them: a number with what belongs to it, or none with the reason."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Figure = dict[str, Any]  # "value" and what belongs to it, ready for JSON; None has a "reason".


class UndefinedFigureError(ValueError):
    """A figure that these images do not have, such as the texture of flat ones; it says why."""


def figures(
    names: Sequence[str],
    # "value", "interval", ...: each computes that of all names, intervals as (low, high).
    **parts: Callable[[], Mapping[str, Any]],
) -> dict[str, Figure]:
    """Figures by name, each a dict of its parts; a part that is not defined is None.

    Then "reason" says why: a model that was trained for days is published without it.
    """
    panel: dict[str, Figure] = {name: {} for name in names}
    for part, compute in parts.items():
        try:
            values, why = compute(), "it is not finite"
        except UndefinedFigureError as error:
            values, why = {}, str(error)
        for name, figure in panel.items():
            value = values.get(name)
            ends = {"low": 0, "high": 1} if part == "interval" else {part: None}
            for key, index in ends.items():
                number = value if index is None or value is None else value[index]
                if number is not None and math.isfinite(number):
                    figure[key] = float(number)
                else:
                    figure[key] = None
                    figure.setdefault("reason", why if part == "value" else f"{part}: {why}")
    return panel


def figure(**parts: Callable[[], Any]) -> Figure:
    """One figure by its parts, as `figures`."""
    named = {part: _named(compute) for part, compute in parts.items()}
    return figures(["figure"], **named)["figure"]


def _named(compute: Callable[[], Any]) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"figure": compute()}


def undefined(names: Iterable[str], reason: str) -> dict[str, Figure]:
    """Figures of which none is defined."""
    return {name: {"value": None, "reason": reason} for name in names}


def shown(number: float | None, form: str) -> str:
    """A number in a table, in a format such as ".3g"."""
    return "none" if number is None else f"{number:{form}}"


def interval_shown(figure: Figure, form: str) -> str:
    """A figure's interval in a table; nothing where it has none."""
    if figure.get("low") is None:
        return ""
    return f"{figure['low']:{form}} to {figure['high']:{form}}"


def beside_real(figure: Figure, form: str = ".3g") -> str:
    """A figure in a table as "value (low to high; that of real images)", or none."""
    if figure["value"] is None:
        return "none"
    real = shown(figure.get("real_vs_real"), form)
    brackets = [text for text in (interval_shown(figure, form), real) if text]
    return f"{figure['value']:{form}} ({'; '.join(brackets)})"


def reasons(titles: Mapping[str, str], panel: Mapping[str, Figure]) -> str:
    """Below a table: why some of its figures are none; nothing if all are there."""
    lines: dict[str, list[str]] = {}
    for key, title in titles.items():
        if reason := panel.get(key, {}).get("reason"):
            lines.setdefault(reason, []).append(title.partition(":")[0].partition(" (")[0])
    bullets = [f"\n- None for *{', '.join(names)}*: {why}." for why, names in lines.items()]
    return "".join(["\n", *bullets]) if bullets else ""
