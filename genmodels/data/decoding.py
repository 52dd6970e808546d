"""Image files -> pictures: formats, sizes, colours and turns, without torch.

Files are untrusted: `open_rgb` reads the header, refuses what is too large or of an unknown kind,
and only then decodes. A server does that in a process of its own, which is why nothing here needs
more than Pillow, and numpy for pictures of more than 8 bits.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageCms, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 64_000_000  # 8000 x 8000; the RGB copy of such a picture is 192 MB.

# What Pillow's decoders raise on damaged files: PNG's a SyntaxError, TIFF's nearly all of these.
DECODE_ERRORS = (
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


def open_rgb(
    source: str | Path | BinaryIO,  # A file's path, or a seekable binary file.
    *,
    background: tuple[int, int, int] = (255, 255, 255),  # What shows through transparent pixels.
    max_pixels: int = MAX_PIXELS,  # Refuse a picture of more, before it is decoded.
    min_side: int | None = None,  # Allow a JPEG to be decoded smaller, its short side >= this.
    keep_alpha: bool = False,  # Give RGBA where something is transparent, before no background.
    formats: tuple[str, ...] = FORMATS,  # File formats to accept, out of FORMATS.
) -> Image.Image:
    """An image file as an RGB picture, upright, in sRGB; of an animation, the first frame.

    Grey, palette, CMYK, transparent, 16-bit grey and float files are understood. A float picture
    counts in [0, 1], or in [0, 255] if any value is above 1. A profile of wider colours, such as a
    phone's Display P3, is converted, of RGB files alone. `ValueError` names the file if it is
    of another format than `formats`, has more than `max_pixels` pixels, is damaged, or its values
    fit no scale. No pixel is decoded before format and size are known to be fine.
    """
    name = str(getattr(source, "name", "image")) if hasattr(source, "read") else str(source)
    try:
        with Image.open(source, formats=formats) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ValueError(f"{width}x{height} has more than {max_pixels} pixels")
            if min_side is not None:
                image.draft(None, (min_side, min_side))
            image.load()
            shown = _shown(image, background, keep_alpha)
            return shown.copy() if shown is image else shown  # Without the file.
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"{name}: not a readable {', '.join(formats)} image") from error
    except FileNotFoundError as error:
        raise ValueError(f"{name}: no such file") from error
    except DECODE_ERRORS as error:
        raise ValueError(f"{name}: {error or type(error).__name__}") from error


def to_rgb(
    image: Any,  # A PIL image of any mode, or an array: uint8 [H, W] or [H, W, 1 to 4].
    *,
    background: tuple[int, int, int] = (255, 255, 255),  # What shows through transparent pixels.
    keep_alpha: bool = False,  # Give RGBA where something is transparent, before no background.
) -> Image.Image:
    """A picture that somebody hands in, as `open_rgb` shows its file: RGB, upright, in sRGB.

    One that is so already is given back itself. ValueError for anything else, and for a file that
    turns out to be damaged when its pixels are wanted.
    """
    if not isinstance(image, Image.Image) and hasattr(image, "__array_interface__"):
        image = _from_array(image)
    if not isinstance(image, Image.Image):
        raise ValueError(f"image must be a PIL image or a uint8 array, got {type(image).__name__}")
    if not 1 <= image.width * image.height <= MAX_PIXELS:
        raise ValueError(
            f"image must have 1 to {MAX_PIXELS} pixels, got {image.width}x{image.height}"
        )
    try:
        image.load()
        return _shown(image, background, keep_alpha)
    except DECODE_ERRORS as error:
        raise ValueError(f"image cannot be read: {error or type(error).__name__}") from error


def upright_size(
    source: str | Path | BinaryIO,
    *,
    formats: tuple[str, ...] = FORMATS,  # File formats to accept, out of FORMATS.
) -> tuple[int, int]:
    """Width and height in which `open_rgb` shows a file that it can read; no pixel is decoded."""
    with Image.open(source, formats=formats) as image:
        is_turned = image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
        # Pillow gives the rotated size of a TIFF already, if the rotation is in its own tags.
        own_tags = getattr(image, "tag_v2", {})
        is_done = own_tags.get(ExifTags.Base.Orientation) in range(5, 9)
        return image.size[::-1] if is_turned and not is_done else image.size


def _from_array(pixels: Any) -> Image.Image:
    """A NumPy array of pixels as a PIL image: grey, grey with alpha, RGB or RGBA."""
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 2, 3, 4))
    if pixels.dtype != "uint8" or not is_picture or not pixels.size:
        raise ValueError(
            "an array must be a picture of uint8 [H, W] or [H, W, channels] with 1 to 4 channels, "
            f"got {pixels.dtype} {list(pixels.shape)}"
        )
    is_grey = pixels.ndim == 3 and pixels.shape[2] == 1
    return Image.fromarray((pixels[:, :, 0] if is_grey else pixels).copy(order="C"))


def _shown(image: Image.Image, background: tuple[int, int, int], keep_alpha: bool) -> Image.Image:
    """RGB, upright, in sRGB, or RGBA; the image itself where nothing is to be done."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    image = _to_srgb(_to_8_bit(image))
    if image.mode in ("La", "RGBa"):  # Colours that are multiplied by their alpha.
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    if keep_alpha:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return _flatten(image, background)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey pictures of 16 bits, 32 bits or float as 8-bit grey; others as they are.

    Pillow's own conversion cuts off all above 255 instead of scaling.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    import numpy as np  # Seldom needed, and it takes long to come.

    values = np.asarray(image).astype(np.float32)
    float_top = 1.0 if values.max() <= 1 else 255.0
    top = float_top if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(f"values must be in 0..{top:g}, got {values.min():g}..{values.max():g}")
    return Image.fromarray((values * (255 / top)).round().astype(np.uint8))


def _to_srgb(image: Image.Image) -> Image.Image:
    """An RGB picture with a profile of other colours, converted; others as they are."""
    if image.mode == "LAB":  # Which Pillow converts by profiles alone.
        lab, srgb = (ImageCms.createProfile(name) for name in ("LAB", "sRGB"))
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA"):
        return image
    try:
        source_profile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source_profile):
            return image
        converted = ImageCms.profileToProfile(image, source_profile, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return image  # A broken profile says nothing.
    assert converted is not None  # Only in place it is None.
    converted.info.pop("icc_profile", None)
    return converted


def _flatten(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Transparent pixels composited over the background, as RGB."""
    rgba = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(canvas, rgba).convert("RGB")
