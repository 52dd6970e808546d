"""Adversarial losses and penalties: pure functions of tensors, means over the batch.

Logits are raw scores of the discriminator, [N] or [N, ...]; higher means more real.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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
