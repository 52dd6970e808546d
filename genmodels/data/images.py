"""Pixels: PIL <-> uint8 <-> float. The only place where 0..255 and [-1, 1] meet.

Files are untrusted, see `genmodels.data.decoding`, whose `open_rgb` is the way in; `to_float` and
`to_uint8` are the two borders of the networks.
"""

import struct
import uuid
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from genmodels.data.decoding import FORMATS, MAX_PIXELS, SUFFIXES, open_rgb, to_rgb, upright_size

__all__ = [
    "FILMS",
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "XMP_BOX",
    "encode_animation",
    "enlarge",
    "fit_square",
    "from_pil",
    "grid",
    "open_rgb",
    "to_float",
    "to_pil",
    "to_rgb",
    "to_uint8",
    "upright_size",
]

FILMS = (".mp4", ".webp", ".gif")
XMP_BOX = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")  # An MP4's XMP (Adobe's part 3, 1.2.7).


def to_float(images: Tensor) -> Tensor:
    """Uint8 [N, 3, H, W] -> float32 [N, 3, H, W] in [-1, 1], on the same device."""
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype}")
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Float [N, 3, H, W] in [-1, 1] -> uint8, rounded; what lies outside the range is clamped."""
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point in [-1, 1], got {images.dtype}")
    if not images.isfinite().all():
        raise ValueError("images hold NaN or infinite values: the network that made them diverged")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Float [N, 3, H, W] in [-1, 1], or uint8 -> N RGB pictures."""
    whole = images if images.dtype == torch.uint8 else to_uint8(images)
    return [Image.fromarray(pixels) for pixels in _to_rows(whole)]


