"""A network on a picture of any size: at once where that fits, else tile by tile without a seam."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

TILE = 768  # Side of what is kept of a tile, in pixels; a picture that is no larger goes whole.
RAMP = 32  # Pixels on either side of a border over which two tiles fade into each other.
BLIND_REACH = 128  # What a tile sees around it, where nothing less than all would be enough.

Span = tuple[int, int]  # First pixel, and the one after the last.


def through(
    network: Any,  # Has `multiple`, of which both sides must be one, and `reach`, see below.
    x: Tensor,  # [N, C, H, W], any size.
    margin: int = 0,  # Pixels of its mirror image that it sees around the picture.
    *,
    run: Any = None,  # How to compute it, where something is wrapped around it.
) -> Tensor:
    """The network's answer [N, c, H, W], the picture being mirrored at its ends.

    `reach` is how many pixels away a pixel can matter to another: with that much around it, a tile
    is what it would be in the whole. None: each pixel matters to all, so that tiles differ from the
    whole, and fade into each other.
    """
    run = network if run is None else run
    height, width = x.shape[2:]
    multiple = network.multiple
    sides = [math.ceil((side + 2 * margin) / multiple) * multiple for side in (height, width)]
    x = _mirrored(x, sides, margin)
    whole = (..., slice(margin, margin + height), slice(margin, margin + width))
    if max(sides) <= TILE:
        return run(x)[whole]
    reach = BLIND_REACH if network.reach is None else network.reach
    weights = x.new_zeros(x.shape[2:])
    total = x.new_zeros(())  # Sum of the tiles times their weights: [N, c, H, W].
    for rows, kept_rows in _spans(x.shape[2], multiple, reach):
        for columns, kept_columns in _spans(x.shape[3], multiple, reach):
            tile = run(x[..., slice(*rows), slice(*columns)])
            tile = tile[..., _inside(kept_rows, rows), _inside(kept_columns, columns)]
            weight = _ramps(kept_rows, x.shape[2])[:, None] * _ramps(kept_columns, x.shape[3])
            weight = weight.to(x.device)
            place = (..., slice(*kept_rows), slice(*kept_columns))
            if not total.ndim:
                total = x.new_zeros(len(x), tile.shape[1], *x.shape[2:])
            total[place] += weight * tile
            weights[place] += weight
    return (total / weights)[whole]


def _mirrored(x: Tensor, size: Sequence[int], margin: int) -> Tensor:
    """Made larger by its mirror image, again and again if need be; it begins at the margin."""
    for axis, side in zip((2, 3), size, strict=True):
        length = x.shape[axis]
        index = (torch.arange(side, device=x.device) - margin) % (2 * length)
        x = x.index_select(axis, torch.minimum(index, 2 * length - 1 - index))
    return x


def _spans(side: int, multiple: int, reach: int) -> Iterator[tuple[Span, Span]]:
    """Along one side: what each tile sees, and what of that is kept; these overlap by two ramps."""
    count, units = math.ceil(side / TILE), side // multiple
    borders = [units * i // count * multiple for i in range(count + 1)]
    for start, end in pairwise(borders):
        inner = max(0, start - RAMP), min(side, end + RAMP)
        first = max(0, (inner[0] - reach) // multiple * multiple)
        last = min(side, math.ceil((inner[1] + reach) / multiple) * multiple)
        yield (first, last), inner


def _inside(inner: Span, seen: Span) -> slice:
    return slice(inner[0] - seen[0], inner[1] - seen[0])


def _ramps(inner: Span, side: int) -> Tensor:
    """Weights of what is kept: they rise and fall where a neighbour takes over."""
    weights = torch.ones(inner[1] - inner[0], dtype=torch.float32, device="cpu")
    slope = (torch.arange(2 * RAMP, dtype=torch.float32, device="cpu") + 0.5) / (2 * RAMP)
    if inner[0] > 0:
        weights[: 2 * RAMP] = slope
    if inner[1] < side:
        weights[-2 * RAMP :] = torch.minimum(weights[-2 * RAMP :], slope.flip(0))
    return weights
