"""Named conditions <-> the vector c that conditions a network.

A schema is a JSON-able dict, in order, of two kinds of entry:

    {"body": {"values": ["sedan", "suv"], "counts": [1135, 885]},
     "year": {"mean": 2009.1, "std": 5.2, "min": 1991, "max": 2012}}

c holds, in the schema's order, a one-hot block per class condition and one standardised number per
continuous condition. It is part of a model's published config, hence `check`. Pure Python on
purpose: the app imports this before it imports torch.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

Schema = dict[str, dict[str, Any]]

MAX_CONDITIONS = 64
MAX_VALUES = 512
MAX_TEXT = 200  # Characters of a condition's name or of a class value.
MAX_NUMBER = 1e15
MAX_STDS = 10  # How far from the mean a continuous condition may be asked for.


def infer(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> Schema:
    """The schema of the named columns: text or booleans are classes, numbers are continuous.

    Class values are sorted. Errors name the row by its "file_name", if it has one.
    """
    if not rows:
        raise ValueError("conditions need at least one labelled row, got none")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"each condition may be named once, got {repeated} several times")
    schema = {name: _infer_column(rows, name) for name in names}
    check(schema)
    return schema


def check(schema: object) -> None:
    """Raise `ValueError` unless the schema, perhaps from a stranger's config, is well formed."""
    if not isinstance(schema, dict) or len(schema) > MAX_CONDITIONS:
        raise ValueError(f"conditions must be a dict of at most {MAX_CONDITIONS} entries")
    for name, entry in schema.items():
        if not _is_text(name):
            raise ValueError(f"a condition's name must be 1 to {MAX_TEXT} characters, got {name!r}")
        keys = set(entry) if isinstance(entry, dict) else set()
        if keys == {"values", "counts"}:
            _check_class(name, entry["values"], entry["counts"])
        elif keys == {"mean", "std", "min", "max"}:
            _check_continuous(name, entry)
        else:
            raise ValueError(
                f"condition {name!r} must have the keys values, counts or mean, std, min, max"
            )


def size(schema: Schema) -> int:
    """Length of c (c_dim)."""
    return sum(len(entry["values"]) if "values" in entry else 1 for entry in schema.values())


def encode(schema: Schema, condition: Mapping[str, object]) -> list[float]:
    """The vector c, of `size(schema)` numbers, for a condition that gives every name a value.

    A continuous value outside what the data held is allowed (extrapolation is a feature), up to 10
    standard deviations from the mean. `ValueError` says what is allowed.
    """
    _check_names(schema, condition)
    missing = [name for name in schema if name not in condition]
    if missing:
        raise ValueError(f"condition lacks {missing}; every one of {list(schema)} needs a value")
    c: list[float] = []
    for name, entry in schema.items():
        value = condition[name]
        if "values" in entry:
            index = _class_index(name, entry["values"], value)
            c += [float(i == index) for i in range(len(entry["values"]))]
        else:
            c.append(_standardise(name, entry, value))
    return c


def encode_known(schema: Schema, condition: Mapping[str, object]) -> list[float]:
    """As `encode`, for a condition that may leave names out: zeros there, and which are known.

    The vector ends with one number per name, 1 where it has a value and 0 where that is unknown:
    `size(schema) + len(schema)` numbers in all. No one-hot block is all zeros, and 0 is the mean of
    a continuous condition, so only these tell "unknown" from "average".
    """
    _check_names(schema, condition)
    c: list[float] = []
    for name, entry in schema.items():
        is_known = name in condition
        own = {name: entry}
        c += encode(own, {name: condition[name]}) if is_known else [0.0] * size(own)
    return [*c, *(float(name in condition) for name in schema)]


def draw(
    schema: Schema,
    condition: Mapping[str, object] | None,  # Values that are already decided.
    rng: random.Random,  # The result depends on this and the arguments only.
) -> dict[str, Any]:
    """The condition, completed by values as frequent as in the data.

    Classes follow their counts, continuous values a normal distribution cut to the data's range.
    Each name draws its number even when its value is given: fixing one does not change the others.
    """
    if not isinstance(condition, Mapping | None):
        raise ValueError(f"condition must be a dict of names and values, got {condition!r}")
    given = dict(condition or {})
    _check_names(schema, given)
    drawn = {name: _draw_value(entry, rng) for name, entry in schema.items()}
    return drawn | given


