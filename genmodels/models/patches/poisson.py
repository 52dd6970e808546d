"""Gradient-domain blending: pictures put together from pieces, without the pieces' edges.

After Perez et al. 2003 (Poisson image editing) with the screening of Bhat et al. 2008: of all
pictures, the one whose differences between neighbours are those asked for, and whose colours stay
near those asked for.
"""

import torch
from torch import Tensor


def differences(x: Tensor, wrap: bool) -> tuple[Tensor, Tensor]:
    """x [C, H, W] -> what the right and the lower neighbour have more; 0 beyond the last one."""
    right, below = torch.roll(x, -1, 2) - x, torch.roll(x, -1, 1) - x
    below[:, -1] = 0
    if not wrap:
        right[:, :, -1] = 0
    return right, below


def screened_poisson(
    colours: Tensor,  # [C, H, W]: the colours to stay near, and where the search starts.
    right: Tensor,  # [C, H, W]: what each pixel's right neighbour should have more.
    below: Tensor,  # [C, H, W]: what its lower neighbour should have more.
    known: Tensor,  # Bool [H, W]: pixels that keep their colour in `colours` exactly.
    *,
    wrap: bool = False,  # The last column's right neighbour is the first.
    screen: float = 0.02,  # Weight of the colours against the differences.
    iterations: int = 120,  # Conjugate gradient steps: over how many pixels an edge is spread.
) -> Tensor:
    """The blended picture [C, H, W]."""
    free = (~known).to(colours.dtype)

    def normal(x: Tensor) -> Tensor:
        return _laplacian(x, wrap).add_(x, alpha=screen).mul_(free)

    fixed = colours * known
    target = _divergence(right, below, wrap) + screen * colours
    x = colours * free
    residual = (target - _laplacian(fixed, wrap)) * free - normal(x)
    direction = residual.clone()
    size = residual.square().sum()
    enough = 1e-8 * max(int(free.sum()), 1)
    for _ in range(iterations):
        if size < enough:
            break
        step = normal(direction)
        length = size / (direction * step).sum()
        x += length * direction
        residual -= length * step
        before, size = size, residual.square().sum()
        direction = residual + (size / before) * direction
    return fixed + x


def _laplacian(x: Tensor, wrap: bool) -> Tensor:
    """What `_divergence` makes of x's differences: four times x [C, H, W] less its neighbours.

    Beyond an edge lies the edge again. By slices: several times as fast as a convolution.
    """
    y = 4 * x
    y[:, 1:] -= x[:, :-1]
    y[:, :-1] -= x[:, 1:]
    y[:, :, 1:] -= x[:, :, :-1]
    y[:, :, :-1] -= x[:, :, 1:]
    y[:, 0] -= x[:, 0]
    y[:, -1] -= x[:, -1]
    y[:, :, 0] -= x[:, :, -1 if wrap else 0]
    y[:, :, -1] -= x[:, :, 0 if wrap else -1]
    return y


def _divergence(right: Tensor, below: Tensor, wrap: bool) -> Tensor:
    """The transpose of `differences`, which is linear."""
    below = below.clone()
    below[:, -1] = 0
    if not wrap:
        right = right.clone()
        right[:, :, -1] = 0
    return torch.roll(right, 1, 2) - right + torch.roll(below, 1, 1) - below
