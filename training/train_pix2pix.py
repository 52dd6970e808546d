"""Train pix2pix (Isola et al. 2017) on pairs of images.

    accelerate launch training/train_pix2pix.py --data pairs/ --out runs/mine --resolution 128

--data holds the folders source/ and target/ with equal names. The same command again resumes.
Everything lands in --out.

Departs from the paper: both networks take their step from the same forward pass, so that each sees
the other as it was before; least squares instead of cross-entropy; a network without statistics of
the batch or the image. The paper's own: --norm instance --up transposed --dropout 0.5 --levels 8
--base-channels 64 --max-channels 512 --receptive-field 70 --d-base-channels 64 --resolution 256
--batch-size 1.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import torch.nn.functional as F
import tyro
from torch.optim import Adam

from genmodels.models import pix2pix
from genmodels.nn import losses
from genmodels.nn.ema import EMA
from genmodels.pipelines.pipeline_pix2pix import Pix2PixPipeline
from training.publish.hub_repo import publish
from training.publish.paired import PairEvaluation
from training.runs.paired import PairConfig, PairRun


@dataclass(frozen=True, kw_only=True)
class Config(PairConfig):
    """Flags of pix2pix training."""

    tunable: ClassVar = PairConfig.tunable | {
        "pixel_weight",
        "texture_weight",
        "adversarial_weight",
        "r1_gamma",
    }

    levels: int = 6  # Downsampling layers of the generator.
    base_channels: int = 32  # Channels at full resolution; doubled at every downsampling ...
    max_channels: int = 192  # ... up to this many.
    norm: Literal["layer", "instance", "batch"] = "layer"  # Normalisation layers of the generator.
    up: Literal["resize", "transposed"] = "resize"  # Upsampling of the generator.
    dropout: float = 0.0  # Dropout in its three deepest upsampling layers.
    receptive_field: int = 34  # Pixels per discriminator output: 16, 34, 70, 142, 286.
    d_base_channels: int = 32  # Channels of the discriminator's first layer.
    pixel_weight: float = 100.0  # Weight of the L1 loss.
    pixel_average: int = 1  # Side of squares averaged before the L1 loss; 1 = pixels.
    texture_weight: float = 0.0  # Weight of the distance between sets of patches, in any order.
    adversarial_weight: float = 1.0  # Adversarial loss; 0 trains without a discriminator.
    r1_gamma: float = 0.0  # R1 penalty at targets, for small data sets; 0 = none.
    r1_every: int = 8  # Steps between R1 penalties, which are scaled accordingly.

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.pixel_average <= self.resolution:
            raise ValueError(
                f"pixel_average must be from 1 to {self.resolution}, got {self.pixel_average}"
            )
        self.check_weights("pixel_weight", "texture_weight", "adversarial_weight", "r1_gamma")
        if self.r1_every < 1:
            raise ValueError(f"r1_every must be 1 or more, got {self.r1_every}")


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = PairRun(config)
    torch.manual_seed(config.seed)
    c_in, c_out = (3, 3) if config.predicts == "rgb" else (4, 2)
    G = pix2pix.Generator(
        c_in,
        c_out,
        levels=config.levels,
        base_channels=config.base_channels,
        max_channels=config.max_channels,
        norm=config.norm,
        up=config.up,
        dropout=config.dropout,
    )
    D = pix2pix.Discriminator(
        c_in + c_out,
        base_channels=config.d_base_channels,
        receptive_field=config.receptive_field,
    )
    if config.init_from:
        run.copy_weights(config.init_from, generator=G)
        if config.adversarial_weight:
            run.copy_weights(config.init_from, discriminator=D)
    ema = EMA(G, config.ema_halflife_images)
    opt_G, opt_D = (
        Adam(network.parameters(), config.lr, betas=(config.beta1, 0.999), fused=True)
        for network in (G, D)
    )
    run.resume(G=G, D=D, ema=ema.model, opt_G=opt_G, opt_D=opt_D)
    shown, *pictures = run.shown()
    run.choose_threads(G, shown.taken)
    if run.step == 0:  # The film begins before anything is learnt.
        with torch.no_grad():
            run.save_sheet(run.sheet(ema.model(shown.taken), *pictures))

    for step in run.steps():
        run.set_rates(opt_G, opt_D)
        opt_G.zero_grad()
        opt_D.zero_grad()
        for batch in run.pairs(step):
            with run.accelerator.autocast():
                fake = G(batch.taken)
            coarse, wanted = (
                F.avg_pool2d(x, config.pixel_average) for x in (fake.float(), batch.wanted)
            )
            pixels = F.l1_loss(coarse, wanted)
            loss_G = config.pixel_weight * pixels
            if config.texture_weight:
                texture = losses.texture_distance(fake.float(), batch.wanted)
                loss_G = loss_G + config.texture_weight * texture
                run.note(texture=texture)
            if config.adversarial_weight:
                # Generator: the pair of source and fake up.
                D.requires_grad_(False)
                with run.accelerator.autocast():
                    fake_logits = D(batch.taken, fake)
                adversarial = losses.least_squares_g(fake_logits.float())
                loss_G = loss_G + config.adversarial_weight * adversarial
                D.requires_grad_(True)
                # Discriminator: source and target up, source and fake down.
                is_held = config.r1_gamma > 0 and step % config.r1_every == 0
                real = batch.wanted.requires_grad_(is_held)
                with run.accelerator.autocast():
                    real_logits = D(batch.taken, real)
                    fake_logits = D(batch.taken, fake.detach())
                loss_D = losses.least_squares_d(real_logits.float(), fake_logits.float())
                run.note(loss_D=loss_D, adversarial=adversarial)
                if is_held:
                    r1 = losses.r1_penalty(real_logits.float().mean(dim=(1, 2, 3)), real)
                    loss_D = loss_D + config.r1_gamma / 2 * config.r1_every * r1
                    run.note(r1=r1)
                run.backward(loss_D)
            run.backward(loss_G)
            run.note(pixels=pixels)
        run.average(G)
        opt_G.step()
        if config.adversarial_weight:
            run.average(D)
            opt_D.step()
        ema.update(G, config.batch_size, run.images_seen)

        run.end_step()
        if run.is_save_due:
            with torch.no_grad():
                run.save(run.sheet(ema.model(shown.taken), *pictures))

    if run.is_finished:
        pipeline = Pix2PixPipeline(ema.model, **config.published)
        networks = {"discriminator": D} if config.adversarial_weight else {}
        publish(run, pipeline, PairEvaluation(run), extra_networks=networks)


if __name__ == "__main__":
    train(tyro.cli(Config))
