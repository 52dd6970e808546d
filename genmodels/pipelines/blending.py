"""Layers of two StyleGAN2 networks in one: coarse ones of the first, fine ones of the second.

Pinkney and Adler 2020 (arXiv:2010.05334). It works for networks that began as one: their layers
still speak of the same things, so the second's paint fits what the first has sketched.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from genmodels.hub.checks import check_range, quoted
from genmodels.models.stylegan2 import Generator

# Of the weights of two networks: those that began as one stay near 1 however long they learn, as
# weights of unit variance hardly move; strangers are near 0.
MIN_SIMILARITY = 0.5


def blended(first: Generator, second: Generator, shares: Mapping[int, float]) -> Generator:
    """A new network: `first` with so much of `second` in the layers of each side in pixels.

    What is not named is the first's, and so are what it makes of a seed and of its conditions.
    """
    check_relatives(first, second)
    sides = [4 * 2**i for i in range(len(first.blocks))]
    unknown = [side for side in shares if side not in sides]
    if unknown:
        raise ValueError(f"shares must be by side, among {sides}, got {quoted(unknown)}")
    network = copy.deepcopy(first)
    state = network.state_dict()
    others = second.state_dict()
    for side, share in shares.items():
        share = check_range(f"the share at {side} px", share, 0, 1)
        begin = f"blocks.{sides.index(side)}."
        for name in (name for name in state if name.startswith(begin)):
            state[name] = torch.lerp(state[name], others[name].to(state[name]), share)
    network.load_state_dict(state)
    return network


def check_relatives(first: Generator, second: Generator) -> None:
    """ValueError unless the networks have the same layers and began as one."""
    for key in ("resolution", "w_dim", "image_channels", "base_channels", "max_channels"):
        ours, theirs = first.config[key], second.config[key]
        if ours != theirs:
            raise ValueError(f"both must have the same {key} to blend, got {ours} and {theirs}")
    alike = similarity(first, second)
    if alike < MIN_SIMILARITY:
        raise ValueError(
            "these two were trained apart, so their layers do not fit each other: blend models of "
            "which one was fine-tuned from the other, or both from a third (--init-from). The "
            f"similarity of their weights is {alike:.2f}, and must be {MIN_SIMILARITY} or more"
        )


def similarity(first: Generator, second: Generator) -> float:
    """The cosine between all 3x3 convolutions of two networks of the same layers."""
    first_kernels, second_kernels = _kernels(first), _kernels(second)
    return float(torch.cosine_similarity(first_kernels, second_kernels, dim=0))


def _kernels(network: Generator) -> Tensor:
    state = network.blocks.state_dict()
    kernels = [state[name] for name in sorted(state) if state[name].shape[-2:] == (3, 3)]
    return torch.cat([kernel.flatten().double().cpu() for kernel in kernels])
