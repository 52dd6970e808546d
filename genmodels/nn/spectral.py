"""Spectral regularisation (Yoshida & Miyato 2017, arXiv:1705.10941), as NVAE uses it."""

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class SpectralPenalty(nn.Module):
    """The sum of the largest singular values of all convolutions, of matrices [out, in * k * k].

    One power iteration a call; its vectors are the state, so that a resumed run goes on as it would
    have. Weights of one shape are dealt with at once.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                rows, size = len(module.weight), module.weight.numel()
                by_shape[rows, size // rows].append(module.weight)
        self._weights = dict(by_shape)
        for (rows, columns), weights in by_shape.items():
            u = torch.randn(len(weights), rows, 1)
            self.register_buffer(f"u_{rows}x{columns}", normalize(u, dim=1))

    def forward(self) -> Tensor:
        total = []
        for (rows, columns), weights in self._weights.items():
            matrices = torch.stack([weight.flatten(1) for weight in weights])
            u = getattr(self, f"u_{rows}x{columns}")
            with torch.no_grad():
                v = normalize(matrices.mT @ u, dim=1)
                u.copy_(normalize(matrices @ v, dim=1))
            # A copy, since the next call writes into it before this one's gradient may be taken.
            total.append((u.clone().mT @ matrices @ v).sum())
        return torch.stack(total).sum()
