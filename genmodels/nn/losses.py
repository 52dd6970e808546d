"""Adversarial losses and penalties: pure functions of tensors, means over the batch.

Logits are raw scores of the discriminator, [N] or [N, ...]; higher means more real.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 7  # Side of the patches of `texture_distance`, at each size.


def bce_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator (Goodfellow et al. 2014, arXiv:1406.2661)."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def non_saturating_g(fake_logits: Tensor) -> Tensor:
    """The generator's side of the same game in its non-saturating form: -log D(G(z))."""
    return F.softplus(-fake_logits).mean()


def least_squares_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Real to 1 and fake to 0, in least squares (Mao et al. 2017, arXiv:1611.04076)."""
    return ((real_logits - 1).square().mean() + fake_logits.square().mean()) / 2


def least_squares_g(fake_logits: Tensor) -> Tensor:
    """The generator's side of the same game: fake to 1."""
    return (fake_logits - 1).square().mean()


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """How badly places of one picture find themselves in another's: PatchNCE (arXiv:2007.15651).

    query, key: features [N, S, C] of S places, of length 1. Each place of the query is to be nearer
    to the same place of the key than to its others: cross-entropy over the S, the mean over all.
    """
    logits = query @ key.transpose(1, 2) / temperature  # [N, S, S]
    right = torch.arange(key.shape[1], device=key.device).expand(len(key), -1)
    return F.cross_entropy(logits.flatten(0, 1), right.flatten())


def texture_distance(
    images: Tensor,  # [N, C, H, W], of 32 pixels a side or more.
    targets: Tensor,  # The same.
    *,
    window: int = 24,  # Side of what is one texture, in patches.
    projections: int = 64,  # Random directions, from torch's global source.
) -> Tensor:
    """Distance of the patches of each window from the target's there, wherever in it they lie.

    Sliced Wasserstein distance of patches (Elnekave and Weiss 2022, arXiv:2203.11862): strokes,
    leaves and gravel are to be of the same kind, not at the same places. Patches of 7, 14 and 28
    pixels, in windows of one random place at each size; 0 for the same patches in any order. The
    mean over sizes, windows and images.
    """
    distances = []
    for size in (1, 2, 4):
        a, b = (F.avg_pool2d(x, size) for x in (images, targets))
        side = min(window, (min(a.shape[2:]) - PATCH + 1) // 2)
        distances.append(_texture_distance(a, b, side, projections))
    return torch.stack(distances).mean()


def _texture_distance(images: Tensor, targets: Tensor, window: int, projections: int) -> Tensor:
    """The distance of 2 x 2 windows at one random offset."""
    filters = torch.randn(projections, images.shape[1] * PATCH**2, device=images.device)
    filters = F.normalize(filters, dim=1).view(projections, -1, PATCH, PATCH)
    seen = 2 * window + PATCH - 1
    top, left = (int(torch.randint(side - seen + 1, ())) for side in images.shape[2:])
    a, b = (
        F.conv2d(x[..., top : top + seen, left : left + seen], filters)
        .unflatten(3, (2, window))
        .unflatten(2, (2, window))
        .transpose(3, 4)
        .flatten(4)  # [N, projections, 2, 2, window**2]
        .sort(dim=-1)
        .values
        for x in (images, targets)
    )
    return (a - b).abs().mean()


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    """Squared slope of D at real images, the mean over images (Mescheder et al. 2018, 1801.04406).

    `real` must require gradients and have led to `real_logits`. Weight it with gamma / 2.
    """
    (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return slope.square().sum(dim=[1, 2, 3]).mean()


def path_length(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Length of the gradient of <image, noise> in w, one per image: [N] (StyleGAN2, eq. 4).

    `noise` is standard normal of the images' shape. The penalty is the squared distance of these
    lengths from their running mean, which the training script keeps.
    """
    scale = (images.shape[2] * images.shape[3]) ** 0.5
    (slope,) = torch.autograd.grad((images * noise).sum() / scale, ws, create_graph=True)
    return slope.square().sum(dim=2).mean(dim=1).sqrt()


def kl_divergence(shift: Tensor, log_ratio: Tensor) -> Tensor:
    """KL of a posterior from its prior, per element in nats.

    shift: the difference of their means in standard deviations of the prior; log_ratio: the log of
    the posterior's standard deviation by the prior's.
    """
    return 0.5 * (shift.square() + (2 * log_ratio).exp() - 1) - log_ratio
