"""Visitors' photos are decoded in a process of their own, whose death costs one photo."""

import os
import signal
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genmodels.data import decoding
from genmodels.ui.services import decoder, photos
from genmodels.ui.services.decoder import Decoder

WANTED = {"max_pixels": 1_000_000, "keep_alpha": False, "formats": photos.FORMATS}


@pytest.fixture
def own(monkeypatch):
    made = Decoder()
    monkeypatch.setattr(photos, "DECODER", made)
    yield made
    made._stop()


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def empty_png(path, width, height):
    """A PNG whose header promises so many pixels of 16 bits, and whose data are zeros, packed."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer, rows = zlib.compressobj(9), []
    for _ in range(height):
        rows.append(packer.compress(bytes(1 + 2 * width)))
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    data = b"".join([*rows, packer.flush()])
    signature = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(
        signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format_name", photos.FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_photo_is_decoded_as_the_library_would(own, tmp_path, format_name, mode):
    made = Image.linear_gradient("L").convert("RGB").resize((61, 43))
    made.putalpha(128)
    if format_name == "JPEG" or mode != "RGBA":
        is_plain = mode == "RGBA" or (mode == "P" and format_name == "JPEG")
        made = made.convert("RGB").convert("RGB" if is_plain else mode)
    path = tmp_path / "photo"
    made.save(path, format_name)
    for keep_alpha in (False, True):
        theirs = own.photo(path, **{**WANTED, "keep_alpha": keep_alpha})
        here = decoding.open_rgb(path, keep_alpha=keep_alpha)
        assert (theirs.mode, theirs.size) == (here.mode, here.size)
        assert theirs.tobytes() == here.tobytes()
    assert own.size(path, formats=photos.FORMATS) == decoding.upright_size(path) == (61, 43)


def test_a_tiff_is_read_by_the_library_and_not_taken_from_visitors(own, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png", "TIFF")
    assert decoding.open_rgb(tmp_path / "photo.png").size == (30, 20)
    for look in (photos.opened, photos.size):
        with pytest.raises(ValueError, match="photo"):
            look(tmp_path / "photo.png")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_photo_is_refused_and_the_process_stays(own, photo, tmp_path, content):
    own.photo(photo, **WANTED)
    process = own._process
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.png"):
        own.photo(tmp_path / "x.png", **WANTED)
    with pytest.raises(ValueError, match="no such file"):
        own.photo(tmp_path / "absent.png", **WANTED)
    assert own.photo(photo, **WANTED).size == (60, 40)
    assert own._process is process


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(own, tmp_path):
    empty_png(tmp_path / "bomb.png", 20_000, 20_000)
    with pytest.raises(ValueError, match=r"pixels|exceeds"):
        own.photo(tmp_path / "bomb.png", **WANTED)


def test_a_photo_that_takes_too_much_memory_is_lost_and_nothing_else(own, photo, tmp_path):
    empty_png(tmp_path / "large.png", 13_000, 13_000)
    with pytest.raises(ValueError, match=r"too much memory|cannot allocate|memory"):
        own.photo(tmp_path / "large.png", **{**WANTED, "max_pixels": 1 << 30})
    assert own.photo(photo, **WANTED).size == (60, 40)


def test_a_process_that_dies_or_stands_costs_one_photo(own, photo, monkeypatch):
    own.photo(photo, **WANTED)
    os.kill(own._process.pid, signal.SIGKILL)
    own._process.wait()
    assert own.photo(photo, **WANTED).size == (60, 40)  # It was seen to be dead.

    monkeypatch.setattr(decoder, "SECONDS", 0.2)
    os.kill(own._process.pid, signal.SIGSTOP)
    with pytest.raises(ValueError, match="too much memory or time"):
        own.photo(photo, **WANTED)
    monkeypatch.setattr(decoder, "SECONDS", 20)
    assert own.photo(photo, **WANTED).size == (60, 40)


def test_many_ask_at_once_and_each_gets_its_own(own, tmp_path):
    for number in range(8):
        Image.new("RGB", (20 + number, 30), (number, 0, 0)).save(tmp_path / f"{number}.png")
    wrong = []

    def ask(number):
        for _ in range(5):
            made = own.photo(tmp_path / f"{number}.png", **WANTED)
            if made.size != (20 + number, 30) or made.getpixel((0, 0)) != (number, 0, 0):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_process_knows_no_secret_and_neither_torch_nor_numpy(own, photo, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    own.photo(photo, **WANTED)
    assert b"hf_secret" not in Path(f"/proc/{own._process.pid}/environ").read_bytes()
    code = (
        "import sys; import genmodels.ui.services.decoding_process; "
        "print({'torch', 'numpy', 'gradio'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
