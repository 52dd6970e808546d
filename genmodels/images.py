"""Pixels: PIL <-> uint8 <-> float. The only place where 0..255 and [-1, 1] meet.

Files are untrusted: `open_rgb` reads the header, refuses what is too large or of an unknown kind,
and only then decodes. Start there; `to_float` and `to_uint8` are the two borders of the networks.
"""

import io
import struct
import uuid
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps
from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 64_000_000  # 8000 x 8000; the RGB copy of such a picture is 192 MB.
FILMS = (".mp4", ".webp", ".gif")
XMP_BOX = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")  # An MP4's XMP (Adobe's part 3, 1.2.7).

# What Pillow's decoders raise on damaged files: PNG's a SyntaxError, TIFF's nearly all of these.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


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
    """Float [N, 3, H, W] in [-1, 1] -> N RGB pictures."""
    return [Image.fromarray(pixels) for pixels in _to_rows(to_uint8(images))]


def from_pil(images: Sequence[Image.Image]) -> Tensor:
    """N RGB pictures of one size -> uint8 [N, 3, H, W]."""
    _check_alike("images", images)
    pixels = np.stack([np.asarray(image) for image in images])  # [N, H, W, 3]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def open_rgb(
    source: str | Path | BinaryIO,  # A file's path, or a seekable binary file.
    *,
    background: tuple[int, int, int] = (255, 255, 255),  # What shows through transparent pixels.
    max_pixels: int = MAX_PIXELS,  # Refuse a picture of more, before it is decoded.
    min_side: int | None = None,  # Allow a JPEG to be decoded smaller, its short side >= this.
    keep_alpha: bool = False,  # Give RGBA where something is transparent, before no background.
) -> Image.Image:
    """An image file as an RGB picture, upright, in sRGB; of an animation, the first frame.

    Grey, palette, CMYK, transparent, 16-bit grey and float files are understood. A float picture
    counts in [0, 1], or in [0, 255] if any value is above 1. A profile of wider colours, such as a
    phone's Display P3, is converted, of RGB files alone. `ValueError` names the file if it is
    of another format than `FORMATS`, has more than `max_pixels` pixels, is damaged, or its values
    fit no scale. No pixel is decoded before format and size are known to be fine.
    """
    name = str(getattr(source, "name", "image")) if hasattr(source, "read") else str(source)
    try:
        with Image.open(source, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ValueError(f"{width}x{height} has more than {max_pixels} pixels")
            if min_side is not None:
                image.draft(None, (min_side, min_side))
            image.load()
            upright = _to_srgb(_to_8_bit(ImageOps.exif_transpose(image)))
            if keep_alpha and upright.has_transparency_data:
                return upright.convert("RGBA")
            return _flatten(upright, background)
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"{name}: not a readable {', '.join(FORMATS)} image") from error
    except FileNotFoundError as error:
        raise ValueError(f"{name}: no such file") from error
    except _DECODE_ERRORS as error:
        raise ValueError(f"{name}: {error or type(error).__name__}") from error


def upright_size(source: str | Path | BinaryIO) -> tuple[int, int]:
    """Width and height in which `open_rgb` shows a file that it can read; no pixel is decoded."""
    with Image.open(source, formats=FORMATS) as image:
        is_turned = image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
        # Of a TIFF Pillow gives the turned size already, if the turn is one of its own tags.
        own_tags = getattr(image, "tag_v2", {})
        is_done = own_tags.get(ExifTags.Base.Orientation) in range(5, 9)
        return image.size[::-1] if is_turned and not is_done else image.size


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

    For what is shown by itself: a picture of 64 px is a stamp. One that is larger stays as it is.
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
    quality: int = 90,  # Of WebP, 0 to 100; the other formats have their own.
    comment: str | None = None,  # Text kept in the file, ASCII as JSON is: `recipe.film`, say.
    xmp: str | None = None,  # An XMP packet; a GIF has no place for it.
) -> None:
    """Write the frames as an animation; GIF and WebP repeat for ever, a player decides on an MP4's.

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
    kept: dict[str, Any] = {}
    if suffix == ".gif":
        frames = [_to_palette(frame) for frame in frames]
    if suffix == ".gif" and comment is not None:
        kept["comment"] = comment
    if suffix == ".webp" and comment is not None:
        kept["exif"] = Image.Exif()
        kept["exif"][ExifTags.Base.ImageDescription] = comment
    if suffix == ".webp" and xmp is not None:
        kept["xmp"] = xmp.encode()
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / fps),
        loop=0,
        quality=quality,
        **kept,
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


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey pictures of 16 bits, 32 bits or float as 8-bit grey; others as they are.

    Pillow's own conversion cuts off all above 255 instead of scaling.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float32)
    float_top = 1.0 if values.max() <= 1 else 255.0
    top = float_top if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(f"values must be in 0..{top:g}, got {values.min():g}..{values.max():g}")
    return Image.fromarray((values * (255 / top)).round().astype(np.uint8))


def _to_srgb(image: Image.Image) -> Image.Image:
    """An RGB picture with a profile of other colours, converted; others as they are."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA"):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(own):
            return image
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return image  # A broken profile says nothing.
    assert converted is not None  # Only in place it is None.
    converted.info.pop("icc_profile", None)
    return converted


def _flatten(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Any 8-bit mode as RGB, transparent pixels composited over the background."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(canvas, rgba).convert("RGB")
