"""Train NVAE (Vahdat & Kautz 2020) on a folder of images, on condition of their labels.

    accelerate launch training/train_nvae.py --data faces/ --out runs/mine --conditions gender age

--latents "1:1x128" makes it a plain conditional VAE, a baseline. The same command again resumes.
Everything lands in --out: the averaged network in --out/model, which `genmodels.load` opens.
"""

import copy
from dataclasses import dataclass
from typing import Any

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro
from torch import Tensor, nn
from torch.optim import Adamax

from genmodels.models.nvae import NVAE, TEMPERATURES
from genmodels.nn import logistic
from genmodels.nn.ema import EMA
from genmodels.nn.spectral import SpectralPenalty
from genmodels.pipelines.pipeline_nvae import NVAEPipeline
from training.runs import variational
from training.runs.run import mix
from training.runs.variational import SafeStep, VariationalConfig, VariationalRun


@dataclass(frozen=True, kw_only=True)
class Config(VariationalConfig):
    """Flags of the NVAE script; the defaults train at 64 px on one CPU core."""

    latents: str = "4:2x16 8:3x12 16:2x8 32:1x4"  # Side:groups x channels, coarse to fine.
    base_channels: int = 16  # Channels at the image's side; doubles at every halving ...
    max_channels: int = 96  # ... up to this many.
    encoder_cells: int = 1  # Residual cells of the encoder at each side.
    mixture: int = 1  # Components of the likelihood, 1 to 10.
    lr: float = 4e-3  # Of Adamax, once warm.
    lr_warmup_steps: int = 300  # The rate rises over these.
    decay_from: float = 0.5  # From this part of the steps on the rate falls, to a fortieth.
    weight_decay: float = 3e-4  # Of convolutions and linear layers.
    beta: float = 1.0  # Weight of the KL once warm; above 1 samples gain and copies lose.
    kl_warmup_images: int = 100_000  # Over these the KL's weight rises from 0.
    spectral_weight: float = 0.1  # Of the convolutions' spectral norms, in nats of a whole image.
    max_norm: float = 20.0  # Of the gradient, beyond which it is shortened ...
    skip_norm: float = 200.0  # ... and beyond which the step is left out.
    ema_halflife_images: float = 5_000  # Half-life of the published average.
    temperature: float = 0.7  # Of the samples on the sheets, one of those that are kept.
    calibration_passes: int = 50  # Of 16 samples, for the statistics of each temperature.


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = VariationalRun(config, conditions=config.conditions)
    torch.manual_seed(config.seed)
    G = NVAE(
        config.resolution,
        run.c_dim,
        config.latents,
        config.base_channels,
        config.max_channels,
        config.encoder_cells,
        config.mixture,
    )
    ema = EMA(G, config.ema_halflife_images)
    spectral = SpectralPenalty(G)
    safe = SafeStep(config.max_norm, config.skip_norm)
    opt_G = Adamax(_groups(G, config.weight_decay), config.lr)
    run.resume(G=G, ema=ema.model, spectral=spectral, safe=safe, opt_G=opt_G)
    image_shape = (3, config.resolution, config.resolution)
    dims = 3 * config.resolution**2
    sizes = torch.tensor([group.size for level in G.levels for group in level.groups])
    sizes = sizes.float().to(run.device)
    run.print(f"{sum(p.numel() for p in G.parameters()) / 1e6:.2f} million parameters")

    for step in run.steps():
        for group in opt_G.param_groups:
            settings = (config.lr, config.lr_warmup_steps, config.decay_from)
            group["lr"] = variational.rate(step, config.steps, *settings)
        warmth = min(1.0, run.images_seen / max(config.kl_warmup_images, 1))
        noted = []
        opt_G.zero_grad()
        safe.begin(G)
        for batch in run.batches(step):
            with run.accelerator.autocast():
                log_likelihood, kl, _ = G.elbo(batch.image, batch.c)
            weights = variational.kl_weights(kl, sizes, warmth)
            penalty = config.beta * max(warmth, 1e-4) * (kl * weights).sum(1)
            loss = (penalty - log_likelihood).mean() + config.spectral_weight * spectral()
            run.backward(loss / dims)
            figures = {"kl_bpd": kl.detach().sum(1), "nll_bpd": -log_likelihood.detach()}
            bits = {
                name: logistic.bits_per_dim(nats, image_shape) for name, nats in figures.items()
            }
            used = (kl.detach().mean(0) > 0.01 * sizes).float()
            noted.append(bits | {"bpd": bits["kl_bpd"] + bits["nll_bpd"], "used_groups": used})
        run.average(G)
        is_safe, norm = safe.end(G, opt_G)
        if is_safe:
            ema.update(G, config.batch_size, run.images_seen)
            for each in noted:
                run.note(**each, norm=norm)
        run.note(skipped=safe.skipped)
        if (step + 1) % config.save_every == 0:
            run.note(train_bpd=bits_per_dim(run, ema.model, run.data))
            if len(run.held_out):
                run.note(held_out_bpd=bits_per_dim(run, ema.model, run.held_out))

        run.end_step()
        if run.is_save_due:
            run.save(sheet(run, calibrated(run, ema.model, config.temperature)))

    if run.is_finished and run.is_main:
        network = calibrated(run, ema.model, *TEMPERATURES)
        pipeline = NVAEPipeline(network, conditions=run.schema or None)
        pipeline.save_pretrained(config.out / "model")


def bits_per_dim(run: VariationalRun, network: NVAE, folder: object) -> Tensor:
    """The bound on some of the folder's images, in bits per channel of a pixel; one sample each."""
    torch.manual_seed(mix(run.config.seed, "measured"))
    bits = []
    with torch.no_grad():
        for batch in run.measured(folder):
            log_likelihood, kl, _ = network.elbo(batch.image, batch.c)
            bits.append(logistic.bits_per_dim(kl.sum(1) - log_likelihood, batch.image.shape[1:]))
    return torch.cat(bits).mean()


def calibrated(run: VariationalRun, network: NVAE, *temperatures: float) -> NVAE:
    """A copy of the network with BatchNorm statistics of these temperatures."""
    found = copy.deepcopy(network)
    found.calibrate(run.drawn_c, temperatures, passes=run.config.calibration_passes)
    return found


def sheet(run: VariationalRun, network: NVAE) -> Tensor:
    """A row of images, a row of their reconstructions, six rows of samples: [64, 3, R, R]."""
    temperature = run.config.temperature
    rng = torch.Generator().manual_seed(mix(run.config.seed, "fixed"))
    shown = run.shown()
    noise = temperature * torch.randn(48, network.z_dim, generator=rng).to(run.device)
    c = run.drawn_c(48, rng)
    with torch.no_grad():
        again = network(network.encode(shown.image, shown.c), shown.c)
        return torch.cat([shown.image, again, network(noise, c, temperature)])


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters with weight decay, and those that only scale or shift, without."""
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in network.parameters():
        parts[parameter.ndim > 1].append(parameter)
    return [
        {"params": parts[True], "weight_decay": weight_decay},
        {"params": parts[False], "weight_decay": 0.0},
    ]


if __name__ == "__main__":
    train(tyro.cli(Config))
