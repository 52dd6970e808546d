"""Luma and chroma (ITU-R BT.601, full range, as in JPEG), which are linear in the pixels.

So what is predicted in chroma leaves the luma as it was, and where that is of whole levels, as
`to_grey` gives it, rounding to bytes does not move it either: Pillow's `convert("L")` is the same.
"""

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.299, 0.587, 0.114  # Shares of the luma.
ROWS = 256  # Rows of an image that are converted at a time.
TO_RED, TO_BLUE = 2 * (1 - RED), 2 * (1 - BLUE)  # What Cr adds to red, and Cb to blue.


def luma(image: Tensor) -> Tensor:
    """RGB [N, 3, H, W] in [-1, 1] -> [N, 1, H, W] in [-1, 1]."""
    red, green, blue = image.split(1, dim=1)
    return RED * red + GREEN * green + BLUE * blue


def chroma(image: Tensor) -> Tensor:
    """RGB [N, 3, H, W] in [-1, 1] -> Cb and Cr [N, 2, H, W] in [-1, 1]; 0 is grey."""
    y = luma(image)
    return torch.cat([(image[:, 2:] - y) / TO_BLUE, (image[:, :1] - y) / TO_RED], dim=1)


def join(y: Tensor, cb_cr: Tensor) -> Tensor:
    """Luma [N, 1, H, W] and chroma [N, 2, H, W] -> RGB [N, 3, H, W] in [-1, 1].

    Where the colour does not exist at that brightness it is paled until it does: cutting off its
    values instead would change the luma.
    """
    cb, cr = cb_cr.split(1, dim=1)
    away = torch.cat(
        [TO_RED * cr, -(RED * TO_RED * cr + BLUE * TO_BLUE * cb) / GREEN, TO_BLUE * cb], 1
    )
    room = torch.where(away > 0, 1 - y, 1 + y) / away.abs().clamp(min=1e-6)
    return y + away * room.amin(dim=1, keepdim=True).clamp(0, 1)


def to_grey(images: Tensor) -> Tensor:
    """Uint8 RGB [N, 3, H, W] -> uint8 [N, 3, H, W] of three equal channels, the luma."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 [N, 3, H, W], got {images.dtype} {list(images.shape)}"
        )
    # In whole numbers, as Pillow rounds; some rows at a time, as a wide copy of all would be large.
    shares = torch.tensor([19595, 38470, 7471], dtype=torch.int32).view(3, 1, 1)
    grey = torch.empty_like(images)
    for image, grey_image in zip(images, grey, strict=True):
        for rows, place in zip(image.split(ROWS, 1), grey_image.split(ROWS, 1), strict=True):
            place[:] = ((rows.int() * shares).sum(0) + 0x8000 >> 16).to(torch.uint8)
    return grey
