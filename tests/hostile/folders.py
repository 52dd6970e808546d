"""Model folders that nobody vouches for, loaded in this process: drawn from, or refused in words."""

import json
import os
import random
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import load_file, save_file

import genmodels
from genmodels import hub
from genmodels.models import autoencoder, dcgan, pix2pix, stylegan2
from tests.hostile.checks import Finding, of_message
from tests.hostile.values import NUMBERS, OTHERS, TEXTS

SECONDS = 30  # For a folder.
MAX_GROWTH_MB = 500
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 53412\n"
DTYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool)  # fmt: skip
Spoil = Callable[[Path], None]


def tiny(folder: Path) -> dict[str, Path]:
    """A folder of each family, saved by the library."""
    torch.manual_seed(0)
    small = {"base_channels": 4, "max_channels": 8}
    photo = genmodels.SinGANPipeline
    from PIL import Image

    made: dict[str, Any] = {
        "dcgan": genmodels.DCGANPipeline(dcgan.Generator(16, z_dim=4, **small)),
        "stylegan2": genmodels.StyleGAN2Pipeline(stylegan2.Generator(16, 4, 4, **small)),
        "pix2pix": genmodels.Pix2PixPipeline(pix2pix.Generator(3, 3, levels=3, **small), "rgb"),
        "autoencoder": genmodels.AutoencoderPipeline(
            autoencoder.Generator(3, 3, base_channels=8), "rgb"
        ),
        "singan": photo.fit(
            Image.linear_gradient("L").convert("RGB").resize((48, 32)), max_size=48, epochs=2
        ),
    }
    for name, pipeline in made.items():
        pipeline.save_pretrained(folder / name)
    return {name: folder / name for name in made}


def cases(seed: int) -> Iterator[tuple[str, str, Spoil]]:
    """Family, what was done, and how to do it to a folder of that family."""
    for family in ("dcgan", "stylegan2", "pix2pix", "autoencoder", "singan"):
        rng = random.Random(f"{seed} {family}")
        for file in (hub.INDEX, f"generator/{hub.CONFIG}"):
            yield from ((family, f"{file} {name}", spoil) for name, spoil in _json(file, rng))
        weights = f"generator/{hub.WEIGHTS}"
        yield from ((family, f"weights {name}", spoil) for name, spoil in _weights(weights, rng))
        for file in (hub.INDEX, f"generator/{hub.CONFIG}", weights):
            yield from ((family, f"{file} {name}", spoil) for name, spoil in _kinds(file))


def _json(file: str, rng: random.Random) -> Iterator[tuple[str, Spoil]]:
    """Texts in place of JSON, and each key with bad values."""
    texts = {
        "no JSON": "x", "nothing": "", "a list": "[]", "deep": "[" * 100_000, "null": "null", "cut": '{"a": ',
        "5000 digits": '{"a": ' + "9" * 5000 + "}", "2 MB": json.dumps({"a": "x" * 2_000_000}), "LFS": LFS,
        "a mark": "\ufeff{}", "NUL": "\0" * 100, "no class": "{}",
    }  # fmt: skip
    for name, text in texts.items():
        yield name, lambda at, text=text: (at / file).write_text(text)
    yield "not UTF-8", lambda at: (at / file).write_bytes(b"\xff\xfe{}")
    values = {**NUMBERS, **OTHERS, **TEXTS, "2^20": 2**20, "a hundred thousand": 100_000, "pickle": ["pickle", "loads"], "os": ["os", "system"], "up": ["..", "x"]}  # fmt: skip
    names = sorted(set(values) - {"a lone surrogate"})
    for number in range(40):  # The keys are known when there is a folder.
        pick, name = rng.random(), rng.choice(names)
        yield f"key {number} = {name}", lambda at, p=pick, v=values[name]: _set(at / file, p, v)
    for number in range(4):
        yield (
            f"without key {number}",
            lambda at, p=rng.random(): _set(at / file, p, None, drop=True),
        )
    for key, value in {"x": 1, "_name_or_path": "../../x", "generator": ["x", "y"], "__class__": "x", "self": 1}.items():  # fmt: skip
        yield f"with {key}", lambda at, k=key, v=value: _set(at / file, k, v)


def _set(path: Path, which: float | str, value: Any, *, drop: bool = False) -> None:
    content = json.loads(path.read_text())
    key = which if isinstance(which, str) else sorted(content)[int(which * len(content))]
    content[key] = value
    if drop:
        del content[key]
    path.write_text(json.dumps(content))


