"""Panoramas on the page, without a browser: photos good and bad, sizes, and what is kept."""

import json
import struct
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
import genmodels
from genmodels.hub import recipe
from genmodels.models.patches.source import PatchSettings, Source
from genmodels.pipelines import pipeline_patches
from genmodels.ui.components import photo_frame
from genmodels.ui.services import panoramas, workers
from genmodels.ui.services.panoramas import Place
from tests.conftest import free_port

MIDDLE = (0.5, 0.5)


def scene(width=48, height=32, seed=0):
    """Sky over grass, with a house."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((height, width, 3))
    pixels[: height // 2], pixels[height // 2 :] = (110, 160, 220), (70, 130, 60)
    pixels[height // 3 : 2 * height // 3, width // 2 : width // 2 + 8] = (150, 60, 50)
    noisy = (pixels + rng.normal(0, 8, pixels.shape)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noisy)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """The engine, with nothing kept and a folder for what it draws."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(panoramas, "_kept", OrderedDict())
    return genmodels.load("patches")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The page's API."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        page = app.build()
        _, address, _ = page.launch(
            server_port=free_port(), prevent_thread_lock=True, quiet=True, ssr_mode=False
        )
        downloads = str(tmp_path_factory.mktemp("downloads"))
        yield Client(address, verbose=False, download_files=downloads)
        page.close()


def drawn(engine, photo, mode="extend", place=None, seed=0, **settings):
    place = place or Place(96, 32, 1, *MIDDLE)
    return list(panoramas.steps(engine, photo, mode, place, seed, **settings))


@pytest.mark.parametrize("mode", panoramas.MODES.values())
def test_a_picture_of_the_exact_size_is_saved_with_its_recipe(engine, mode):
    *coarse, (path, made) = drawn(engine, scene(), mode)
    assert coarse
    assert all(told is None for _, told in coarse)
    with Image.open(path) as picture:
        assert picture.size == (96, 32)
        assert recipe.read(picture) == made


def test_the_photo_lies_where_it_was_put_and_its_pixels_stay(engine):
    photo = scene()
    path, made = drawn(engine, photo, place=Place(96, 48, 1, 0.0, 1.0))[-1]
    size = (made["image"]["width"], made["image"]["height"])
    assert size == (72, 48)
    picture = np.asarray(Image.open(path))
    kept = np.asarray(photo.resize(size, Image.Resampling.LANCZOS))
    assert (picture[:, :72] == kept).all()
    path, made = drawn(engine, photo, place=Place(96, 48, 0.5, 1.0, 0.0))[-1]
    assert (made["settings"]["left"], made["settings"]["top"]) == (60, 0)


def test_the_same_photo_with_the_same_settings_is_drawn_once(engine):
    first = drawn(engine, scene())
    again = drawn(engine, scene())
    assert again == first[-1:]
    assert len(drawn(engine, scene(), seed=1)) > 1
    assert len(drawn(engine, scene(seed=1))) > 1
    Path(first[-1][0]).unlink()  # As the page does with old files.
    redrawn = drawn(engine, scene())
    assert len(redrawn) > 1
    assert redrawn[-1][1]["pixels_sha256"] == first[-1][1]["pixels_sha256"]


def test_only_so_many_pictures_are_kept(engine, monkeypatch):
    monkeypatch.setattr(panoramas, "MAX_KEPT", 2)
    for seed in (0, 1, 0, 2):
        drawn(engine, scene(), seed=seed)
    assert len(panoramas._kept) == 2
    assert len(drawn(engine, scene(), seed=0)) == 1  # Was used after 1.
    assert len(drawn(engine, scene(), seed=1)) > 1


def test_before_an_extension_there_is_the_photo_on_grey(engine):
    photo = scene()
    path, made = drawn(engine, photo, place=Place(96, 32, 1, 1.0, 0.5))[-1]
    before, after = np.asarray(panoramas.before(photo, made)), np.asarray(Image.open(path))
    assert before.shape == after.shape
    assert (before[:, 48:] == after[:, 48:]).all()
    assert (before[:, :48] == before[0, 0]).all()


def test_sizes_are_shapes_of_the_photos_height_or_exact_pixels():
    assert panoramas.size_of("3 : 1", (640, 300)) == (900, 300)
    assert panoramas.size_of("2 : 1", (6000, 4000)) == (2 * panoramas.HEIGHT, panoramas.HEIGHT)
    assert panoramas.size_of("Phone 1080 x 1920", (10, 10)) == (1080, 1920)


def test_the_frame_says_where_the_photo_lies():
    assert photo_frame.place("[0.25, 1]") == (0.25, 1)
    for hostile in ("", "[1]", "[2, 0]", "[null, 0]", '["a", 0]', "[NaN, 0]", "[0, 1, 0]", None):
        with pytest.raises(ValueError, match="two numbers from 0 to 1"):
            photo_frame.place(hostile)


