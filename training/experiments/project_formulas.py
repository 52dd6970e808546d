"""PSNR and SSIM as the translation project computed them: to set its table beside ours, no more.

Both take uint8 [N, 3, H, W]. Do not judge a model by them:
- Its squared error is that of pixels in [-1, 1], times 255 squared: four times the true one, so the
  PSNR is 6.02 dB too low. (Were its pixels in [0, 1], it would be right; its report does not say.)
- Its SSIM has one window, the whole picture; 7 where the range of the values belongs, which makes
  the constants 12 times too large; and the product of the standard deviations in place of the
  covariance, so that it cannot see structure: a picture of shuffled pixels scores 1.
"""

import numpy as np
from torch import Tensor

from genmodels.data import images

C1, C2 = (0.01 * 7) ** 2, (0.03 * 7) ** 2


def psnr_seed(a: Tensor, b: Tensor) -> float:
    """PSNR of the mean error over all pictures, in dB."""
    error = (images.to_float(a) - images.to_float(b)).double().square().mean().item() * 255**2
    return float(10 * np.log10(np.float64(255**2) / error))


def ssim_seed(a: Tensor, b: Tensor) -> np.ndarray:
    """One value per picture, [N]."""
    x, y = (images.to_float(side).double().flatten(1).numpy() for side in (a, b))
    mu_x, mu_y, std_x, std_y = x.mean(1), y.mean(1), x.std(1), y.std(1)
    luminance = (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
    return luminance * (2 * std_x * std_y + C2) / (std_x**2 + std_y**2 + C2)
