"""Whole outputs of tiny seeded networks, kept as safetensors beside this file.

`make golden` (GENMODELS_WRITE_GOLDEN=1) rewrites them; the commit must say why.
"""

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent
TOLERANCE = 1e-5


@torch.no_grad()
def stir(network: nn.Module) -> None:
    """Move biases, scales and strengths off the zeros and ones that would hide a mistake."""
    rng = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim < 2:
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng)


def check(name: str, tensors: dict[str, Tensor]) -> None:
    """Compare with the kept file, or rewrite it when GENMODELS_WRITE_GOLDEN is set."""
    path = FOLDER / f"{name}.safetensors"
    tensors = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
    if os.environ.get("GENMODELS_WRITE_GOLDEN"):
        save_file(tensors, path)
    kept = load_file(path)
    assert kept.keys() == tensors.keys()
    for key, tensor in tensors.items():
        torch.testing.assert_close(tensor, kept[key], rtol=0, atol=TOLERANCE)