def from_pil(images: Sequence[Image.Image]) -> Tensor:
    """N RGB pictures of one size -> uint8 [N, 3, H, W]."""
    _check_alike("images", images)
    pixels = np.stack([np.asarray(image) for image in images])  # [N, H, W, 3]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def fit_square(
    image: Image.Image,
    resolution: int,  # Side of the result in pixels.
    crop: Literal["center", "none"] = "center",  # Cut the middle square, or squeeze the whole.
) -> Image.Image:
    """The picture as a square, resized by an antialiased Lanczos filter."""
    if crop not in ("center", "none"):
        raise ValueError(f'crop must be "center" or "none", got {crop!r}')
    if resolution < 1:
        raise ValueError(f"resolution must be 1 or more, got {resolution}")
    width, height = image.size
    side_x, side_y = (min(image.size),) * 2 if crop == "center" else image.size
    left, top = (width - side_x) // 2, (height - side_y) // 2
    box = (left, top, left + side_x, top + side_y)
    # The gap of 3 lets Pillow shrink large photos by whole numbers first: no visible difference.
    return image.resize((resolution,) * 2, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def grid(
    images: Sequence[Image.Image] | Tensor,  # RGB pictures of one size, or uint8 [N, 3, H, W].
    columns: int,  # Pictures per row; the last row may be shorter.
    *,
    gap: int = 2,  # Pixels between pictures.
    background: tuple[int, int, int] = (255, 255, 255),  # Colour of gaps and empty places.
) -> Image.Image:
    """A sheet of pictures, filled row by row."""
    if columns < 1:
        raise ValueError(f"columns must be 1 or more, got {columns}")
    pixels = images if isinstance(images, Tensor) else from_pil(images)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or not len(pixels):
        raise ValueError(
            f"images must be uint8 [N, 3, H, W], got {pixels.dtype} {list(pixels.shape)}"
        )
    height, width = pixels.shape[2:]
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.new("RGB", size, background)
    for index, picture in enumerate(_to_rows(pixels)):
        row, column = divmod(index, columns)
        sheet.paste(Image.fromarray(picture), (column * (width + gap), row * (height + gap)))
    return sheet


def enlarge(
    image: Image.Image,
    side: int,  # What the longer side may reach.
) -> Image.Image:
    """The picture times the largest whole number that fits, by a Lanczos filter, as RGB.

    For pictures shown alone: 64 px is too small to see. Larger pictures are unchanged.
    """
    if side < 1:
        raise ValueError(f"side must be 1 or more, got {side}")
    factor = max(1, side // max(image.size))
    size = (image.width * factor, image.height * factor)
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def encode_animation(
    frames: Sequence[Image.Image],  # RGB, of one size.
    path: str | Path,  # Ends in .mp4, .webp or .gif, which chooses the format.
    fps: float,  # Frames per second, at most 50: browsers slow down a GIF that asks for more.
    *,
    quality: int = 90,  # WebP quality, 0 to 100; other formats have their own.
    comment: str | None = None,  # Text kept in the file, ASCII as JSON is: `recipe.film`, say.
    xmp: str | None = None,  # An XMP packet; a GIF has no place for it.
) -> None:
    """Write the frames as an animation; GIF and WebP loop; an MP4 leaves that to the player.

    The comment is an MP4's or a GIF's comment, and in WebP the EXIF description. GIF and WebP times
    are rounded: to 10 and 1 ms.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FILMS:
        raise ValueError(f"path must end in {', '.join(FILMS)}, got {str(path)!r}")
    _check_alike("frames", frames)
    if not 0 < fps <= 50:
        raise ValueError(f"fps must be above 0 and at most 50, got {fps}")
    if not 0 <= quality <= 100:
        raise ValueError(f"quality must be 0 to 100, got {quality}")
    if comment is not None and not comment.isascii():
        raise ValueError(f"comment must be ASCII, got {comment!r}")
    if suffix == ".mp4":
        _encode_mp4(frames, path, fps, comment, xmp)
        return
    options: dict[str, Any] = {}
    if suffix == ".gif":
        frames = [_to_palette(frame) for frame in frames]
    if suffix == ".gif" and comment is not None:
        options["comment"] = comment
    if suffix == ".webp" and comment is not None:
        options["exif"] = Image.Exif()
        options["exif"][ExifTags.Base.ImageDescription] = comment
    if suffix == ".webp" and xmp is not None:
        options["xmp"] = xmp.encode()
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / fps),
        loop=0,
        quality=quality,
        **options,
    )


def _to_palette(frame: Image.Image) -> Image.Image:
    """The frame in 256 colours, which a sample of its pixels chooses: 8 times faster than from all.

    On 48 frames of 384 px, 0.6 s for 4.7 s; the mean error grows from 1.1 to 1.9 of 255 levels.
    """
    palette = frame.resize((96, 96), Image.Resampling.NEAREST).quantize(256)
    return frame.quantize(palette=palette, dither=Image.Dither.NONE)


def _encode_mp4(
    frames: Sequence[Image.Image],
    path: str | Path,
    fps: float,
    comment: str | None,
    xmp: str | None,
) -> None:
    """H.264 that every browser plays, its index first so that it plays while it loads.

    An odd side grows by one pixel that repeats the last: this format halves the sides of colours.
    """
    import av  # Here, as only films need it.
    from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

    width, height = frames[0].size
    rate = Fraction(fps).limit_denominator(1000)
    options = {"movflags": "faststart", "fflags": "bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as film:
        if comment is not None:
            film.metadata["comment"] = comment
        stream = film.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.thread_count = 1  # The same file, however many processors write it.
        codec.colorspace = Colorspace.ITU709
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for frame in frames:
            pixels = np.pad(np.asarray(frame), ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            film.mux(stream.encode(picture))
        film.mux(stream.encode())
    if xmp is not None:
        packet = xmp.encode()
        with Path(path).open("ab") as file:  # A box of its own at the end, where readers look.
            file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + XMP_BOX.bytes + packet)


def _check_alike(name: str, images: Sequence[Image.Image]) -> None:
    if not images:
        raise ValueError(f"{name} must hold at least one picture, got none")
    for image in images:
        if image.mode != "RGB" or image.size != images[0].size:
            raise ValueError(
                f"pictures must be RGB of one size, {images[0].size}, got {image.mode} {image.size}"
            )


def _to_rows(pixels: Tensor) -> np.ndarray:
    """Uint8 [N, 3, H, W] -> array [N, H, W, 3], the order in which PIL keeps pixels."""
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ValueError(f"images must be [N, 3, H, W], got {list(pixels.shape)}")
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
