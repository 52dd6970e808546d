"""How close an image is to its target: MSE, PSNR, SSIM, MS-SSIM, chroma, on 8-bit pixels.

Full-reference metrics: image i of one set is compared with image i of the other. Range 255.
"""

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.data import color
from genmodels.metrics.descriptors import CHUNK, Images, image_batches, rgb_to_lab
from genmodels.metrics.figures import UndefinedFigureError

DATA_RANGE = 255
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # The Gaussian window, in pixels (Wang et al. 2004).
C1, C2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Finest first (Wang et al. 2003).


class Mean(float):
    """A mean that remembers what it averages: a float, with `values` [n] beside it."""

    values: np.ndarray

    def __new__(cls, values: np.ndarray) -> Self:
        mean = super().__new__(cls, np.mean(values))
        mean.values = np.asarray(values, dtype=np.float64)
        return mean


def mse(a: Images, b: Images) -> Mean:
    """Mean squared error in squared grey levels; `.values` [N] per image."""
    a, b = _pairs(a, b)
    # Chunks: a set's float copies would take 16 times the memory of its pixels.
    errors = [
        (x.double() - y.double()).square().mean(dim=(1, 2, 3))
        for x, y in zip(a.split(CHUNK), b.split(CHUNK), strict=True)
    ]
    return Mean(torch.cat(errors).numpy())


def psnr(a: Images, b: Images) -> Mean:
    """Peak signal-to-noise ratio in dB: the mean of the images' own PSNRs; `.values` [N].

    Equal images have infinite PSNR. The PSNR of the mean MSE, which some report, is never higher.
    """
    with np.errstate(divide="ignore"):
        return Mean(10 * np.log10(DATA_RANGE**2 / mse(a, b).values))


def psnr_of_mean(a: Images, b: Images) -> float:
    """The PSNR of the mean MSE in dB, which papers often print: never above the mean of PSNRs."""
    error = mse(a, b)
    if error == 0:
        raise UndefinedFigureError("all pictures equal their targets")
    return float(10 * np.log10(DATA_RANGE**2 / error))


def ssim(a: Images, b: Images) -> Mean:
    """Structural similarity (Wang et al. 2004), mean over pixels and colours; `.values` [N].

    11x11 Gaussian window of sigma 1.5, population covariance. Border: only windows that lie inside
    the image count, as in scikit-image; libraries that pad instead differ by about 4e-5.
    """
    a, b = _pairs(a, b, min_side=SSIM_WINDOW)
    values = [
        _similarity(x.double(), y.double())[0].mean(dim=1)
        for x, y in zip(a.split(CHUNK), b.split(CHUNK), strict=True)
    ]
    return Mean(torch.cat(values).numpy())


def grey_ssim(a: Images, b: Images) -> Mean:
    """The SSIM of the images in grey: 1 where nothing but colour differs; `.values` [N]."""
    a, b = _pairs(a, b, min_side=SSIM_WINDOW)
    return ssim(color.to_grey(a), color.to_grey(b))


def ms_ssim(a: Images, b: Images) -> Mean:
    """Multi-scale SSIM (Wang et al. 2003), mean over colours; `.values` [N].

    As many of the five scales as keep the window inside the halved image: 2 at 32 px, 3 at 64,
    4 at 128, 5 from 176 on, the finest scales' weights rescaled to sum 1. So values compare only
    within one resolution. Negative contrast terms, which a power cannot take, count as 0.
    """
    a, b = _pairs(a, b, min_side=2 * SSIM_WINDOW)
    num_scales = int(np.log2(min(a.shape[2:]) / SSIM_WINDOW)) + 1
    weights = np.array(MS_SSIM_WEIGHTS[:num_scales])
    weights /= weights.sum()
    values = []
    for x, y in zip(a.double().split(CHUNK), b.double().split(CHUNK), strict=True):
        product = torch.ones(x.shape[:2], dtype=x.dtype)  # [n, 3]
        for scale, weight in enumerate(weights):
            similarity, contrast = _similarity(x, y)
            last = scale == len(weights) - 1
            product *= (similarity if last else contrast).clamp(min=0) ** weight
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        values.append(product.mean(dim=1))
    return Mean(torch.cat(values).numpy())


def chroma_error(a: Images, b: Images) -> Mean:
    """Mean distance in CIE a*b*, which brightness does not enter; `.values` [N]. 2 is just seen."""
    a, b = _pairs(a, b)
    values = []
    for x, y in zip(a.split(CHUNK), b.split(CHUNK), strict=True):
        apart = rgb_to_lab(x)[:, 1:] - rgb_to_lab(y)[:, 1:]
        values.append(np.sqrt(np.square(apart).sum(axis=1)).mean(axis=(1, 2)))
    return Mean(np.concatenate(values))


def _pairs(a: Images, b: Images, *, min_side: int = 1) -> list[Tensor]:
    return image_batches(a, b, names=("a", "b"), min_side=min_side, same_count=True)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM and mean contrast-structure term, each [N, 3], of float64 [N, 3, H, W]."""
    # The separable window as two banded matrices: several times faster than float64 convolution.
    offsets = torch.arange(SSIM_WINDOW, dtype=x.dtype) - SSIM_WINDOW // 2
    taps = torch.exp(-offsets.square() / (2 * SSIM_SIGMA**2))
    taps /= taps.sum()
    bands = []
    for side in x.shape[2:]:
        band = torch.zeros(side - SSIM_WINDOW + 1, side, dtype=x.dtype)
        for i, row in enumerate(band):
            row[i : i + SSIM_WINDOW] = taps
        bands.append(band)

    def blur(image: Tensor) -> Tensor:
        return bands[0] @ image @ bands[1].T

    mu_x, mu_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mu_x**2, blur(y * y) - mu_y**2
    covariance = blur(x * y) - mu_x * mu_y
    contrast = (2 * covariance + C2) / (var_x + var_y + C2)
    luminance = (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
    return (luminance * contrast).mean(dim=(2, 3)), contrast.mean(dim=(2, 3))
