"""A toy pipeline of every family, for what has to hold of all: a new family adds one here."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch

from genmodels.data import images
from genmodels.models import autoencoder, dcgan, nvae, pix2pix, stylegan2, upscaler
from genmodels.models.singan import networks
from genmodels.pipelines.pipeline_autoencoder import AutoencoderPipeline
from genmodels.pipelines.pipeline_dcgan import DCGANPipeline
from genmodels.pipelines.pipeline_nvae import NVAEPipeline
from genmodels.pipelines.pipeline_patches import PatchPipeline
from genmodels.pipelines.pipeline_pix2pix import Pix2PixPipeline
from genmodels.pipelines.pipeline_singan import SinGANPipeline
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline
from genmodels.pipelines.pipeline_upscaler import UpscalerPipeline

SCHEMA = {
    "body": {"values": ["sedan", "suv"], "counts": [3, 2]},
    "year": {"mean": 2000.0, "std": 5.0, "min": 1990, "max": 2012},
}


def photo():
    """24 x 20 pixels with shapes of several sizes."""
    rng = torch.Generator().manual_seed(1)
    small = torch.rand(1, 3, 5, 6, generator=rng, dtype=torch.float32) * 2 - 1
    wide = torch.nn.functional.interpolate(small, (20, 24), mode="bicubic").clamp(-1, 1)
    return images.to_pil(wide)[0]


def _dcgan():
    return DCGANPipeline(dcgan.Generator(resolution=16, z_dim=8, base_channels=4, max_channels=8))


def _stylegan2():
    size = {"resolution": 16, "z_dim": 8, "w_dim": 8, "base_channels": 4, "max_channels": 8}
    return StyleGAN2Pipeline(stylegan2.Generator(c_dim=3, **size), conditions=SCHEMA)


def _nvae():
    size = {"resolution": 16, "latents": "4:1x2 8:1x1", "base_channels": 4, "max_channels": 8}
    return NVAEPipeline(nvae.NVAE(c_dim=5, **size), conditions=SCHEMA)


def _pix2pix():
    net = pix2pix.Generator(levels=3, base_channels=4, max_channels=8, norm="batch", dropout=0.5)
    return Pix2PixPipeline(net, network_size=16, grain=0.2)


def _autoencoder():
    return AutoencoderPipeline(autoencoder.Generator(base_channels=8, dropout=0.5))


def _singan():
    net = networks.SinGAN([[20, 26], [26, 34]], [4, 4])
    net.noise_amps.copy_(torch.tensor([1.0, 0.3]))
    return SinGANPipeline(net)


def _upscaler():
    return UpscalerPipeline(upscaler.Generator(scale=2, num_layers=2, channels=4))


@dataclass(frozen=True)
class Family:
    """One family's pipeline at toy size, and how it is called."""

    build: Callable  # Makes the pipeline, with weights from torch's global source.
    settings: dict  # Of a call, beside the seed.
    takes_picture: bool = False  # Whether it draws from one.
    has_network: bool = True
    inputs: Callable | None = None  # What its network takes, as arguments, for a batch of 2.
    counts: tuple[int, ...] = (1, 2, 7, 32)  # Numbers of images to try.

    def make(self, seed=0):
        """A pipeline whose every weight counts, in eval mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pipe = self.build()
            for name, tensor in (pipe.generator.state_dict() if self.has_network else {}).items():
                if tensor.is_floating_point() and not name.startswith(("noise_amps", "z_rec")):
                    noise = torch.randn(tensor.shape) * 0.1
                    tensor.add_(noise.abs() if name.endswith("running_var") else noise)
        if self.has_network:
            pipe.generator.eval()
        return pipe

    def draw(self, pipe, seed=5, image=None, **settings):
        """One or more pictures and their recipes."""
        given = [photo() if image is None else image] if self.takes_picture else []
        return pipe(*given, seed=seed, **(self.settings | settings))

    def pixels(self, pipe, **arguments):
        """The bytes of every picture."""
        return [picture.tobytes() for picture in self.draw(pipe, **arguments).images]


FAMILIES = {
    "DCGANPipeline": Family(
        _dcgan,
        {"variation_seed": 3, "variation_strength": 0.4},
        inputs=lambda: (torch.randn(2, 8),),
    ),
    "StyleGAN2Pipeline": Family(
        _stylegan2,
        {"condition": {"body": "suv"}, "mix_seed": 3, "mix_layers": (1, 2)},
        inputs=lambda: (torch.randn(2, 8), torch.randn(2, 3)),
    ),
    "NVAEPipeline": Family(
        _nvae,
        {"condition": {"body": "suv"}, "temperature": 0.75, "keep_levels": 1, "redraw_seed": 3},
        inputs=lambda: (torch.randn(2, 96), torch.randn(2, 5)),
    ),
    "Pix2PixPipeline": Family(
        _pix2pix,
        {"strength": 0.9},
        takes_picture=True,
        inputs=lambda: (torch.rand(2, 3, 16, 24) * 2 - 1,),
    ),
    "AutoencoderPipeline": Family(
        _autoencoder,
        {"strength": 0.9},
        takes_picture=True,
        inputs=lambda: (torch.rand(2, 3, 32, 32) * 2 - 1,),
    ),
    "UpscalerPipeline": Family(
        _upscaler,
        {"factor": 2},
        takes_picture=True,
        inputs=lambda: (torch.rand(2, 3, 12, 16) * 2 - 1,),
    ),
    "SinGANPipeline": Family(
        _singan,
        {"width": 30},
        inputs=lambda: ([torch.randn(2, 3, 20, 26), torch.randn(2, 3, 26, 34)],),
    ),
    "PatchPipeline": Family(
        PatchPipeline, {"width": 27}, takes_picture=True, has_network=False, counts=(1, 2, 3)
    ),
}
WITH_NETWORK = [name for name, family in FAMILIES.items() if family.has_network]
WITH_PICTURE = [name for name, family in FAMILIES.items() if family.takes_picture]


def fresh(name, pipe):
    """A new pipeline with a copy of another's weights, which has no memory of anything."""
    made = FAMILIES[name].make(seed=9)
    made.generator.load_state_dict(copy.deepcopy(pipe.generator.state_dict()))
    return made
