"""Signals that ask a run to stop: it saves first. And lines for a terminal that may be gone."""

import os
import signal
import sys
from typing import Any

# SIGHUP is sent when the terminal closes; Windows has none.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class StopSignals:
    """While it is entered, `has_come` says whether a signal has asked to stop.

    A second Ctrl-C or SIGTERM ends at once. A closing terminal may send several SIGHUPs; one that
    is ignored, as under nohup, stays so.
    """

    def __init__(self, *, is_loud: bool) -> None:
        self.has_come = False
        self._is_loud = is_loud
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        name = signal.Signals(number).name
        if self.has_come and name != "SIGHUP":
            raise KeyboardInterrupt
        self.has_come = True
        if self._is_loud:
            print_line(f"{name}: saving, then stopping (again: at once)")


def print_line(text: str) -> None:
    """Print a line, whatever bytes a file's name holds and wherever the terminal has gone.

    A run whose terminal is closed goes on to save; what it says is in its log.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    line = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(line, flush=True)
    except OSError:
        # Or the interpreter would fail once more when it ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
