"""One budget of memory for all that computes beside the page, in megabytes."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

POLL_SECONDS = 0.5  # How often a waiting generator yields, so that a visitor who left is noticed.
PATIENCE_SECONDS = 600.0


class Budget:
    """Memory shared by tasks, granted in the order of requests whatever their size."""

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        self._free = megabytes
        self._line: deque[tuple[int, threading.Event]] = deque()
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """Megabytes that are not reserved."""
        return self._free

    @contextmanager
    def share(self, megabytes: int) -> Iterator["Share"]:
        """A share, to be waited for: within the block it stands in line, or is taken.

        Errors: ValueError for more than there is at all.
        """
        if megabytes > self.megabytes:
            raise ValueError(
                f"that takes about {megabytes} MB of memory, and there are {self.megabytes}: "
                "ask for a smaller picture"
            )
        share = (megabytes, threading.Event())
        with self._lock:
            self._line.append(share)
            self._grant()
        try:
            yield Share(share[1])
        finally:
            with self._lock:
                if share[1].is_set():
                    self._free += megabytes
                else:
                    self._line.remove(share)
                self._grant()

    def _grant(self) -> None:
        while self._line and self._line[0][0] <= self._free:
            megabytes, granted = self._line.popleft()
            self._free -= megabytes
            granted.set()


class Share:
    """A part of a budget."""

    def __init__(self, granted: threading.Event) -> None:
        self._granted = granted

    def wait(self, seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
        """Yields while others have the memory. Errors: ValueError when they keep it for longer."""
        rounds = max(1, round(seconds / POLL_SECONDS))
        for _ in range(rounds):
            if self._granted.wait(POLL_SECONDS):
                return
            yield
        raise ValueError("others need all the memory at the moment: try again in some minutes")
