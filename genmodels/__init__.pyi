"""What editors and type checkers see of `genmodels`, whose names come with their first use."""

from pathlib import Path
from typing import Literal, overload

from genmodels import doctor as doctor
from genmodels import metrics as metrics
from genmodels.data import images as images
from genmodels.hub.pipelines import ImagePipeline
from genmodels.hub.recipe import replay as replay
from genmodels.pipelines.pipeline_autoencoder import AutoencoderPipeline as AutoencoderPipeline
from genmodels.pipelines.pipeline_dcgan import DCGANPipeline as DCGANPipeline
from genmodels.pipelines.pipeline_nvae import NVAEPipeline as NVAEPipeline
from genmodels.pipelines.pipeline_patches import PatchPipeline as PatchPipeline
from genmodels.pipelines.pipeline_pix2pix import Pix2PixPipeline as Pix2PixPipeline
from genmodels.pipelines.pipeline_singan import SinGANPipeline as SinGANPipeline
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline as StyleGAN2Pipeline
from genmodels.pipelines.pipeline_upscaler import UpscalerPipeline as UpscalerPipeline
from genmodels.zoo import list_models as list_models

__version__: str

@overload
def load(source: Literal["patches"]) -> PatchPipeline: ...
@overload
def load(source: Literal["anime-dcgan-64", "cars-dcgan-64"]) -> DCGANPipeline: ...
@overload
def load(
    source: Literal["cars-stylegan2-64", "cars-stylegan2-studio-64"],
) -> StyleGAN2Pipeline: ...
@overload
def load(
    source: Literal["colorize-pix2pix-128", "comic-pix2pix-128", "monet-pix2pix-128"],
) -> Pix2PixPipeline: ...
@overload
def load(
    source: Literal["colorize-autoencoder-128", "comic-autoencoder-128", "monet-autoencoder-128"],
) -> AutoencoderPipeline: ...
@overload
def load(source: Literal["upscaler-x4"]) -> UpscalerPipeline: ...
@overload
def load(
    source: str | Path, *, revision: str | None = None, token: str | None = None
) -> ImagePipeline: ...
