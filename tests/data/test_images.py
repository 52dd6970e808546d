"""images.py: what comes in is upright 8-bit RGB or refused, and pixels survive the two borders."""

import io
import struct
import zlib

import av
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps

from genmodels.data import images


def picture(width=12, height=8):
    """A picture without any symmetry: each pixel tells where it is."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x * y) % 256], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def reopened(image, path, **options):
    image.save(path, **options)
    return images.open_rgb(path)


def largest_difference(a, b):
    assert a.mode == b.mode == "RGB"
    assert a.size == b.size
    return np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()


def png_header(width, height):
    """A PNG that promises a size and holds no pixel."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    idat = b"IDAT" + zlib.compress(b"")
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk
        + struct.pack(">I", len(idat) - 4)
        + idat
        + struct.pack(">I", zlib.crc32(idat))
    )


def test_every_byte_survives_the_way_to_float_and_back():
    every_byte = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 3, 16, 16)
    as_float = images.to_float(every_byte)
    assert as_float.dtype == torch.float32
    assert (as_float.min(), as_float.max()) == (-1, 1)
    assert images.to_uint8(as_float).equal(every_byte)


def test_to_uint8_rounds_and_clamps():
    values = torch.tensor([-3.0, -1.0, -0.998, 0.0, 0.9, 1.0, 7.0]).reshape(1, 1, 1, 7)
    assert images.to_uint8(values).flatten().tolist() == [0, 0, 0, 128, 242, 255, 255]


def test_the_borders_refuse_the_wrong_kind_of_number():
    with pytest.raises(ValueError, match=r"uint8, got torch\.float32"):
        images.to_float(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"floating point .*, got torch\.uint8"):
        images.to_uint8(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match="NaN"):
        images.to_uint8(torch.full((1, 3, 2, 2), torch.nan))
    with pytest.raises(ValueError, match=r"\[N, 3, H, W\], got \[1, 4, 2, 2\]"):
        images.to_pil(torch.zeros(1, 4, 2, 2))


def test_pictures_survive_the_way_through_tensors():
    pictures = [picture(), ImageOps.mirror(picture())]
    pixels = images.from_pil(pictures)
    assert pixels.shape == (2, 3, 8, 12)
    assert pixels[0, 0, 0].tolist() == [x * 255 // 11 for x in range(12)]
    back = images.to_pil(images.to_float(pixels))
    assert [largest_difference(a, b) for a, b in zip(back, pictures, strict=True)] == [0, 0]


def test_pictures_of_other_modes_or_sizes_are_not_mixed():
    with pytest.raises(ValueError, match="got L"):
        images.from_pil([picture().convert("L")])
    with pytest.raises(ValueError, match=r"\(12, 8\), got RGB \(8, 12\)"):
        images.from_pil([picture(12, 8), picture(8, 12)])
    with pytest.raises(ValueError, match="got none"):
        images.from_pil([])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    assert (
        largest_difference(reopened(picture(), tmp_path / f"a.{suffix}", **options), picture()) == 0
    )


def test_a_file_object_is_read_like_a_path():
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    assert largest_difference(images.open_rgb(buffer), picture()) == 0


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "P"])
def test_opaque_modes_become_rgb(tmp_path, mode):
    source = picture().convert(mode)
    opened = reopened(source, tmp_path / "a.tiff")
    assert largest_difference(opened, source.convert("RGB")) == 0


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path):
    red = Image.new("RGB", (16, 16), (200, 30, 30))
    opened = reopened(red.convert("CMYK"), tmp_path / "a.jpg", quality=100)
    assert largest_difference(opened, red) <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_show_the_background(tmp_path, mode):
    grey = Image.new("RGB", (2, 1), (102, 102, 102)).convert(mode.removesuffix("A"))
    grey.putalpha(Image.frombytes("L", (2, 1), b"\xff\x00"))
    assert grey.mode == mode
    path = tmp_path / "a.tiff"
    grey.save(path)
    assert images.open_rgb(path).getpixel((0, 0)) == (102, 102, 102)
    assert images.open_rgb(path).getpixel((1, 0)) == (255, 255, 255)
    assert images.open_rgb(path, background=(0, 0, 255)).getpixel((1, 0)) == (0, 0, 255)