def _infer_column(rows: Sequence[Mapping[str, object]], name: str) -> dict[str, Any]:
    column = [row.get(name) for row in rows]
    for index, value in enumerate(column):
        if value is None or value == "":
            known = sorted({key for row in rows for key in row} - {"file_name"})
            where = rows[index].get("file_name", f"row {index}")
            raise ValueError(f"{where} has no value for {name!r}; the labels are {known}")
    for kind in (bool, str):
        if all(isinstance(value, kind) for value in column):
            counts = Counter(column)
            values = sorted(counts)  # type: ignore[type-var]
            return {"values": values, "counts": [counts[value] for value in values]}
    for index, value in enumerate(column):
        if not _is_number(value):
            where = rows[index].get("file_name", f"row {index}")
            raise ValueError(
                f"{where}: {name!r} must be text, true or false, or a finite number, "
                f"the same kind in every row, got {value!r}"
            )
    numbers = [value for value in column if _is_number(value)]
    low, high = min(numbers), max(numbers)
    if low == high:
        raise ValueError(f"{name!r} is {low} in every row: there is nothing to condition on")
    mean = math.fsum(numbers) / len(numbers)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in numbers) / len(numbers))
    return {"mean": mean, "std": std, "min": low, "max": high}


def _check_class(name: str, values: object, counts: object) -> None:
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_VALUES:
        actual = len(values) if isinstance(values, list) else values
        raise ValueError(f"class condition {name!r} needs 1 to {MAX_VALUES} values, got {actual}")
    if not (all(_is_text(v) for v in values) or all(isinstance(v, bool) for v in values)):
        raise ValueError(
            f"values of {name!r} must be all booleans, or all text of 1 to {MAX_TEXT} characters "
            f"that UTF-8 can write, got {str(values[:5])[:MAX_TEXT]}"
        )
    if len(set(values)) != len(values):
        raise ValueError(f"values of {name!r} must differ from each other")
    if not isinstance(counts, list) or len(counts) != len(values):
        raise ValueError(f"counts of {name!r} must be a list as long as its values")
    whole = all(_is_number(n) and isinstance(n, int) and n >= 0 for n in counts)
    if not whole or not any(counts):
        raise ValueError(f"counts of {name!r} must be whole numbers, 0 or more, not all 0")


def _check_continuous(name: str, entry: dict[str, object]) -> None:
    mean, std, low, high = (entry[key] for key in ("mean", "std", "min", "max"))
    if not (_is_number(mean) and _is_number(std) and _is_number(low) and _is_number(high)):
        raise ValueError(f"mean, std, min and max of {name!r} must be finite numbers, got {entry}")
    if not (std > 0 and low <= mean <= high):
        raise ValueError(f"{name!r} must have std > 0 and min <= mean <= max, got {entry}")


def _check_names(schema: Schema, condition: Mapping[str, object]) -> None:
    unknown = [name for name in condition if name not in schema]
    if unknown:
        raise ValueError(f"unknown condition {unknown}; this model knows {list(schema)}")


def _class_index(name: str, values: list[Any], value: object) -> int:
    # 1 == True in Python, so the type is compared too.
    if type(value) is not type(values[0]) or value not in values:
        shown = ", ".join(map(repr, values[:20])) + (", ..." if len(values) > 20 else "")
        raise ValueError(f"{name!r} must be one of {shown}, got {value!r}")
    return values.index(value)


def _standardise(name: str, entry: dict[str, Any], value: object) -> float:
    mean, std = entry["mean"], entry["std"]
    if not _is_number(value):
        raise ValueError(f"{name!r} must be a finite number, got {value!r}")
    if abs(value - mean) > MAX_STDS * std:
        low, high = mean - MAX_STDS * std, mean + MAX_STDS * std
        raise ValueError(
            f"{name!r} must be between {low:g} and {high:g} "
            f"(the data's own range is {entry['min']:g} to {entry['max']:g}), got {value!r}"
        )
    return (value - mean) / std


def _draw_value(entry: dict[str, Any], rng: random.Random) -> Any:
    if "values" in entry:
        return rng.choices(entry["values"], weights=entry["counts"])[0]
    return min(max(rng.normalvariate(entry["mean"], entry["std"]), entry["min"]), entry["max"])


def _is_text(value: object) -> bool:
    """Text that can be written down: half a surrogate, as of a file name's odd bytes, cannot."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _is_number(value: object) -> TypeGuard[int | float]:
    """Finite and of sane size; booleans, which Python counts as integers, are not numbers."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and -MAX_NUMBER <= value <= MAX_NUMBER  # type: ignore[operator]
