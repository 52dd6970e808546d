"""Pictures drawn many at a time, where that changes none of them.

A picture depends on its seed and settings, never on its neighbours. Whether a batch gives the very
numbers that each image has alone is up to the kernels that torch chooses for its size, and so to
the network, the processor and the release: it is tried, once for each size, and where it does not
the images are drawn in smaller batches, down to one by one.
"""

from collections.abc import Callable, Hashable, Iterator

import torch
from torch import Tensor

MAX_BATCH = 16  # Larger ones gain nothing more ...
MAX_ELEMENTS = 1 << 21  # ... and neither do those whose largest tensor outgrows the caches.

_exact: dict[Hashable, bool] = {}  # Whether a batch of a size gives what its images have alone.


def draw(
    network: Callable[[Tensor], Tensor],  # Rows [n, ...] -> images [n, C, H, W].
    rows: Tensor,  # What each image is drawn from [N, ...].
    *,
    elements: int,  # Numbers in the largest tensor that one image needs.
    key: Hashable,  # What the choice of kernels depends on: the network's class, its config, ...
) -> Iterator[Tensor]:
    """Images [1, C, H, W], one for each row, each as it would be alone."""
    key = (key, rows.dtype, rows.device, rows.shape[1:], torch.get_num_threads())
    start = 0
    while start < len(rows):
        most = min(MAX_BATCH, max(1, MAX_ELEMENTS // elements), len(rows) - start)
        size = 1 << (most.bit_length() - 1)  # A few sizes, so that few have to be tried.
        while not _exact.get((key, size), True):
            size //= 2
        batch = rows[start : start + size]
        drawn = network(batch)
        if size > 1 and (key, size) not in _exact:
            alone, ends = torch.cat([network(batch[:1]), network(batch[-1:])]), drawn[[0, -1]]
            _exact[key, size] = torch.allclose(alone, ends, rtol=0, atol=0, equal_nan=True)
            if not _exact[key, size]:
                continue
        yield from drawn.split(1)
        start += size
