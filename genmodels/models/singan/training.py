"""Training SinGAN on one photo (Shaham et al. 2019, arXiv:1905.01164). Start at `fit_steps`.

A file of its own beside the networks: who samples needs none of it, and the app calls it as the
script does. What it can be told is in `settings.py`, what is done at each scale in `full.py` and
`fast.py`, what these share in `scales.py`.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from torch import Tensor

from genmodels.data import images
from genmodels.models.singan.fast import FastTraining
from genmodels.models.singan.full import FullTraining
from genmodels.models.singan.scales import Progress, ScaleTraining
from genmodels.models.singan.settings import MODES, FastProtocol, Settings

__all__ = ["Progress", "check_photo", "fit_steps"]

EVENT_SECONDS = 0.3  # An iteration that takes longer is interrupted by events ...
PREVIEW_SECONDS = 2.0  # Seconds between previews, after the first one.
SAVE_SECONDS = 20.0  # Seconds between saves; the end of a scale saves too.


def fit_steps(
    image: Image.Image,  # The photo, RGB; `images.open_rgb` makes that of any file.
    settings: Settings,
    *,
    out: str | Path | None = None,  # Folder of the state: resumes from it, and is written to.
    finish: threading.Event | None = None,  # Set it to end now, with what has been learnt.
) -> Iterator[Progress]:
    """Train, as a generator of events: close it, and the work stops within an update.

    The same photo, settings and number of threads give the same weights, bit for bit, interrupted
    or not; with a budget the clock has a say too. After `finish` the scales that were not reached
    are replaced by enlarging. Errors: ValueError for a photo that cannot be learnt from, or a
    folder that holds another training; FloatingPointError when the training diverges.
    """
    is_fast = isinstance(MODES[settings.mode], FastProtocol)
    training = (FastTraining if is_fast else FullTraining)(check_photo(image), settings)
    folder = None if out is None else Path(out)
    if folder is not None:
        training.resume(folder)
    return _events(training, folder, finish or threading.Event())


def check_photo(image: Image.Image) -> Tensor:
    """The photo as float32 [1, 3, H, W] in [-1, 1]; ValueError when it is none to learn from."""
    if not isinstance(image, Image.Image):
        raise ValueError(f"image must be a PIL image, got {type(image).__name__}")
    if image.mode != "RGB":
        raise ValueError(f"image must be RGB, as from images.open_rgb, got {image.mode}")
    if min(image.size) < 25 or image.width * image.height > images.MAX_PIXELS:
        raise ValueError(
            f"image must have sides of 25 pixels or more and at most {images.MAX_PIXELS} pixels, "
            f"got {image.width}x{image.height}"
        )
    photo = images.from_pil([image])
    if photo.eq(photo[:, :, :1, :1]).all():
        raise ValueError("image must have something on it, got a single colour")
    return images.to_float(photo)


def _events(
    training: ScaleTraining, out: Path | None, finish: threading.Event
) -> Iterator[Progress]:
    shown = saved = time.monotonic()
    previewed = -PREVIEW_SECONDS
    is_between = True  # Two iterations: the only place where the state is whole.
    try:
        while not training.is_finished and not finish.is_set():
            is_between = False
            for _ in training.iterate():
                if finish.is_set():
                    break
                if time.monotonic() - shown > EVENT_SECONDS:
                    yield training.progress()
                    shown = time.monotonic()
            else:
                has_ended = training.end_iteration()
                is_between = True
                is_due = has_ended or time.monotonic() - previewed > PREVIEW_SECONDS
                event = training.progress(with_preview=is_due)
                if has_ended:
                    training.end_scale()
                if out is not None and (has_ended or time.monotonic() - saved > SAVE_SECONDS):
                    training.save(out)
                    saved = time.monotonic()
                yield event
                shown = time.monotonic()
                previewed = shown if event.preview else previewed
    finally:
        if is_between and out is not None:
            training.save(out)
    yield training.result()
