"""The memorisation check: how many samples of a model are training images, or nearly.

python -m genmodels.doctor.memorization drawn/ --train photos/ --held-out others/ --pairs pairs.png

From Python, start at `check`. A sample counts as memorised if it lies nearer to a training image
than all but 1 % of held-out images do, in two kinds of features: 16x16 thumbnails and those of
EfficientNet-Lite0. Mirrored copies count too.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genmodels.data import images as pixels
from genmodels.data.image_folder import ImageFolder
from genmodels.doctor.readings import FEATURE_SIDE, NETWORK
from genmodels.metrics.descriptors import (
    CHUNK,
    Images,
    image_batches,
)
from genmodels.metrics.figures import UndefinedFigureError
from genmodels.metrics.intervals import wilson_interval
from genmodels.metrics.neighbours import correlated_thumbnails, two_nearest
from genmodels.models.efficientnet_lite import EfficientNetLite0

RARE = 0.01  # Share of held-out images that may lie nearer to a training image.
MIN_HELD_OUT = 32  # Fewer say nothing about what is near.
NUM_WORST = 16
SIDE = 32  # Pixels that images are compared at: a copy may be softer, or noisy.

Features = Callable[[Tensor], np.ndarray]  # uint8 [N, 3, R, R] -> [N, D].


@dataclass(frozen=True)
class Memorization:
    """How many samples are memorised, and which."""

    rate: float  # Share of the samples that are memorised ...
    low: float  # ... and its 95 % interval (Wilson).
    high: float
    real_rate: float  # The same share of the held-out images, 0.01 at most.
    num_samples: int
    num_held_out: int
    num_train: int
    is_memorized: np.ndarray  # [N] bool.
    nearest: np.ndarray  # [N] which training image is nearest by thumbnails.
    worst: np.ndarray  # Up to 16 samples, the most like a training image first.

    def facts(self) -> dict[str, Any]:
        """The numbers, for JSON."""
        names = ("rate", "low", "high", "real_rate", "num_samples", "num_held_out", "num_train")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return (
            f"{self.rate:.1%} of {self.num_samples} samples are memorised (95 % interval "
            f"{self.low:.1%} to {self.high:.1%})"
        )


def check(
    samples: Images,  # Generated images, one or more.
    train: Images,  # All images that the model was trained on.
    held_out: Images,  # 32 or more images of the same source that it has not seen.
) -> Memorization:
    """Compare each sample's nearest training image with those of held-out images.

    All images have one size, 16 px or more. UndefinedFigureError for fewer than 32 held-out or 2
    training images.
    """
    if len(held_out) < MIN_HELD_OUT or len(train) < 2:
        raise UndefinedFigureError(
            f"it needs {MIN_HELD_OUT} held-out and 2 training images, there are {len(held_out)} "
            f"and {len(train)}"
        )
    names = ("samples", "train", "held_out")
    fake, seen, real = image_batches(samples, train, held_out, names=names, min_side=16)
    fake, seen, real = (_small(batch) for batch in (fake, seen, real))
    is_near, is_near_real = np.ones(len(fake), bool), np.ones(len(real), bool)
    farness, nearest = np.zeros(len(fake)), np.zeros(len(fake), int)
    for features in (deep_features, _thumbnails):  # The nearest image is by the latter.
        keys = torch.from_numpy(features(seen)).float()
        distance, nearest = _nearest(features, fake, keys)
        distance_real, _ = _nearest(features, real, keys)
        bar = float(np.quantile(distance_real, RARE, method="lower"))
        is_near &= distance < bar
        is_near_real &= distance_real < bar
        farness = np.maximum(farness, distance / max(float(np.median(distance_real)), 1e-6))
    low, high = wilson_interval(int(is_near.sum()), len(fake))
    return Memorization(
        rate=float(is_near.mean()),
        low=low,
        high=high,
        real_rate=float(is_near_real.mean()),
        num_samples=len(fake),
        num_held_out=len(real),
        num_train=len(seen),
        is_memorized=is_near,
        nearest=nearest,
        worst=np.argsort(farness, kind="stable")[:NUM_WORST],
    )


def pairs_sheet(found: Memorization, samples: Tensor, train: Tensor) -> Image.Image:
    """The worst samples, a row of eight at a time, each row above its training images."""
    rows = []
    for few in np.split(found.worst, range(8, len(found.worst), 8)):
        rows += [samples[few.copy()], train[found.nearest[few]]]
    return pixels.grid(torch.cat(rows), min(8, len(found.worst)))


@torch.inference_mode()
def deep_features(images: Tensor) -> np.ndarray:
    """Of EfficientNet-Lite0: uint8 [N, 3, R, R] -> float32 [N, 1280], their mean square 1."""
    network = EfficientNetLite0.from_pretrained(NETWORK)
    rows = []
    for chunk in images.split(CHUNK):
        squares = F.interpolate(
            pixels.to_float(chunk), size=FEATURE_SIDE, mode="bilinear", antialias=True
        )
        rows.append(F.normalize(network(squares), dim=1))
    features = torch.cat(rows)
    return (features * features.shape[1] ** 0.5).numpy()


def _small(images: Tensor) -> Tensor:
    """Of at most 32 px, uint8 [N, 3, S, S]."""
    side = min(SIDE, *images.shape[2:])
    parts = [F.adaptive_avg_pool2d(chunk.float(), side) for chunk in images.split(CHUNK)]
    return torch.cat(parts).round().to(torch.uint8)


def _thumbnails(images: Tensor) -> np.ndarray:
    """Pictures of 16x16, whatever their brightness and contrast: float32 [N, 768]."""
    return correlated_thumbnails(images, "images").flatten(1).numpy() * 768**0.5


def _nearest(features: Features, images: Tensor, keys: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Distance [N] to the nearest key, of an image or its mirror image, and which key that is."""
    both = [torch.from_numpy(features(x)).float() for x in (images, images.flip(3))]
    distance, index = two_nearest(torch.stack(both, dim=1), keys)
    return distance[:, 0], index


def main(arguments: list[str] | None = None) -> int:
    """Print the rate; 0 if its interval reaches down to 1 %, else 1; 2 where nothing is checked."""
    parser = argparse.ArgumentParser(
        prog="python -m genmodels.doctor.memorization", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("samples", type=Path, help="folder of generated images")
    parser.add_argument("--train", type=Path, required=True, help="images it was trained on")
    parser.add_argument("--held-out", type=Path, required=True, help="images it has not seen")
    parser.add_argument("--resolution", type=int, default=64, help="side to compare them at")
    parser.add_argument("--pairs", type=Path, help="write the worst samples and their images")
    given = parser.parse_args(arguments)
    try:
        fake, seen, real = (
            ImageFolder(folder, given.resolution).images
            for folder in (given.samples, given.train, given.held_out)
        )
        found = check(fake, seen, real)
        if given.pairs is not None:
            pairs_sheet(found, fake, seen).save(given.pairs)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(found)
    return int(found.low > RARE)


if __name__ == "__main__":
    sys.exit(main())
