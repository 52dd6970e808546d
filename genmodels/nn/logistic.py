"""A likelihood of pixels: discretised logistic mixtures (Salimans et al. 2017, arXiv:1701.05517).

Each pixel holds one of 256 levels, and the mixture gives each of them a probability: what a
logistic density has between the level's edges, the outermost levels taking all that lies beyond.
Green's mean also depends on red, and blue's on both, linearly.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

HALF_LEVEL = 1 / 255  # Half of the distance of two levels of [-1, 1].
MIN_LOG_SCALE = -7.0  # A narrower density is one level alone.


def num_parameters(components: int) -> int:
    """Channels that `log_likelihood` and `mode` need: a weight, 3 means, scales and couplings."""
    return 10 * components


def log_likelihood(image: Tensor, parameters: Tensor) -> Tensor:
    """image [N, 3, H, W] in whole levels of [-1, 1], parameters [N, 10 K, H, W] -> nats [N]."""
    weights, means, log_scales, couplings = _split(parameters)
    x = image[:, None]  # [N, 1, 3, H, W], for all components.
    red, green = x[:, :, 0], x[:, :, 1]
    means = torch.stack(_coupled(means, couplings, red, green), dim=2)
    inverse = torch.exp(-log_scales)
    upper = (x - means + HALF_LEVEL) * inverse
    lower = (x - means - HALF_LEVEL) * inverse
    # sigmoid(u) - sigmoid(l) = sigmoid(u) * sigmoid(-l) * (1 - exp(l - u)), which loses no digits.
    below, above = F.logsigmoid(upper), F.logsigmoid(-lower)
    between = below + above + torch.log(-torch.expm1(-2 * HALF_LEVEL * inverse))
    is_first, is_last = x < -1 + HALF_LEVEL, x > 1 - HALF_LEVEL
    each = torch.where(is_first, below, torch.where(is_last, above, between)).sum(2)
    if weights.shape[1] > 1:
        each = torch.logsumexp(each + F.log_softmax(weights, dim=1), dim=1)
    return each.flatten(1).sum(1)


def mode(parameters: Tensor) -> Tensor:
    """The mean of each pixel's most probable component: [N, 10 K, H, W] -> [N, 3, H, W].

    A sample of the mixture would have grain that no photograph has.
    """
    weights, means, _, couplings = _split(parameters)
    red = means[:, :, 0]
    _, green, _ = _coupled(means, couplings, red, red)
    image = torch.stack(_coupled(means, couplings, red, green), dim=2)  # [N, K, 3, H, W]
    if weights.shape[1] > 1:
        best = weights.argmax(dim=1, keepdim=True)[:, :, None].expand(-1, 1, 3, -1, -1)
        image = image.gather(1, best)
    return image[:, 0].clamp(-1, 1)


def bits_per_dim(nats: Tensor, image_shape: tuple[int, ...]) -> Tensor:
    """Nats of whole images as bits per channel of a pixel; `image_shape` without the batch."""
    return nats / (math.log(2) * math.prod(image_shape))


def _split(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights [N, K, H, W]; means, log scales and couplings [N, K, 3, H, W] each."""
    parameters = (
        parameters.float() if parameters.dtype in (torch.half, torch.bfloat16) else parameters
    )
    count, channels, height, width = parameters.shape
    each = parameters.view(count, channels // 10, 10, height, width)
    log_scales = each[:, :, 4:7].clamp(min=MIN_LOG_SCALE)
    return each[:, :, 0], each[:, :, 1:4], log_scales, each[:, :, 7:].tanh()


def _coupled(means: Tensor, couplings: Tensor, red: Tensor, green: Tensor) -> list[Tensor]:
    """Means of red, green and blue, where red and green are known: [N, K, H, W] each."""
    return [
        means[:, :, 0],
        means[:, :, 1] + couplings[:, :, 0] * red,
        means[:, :, 2] + couplings[:, :, 1] * red + couplings[:, :, 2] * green,
    ]
