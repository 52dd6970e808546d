"""Train a translation without pairs: contrastive unpaired translation (Park et al. 2020).

    accelerate launch training/train_unpaired.py --data photos/ --targets paintings/ --out runs/mine

The discriminator judges whether a picture is one of --targets; PatchNCE holds every place to what
was there (arXiv:2007.15651). The same command again resumes. Everything lands in --out, and what is
published is a pix2pix generator like any other. With --init-from it starts as one that was taught
by pairs.

Departs from the paper: pix2pix' U-Net, and both networks take their step from the same forward
pass.
"""

from dataclasses import dataclass
from typing import ClassVar

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro
from torch.optim import Adam

from genmodels.models import pix2pix
from genmodels.nn import losses
from genmodels.nn.ema import EMA
from genmodels.pipelines.pipeline_pix2pix import Pix2PixPipeline
from training.critics.patch_nce import PatchNCE
from training.publish.hub_repo import publish
from training.publish.unpaired import UnpairedEvaluation
from training.runs.unpaired import UnpairedConfig, UnpairedRun


@dataclass(frozen=True, kw_only=True)
class Config(UnpairedConfig):
    """Flags of unpaired training."""

    tunable: ClassVar = UnpairedConfig.tunable | {"r1_gamma"}

    levels: int = 6  # Downsampling layers of the generator.
    base_channels: int = 32  # Channels at full resolution; doubled at every downsampling ...
    max_channels: int = 192  # ... up to this many.
    receptive_field: int = 34  # Pixels per discriminator output: 16, 34, 70, 142, 286.
    d_base_channels: int = 32  # Channels of the discriminator's first layer.
    content_weight: float = 1.0  # Weight of PatchNCE between source and translation.
    identity_weight: float = 1.0  # Weight of PatchNCE on targets, which should not change.
    r1_gamma: float = 10.0  # R1 penalty at targets; 0 = none.
    r1_every: int = 8  # Steps between R1 penalties, which are scaled accordingly.

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weights("content_weight", "identity_weight", "r1_gamma")
        if self.r1_every < 1:
            raise ValueError(f"r1_every must be 1 or more, got {self.r1_every}")


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = UnpairedRun(config)
    torch.manual_seed(config.seed)
    G = pix2pix.Generator(
        levels=config.levels,
        base_channels=config.base_channels,
        max_channels=config.max_channels,
    )
    D = pix2pix.Discriminator(
        3, base_channels=config.d_base_channels, receptive_field=config.receptive_field
    )
    nce = PatchNCE(G)
    if config.init_from:
        run.copy_weights(config.init_from, generator=G)
    ema = EMA(G, config.ema_halflife_images)
    opt_G, opt_D, opt_nce = (
        Adam(network.parameters(), config.lr, betas=(config.beta1, 0.999), fused=True)
        for network in (G, D, nce)
    )
    run.resume(G=G, D=D, nce=nce, ema=ema.model, opt_G=opt_G, opt_D=opt_D, opt_nce=opt_nce)
    shown = run.shown()
    taken = run.taken(shown)
    run.choose_threads(G, taken)
    if run.step == 0:  # The film begins before anything is learnt.
        with torch.no_grad():
            run.save_sheet(torch.cat([shown, ema.model(taken)]))

    for step in run.steps():
        run.set_rates(opt_G, opt_D, opt_nce)
        for optimizer in (opt_G, opt_D, opt_nce):
            optimizer.zero_grad()
        for batch in run.batches(step):
            # Generator: fake up, and every place still what it was.
            D.requires_grad_(False)
            with run.accelerator.autocast():
                fake, same = G(batch.taken).chunk(2)
                fake_logits = judge(D, fake)
                content = nce(G, batch.source, fake)
                identity = nce(G, batch.target, same)
            adversarial = losses.least_squares_g(fake_logits.float())
            held = config.content_weight * content + config.identity_weight * identity
            run.backward(adversarial + held)
            # Discriminator: targets up, fake down.
            D.requires_grad_(True)
            is_held = config.r1_gamma > 0 and step % config.r1_every == 0
            real = batch.target.requires_grad_(is_held)
            with run.accelerator.autocast():
                real_logits, fake_logits = judge(D, real), judge(D, fake.detach())
            loss_D = losses.least_squares_d(real_logits.float(), fake_logits.float())
            run.note(loss_D=loss_D, adversarial=adversarial, content=content, identity=identity)
            if is_held:
                r1 = losses.r1_penalty(real_logits.float().mean(dim=(1, 2, 3)), real)
                loss_D = loss_D + config.r1_gamma / 2 * config.r1_every * r1
                run.note(r1=r1)
            run.backward(loss_D)
        for network, optimizer in ((G, opt_G), (nce, opt_nce), (D, opt_D)):
            run.average(network)
            optimizer.step()
        ema.update(G, config.batch_size, run.images_seen)

        run.end_step()
        if run.is_save_due:
            with torch.no_grad():
                run.save(torch.cat([shown, ema.model(taken)]))

    if run.is_finished:
        pipeline, networks = Pix2PixPipeline(ema.model, **config.published), {"discriminator": D}
        publish(run, pipeline, UnpairedEvaluation(run), extra_networks=networks)


def judge(D: pix2pix.Discriminator, image: torch.Tensor) -> torch.Tensor:
    """Logits of an image alone, [N, 1, h, w]: beside a source of no channels."""
    return D(image[:, :0], image)


if __name__ == "__main__":
    train(tyro.cli(Config))
