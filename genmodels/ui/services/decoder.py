"""Visitors' photos are decoded in another process: what breaks Pillow breaks one photo.

There is one such process for each of ours, started with the first photo, restarted if it dies.
Beside what Pillow itself takes, a photo of 12 megapixels comes some 60 ms later.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

SECONDS = 20.0  # On the clock, for one photo.
# What the process gets to know of ours: no token, no key.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HOME")


class Decoder:
    """The process and its requests, one at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._parent = 0

    def photo(
        self, path: str | Path, *, max_pixels: int, keep_alpha: bool, formats: Sequence[str]
    ) -> Image.Image:
        """As `decoding.open_rgb`."""
        request = {"path": str(path), "max_pixels": max_pixels, "keep_alpha": keep_alpha}
        answer, pixels = self._ask({**request, "formats": list(formats), "only_size": False})
        return Image.frombytes(answer["mode"], answer["size"], pixels)

    def size(self, path: str | Path, *, formats: Sequence[str]) -> tuple[int, int]:
        """As `decoding.upright_size`."""
        request = {"path": str(path), "formats": list(formats), "only_size": True}
        width, height = self._ask(request)[0]["size"]
        return width, height

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        with self._turn:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            alarm = threading.Timer(SECONDS, process.kill)
            alarm.start()
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
                answer = json.loads(line) if line.endswith(b"\n") else {}
                pixels = process.stdout.read(answer.get("bytes", 0))
            except BrokenPipeError:
                answer, pixels = {}, b""
            finally:
                alarm.cancel()
            if not answer or len(pixels) < answer.get("bytes", 0):
                self._stop()
                raise ValueError(f"{request['path']}: decoding it takes too much memory or time")
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer, pixels

    def _running(self) -> subprocess.Popen[bytes]:
        """The process; of this process, which may be a copy of that which had one."""
        is_ours = self._process is not None and self._parent == os.getpid()
        if self._process is None or not is_ours or self._process.poll() is not None:
            known = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "genmodels.ui.services.decoding_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**known, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
            self._parent = os.getpid()
        return self._process

    def _stop(self) -> None:
        """End what is broken; the next photo starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


DECODER = Decoder()