def bomb(path):
    """A PNG of 60,000 x 60,000 pixels in a hundred bytes."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def saved(photo, path, **options):
    photo.save(path, **options)


def truncated(path):
    scene(200, 100).save(path)
    path.write_bytes(path.read_bytes()[:2000])


BAD = {
    "a PDF.jpg": (lambda path: path.write_bytes(b"%PDF-1.7 not a photo"), "not a readable"),
    "empty.png": (lambda path: path.write_bytes(b""), "not a readable"),
    "truncated.png": (truncated, "truncated"),
    "bomb.png": (bomb, "decompression bomb"),
    "25 megapixels.png": (
        lambda path: saved(Image.new("1", (5_000, 5_000)), path),
        "more than 24000000 pixels",
    ),
    "dot.png": (lambda path: saved(Image.new("RGB", (1, 1)), path), "16 x 16"),
    "line.png": (lambda path: saved(scene(10_000, 1), path), "16 x 16"),
    "one colour.png": (lambda path: saved(Image.new("RGB", (64, 64), "red"), path), "one colour"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_photo_is_refused_with_a_reason_that_names_no_folder(client, name, tmp_path):
    path = tmp_path / name
    make, reason = BAD[name]
    make(path)
    with pytest.raises(AppError, match=reason) as refused:
        client.predict(handle_file(path), width=128, height=64, api_name="/panorama")
    assert "/" not in str(refused.value)
    assert client.predict(None, width=64, height=40, api_name="/panorama")[3]["generated"]


def test_grey_transparent_animated_and_turned_photos_are_understood(client, tmp_path):
    photo = scene()
    turned = Image.Exif()
    turned[0x0112] = 6  # The camera lay on its side.
    others = [scene(seed=1), scene(seed=2)]
    files = {
        "grey.png": (photo.convert("L"), {}),
        "glass.png": (photo.convert("RGBA"), {}),
        "film.gif": (photo, {"save_all": True, "append_images": others}),
        "turned.jpg": (photo, {"exif": turned}),
    }
    for name, (picture, options) in files.items():
        picture.save(tmp_path / name, **options)
        file = handle_file(tmp_path / name)
        *_, told, _, _ = client.predict(file, width=96, height=48, api_name="/panorama")
        size = (told["image"]["width"], told["image"]["height"])
        assert size == ((32, 48) if name == "turned.jpg" else (72, 48))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"width": 0}, "width must be 16"),
        ({"height": 99_999}, "height must be 16"),
        ({"width": 16_000, "height": 4_000}, "at most"),
        ({"width": 16_384, "height": 16_384}, "at most 4200000 pixels here"),
        ({"width": None}, "Width must be a whole number"),
        ({"share": 1e-9}, "minimum|0.05 to 1"),
        ({"place": "[NaN, 0]"}, "two numbers"),
        ({"seed": -1}, "Seed must be a whole number from 0"),
        ({"mode": "explode"}, "Mode must be one of Extend"),
    ],
)
def test_settings_that_cannot_be_are_refused(client, asked, reason, tmp_path):
    scene().save(tmp_path / "scene.png")
    arguments = {"width": 96, "height": 32} | asked
    with pytest.raises(AppError, match=reason):
        client.predict(handle_file(tmp_path / "scene.png"), **arguments, api_name="/panorama")


def test_the_api_gives_a_file_that_replays_from_the_photo(client, tmp_path):
    photo = scene(64, 48)
    photo.save(tmp_path / "scene.png")
    picture, words, file, told, pair, _ = client.predict(
        handle_file(tmp_path / "scene.png"),
        width=128, height=48, seed=4, place=json.dumps([0, 0.5]), api_name="/panorama",
    )  # fmt: skip
    assert "128 x 48" in words
    assert told["settings"]["left"] == 0
    del picture, file, pair
    again = genmodels.replay(told, photo.resize((64, 48)))
    assert recipe.read(again)["pixels_sha256"] == told["pixels_sha256"]


def test_what_takes_too_much_memory_is_refused_before_it_is_drawn(engine):
    place = Place(1600, 1000, 1, *MIDDLE)  # Searched at full size, for each pixel of the photo.
    with pytest.raises(ValueError, match="MB of memory, and there are"):
        drawn(engine, scene(800, 500), "resample", place, mirror=True)


@pytest.mark.parametrize("mode", panoramas.MODES.values())
@pytest.mark.parametrize("size", [(2400, 1600), (4096, 1024), (1600, 2624), (16384, 256)])
def test_there_is_memory_for_large_panoramas(mode, size):
    photo = panoramas.fitted((1500, 1000), Place(*size, 1, *MIDDLE))
    settings = {"mode": mode, "width": size[0], "height": size[1]}
    assert pipeline_patches.megabytes(photo, settings) <= workers.BUDGET.megabytes


def components(side):
    """A task: what describes the patches of a photo of side x side pixels."""
    source = Source(
        torch.rand(3, side, side), (side, side), PatchSettings(mirror=False, stretches=())
    )
    yield tuple(source.basis[0].shape)


def test_a_large_photos_patches_are_not_all_in_memory_at_once():
    # All of them would be 590 MB, and were there twice.
    assert workers.result(components, 1000, megabytes=250) == (27, 3, 7, 7)
