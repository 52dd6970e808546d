"""`load`, the door to every pipeline.

A repo is data, never code: classes come from the lists here and in `zoo.ENGINES`, a repo's own
names only select among them.
"""

import functools
import importlib
from pathlib import Path
from typing import Any

from genmodels import zoo
from genmodels.hub.checks import quoted
from genmodels.hub.pipelines import INDEX, UPSCALER, HubPipeline, ImagePipeline, class_named
from genmodels.hub.repo import known_as, read_json, resolve

# Every pipeline a repo may name, and where it lives.
PIPELINES = {
    "AutoencoderPipeline": "genmodels.pipelines.pipeline_autoencoder",
    "DCGANPipeline": "genmodels.pipelines.pipeline_dcgan",
    "NVAEPipeline": "genmodels.pipelines.pipeline_nvae",
    "Pix2PixPipeline": "genmodels.pipelines.pipeline_pix2pix",
    "SinGANPipeline": "genmodels.pipelines.pipeline_singan",
    "StyleGAN2Pipeline": "genmodels.pipelines.pipeline_stylegan2",
    "UpscalerPipeline": "genmodels.pipelines.pipeline_upscaler",
}


def load(
    source: str | Path, *, revision: str | None = None, token: str | None = None
) -> ImagePipeline:
    """The pipeline of an embedded model, a local folder, or "user/repo[@revision]", in that order.

    "patches" is the engine that needs no weights.

    Errors: ValueError when there is no such model or it is not exactly what it says it is.
    """
    if isinstance(source, str) and source in zoo.ENGINES:
        name, module = zoo.ENGINES[source]
        engine: type[ImagePipeline] = getattr(importlib.import_module(module), name)
        return engine()
    folder = resolve(source, revision=revision, token=token)
    try:
        chosen = pipeline_class(class_named(read_json(folder / INDEX)))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    pipeline = chosen.from_pretrained(folder)
    pipeline.source = known_as(source, revision)
    return pipeline


def pipeline_class(name: Any) -> type[HubPipeline]:
    """The class that a repo names, which must be one of those in this file."""
    if not isinstance(name, str) or name not in PIPELINES:
        raise ValueError(f"pipeline must be one of {', '.join(PIPELINES)}, got {quoted(name)}")
    chosen: type[HubPipeline] = getattr(importlib.import_module(PIPELINES[name]), name)
    return chosen


def upscaler_pipeline(source: str | Path) -> ImagePipeline:
    """The UpscalerPipeline of that name; the embedded one is loaded once."""
    # That stays as it is; a folder or a repo may hold another network tomorrow.
    return _embedded_upscaler() if source == UPSCALER else _upscaler(source)


@functools.lru_cache(maxsize=1)
def _embedded_upscaler() -> ImagePipeline:
    return _upscaler(UPSCALER)


def _upscaler(source: str | Path) -> ImagePipeline:
    pipeline = load(source)
    if type(pipeline).__name__ != "UpscalerPipeline":
        raise ValueError(f"{source} must be an UpscalerPipeline, got {type(pipeline).__name__}")
    return pipeline
