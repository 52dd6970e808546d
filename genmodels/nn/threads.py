"""How many CPU threads a tensor is worth."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident

import torch

# Below this, waiting for the second thread costs more than its work saves: a 64 px image with 16
# channels took 3.0 ms on one thread and 7.6 ms on two of a busy two-core machine.
ELEMENTS_WORTH_A_SECOND_THREAD = 1 << 19

# Torch's number of threads is global: a caller that enters while another computes on one thread
# would take one for the number to restore. So the first caller keeps the original number.
_lock = Lock()
_found: dict[int, int] = {}  # Threads that are within, and the number before the first of them.


@contextmanager
def threads_for(elements: int) -> Iterator[None]:
    """Within it, torch computes on one thread if its largest tensor has few elements."""
    me = get_ident()
    with _lock:
        before, is_outermost = torch.get_num_threads(), me not in _found
        if is_outermost:
            before = _found[me] = next(iter(_found.values()), before)
        torch.set_num_threads(1 if elements < ELEMENTS_WORTH_A_SECOND_THREAD else before)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(before)
            if is_outermost:
                del _found[me]
