"""genmodels: small generative models that people train on images of their own, and show to others.

`genmodels.load(...)` is the door. Importing this costs nothing: torch and diffusers come with the
first name that needs them (PEP 562).
"""

import importlib
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch, whoever imports that.)

__version__ = "0.4.0"

_LAZY = {
    "load": "genmodels.hub.loading",
    "replay": "genmodels.hub.recipe",
    "list_models": "genmodels.zoo",
    "AutoencoderPipeline": "genmodels.pipelines.pipeline_autoencoder",
    "DCGANPipeline": "genmodels.pipelines.pipeline_dcgan",
    "NVAEPipeline": "genmodels.pipelines.pipeline_nvae",
    "PatchPipeline": "genmodels.pipelines.pipeline_patches",
    "Pix2PixPipeline": "genmodels.pipelines.pipeline_pix2pix",
    "SinGANPipeline": "genmodels.pipelines.pipeline_singan",
    "StyleGAN2Pipeline": "genmodels.pipelines.pipeline_stylegan2",
    "UpscalerPipeline": "genmodels.pipelines.pipeline_upscaler",
}

_MODULES = {
    "doctor": "genmodels.doctor",
    "images": "genmodels.data.images",
    "metrics": "genmodels.metrics",
}

__all__ = [
    "AutoencoderPipeline",
    "DCGANPipeline",
    "NVAEPipeline",
    "PatchPipeline",
    "Pix2PixPipeline",
    "SinGANPipeline",
    "StyleGAN2Pipeline",
    "UpscalerPipeline",
    "__version__",
    "doctor",
    "images",
    "list_models",
    "load",
    "metrics",
    "replay",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'genmodels' has no attribute {name!r}")
