"""Train DCGAN (Radford et al. 2015) on a folder of images.

    accelerate launch training/train_dcgan.py --data photos/ --out runs/mine --resolution 64

The same command again resumes. Everything lands in --out.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro
from torch.optim import Adam

from genmodels.hub.pipelines import HubPipeline
from genmodels.models import dcgan
from genmodels.nn import losses
from genmodels.nn.augment import classical_augment, diff_augment
from genmodels.nn.ema import EMA
from genmodels.pipelines.pipeline_dcgan import DCGANPipeline
from training.publish.hub_repo import publish
from training.publish.samples import SampleEvaluation
from training.runs import gan
from training.runs.run import Run
from training.runs.snapshots import Networks, Snapshots


@dataclass(frozen=True, kw_only=True)
class Config(gan.GanConfig):
    """Flags of DCGAN training; the defaults are the paper's, except for the augmentation."""

    tunable: ClassVar = gan.GanConfig.tunable | {"lr", "augment", "ema_halflife_images"}

    z_dim: int = 100  # Length of the latent vector.
    base_channels: int = 64  # Channels at full resolution; doubled at every downsampling ...
    max_channels: int = 1024  # ... up to this many.
    batch_size: int = 64  # Images per update.
    lr: float = 2e-4  # Learning rate of Adam, both networks.
    beta1: float = 0.5  # Adam beta1.
    augment: Literal["none", "classical", "diffaugment"] = "diffaugment"  # "classical" leaks.
    ema_halflife_images: float = 5_000  # Half-life of the EMA weights, which are published.
    init_from: str | None = None  # Fine-tune this model: a zoo name, a folder or "user/repo".


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = Run(config)
    torch.manual_seed(config.seed)
    size = {"base_channels": config.base_channels, "max_channels": config.max_channels}
    G = dcgan.Generator(config.resolution, config.z_dim, **size)
    D = dcgan.Discriminator(config.resolution, **size)
    if config.init_from:
        run.copy_weights(config.init_from, generator=G, discriminator=D)
    ema = EMA(G, config.ema_halflife_images)
    opt_G, opt_D = (
        Adam(network.parameters(), config.lr, betas=(config.beta1, 0.999)) for network in (G, D)
    )
    run.resume(G=G, D=D, ema=ema.model, opt_G=opt_G, opt_D=opt_D)
    gan.forecast(run, G, D, config.z_dim)
    z_fixed, _ = gan.fixed_latents(run, 64, config.z_dim)

    def augment(images: torch.Tensor) -> torch.Tensor:
        return diff_augment(images) if config.augment == "diffaugment" else images

    def logits(images: torch.Tensor) -> torch.Tensor:
        return copy.deepcopy(D)(augment(images))  # Its BatchNorm must not remember these.

    snapshots = Snapshots(
        run, config.snapshot_images, {}, logits, gives_up=config.on_alarm == "stop"
    )
    for step in run.steps():
        # Discriminator: real up, fake down, in batches of their own (BatchNorm sees each alone).
        opt_D.zero_grad()
        for batch in run.micro_batches(step, "D"):
            real = classical_augment(batch.real) if config.augment == "classical" else batch.real
            with run.accelerator.autocast():
                with torch.no_grad():
                    fake = G(batch.noise(config.z_dim))
                real_logits = D(augment(real))
                fake_logits = D(augment(fake))
            loss_D = losses.bce_d(real_logits.float(), fake_logits.float())
            run.backward(loss_D)
            run.note(loss_D=loss_D, r_t=real_logits.sign())
        run.average(D)
        opt_D.step()

        # Generator: fake up.
        opt_G.zero_grad()
        D.requires_grad_(False)
        for batch in run.micro_batches(step, "G"):
            with run.accelerator.autocast():
                fake_logits = D(augment(G(batch.noise(config.z_dim))))
            loss_G = losses.non_saturating_g(fake_logits.float())
            run.backward(loss_G)
            run.note(loss_G=loss_G)
        D.requires_grad_(True)
        run.average(G)
        opt_G.step()
        ema.update(G, config.batch_size, run.images_seen)

        run.end_step()
        if snapshots.is_due:
            snapshots.judge(DCGANPipeline(ema.model), {"discriminator": D})
        if run.is_save_due:
            with torch.no_grad():
                run.save(ema.model(z_fixed))

    if run.is_finished:
        pipeline: HubPipeline = DCGANPipeline(ema.model)
        networks: Networks = {"discriminator": D}
        snapshot = None
        if run.is_given_up:  # Else the last state counts, as in the paper.
            pipeline, networks, snapshot = snapshots.choose(pipeline, networks)
        publish(run, pipeline, SampleEvaluation(run, None, snapshot), extra_networks=networks)


if __name__ == "__main__":
    train(tyro.cli(Config))
