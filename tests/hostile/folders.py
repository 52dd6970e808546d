"""Model folders that nobody vouches for: drawn from, or refused in words, by this process."""

import json
import os
import random
import re
import signal
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import genmodels
from genmodels.hub import modeling, pipelines
from genmodels.models import autoencoder, dcgan, pix2pix, stylegan2
from tests.hostile import values
from tests.hostile.checks import Finding, of_message

SECONDS = 30  # For a folder.
MAX_GROWTH_MB = 500
FAMILIES = ("dcgan", "stylegan2", "pix2pix", "autoencoder", "singan")
PHOTO = Image.linear_gradient("L").convert("RGB").resize((48, 32))
CONFIG, WEIGHTS = f"generator/{modeling.CONFIG}", f"generator/{modeling.WEIGHTS}"
LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 53412\n"

# fmt: off
TEXTS = {  # In place of JSON.
    "no JSON": "x", "nothing": "", "a list": "[]", "null": "null", "deep": "[" * 100_000,
    "LFS": LFS, "cut": '{"a": ', "5000 digits": '{"a": ' + "9" * 5000 + "}",
    "2 MB": '{"a": "' + "x" * 2_000_000 + '"}', "a mark": "\ufeff{}", "NUL": "\0" * 100,
    "no class": "{}", "not UTF-8": "\xff\xfe{}",
}
VALUES = values.NUMBERS | values.TEXTS | values.OTHERS | {  # Of a key.
    "2^20": 2**20, "100 000": 100_000, "pickle": ["pickle", "loads"], "os": ["os", "system"],
    "up": ["..", "x"],
}
KEYS = {"x": 1, "_name_or_path": "../../x", "generator": ["x", "y"], "__class__": "x", "self": 1}
DATA = {  # In place of safetensors.
    "nothing": b"", "LFS": LFS.encode(), "a pickle": b"\x80\x04\x95" + b"cos\nsystem\n." * 9,
    "zeros": bytes(4096), "a ZIP": b"PK\x03\x04" + bytes(60),
    "HTML": b"<!DOCTYPE html><title>404</title>", "a header of 0": bytes(8),
    "a header of 2^63": struct.pack("<Q", 2**63) + b"{}",
    "a header of 1 GB": struct.pack("<Q", 1 << 30) + b"{}",
    "no JSON": struct.pack("<Q", 4) + b"xxxx", "no tensors": struct.pack("<Q", 2) + b"{}",
    "deep": struct.pack("<Q", 60_000) + b"[" * 60_000,
}
HEADERS = {  # Dtype, shape and offsets that a tensor's entry says.
    "negative": ("F32", [-4], [0, 16]), "2^62": ("F32", [2**62, 2**62], [0, 16]),
    "reversed": ("F32", [4], [16, 0]), "far": ("F32", [4], [2**60, 2**60 + 16]),
    "an odd dtype": ("X9", [4], [0, 16]), "text": ("F32", "4", [0, 16]),
}
EDITS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "NaN": lambda t: torch.full_like(t, torch.nan),
    "infinity": lambda t: torch.full_like(t, -torch.inf),
    "1e38": lambda t: torch.full_like(t, 1e38), "longer": lambda t: torch.cat([t, t]),
    "shorter": lambda t: t[:0], "scalar": lambda t: t.flatten()[0], "more axes": lambda t: t[None],
    "float64": lambda t: t.double(), "float16": lambda t: t.half(),
    "bfloat16": lambda t: t.bfloat16(), "int64": lambda t: t.long(), "int8": lambda t: t.char(),
    "uint8": lambda t: t.byte(), "bool": lambda t: t.bool(),
}
LINKS = {
    "nowhere": "gone", "a device": "/dev/zero", "passwd": "/etc/passwd", "the root": "/",
}
NAMES = (
    "cars-stylegan2-64/../..", "user/../../x", "user/repo@../..", "user/repo@", "C:\\x", "@main",
    "~", "zoo/..",
)
# fmt: on

Spoil = Callable[[Path], object]  # Of a folder.


@dataclass(frozen=True)
class Case:
    """A folder to spoil and load, or a name to load."""

    name: str
    group: str
    family: str = ""
    spoil: Spoil | None = None
    source: Any = None


def tiny(folder: Path) -> dict[str, Path]:
    """A folder of each family, saved by the library."""
    torch.manual_seed(0)
    small = {"base_channels": 4, "max_channels": 8}
    made = (
        genmodels.DCGANPipeline(dcgan.Generator(16, z_dim=4, **small)),
        genmodels.StyleGAN2Pipeline(stylegan2.Generator(16, 4, 4, **small)),
        genmodels.Pix2PixPipeline(pix2pix.Generator(3, 3, levels=3, **small), "rgb"),
        genmodels.AutoencoderPipeline(autoencoder.Generator(3, 3, base_channels=8), "rgb"),
        genmodels.SinGANPipeline.fit(PHOTO, max_size=48, epochs=2),
    )
    for name, pipeline in zip(FAMILIES, made, strict=True):
        pipeline.save_pretrained(folder / name)
    return {name: folder / name for name in FAMILIES}