def test_half_transparent_pixels_are_mixed_with_the_background(tmp_path):
    opened = reopened(Image.new("RGBA", (1, 1), (0, 0, 0, 128)), tmp_path / "a.webp", lossless=True)
    assert opened.getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_shows_the_background(tmp_path, mode):
    image = Image.new(mode, (2, 1))
    colour = {"P": 1, "L": 9, "RGB": (9, 8, 7)}[mode]
    if mode == "P":
        image.putpalette([50, 50, 50, 9, 8, 7])
    image.putpixel((1, 0), colour)
    opened = reopened(image, tmp_path / "a.png", transparency=colour)
    assert opened.getpixel((0, 0)) == ((50, 50, 50) if mode == "P" else (0, 0, 0))
    assert opened.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_16_bit_grey_is_scaled_not_cut_off(tmp_path, name):
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    opened = reopened(Image.fromarray(values), tmp_path / name)
    assert np.asarray(opened)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_float_grey_is_scaled_from_either_range(tmp_path, top):
    values = np.array([[0, 0.2, 0.6, 1]], dtype=np.float32) * top
    opened = reopened(Image.fromarray(values), tmp_path / "a.tiff")
    assert np.asarray(opened)[0, :, 0].tolist() == [0, 51, 153, 255]


@pytest.mark.parametrize("bad", [-1.0, 256.0, np.nan])
def test_float_grey_beyond_every_scale_is_refused(tmp_path, bad):
    path = tmp_path / "depth.tiff"
    Image.fromarray(np.array([[0, bad]], dtype=np.float32)).save(path)
    with pytest.raises(ValueError, match=r"depth\.tiff: values must be in"):
        images.open_rgb(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(tmp_path, suffix, orientation):
    # How a camera stores the upright picture, by the EXIF standard's table.
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    upright = Image.new("RGB", (48, 32), (20, 20, 20))
    upright.paste((250, 250, 250), (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = upright if stored is None else upright.transpose(stored)
    options = {"png": {}, "tiff": {}, "jpg": {"quality": 100}, "webp": {"lossless": True}}[suffix]
    opened = reopened(image, tmp_path / f"a.{suffix}", exif=exif, **options)
    assert largest_difference(opened, upright) <= (2 if suffix == "jpg" else 0)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_frame(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    red.save(path, save_all=True, append_images=[blue])
    assert largest_difference(images.open_rgb(path), red) <= 1


def test_the_jpegs_of_two_pictures_that_phones_write_are_read(tmp_path):
    path = tmp_path / "phone.jpg"
    grey, white = (Image.new("RGB", (8, 8), colour) for colour in ("grey", "white"))
    grey.save(path, "MPO", save_all=True, append_images=[white])
    assert largest_difference(images.open_rgb(path), grey) <= 1


@pytest.mark.parametrize("size", [(8001, 8001), (30_000, 30_000), (64_000_001, 1)])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    # There is nothing to decode: an attempt would fail with another message.
    with pytest.raises(ValueError, match=r"bomb\.png: .*(has more than 64000000|exceeds limit)"):
        images.open_rgb(path)


def test_a_header_without_pixels_is_refused_for_that(tmp_path):
    path = tmp_path / "hollow.png"
    path.write_bytes(png_header(100, 100))
    with pytest.raises(ValueError, match=r"hollow\.png: .*truncated"):
        images.open_rgb(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "gif", "bmp"])
def test_a_truncated_file_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for share in (0.02, 0.5):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=rf"cut\.{suffix}"):
            images.open_rgb(path)


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"<!DOCTYPE html><title>404</title>",
        b"just text",
        b"",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"P6 1 1 255\nabc",
    ],
)
def test_other_formats_are_refused_whatever_their_name(tmp_path, content):
    path = tmp_path / "renamed.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"renamed\.png: not a readable PNG"):
        images.open_rgb(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.png: no such file"):
        images.open_rgb(tmp_path / "nowhere.png")


def test_a_large_jpeg_may_be_decoded_smaller_but_not_below_min_side(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (400, 300), "teal").save(path)
    assert images.open_rgb(path, min_side=64).size == (100, 75)
    assert images.open_rgb(path, min_side=300).size == (400, 300)


def test_fit_square_cuts_the_middle():
    image = Image.new("RGB", (60, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    fitted = images.fit_square(image, 8)
    assert fitted.size == (8, 8)
    # The filter may look a little across the cut, as it would in the whole picture.
    assert np.asarray(fitted)[:, :, 2].min() > 230
    assert fitted.getpixel((4, 4)) == (0, 0, 255)
    squeezed = images.fit_square(image, 9, crop="none")
    assert squeezed.size == (9, 9)
    assert min(squeezed.getpixel((0, 4))[0], squeezed.getpixel((8, 4))[0]) > 250


def test_fit_square_keeps_a_square_of_the_right_size():
    assert largest_difference(images.fit_square(picture(16, 16), 16), picture(16, 16)) == 0


def test_fit_square_does_not_alias():
    # A one-pixel checkerboard has one honest small version: grey.
    board = Image.fromarray(((np.indices((256, 256)).sum(0) % 2) * 255).astype(np.uint8))
    small = np.asarray(images.fit_square(board.convert("RGB"), 32))
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_fit_square_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match='"center" or "none", got \'left\''):
        images.fit_square(picture(), 8, crop="left")
    with pytest.raises(ValueError, match="1 or more, got 0"):
        images.fit_square(picture(), 0)


def test_grid_lays_pictures_out_row_by_row():
    colours = ["red", "lime", "blue"]
    pictures = [Image.new("RGB", (4, 3), colour) for colour in colours]
    sheet = images.grid(pictures, 2, gap=1, background=(9, 9, 9))
    assert sheet.size == (9, 7)
    assert [sheet.getpixel(at) for at in ((0, 0), (5, 0), (3, 4))] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]
    assert sheet.getpixel((4, 0)) == sheet.getpixel((5, 4)) == (9, 9, 9)
    assert (
        largest_difference(images.grid(images.from_pil(pictures), 2), images.grid(pictures, 2)) == 0
    )


def test_grid_of_fewer_pictures_than_columns_is_no_wider():
    assert images.grid([picture()], 5).size == (12, 8)


def test_grid_refuses_floats_and_nothing():
    with pytest.raises(ValueError, match=r"uint8 \[N, 3, H, W\], got torch\.float32"):
        images.grid(torch.zeros(1, 3, 2, 2), 1)
    with pytest.raises(ValueError, match="columns must be 1 or more"):
        images.grid([picture()], 0)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_has_every_frame_at_its_speed(tmp_path, suffix):
    path = tmp_path / f"film.{suffix}"
    frames = [Image.new("RGB", (16, 16), (80 * i, 255 - 80 * i, 0)) for i in range(4)]
    images.encode_animation(frames, path, fps=10)
    with Image.open(path) as film:
        assert film.n_frames == 4
        assert film.info["loop"] == 0
        for index, frame in enumerate(frames):
            film.seek(index)
            film.load()
            assert film.info["duration"] == 100
            assert largest_difference(film.convert("RGB"), frame) <= 6


def test_a_webp_of_less_quality_is_smaller(tmp_path):
    frames = [Image.effect_noise((64, 64), 80).convert("RGB") for _ in range(3)]
    for quality in (40, 90):
        images.encode_animation(frames, tmp_path / f"{quality}.webp", fps=10, quality=quality)
    assert (tmp_path / "40.webp").stat().st_size < 0.7 * (tmp_path / "90.webp").stat().st_size


def test_an_animation_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.mp4, \.webp, \.gif, got .*film\.avi"):
        images.encode_animation([picture()], tmp_path / "film.avi", fps=10)
    with pytest.raises(ValueError, match="got none"):
        images.encode_animation([], tmp_path / "film.gif", fps=10)
    with pytest.raises(ValueError, match="at most 50, got 60"):
        images.encode_animation([picture()], tmp_path / "film.gif", fps=60)
    with pytest.raises(ValueError, match="quality must be 0 to 100, got 101"):
        images.encode_animation([picture()], tmp_path / "film.webp", fps=10, quality=101)
    with pytest.raises(ValueError, match="ASCII, got 'Gr"):
        images.encode_animation([picture()], tmp_path / "film.mp4", fps=10, comment="Grün")
    for suffix in ("mp4", "webp", "gif"):
        with pytest.raises(ValueError, match=r"RGB of one size, \(12, 8\), got RGB \(8, 12\)"):
            images.encode_animation([picture(), picture(8, 12)], tmp_path / f"film.{suffix}", 10)
    assert not list(tmp_path.iterdir())


def moving(width, height, count):
    """A bright square that wanders over a gradient."""
    frames = []
    for i in range(count):
        x = np.linspace(40, 200, width)[None, :, None] * np.linspace(0.5, 1, height)[:, None, None]
        pixels = np.repeat(x, 3, axis=2)
        pixels[8 + i : 24 + i, 8 + 2 * i : 24 + 2 * i] = (230, 60, 40)
        frames.append(Image.fromarray(pixels.astype(np.uint8)))
    return frames


def decoded(path):
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_an_mp4_has_every_frame_at_its_speed(tmp_path):
    frames = moving(64, 48, 7)
    images.encode_animation(frames, tmp_path / "film.mp4", fps=12.5)
    shown = decoded(tmp_path / "film.mp4")
    assert len(shown) == 7
    for frame, source in zip(shown, frames, strict=True):
        assert frame.shape == (48, 64, 3)
        assert np.abs(frame.astype(int) - np.asarray(source)).mean() < 3
    with av.open(str(tmp_path / "film.mp4")) as film:
        video = film.streams.video[0]
        assert (video.codec.canonical_name, video.pix_fmt) == ("h264", "yuv420p")
        assert video.average_rate == 12.5
        assert film.duration == pytest.approx(7 / 12.5 * 1e6)


def test_the_colours_of_an_mp4_are_the_pictures(tmp_path):
    for colour in ((220, 30, 30), (30, 200, 40), (20, 40, 210), (250, 250, 250), (5, 5, 5)):
        images.encode_animation([Image.new("RGB", (32, 32), colour)], tmp_path / "film.mp4", fps=5)
        assert np.abs(decoded(tmp_path / "film.mp4")[0].astype(int) - colour).max() <= 5


def test_an_mp4_starts_with_its_index_so_that_it_plays_while_it_loads(tmp_path):
    images.encode_animation(moving(64, 48, 3), tmp_path / "film.mp4", fps=10)
    content = (tmp_path / "film.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_an_odd_side_of_an_mp4_grows_by_one_pixel_that_repeats_the_last(tmp_path):
    (frame,) = moving(63, 47, 1)
    images.encode_animation([frame], tmp_path / "film.mp4", fps=10)
    (shown,) = decoded(tmp_path / "film.mp4")
    assert shown.shape == (48, 64, 3)
    assert np.abs(shown[:47, :63].astype(int) - np.asarray(frame)).mean() < 3
    assert np.abs(shown[:, 63].astype(int) - shown[:, 62]).mean() < 6


def test_the_same_frames_are_the_same_mp4(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        images.encode_animation(moving(64, 48, 5), tmp_path / name, fps=10, comment="c", xmp="<x/>")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


COMMENT, XMP = (
    '{"frames": 3, "text": "' + "so long " * 100 + '"}',
    "<x:xmpmeta>generated</x:xmpmeta>",
)


def test_an_mp4_carries_a_comment_and_an_xmp_packet(tmp_path):
    path = tmp_path / "film.mp4"
    images.encode_animation(moving(64, 48, 3), path, fps=10, comment=COMMENT, xmp=XMP)
    with av.open(str(path), options={"export_xmp": "1"}) as film:
        assert film.metadata["comment"] == COMMENT
        assert film.metadata["xmp"] == XMP
    assert len(decoded(path)) == 3


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_carries_a_comment(tmp_path, suffix):
    path = tmp_path / f"film.{suffix}"
    images.encode_animation(moving(64, 48, 3), path, fps=10, comment=COMMENT, xmp=XMP)
    with Image.open(path) as film:
        if suffix == "gif":
            assert film.info["comment"].decode() == COMMENT
        else:
            assert film.getexif()[ExifTags.Base.ImageDescription] == COMMENT
            assert film.info["xmp"].decode() == XMP


def test_no_comment_is_none(tmp_path):
    for suffix in ("mp4", "gif", "webp"):
        images.encode_animation(moving(64, 48, 2), tmp_path / f"film.{suffix}", fps=10)
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert "comment" not in film.metadata
    for suffix in ("gif", "webp"):
        with Image.open(tmp_path / f"film.{suffix}") as film:
            assert not {"comment", "exif", "xmp"} & set(film.info)


def test_a_picture_grows_by_a_whole_number():
    assert images.enlarge(picture(12, 8), 64).size == (60, 40)
    assert images.enlarge(picture(64, 64), 512).size == (512, 512)
    assert largest_difference(images.enlarge(picture(12, 8), 11), picture(12, 8)) == 0
    plain = Image.new("L", (4, 4), 90)
    assert images.enlarge(plain, 8).getcolors() == [(64, (90, 90, 90))]
    with pytest.raises(ValueError, match="side must be 1 or more, got 0"):
        images.enlarge(picture(), 0)


def test_an_enlarged_picture_is_the_same_picture():
    small = moving(64, 48, 1)[0]
    back = images.enlarge(small, 512).resize((64, 48), Image.Resampling.BOX)
    assert np.abs(np.asarray(back).astype(int) - np.asarray(small)).mean() < 2


def swapped_profile(name):
    """sRGB, as Pillow makes it, with red and green changed about, and of another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = [132 + 12 * i for i in range(int.from_bytes(profile[128:132], "big"))]
    places = {bytes(profile[at : at + 4]): slice(at + 4, at + 12) for at in entries}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red], profile[green] = profile[green], profile[red]
    return bytes(profile).replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_another_profile_become_those_of_srgb(tmp_path, mode):
    picture = Image.new("RGB", (8, 8), (255, 0, 0))
    if mode == "RGBA":
        picture.putalpha(90)
    for name, wanted in (("wide", (0, 255, 0)), ("sRGB", (255, 0, 0))):
        picture.save(tmp_path / "profile.png", icc_profile=swapped_profile(name))
        opened = images.open_rgb(tmp_path / "profile.png", keep_alpha=True)
        assert np.abs(np.subtract(opened.getpixel((0, 0))[:3], wanted)).max() <= 2
        assert opened.mode == mode
        assert mode == "RGB" or opened.getpixel((0, 0))[3] == 90


def test_a_broken_profile_is_as_none(tmp_path):
    Image.new("RGB", (8, 8), (250, 9, 30)).save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert images.open_rgb(tmp_path / "broken.png").getpixel((0, 0)) == (250, 9, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_file_is_that_of_the_opened_picture(tmp_path, orientation):
    turned = Image.Exif()
    turned[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=turned)
    size = images.upright_size(tmp_path / "turned.jpg")
    assert size == images.open_rgb(tmp_path / "turned.jpg").size