def _weights(file: str, rng: random.Random) -> Iterator[tuple[str, Spoil]]:
    """Bytes that are no safetensors, and tensors that are not those of the network."""
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    contents = {
        "nothing": b"", "LFS": LFS.encode(), "a pickle": b"\x80\x04\x95" + b"cos\nsystem\n." * 9, "a ZIP": b"PK\x03\x04" + bytes(60),
        "zeros": bytes(4096), "a header of 2^63": struct.pack("<Q", 2**63) + b"{}", "a header of 1 GB": struct.pack("<Q", 1 << 30) + b"{}",
        "a header of 0": bytes(8), "no JSON": struct.pack("<Q", 4) + b"xxxx", "empty": struct.pack("<Q", 2) + b"{}",
        "no data": struct.pack("<Q", len(header)) + header, "too much": struct.pack("<Q", len(header)) + header + bytes(99),
        "deep": struct.pack("<Q", 60_000) + b"[" * 60_000, "HTML": b"<!DOCTYPE html><title>404</title>",
    }  # fmt: skip
    for name, (dtype, shape, offsets) in {
        "negative": ("F32", [-4], [0, 16]), "2^62": ("F32", [2**62, 2**62], [0, 16]), "reversed": ("F32", [4], [16, 0]),
        "far": ("F32", [4], [2**60, 2**60 + 16]), "odd dtype": ("X9", [4], [0, 16]), "text": ("F32", "4", [0, 16]),
    }.items():  # fmt: skip
        text = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
        contents[name] = struct.pack("<Q", len(text)) + text + bytes(16)
    for name, content in contents.items():
        yield name, lambda at, c=content: (at / file).write_bytes(c)
    for share in (0.01, 0.3, 0.7, 0.99):
        yield f"cut at {share}", lambda at, s=share: _cut(at / file, s)
    for number in range(6):
        yield f"flipped {number}", lambda at, s=rng.random(): _flip(at / file, s)
    edits: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "NaN": lambda t: torch.full_like(t, float("nan")), "infinity": lambda t: torch.full_like(t, float("-inf")),
        "1e38": lambda t: torch.full_like(t, 1e38), "longer": lambda t: torch.cat([t, t]), "scalar": lambda t: t.flatten()[0],
        "no elements": lambda t: t[:0] if t.ndim else t.reshape(1)[:0], "more axes": lambda t: t[None],
    }  # fmt: skip
    edits |= {str(dtype): lambda t, d=dtype: t.to(d) for dtype in DTYPES}
    for name, edit in edits.items():
        for which in (rng.random(), None):
            yield (
                f"{'all' if which is None else 'one'} {name}",
                lambda at, w=which, e=edit: _edit(at / file, w, e),
            )
    for name in ("x", "", "x" * 5000, "../x", "a\nb"):
        yield f"with {name[:9]!r}", lambda at, n=name: _rename(at / file, None, n)
    yield "renamed", lambda at: _rename(at / file, 0, "x")


def _kinds(file: str) -> Iterator[tuple[str, Spoil]]:
    """Something other than a file of one's own in its place."""

    def link(to: str) -> Spoil:
        return lambda at: _instead(at / file, lambda path: path.symlink_to(to))

    yield "gone", lambda at: (at / file).unlink()
    yield "a folder", lambda at: _instead(at / file, lambda path: path.mkdir())
    yield "a pipe", lambda at: _instead(at / file, os.mkfifo)
    for name, to in {"nowhere": "gone", "itself": Path(file).name, "a device": "/dev/zero", "passwd": "/etc/passwd", "the root": "/", "memory": "/proc/self/mem"}.items():  # fmt: skip
        yield f"a link to {name}", link(to)


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _flip(path: Path, share: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(min(len(content), 2000) * share)] ^= 0x5A
    path.write_bytes(bytes(content))


def _edit(path: Path, which: float | None, edit: Callable[[torch.Tensor], torch.Tensor]) -> None:
    state = {key: value.clone() for key, value in load_file(path).items()}
    names = sorted(state)
    for name in names if which is None else [names[int(which * len(names))]]:
        state[name] = edit(state[name]).contiguous()
    save_file(state, path)


def _rename(path: Path, which: int | None, name: str) -> None:
    state = {key: value.clone() for key, value in load_file(path).items()}
    state[name] = torch.zeros(1) if which is None else state.pop(sorted(state)[which])
    save_file(state, path)


def names() -> dict[str, Any]:
    """What is no folder's name."""
    texts = {name: text for name, text in TEXTS.items() if text not in ("someone/model",)}
    traversal = (
        "cars-stylegan2-64/../..",
        "user/../../x",
        "user/repo@../..",
        "user/repo@",
        "C:\\x",
        "@main",
        "~",
        "zoo/..",
    )
    return {
        **texts,
        **OTHERS,
        **{one: one for one in traversal},
        "a device": "/dev/zero",
        "number": 7,
    }


def tried(case: str, load: Callable[[], object], canary: Callable[[], list[str]]) -> list[Finding]:
    """What is wrong with how a folder was taken or refused."""
    start, before, found = time.monotonic(), psutil.Process().memory_info().rss, []
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        load()
    except ValueError as error:
        found += of_message(case, str(error), case)
    except _Late:
        found.append(Finding("hang", case, case, f"{time.monotonic() - start:.0f} s"))
    except Exception as error:  # What must not come at all, whatever it is.
        found.append(Finding("unhandled", case, case, f"{type(error).__name__}: {error}"[:500]))
    finally:
        signal.alarm(0)
    grown = (psutil.Process().memory_info().rss - before) / 1e6
    if grown > MAX_GROWTH_MB:
        found.append(Finding("memory", case, case, f"{grown:.0f} MB more"))
    return found + [Finding("outside", case, case, path) for path in canary()]


class _Late(BaseException):
    """No `except Exception` in between may catch it."""


def _late(*_: object) -> None:
    raise _Late


def load_and_draw(folder: Any) -> None:
    """As a user does; what loads must draw."""
    pipeline = genmodels.load(folder)
    from PIL import Image

    photo = Image.linear_gradient("L").convert("RGB").resize((32, 32))
    is_translator = hasattr(pipeline.config, "predicts")
    (pipeline(photo) if is_translator else pipeline(1, seed=0)).images[0].load()
