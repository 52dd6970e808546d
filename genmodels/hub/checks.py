"""What a caller hands in, as plain Python of the right kind and within bounds, or a ValueError.

Numbers may be NumPy's or tensors of one element: settings go into recipes and configs, which are
JSON.
"""

import reprlib
from typing import Any

import torch

QUOTED = 200  # Largest number of characters of a wrong value in a message.


def quoted(value: object) -> str:
    """A value for an error message: its repr, shortened to one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = QUOTED
    return cut(short.repr(value))


def cut(text: str) -> str:
    """No more of a text than a line."""
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."


def plain(value: Any) -> Any:
    """The value with every NumPy scalar and one-element tensor in it as Python's own."""
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(inner) for inner in value)
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value


def check_resolution(resolution: int, low: int, high: int) -> int:
    """A side that a network of halvings can have: a power of two between `low` and `high`."""
    resolution = plain(resolution)
    fits = type(resolution) is int and low <= resolution <= high
    if not fits or resolution.bit_count() != 1:
        raise ValueError(
            f"resolution must be a power of two, {low} to {high}, got {quoted(resolution)}"
        )
    return resolution


def check_range(name: str, value: float, low: float, high: float) -> float:
    """A number within bounds, which NaN is not; `name` is for the message."""
    value = plain(value)
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low} to {high}, got {quoted(value)}")
    return value


def check_whole(name: str, value: int, low: int, high: int) -> int:
    """A whole number within bounds; `name` is for the message."""
    value = plain(value)
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {quoted(value)}")
    return value


def check_flag(name: str, value: bool) -> bool:
    """True or False, NumPy's too; `name` is for the message."""
    value = plain(value)
    if type(value) is not bool:
        raise ValueError(f"{name} must be True or False, got {quoted(value)}")
    return value


def check_image(image: torch.Tensor, channels: int, multiple: int) -> None:
    """A batch of images [N, channels, H, W] whose sides are multiples of `multiple`."""
    if image.ndim != 4 or image.shape[1] != channels:
        raise ValueError(f"image must be [N, {channels}, H, W], got {list(image.shape)}")
    height, width = image.shape[2:]
    fits = [max(multiple, -(-side // multiple) * multiple) for side in (height, width)]
    if fits != [height, width]:
        raise ValueError(
            f"height and width must be multiples of {multiple}, got {height} x {width}: "
            f"{fits[0]} x {fits[1]} would do"
        )
