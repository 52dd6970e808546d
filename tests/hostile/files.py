"""Files that visitors bring: of formats nobody offered, damaged, too large, with bad words in them."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image, PngImagePlugin

from tests.hostile.values import LINE, MARKUP

Made = tuple[str, bytes]  # Suffix of the name, and content.


def photo(width: int = 64, height: int = 48) -> bytes:
    """An honest small photo, as a PNG."""
    return _saved(_picture(width, height), "PNG")


def opened(content: bytes) -> Image.Image:
    """The image in a file."""
    return Image.open(io.BytesIO(content))


def png_with(key: str, text: str) -> bytes:
    """A small PNG whose chunk of that name holds the text."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text, zip=len(text) > 1000)
    return _saved(_picture(64, 64), "PNG", pnginfo=info)


def quoted(text: str) -> str:
    """Text in a path, "/" and ".." left as they are."""
    return quote(text.encode("utf-8", "replace"), safe="/:?=~")


def _picture(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _as(format: str, mode: str = "RGB", suffix: str = "", **options: Any) -> Callable[[], Made]:
    return lambda: (suffix or format.lower(), _saved(_picture(mode=mode), format, **options))


def _raw(suffix: str, content: bytes) -> Callable[[], Made]:
    return lambda: (suffix, content)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(
    width: int, height: int, data: bytes, *chunks: bytes, depth: int = 8, colour: int = 0
) -> bytes:
    """A PNG that says this size, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + b"".join(chunks)
        + _chunk(b"IDAT", data)
        + _chunk(b"IEND", b"")
    )


def _bomb(width: int, height: int) -> Callable[[], Made]:
    """All black, a thousandth of its size in the file."""

    def made() -> Made:
        packer, rows = zlib.compressobj(9), []
        for _ in range(height):
            rows.append(packer.compress(bytes(width // 8 + 1)))
        return "png", _png(width, height, b"".join([*rows, packer.flush()]), depth=1)

    return made


def _cut(format: str, share: float) -> Callable[[], Made]:
    def made() -> Made:
        content = _saved(_picture(), format)
        return format.lower(), content[: int(len(content) * share)]

    return made


def _flipped(format: str, seed: int) -> Callable[[], Made]:
    """With some bytes changed."""

    def made() -> Made:
        content = bytearray(_saved(_picture(), format))
        rng = np.random.default_rng(seed)
        for at in rng.integers(8, len(content), 12):
            content[at] = rng.integers(256)
        return format.lower(), bytes(content)

    return made


def _film(format: str, frames: int) -> Callable[[], Made]:
    def made() -> Made:
        first, *rest = [_picture(16, 16).rotate(90 * i) for i in range(frames)]
        return format.lower(), _saved(first, format, save_all=True, append_images=rest)

    return made


_GREY = zlib.compress(bytes(65 * 64))

# Formats that nobody offers, under their own names or under one that is: decoding any is a fault.
FORBIDDEN = {
    "TIFF": _as("TIFF"), "TIFF as png": _as("TIFF", suffix="png"), "TGA": _as("TGA"),
    "TGA as png": _as("TGA", suffix="png"), "JPEG 2000": _as("JPEG2000", suffix="jp2"),
    "JPEG 2000 as jpg": _as("JPEG2000", suffix="jpg"), "ICO": _as("ICO"), "PCX": _as("PCX"),
    "PPM": _as("PPM"), "SGI": _as("SGI"), "DDS": _as("DDS"), "EPS": _raw("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "SVG": _raw("svg", f"<svg xmlns='http://www.w3.org/2000/svg' onload='{MARKUP}'/>".encode()),
    "HTML": _raw("html", MARKUP.encode()), "text": _raw("txt", LINE.encode()), "nothing": _raw("png", b""),
    "text as png": _raw("png", b"no picture"), "PDF": _raw("pdf", b"%PDF-1.4\n"), "a pickle": _raw("pkl", b"\x80\x04K\x01."),
    "a header alone": _raw("png", b"\x89PNG\r\n\x1a\n"), "1 x 1": lambda: ("png", photo(1, 1)),
    "8000 x 16": lambda: ("png", photo(8000, 16)), "2^31 wide": _raw("png", _png(2**31 - 1, 2**31 - 1, _GREY)),
    "40000 x 40000": _bomb(40_000, 40_000), "16384 x 16384": _bomb(16_384, 16_384), "0 x 0": _raw("png", _png(0, 0, _GREY)),
    "no pixels": _raw("png", _png(64, 64, b"")),
}  # fmt: skip

# Damaged, odd or fine: to be drawn, or refused in words.
HOSTILE: dict[str, Callable[[], Made]] = FORBIDDEN | {
    "BMP": _as("BMP"), "GIF": _film("GIF", 3), "APNG": _film("PNG", 3), "300 frames": _film("GIF", 300),
    "WebP film": _film("WEBP", 3), "CMYK": _as("JPEG", "CMYK"), "palette": _as("PNG", "P"), "bits": _as("PNG", "1"),
    "16 bits": _as("PNG", "I;16"), "grey and alpha": _as("PNG", "LA"), "AVIF": _as("AVIF"),
    "too much text": lambda: ("png", png_with("Comment", "x" * 3_000_000)),
    "60 MB of text": _raw("png", _png(64, 64, _GREY, _chunk(b"zTXt", b"x\x00\x00" + zlib.compress(bytes(60_000_000), 9)))),
    "a bad profile": _raw("png", _png(64, 64, _GREY, _chunk(b"iCCP", b"x\x00\x00" + zlib.compress(b"\xff" * 5000)))),
    "a large profile": _raw("png", _png(64, 64, _GREY, _chunk(b"iCCP", b"x\x00\x00" + zlib.compress(bytes(50_000_000))))),
    "more pixels than it says": _raw("png", _png(64, 64, zlib.compress(bytes(20_000_000)))),
    "bad EXIF": _as("JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + bytes(60)),
    "markup in EXIF": _as("JPEG", exif=b"Exif\x00\x00" + MARKUP.encode()),
} | {
    f"{format} cut at {share}": _cut(format, share)
    for format in ("PNG", "JPEG", "WEBP", "GIF") for share in (0.1, 0.5, 0.95)
} | {
    f"{format} flipped {seed}": _flipped(format, seed)
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP") for seed in range(6)
}  # fmt: skip

_TYPE = {"content-type": "multipart/form-data; boundary=B"}


def _part(headers: str, content: str = "x", end: str = "--B--") -> bytes:
    return f"--B\r\n{headers}\r\n\r\n{content}\r\n{end}\r\n".encode("latin-1")


_FILE = 'Content-Disposition: form-data; name="files"; filename="a.png"'
FORMS: dict[str, tuple[dict[str, str], bytes]] = {
    "no type": ({}, b"x"), "JSON": ({"content-type": "application/json"}, b"{}"),
    "no boundary": ({"content-type": "multipart/form-data"}, _part(_FILE)), "empty": (_TYPE, b""),
    "other boundary": (_TYPE, _part(_FILE).replace(b"--B", b"--C")), "no end": (_TYPE, _part(_FILE, end="")),
    "no disposition": (_TYPE, _part("X: y")), "no name": (_TYPE, _part("Content-Disposition: form-data")),
    "a field": (_TYPE, _part('Content-Disposition: form-data; name="files"')),
    "other field": (_TYPE, _part(_FILE.replace("files", "x"))), "long header": (_TYPE, _part(f"X: {'y' * 200_000}")),
    "1500 files": (_TYPE, b"".join(_part(_FILE, end="") for _ in range(1500)) + b"--B--\r\n"),
    "NUL in name": (_TYPE, _part(_FILE.replace("a.png", "a\x00.png"))), "a star": (_TYPE, _part(_FILE + "; filename*=UTF-8''%2e%2e%2fx")),
    "60 MB": (_TYPE, _part(_FILE, "x" * 60_000_000)), "too short": (_TYPE | {"content-length": "0"}, b""),
}  # fmt: skip

ROUTES = (
    "/gradio_api/file={}", "/gradio_api/file/{}", "/gradio_api/proxy={}", "/static/{}", "/assets/{}", "/svelte/{}",
    "/gradio_api/custom_component/{}/client/component/x.js", "/gradio_api/stream/{}/x/1/playlist.m3u8",
    "/gradio_api/call/{}/x", "/gradio_api/call/cars_sample/{}", "/gradio_api/queue/data?session_hash={}",
    "/gradio_api/upload_progress?upload_id={}", "/{}", "/?__theme={}", "/?deep_link={}", "/gradio_api/deep_link?session_hash={}",
    "/config?deep_link={}", "/gradio_api/info?all_endpoints={}", "/gradio_api/{}", "/monitoring/{}", "/gradio_api/runs?x={}",
    "/gradio_api/run-history/records?x={}", "/theme.css?x={}", "/pwa_icon/{}", "/login_check?x={}", "/healthz?x={}",
)  # fmt: skip
HEADERS: dict[str, dict[str, str]] = {
    "host": {"host": "hstl.example"}, "forwarded": {"x-forwarded-host": "hstl.example\"><script>hstl()</script>"},
    "scheme": {"x-forwarded-proto": "javascript"}, "path": {"x-original-uri": "//hstl.example/"}, "long": {"x-long": "y" * 60_000},
    "range": {"range": "bytes=-1-,5-2"}, "origin": {"origin": "https://hstl.example"}, "referer": {"referer": "\"><script>hstl()"},
    "cookie": {"cookie": "access-token=x; " * 500}, "agent": {"user-agent": "{jndi:ldap://hstl}"}, "accept": {"accept-language": "../../x"},
    "space": {"x-direct-url": "https://hstl.example"},
}  # fmt: skip
