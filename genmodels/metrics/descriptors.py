"""What a metric sees of an image: checked pixels, and four descriptions of them.

`image_batch` is the one door. Every description keeps one row per image, so that a set can be
resampled by indexing rows; all are seeded, and none touches a global random state.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from torch import Tensor

from genmodels.data import images as pixels
from genmodels.metrics.figures import UndefinedFigureError

Images = np.ndarray | Tensor | Sequence[Image.Image]

CHUNK = 64  # Images described at a time: bounds memory, does not change the result.
COARSEST_SIDE = 16  # The Laplacian pyramid stops here.
PATCH_SIDE = 7
PATCHES_PER_LEVEL = 128
STAGE_CHANNELS = (32, 48, 64, 96)  # Channels of the random network; each stage halves the side.
LAB_LOW, LAB_BIN, LAB_BINS = -128.0, 0.25, 1024  # A difference of 2 is just noticeable.
THUMBNAIL_SIDE = 16


def image_batch(
    images: Images,  # uint8 array [N, H, W, 3], uint8 tensor [N, 3, H, W], or N RGB pictures.
    name: str,  # How an error calls it.
    *,
    at_least: int = 1,  # Fewest images that the metric can work with.
    min_side: int = 1,  # Smallest height and width, in pixels.
) -> Tensor:
    """N images in any accepted form -> uint8 [N, 3, H, W] on the CPU."""
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            got = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"{name} must be a uint8 array [N, H, W, 3], got {got}")
        batch = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)  # The array may be read-only.
    elif isinstance(images, Tensor):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            got = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"{name} must be a uint8 tensor [N, 3, H, W], got {got}")
        batch = images.detach().cpu()
    elif isinstance(images, list | tuple) and all(isinstance(i, Image.Image) for i in images):
        batch = pixels.from_pil(images)
    else:
        raise ValueError(
            f"{name} must be a uint8 array [N, H, W, 3], a uint8 tensor [N, 3, H, W] or a list "
            f"of PIL pictures, got {type(images).__name__}"
        )
    if len(batch) < at_least:
        raise ValueError(f"{name} must hold at least {at_least} images, got {len(batch)}")
    if min(batch.shape[2:]) < min_side:
        height, width = batch.shape[2:]
        raise ValueError(
            f"{name} must be at least {min_side} px high and wide, got {height}x{width}"
        )
    return batch.contiguous()  # One layout of memory: convolutions round differently in another.


def image_batches(
    *images: Images,
    names: tuple[str, ...],
    at_least: int = 1,  # Fewest images in each set.
    min_side: int = 1,  # Smallest height and width, in pixels.
    same_count: bool = False,  # Whether the sets must also be equally large.
) -> list[Tensor]:
    """Several sets through `image_batch`, which must agree in height and width."""
    batches = [
        image_batch(each, name, at_least=at_least, min_side=min_side)
        for each, name in zip(images, names, strict=True)
    ]
    for batch, name in zip(batches[1:], names[1:], strict=True):
        if batch.shape[2:] != batches[0].shape[2:]:
            raise ValueError(
                f"{names[0]} and {name} must have the same height and width, got "
                f"{list(batches[0].shape[2:])} and {list(batch.shape[2:])}"
            )
        if same_count and len(batch) != len(batches[0]):
            raise ValueError(
                f"{names[0]} and {name} must hold equally many images, got "
                f"{len(batches[0])} and {len(batch)}"
            )
    return batches


@torch.inference_mode()
def laplacian_patches(
    batch: Tensor,  # uint8 [N, 3, H, W].
    seed: int,  # Places of the patches.
) -> np.ndarray:
    """Random 7x7 patches of a Laplacian pyramid, finest level first: float32 [N, L, 128, 3, 49].

    Levels halve the image while a side of 16 or more is left; the last is the low-pass rest.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for chunk in batch.split(CHUNK):
        levels = []
        for level in _laplacian_pyramid(chunk.float()):
            windows = sliding_window_view(level.numpy(), (PATCH_SIDE, PATCH_SIDE), axis=(2, 3))
            top, left = (
                rng.integers(0, places, (len(chunk), PATCHES_PER_LEVEL))
                for places in windows.shape[2:4]
            )
            patches = windows[np.arange(len(chunk))[:, None], :, top, left]  # [n, 128, 3, 7, 7]
            levels.append(patches.reshape(*patches.shape[:3], PATCH_SIDE**2))
        rows.append(np.stack(levels, axis=1))  # [n, L, 128, 3, 49]
    return np.concatenate(rows)