def every(seed: int) -> Iterator[Case]:
    """All of them; the same for a seed."""
    for family in FAMILIES:
        rng = random.Random(f"{seed} {family}")
        ways = {
            pipelines.INDEX: _json(pipelines.INDEX, rng),
            CONFIG: _json(CONFIG, rng),
            WEIGHTS: _weights(rng),
        }
        for file, found in ways.items():
            for name, spoil in (*found, *_kinds(file)):
                kind = re.sub(r"\d+|=.*", "", name)
                yield Case(f"{family} {file} {name}", f"{file} {kind}", family, spoil)
    sources = values.TEXTS | values.OTHERS | {name: name for name in NAMES} | {"7": 7}
    del sources["a repo"]  # Which may exist.
    for name, source in sources.items():
        yield Case(f"load {name}", "load", source=source)


def _json(file: str, rng: random.Random) -> Iterator[tuple[str, Spoil]]:
    """Texts in place of JSON, and keys with bad values, without, and more."""
    for name, text in TEXTS.items():
        yield name, lambda at, text=text: (at / file).write_bytes(text.encode("latin-1", "replace"))
    for number in range(40):  # Which key it is shows when there is a folder.
        name = rng.choice(sorted(VALUES))
        yield f"key {number} = {name}", partial(_set, file, rng.random(), VALUES[name])
    for number in range(4):
        yield f"without key {number}", partial(_set, file, rng.random(), ...)
    for key, value in KEYS.items():
        yield f"with {key}", partial(_set, file, key, value)


def _set(file: str, which: float | str, value: Any, at: Path) -> None:
    content = json.loads((at / file).read_text())
    key = which if isinstance(which, str) else sorted(content)[int(which * len(content))]
    content[key] = value
    if value is ...:
        del content[key]
    (at / file).write_text(json.dumps(content))


def _weights(rng: random.Random) -> Iterator[tuple[str, Spoil]]:
    """Bytes that are no safetensors, and tensors that are not those of the network."""
    contents = dict(DATA)
    for name, (dtype, shape, offsets) in HEADERS.items():
        entry = {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}
        text = json.dumps(entry).encode()
        contents[f"a header {name}"] = struct.pack("<Q", len(text)) + text + bytes(16)
    for name, content in contents.items():
        yield name, lambda at, content=content: (at / WEIGHTS).write_bytes(content)
    for share in (0.01, 0.3, 0.7, 0.99):
        yield f"cut at {share}", partial(_damage, lambda c, share=share: c[: int(len(c) * share)])
    for place in (rng.randrange(2000) for _ in range(6)):
        flip = lambda c, i=place: c[:i] + bytes([c[i] ^ 0x5A]) + c[i + 1 :]  # noqa: E731
        yield f"flipped {place}", partial(_damage, flip)
    for name, edit in EDITS.items():
        yield f"one {name}", partial(_edit, rng.random(), edit)
        yield f"all {name}", partial(_edit, None, edit)
    for name in ("x", "", "x" * 5000, "../x", "a\nb"):
        yield f"with a tensor {name[:9]!r}", partial(_add, name)


def _damage(change: Callable[[bytes], bytes], at: Path) -> None:
    (at / WEIGHTS).write_bytes(change((at / WEIGHTS).read_bytes()))


def _edit(which: float | None, edit: Callable[[torch.Tensor], torch.Tensor], at: Path) -> None:
    state = {name: tensor.clone() for name, tensor in load_file(at / WEIGHTS).items()}
    names = sorted(name for name in state if state[name].ndim)
    for name in names if which is None else [names[int(which * len(names))]]:
        state[name] = edit(state[name]).contiguous()
    save_file(state, at / WEIGHTS)


def _add(name: str, at: Path) -> None:
    state = {key: tensor.clone() for key, tensor in load_file(at / WEIGHTS).items()}
    save_file(state | {name: torch.zeros(1)}, at / WEIGHTS)


def _kinds(file: str) -> Iterator[tuple[str, Spoil]]:
    """Something other than a file of one's own in its place."""
    make: dict[str, Callable[[Path], object]] = {
        "gone": lambda path: None,
        "a folder": Path.mkdir,
        "a pipe": os.mkfifo,
        "a link to itself": lambda path: path.symlink_to(path.name),
    }
    make |= {f"a link to {k}": lambda path, to=to: path.symlink_to(to) for k, to in LINKS.items()}
    for name, one in make.items():
        yield name, lambda at, one=one: ((at / file).unlink(), one(at / file))


def tried(case: Case, source: Any) -> Iterator[Finding]:
    """What is wrong with how it is taken or refused."""
    start, before = time.monotonic(), psutil.Process().memory_info().rss
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        pipeline = genmodels.load(source)
        is_translator = hasattr(pipeline.config, "predicts")
        (pipeline(PHOTO) if is_translator else pipeline(1, seed=0)).images[0].load()
    except ValueError as error:
        yield from of_message(case.name, str(error), case.name)
    except _Late:
        yield Finding("hang", case.name, case.name, f"{time.monotonic() - start:.0f} s")
    except Exception as error:  # Whatever else it is, nobody should see it.
        told = f"{type(error).__name__}: {error}"
        yield Finding("unhandled", case.name, case.name, told[:500])
    finally:
        signal.alarm(0)
    grown = (psutil.Process().memory_info().rss - before) / 1e6
    if grown > MAX_GROWTH_MB:
        yield Finding("memory", case.name, case.name, f"{grown:.0f} MB more")


class _Late(BaseException):
    """No `except Exception` on the way may catch it."""


def _late(*_: object) -> None:
    raise _Late
