"""Exact GPNN: the patch method that ours are compared with (Granot et al. 2021, arXiv:2103.15545).

Coarse to fine: at each scale every patch of the guess is replaced by the photo's patch that looks
like it, overlaps are averaged, and the result, enlarged, is the guess of the next finer scale. The
search is exact, which costs the product of both pictures' numbers of patches: a baseline for small
pictures. Departures from the paper, and where it leaves a choice:
- Overlapping patches are averaged without weights.
- The first pass at a scale compares with the photo enlarged from the next coarser scale, as blurred
  as the guess is; the other passes, whose guess is sharp, with the photo itself.
- "random" starts from noise alone, "noisy" from the stretched photo with that noise added to it.
- A retarget takes its size in one go instead of growing step by step.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genmodels.data import images
from genmodels.hub.checks import check_whole

PATCH_SIDE = 7
RATIO = 0.75  # From each scale to the next coarser one.
COARSEST_SIDE = 14  # px: the photo's shorter side at the coarsest scale, or a little more.
PASSES = 10  # At each scale but the coarsest, which has one.
ALPHA = 0.005  # In squared pixels of [-1, 1]; smaller: uses each of the photo's patches more often.
NOISE_STD = 0.75
CHUNK = 512  # Patches compared at a time: bounds memory.
MAX_SIDE = 4096
MAX_SEED = 2**63 - 1


@torch.inference_mode()
def gpnn(
    image: Image.Image,  # The photo, RGB, 14 px or more.
    width: int,  # Width of the result in pixels.
    height: int,
    seed: int = 0,  # Seed of the noise; a retarget uses none.
    mode: Literal["random", "noisy", "retarget"] = "random",  # What the coarsest guess is.
) -> Image.Image:
    """Another picture with the photo's patches: new ("random", "noisy"), or reshaped ("retarget").

    A retarget to the photo's own size is the photo. ValueError for sizes that hold no patch.
    """
    if mode not in ("random", "noisy", "retarget"):
        raise ValueError(f'mode must be "random", "noisy" or "retarget", got {mode!r}')
    check_whole("width", width, COARSEST_SIDE, MAX_SIDE)
    check_whole("height", height, COARSEST_SIDE, MAX_SIDE)
    check_whole("seed", seed, 0, MAX_SEED)
    photo = images.to_float(images.from_pil([image]))
    if min(photo.shape[2:]) < COARSEST_SIDE:
        raise ValueError(f"image must be {COARSEST_SIDE} px or more, got {image.size}")

    num_scales = 1
    while round(min(image.size) * RATIO**num_scales) >= COARSEST_SIDE:
        num_scales += 1
    result = torch.empty(0)
    coarser = photo  # The photo at the scale before.
    for scale in range(num_scales):  # 0 is the coarsest.
        factor = RATIO ** (num_scales - 1 - scale)
        source = _resized(photo, _size((image.height, image.width), factor))
        size = _size((height, width), factor)
        if scale == 0:
            result = _replaced(_start(source, size, seed, mode), source, source)
        else:
            blurred = _resized(coarser, source.shape[2:])
            result = _replaced(_resized(result, size), blurred, source)
            for _ in range(PASSES - 1):
                result = _replaced(result, source, source)
        coarser = source
    return images.to_pil(result)[0]


def _size(full: tuple[int, int], factor: float) -> torch.Size:
    """Height and width at a scale; a small target still holds a patch at the coarsest."""
    return torch.Size(max(PATCH_SIDE, round(side * factor)) for side in full)


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bicubic", antialias=True)


def _start(source: Tensor, size: torch.Size, seed: int, mode: str) -> Tensor:
    """The guess at the coarsest scale, [1, 3, *size]."""
    stretched = _resized(source, size)
    if mode == "retarget":
        return stretched
    rng = torch.Generator().manual_seed(seed)
    noise = NOISE_STD * torch.randn(stretched.shape, generator=rng)
    return noise if mode == "random" else stretched + noise


def _replaced(guess: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The guess made of the values' patches whose keys are like the guess's: [1, 3, H, W]."""
    chosen = _nearest(_patches(guess), _patches(keys))
    patches = _patches(values)[chosen].T[None]
    ones = torch.ones(1, PATCH_SIDE**2, patches.shape[2])
    size = (guess.shape[2], guess.shape[3])
    return F.fold(patches, size, PATCH_SIDE) / F.fold(ones, size, PATCH_SIDE)


def _patches(x: Tensor) -> Tensor:
    """[1, 3, H, W] -> [places, 147]."""
    return F.unfold(x, PATCH_SIDE)[0].T.contiguous()


def _nearest(queries: Tensor, keys: Tensor) -> Tensor:
    """Index of each query's key with the least distance / (alpha + the key's least distance).

    The paper's completeness: a key that no query is near to counts as nearer than it is. Distances
    are computed twice, as those of all pairs would not fit into memory.
    """
    key_norms = keys.square().mean(dim=1)
    least = torch.full_like(key_norms, torch.inf)
    for few in queries.split(CHUNK):
        least = torch.minimum(least, _distances(few, keys, key_norms).amin(dim=0))
    weights = 1 / (ALPHA + least)
    matches = [
        _distances(few, keys, key_norms).mul_(weights).argmin(dim=1) for few in queries.split(CHUNK)
    ]
    return torch.cat(matches)


def _distances(queries: Tensor, keys: Tensor, key_norms: Tensor) -> Tensor:
    """Mean squared differences [queries, keys]."""
    norms = queries.square().mean(dim=1, keepdim=True) + key_norms
    return norms.addmm_(queries, keys.T, alpha=-2 / keys.shape[1]).clamp_(min=0)