def _laplacian_pyramid(fine: Tensor) -> list[Tensor]:
    """Float [N, 3, H, W] -> what each blur removed, finest first, and the rest (Burt, Adelson)."""
    levels = []
    while min(fine.shape[2:]) >= 2 * COARSEST_SIDE:
        coarse = _binomial_blur(fine)[..., ::2, ::2]
        spread = torch.zeros_like(fine)
        spread[..., ::2, ::2] = 4 * coarse
        levels.append(fine - _binomial_blur(spread))
        fine = coarse
    return [*levels, fine]


def _binomial_blur(x: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    planes = F.pad(x, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[:, None]  # [N * 3, 1, H+4, W+4]
    return F.conv2d(F.conv2d(planes, taps.view(1, 1, 1, 5)), taps.view(1, 1, 5, 1)).view(x.shape)


@torch.inference_mode()
def random_conv_features(
    batch: Tensor,  # uint8 [N, 3, H, W], 16 px or more.
    seed: int,  # Weights of the network.
) -> np.ndarray:
    """Mean and standard deviation of each channel after four random stages: float64 [N, 480].

    3x3 convolutions with normal weights and no bias, leaky ReLU 0.2, stride 2 from the second
    stage on. The first layer's filters sum to zero in each colour, so the features see structure
    and never a colour shift (Naeem et al. 2020, arXiv:2002.09797, argue for random embeddings).
    """
    rng = torch.Generator().manual_seed(seed)
    filters = []
    for c_in, c_out in zip((3, *STAGE_CHANNELS), STAGE_CHANNELS, strict=False):
        filters.append(torch.randn(c_out, c_in, 3, 3, generator=rng) * (2 / (9 * c_in)) ** 0.5)
    filters[0] -= filters[0].mean(dim=(2, 3), keepdim=True)

    rows = []
    for chunk in batch.split(CHUNK):
        x, features = pixels.to_float(chunk), []
        for stage, weight in enumerate(filters):
            x = F.conv2d(
                F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, stride=1 if stage == 0 else 2
            )
            x = F.leaky_relu(x, 0.2)
            mean = x.mean(dim=(2, 3), keepdim=True)
            std = (x - mean).square().mean(dim=(2, 3)).sqrt()  # 10 times as fast as torch.std_mean.
            features += [mean.flatten(1), std]
        rows.append(torch.cat(features, dim=1))
    return torch.cat(rows).double().numpy()


def standardised(
    features: np.ndarray,  # [N, D].
    reference: np.ndarray,  # [M, D]: its mean becomes 0 and its standard deviation 1.
) -> np.ndarray:
    """Features in units of the reference's own spread, [N, D]."""
    std = reference.std(axis=0)
    if std.min() <= 1e-6 * np.abs(reference).max():  # Rounding leaves 1e-7 of float32 features.
        raise UndefinedFigureError(
            "the reference images are all alike: their features have no spread"
        )
    return (features - reference.mean(axis=0)) / std


def lab_histograms(batch: Tensor) -> np.ndarray:
    """Share of each image's pixels per bin of L*, a*, b*: float64 [N, 3, 1024], bins 0.25 wide."""
    rows = []
    for chunk in batch.split(CHUNK):
        lab = rgb_to_lab(chunk)  # [n, 3, H, W]
        bins = ((lab - LAB_LOW) / LAB_BIN).astype(np.int64).reshape(len(chunk) * 3, -1)
        bins += np.arange(len(bins))[:, None] * LAB_BINS
        counts = np.bincount(bins.ravel(), minlength=len(chunk) * 3 * LAB_BINS)
        rows.append(counts.reshape(len(chunk), 3, LAB_BINS) / lab[0, 0].size)
    return np.concatenate(rows)


def rgb_to_lab(batch: Tensor) -> np.ndarray:
    """sRGB uint8 [N, 3, H, W] -> CIE L*a*b* under D65, 2 degrees (IEC 61966-2-1): [N, 3, H, W]."""
    levels = (pixels.to_float(torch.arange(256, dtype=torch.uint8)).double().numpy() + 1) / 2
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = np.array([0.95047, 1.0, 1.08883])
    xyz = np.tensordot(to_xyz / white[:, None], linear[batch.numpy()], axes=(1, 1))  # [3, N, H, W]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])], axis=1)


def thumbnails(batch: Tensor) -> np.ndarray:
    """Area-averaged 16x16 copies in grey levels 0 to 255: float64 [N, 3, 16, 16]."""
    chunks = [F.adaptive_avg_pool2d(x.double(), THUMBNAIL_SIDE) for x in batch.split(CHUNK)]
    return torch.cat(chunks).numpy()
