"""The process that decodes visitors' photos: `decoder.py` beside it starts it and talks to it.

It may take so much memory and time and not write a file; if a photo breaks it, that photo is lost
and nothing else. One line of JSON comes in for each photo; one goes out, and then the pixels.
"""

import json
import resource
import sys
from typing import Any

from genmodels.data import decoding

MAX_MEMORY = 1536 << 20  # Bytes of address space: 24 megapixels of 16 bits take half of it.
MAX_SECONDS = 10  # CPU time for one photo.


def main() -> None:
    """Answer requests until the input is closed."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + 1 + MAX_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
        answer, pixels = _answer(json.loads(line))
        out.write(json.dumps(answer).encode() + b"\n")
        out.write(pixels)
        out.flush()


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    path, formats = request["path"], tuple(request["formats"])
    try:
        if request["only_size"]:
            return {"size": decoding.upright_size(path, formats=formats)}, b""
        photo = decoding.open_rgb(
            path,
            max_pixels=request["max_pixels"],
            keep_alpha=request["keep_alpha"],
            formats=formats,
        )
        pixels = photo.tobytes()
    except (OSError, SyntaxError, ValueError) as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": f"{path}: decoding it takes too much memory"}, b""
    return {"mode": photo.mode, "size": photo.size, "bytes": len(pixels)}, pixels


if __name__ == "__main__":
    main()
