"""How long the patch engine takes, and how much memory.

    python -m training.benchmarks.panoramas --scenes scenes/

Each picture is drawn in a process of its own, for its peak memory; the first one in it, which also
loads the libraries, is not counted. Prints a table in Markdown.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import tyro
from PIL import Image

from genmodels.pipelines.pipeline_patches import PatchPipeline
from training.prepare.scenes import open_scene

NAMES = "mountains grass_sky trees3 colusseum meadow_yurt foggy_hills harbour_lights rice_fields"
# What is extended, as a photo of (width, height), and to which size.
CASES = {
    "200 px, twice as wide": ((200, 125), (400, 125)),
    "512 x 384 to 1024 x 384": ((512, 384), (1024, 384)),
    "512 x 384 to 2048 x 512": ((512, 384), (2048, 512)),
    "1536 x 1024 to 4096 x 1024": ((1536, 1024), (4096, 1024)),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the measurement."""

    scenes: Path  # Folder of photos.
    names: tuple[str, ...] = tuple(NAMES.split())  # Names of the photos, without suffixes.
    cases: tuple[str, ...] = tuple(CASES)
    only: str | None = None  # Internal: draw one case of one photo, print its figures.


def measure(config: Config) -> None:
    """Print the table."""
    if config.only is not None:
        print(json.dumps(one(config, config.only, config.names[0])))
        return
    print("| extension | seconds, median | worst | first preview | peak memory |")
    print("| --- | --- | --- | --- | --- |")
    for case in config.cases:
        results = [in_a_process(config, case, name) for name in config.names]
        seconds, preview, gigabytes = np.array(results).T
        print(
            f"| {case} | {np.median(seconds):.1f} s | {seconds.max():.1f} s | "
            f"{np.median(preview):.1f} s | {gigabytes.max():.2f} GB |",
            flush=True,
        )


def in_a_process(config: Config, case: str, name: str) -> Sequence[float]:
    """Seconds, seconds to the first preview, and gigabytes of one drawing."""
    module = "training.benchmarks.panoramas"
    flags = ["--scenes", str(config.scenes), "--names", name, "--only", case]
    out = subprocess.run(
        [sys.executable, "-m", module, *flags], capture_output=True, text=True, check=True
    )
    return json.loads(out.stdout.splitlines()[-1])


def one(config: Config, case: str, name: str) -> list[float]:
    """The figures of one drawing in this process."""
    (width, height), size = CASES[case]
    photo = _cut(open_scene(config.scenes, name), width, height)
    engine = PatchPipeline()
    engine.extend(photo.resize((64, 48)), width=96)  # Loads what is loaded on first use.
    start, previews = time.perf_counter(), []
    for _ in engine.steps(photo, width=size[0], height=size[1], seed=0):
        previews.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return [previews[-1], previews[0], peak]


def _cut(photo: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of the photo in this shape and size."""
    scale = min(photo.width / width, photo.height / height)
    w, h = width * scale, height * scale
    x, y = (photo.width - w) / 2, (photo.height - h) / 2
    box = (x, y, x + w, y + h)
    return photo.resize((width, height), Image.Resampling.LANCZOS, box=box)


if __name__ == "__main__":
    measure(tyro.cli(Config))
