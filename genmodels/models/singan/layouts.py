"""The coarsest picture of a SinGAN, put together from the photo's patches. Start at `draw`.

What a network of the coarse scales learns in minutes, which part of a scene stands where, the patch
engine (`genmodels.models.patches.synthesis`) does in a third of a second, and with clearer shapes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from genmodels.hub.checks import check_whole
from genmodels.models.patches import synthesis
from genmodels.models.patches.field import Canvas, Level
from genmodels.models.patches.source import PATCH, PatchSettings, resize

PROJECTION = (0.55, 0.74, 1.0)  # Relative sizes: the levels through which a given picture goes ...
ROUNDS = 4  # ... and how often its patches are looked for at each.
FAITHFUL = PatchSettings(reuse=0)  # What the given picture repeats may come again.


def draw(
    photo: Tensor,  # [1, 3, h, w] in [-1, 1], both sides at least `patches.MIN_SIDE`.
    size: tuple[int, int],  # (height, width) of the layout.
    *,
    seed: int,  # 0 to 2**63 - 1.
    wrap: bool = False,  # Whether left and right sides are to meet.
) -> Iterator[Tensor]:
    """Layouts [1, 3, H, W] in [-1, 1] from coarse to fine; the last has the size.

    It grows from a strip of the photo. ValueError for a photo that is too small.
    """
    check_whole("the photo's shorter side", min(photo.shape[2:]), synthesis.MIN_SIDE, 1 << 16)
    height, width = (max(PATCH, side) for side in size)
    canvas = Canvas(height, width, wrap=wrap)
    picture = photo[0]
    for picture in synthesis.synthesize(photo[0].float().cpu(), canvas, "strip", seed=seed):
        yield picture[None]
    if tuple(picture.shape[1:]) != size:  # Thinner than a patch.
        yield resize(picture, size)[None]


def project(
    photo: Tensor,  # [1, 3, h, w] in [-1, 1].
    image: Tensor,  # [1, 3, H, W] in [-1, 1]: what the layout is to look like.
    size: tuple[int, int],  # (height, width) of the layout.
    *,
    seed: int,  # 0 to 2**63 - 1.
) -> Tensor:
    """The layout [1, 3, H, W] of the photo's patches that is most like an image."""
    check_whole("the photo's shorter side", min(photo.shape[2:]), synthesis.MIN_SIDE, 1 << 16)
    synthesis.check_default_dtype()
    rng = torch.Generator().manual_seed(seed)
    height, width = (max(PATCH, side) for side in size)
    source, canvas = photo[0].float().cpu(), Canvas(height, width)
    picture = image[0].float().cpu()
    before: Level | None = None
    field = torch.zeros(0)
    for scale in PROJECTION:
        level = Level(source, canvas, scale, FAITHFUL)
        picture = resize(picture, (level.height, level.width))
        if before is None:
            field = torch.zeros(level.gh * level.gw, dtype=torch.long)
        else:
            field = level.carry(before, field)
            level.guide = None if level.is_blended else picture
            picture = level.paint(field)
        for _ in range(ROUNDS):
            field = level.search(field, picture, rng)
            picture = level.paint(field)
        before = level
    return resize(picture, size)[None]
