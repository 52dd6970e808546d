"""Files that visitors bring: of formats nobody offers, damaged, too large, with odd words."""

import io
import struct
import zlib
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image, PngImagePlugin

from tests.hostile.values import LINE, MARKUP

File = tuple[str, bytes]  # Suffix of the name, and content.


def photo(width: int = 64, height: int = 48) -> bytes:
    """An honest small photo, as a PNG."""
    return _saved("PNG", _picture(width, height))[1]


def png_with(key: str, text: str) -> bytes:
    """A small PNG whose chunk of that name holds the text."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text, zip=len(text) > 1000)
    return _saved("PNG", pnginfo=info)[1]


def quoted(text: str) -> str:
    """Text in an address, "/" and ".." left as they are."""
    return quote(text.encode("utf-8", "replace"), safe="/:?=~")[:8000]


def _picture(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _saved(
    format: str,
    image: Image.Image | None = None,
    suffix: str = "",
    mode: str = "RGB",
    **options: Any,
) -> File:
    file = io.BytesIO()
    (image or _picture(mode=mode)).save(file, format, **options)
    return suffix or format.lower(), file.getvalue()


def _png(
    width: int, height: int, pixels: bytes, *extra: tuple[bytes, bytes], depth: int = 8
) -> File:
    """A grey PNG that says this size, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return "png", b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _bomb(side: int) -> File:
    """All black, a thousandth of its size in the file."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(side // 8 + 1)) for _ in range(side)]
    return _png(side, side, b"".join([*rows, packer.flush()]), depth=1)


def _film(format: str, number: int) -> File:
    first, *rest = [_picture(16, 16).rotate(90 * i) for i in range(number)]
    return _saved(format, first, save_all=True, append_images=rest)


def _flipped(format: str, seed: int) -> File:
    """With some bytes changed."""
    suffix, content = _saved(format)
    rng, changed = np.random.default_rng(seed), bytearray(content)
    for at in rng.integers(8, len(content), 12):
        changed[at] = rng.integers(256)
    return suffix, bytes(changed)


def _cut(format: str, share: float) -> File:
    suffix, content = _saved(format)
    return suffix, content[: int(len(content) * share)]


_GREY = zlib.compress(bytes(65 * 64))


def _packed(kind: bytes, data: bytes) -> tuple[bytes, bytes]:
    return kind, b"x\x00\x00" + zlib.compress(data, 9)


# fmt: off
def forbidden() -> dict[str, File]:
    """Of formats that nobody offers, under their own name or another, or of no picture's size."""
    return {
        "TIFF": _saved("TIFF"), "TIFF as png": _saved("TIFF", suffix="png"), "TGA": _saved("TGA"),
        "TGA as png": _saved("TGA", suffix="png"), "JPEG 2000": _saved("JPEG2000", suffix="jp2"),
        "JPEG 2000 as jpg": _saved("JPEG2000", suffix="jpg"), "ICO": _saved("ICO"),
        "PCX": _saved("PCX"), "PPM": _saved("PPM"), "SGI": _saved("SGI"), "DDS": _saved("DDS"),
        "text": ("txt", LINE.encode()),
        "EPS": ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "HTML": ("html", MARKUP.encode()),
        "SVG": ("svg", f"<svg xmlns='http://www.w3.org/2000/svg' onload='{MARKUP}'/>".encode()),
        "nothing": ("png", b""), "text as png": ("png", b"no picture"),
        "PDF": ("pdf", b"%PDF-1.4\n"), "a pickle": ("pkl", b"\x80\x04K\x01."),
        "a header alone": ("png", b"\x89PNG\r\n\x1a\n"), "1 x 1": ("png", photo(1, 1)),
        "8000 x 16": ("png", photo(8000, 16)), "no pixels": _png(64, 64, b""),
        "2^31 wide": _png(2**31 - 1, 2**31 - 1, _GREY), "0 x 0": _png(0, 0, _GREY),
        "16384 x 16384": _bomb(16_384), "40000 x 40000": _bomb(40_000),
    }


def hostile() -> dict[str, File]:
    """Damaged, odd or fine: to be drawn from, or refused in words."""
    made = {
        "BMP": _saved("BMP"), "AVIF": _saved("AVIF"), "GIF": _film("GIF", 3),
        "APNG": _film("PNG", 3), "WebP film": _film("WEBP", 3), "300 frames": _film("GIF", 300),
        "CMYK": _saved("JPEG", mode="CMYK"), "palette": _saved("PNG", mode="P"),
        "bits": _saved("PNG", mode="1"), "grey and alpha": _saved("PNG", mode="LA"),
        "16 bits": _saved("PNG", mode="I;16"),
        "much text": ("png", png_with("Comment", "x" * 3_000_000)),
        "60 MB of text": _png(64, 64, _GREY, _packed(b"zTXt", bytes(60_000_000))),
        "a bad profile": _png(64, 64, _GREY, _packed(b"iCCP", b"\xff" * 5000)),
        "a large profile": _png(64, 64, _GREY, _packed(b"iCCP", bytes(50_000_000))),
        "more pixels than it says": _png(64, 64, zlib.compress(bytes(20_000_000))),
        "bad EXIF": _saved("JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + bytes(60)),
        "markup in EXIF": _saved("JPEG", exif=b"Exif\x00\x00" + MARKUP.encode()),
    }
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        made |= {f"{format} cut at {share}": _cut(format, share) for share in (0.1, 0.5, 0.95)}
        made |= {f"{format} flipped {seed}": _flipped(format, seed) for seed in range(6)}
    return made


_TYPE = {"content-type": "multipart/form-data; boundary=B"}
_FILE = 'Content-Disposition: form-data; name="files"; filename="a.png"'


def _part(headers: str, content: str = "x", end: str = "--B--") -> bytes:
    return f"--B\r\n{headers}\r\n\r\n{content}\r\n{end}\r\n".encode("latin-1")


FORMS: dict[str, tuple[dict[str, str], bytes]] = {
    "no type": ({}, b"x"), "JSON": ({"content-type": "application/json"}, b"{}"),
    "empty": (_TYPE, b""), "no boundary": ({"content-type": "multipart/form-data"}, _part(_FILE)),
    "60 MB": (_TYPE, _part(_FILE, "x" * 60_000_000)),
    "another boundary": (_TYPE, _part(_FILE).replace(b"--B", b"--C")),
    "no end": (_TYPE, _part(_FILE, end="")), "no disposition": (_TYPE, _part("X: y")),
    "no name": (_TYPE, _part("Content-Disposition: form-data")),
    "a field": (_TYPE, _part('Content-Disposition: form-data; name="files"')),
    "another field": (_TYPE, _part(_FILE.replace("files", "x"))),
    "a long header": (_TYPE, _part(f"X: {'y' * 200_000}")),
    "1500 files": (_TYPE, b"".join([_part(_FILE, end="")] * 1500) + b"--B--\r\n"),
    "NUL in the name": (_TYPE, _part(_FILE.replace("a.png", "a\x00.png"))),
    "a star": (_TYPE, _part(_FILE + "; filename*=UTF-8''%2e%2e%2fx")),
}
# fmt: on
