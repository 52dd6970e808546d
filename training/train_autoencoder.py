"""Train the translation project's autoencoder on pairs of images, as a baseline for pix2pix.

    accelerate launch training/train_autoencoder.py --data pairs/ --out runs/mine --resolution 128

--data holds the folders source/ and target/ with equal names. The same command again resumes.
Everything lands in --out.
"""

from dataclasses import dataclass
from typing import Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import torch.nn.functional as F
import tyro
from torch.optim import Adam

from genmodels.models import autoencoder
from genmodels.nn.ema import EMA
from genmodels.pipelines.pipeline_autoencoder import AutoencoderPipeline
from training.publish.hub_repo import publish
from training.publish.paired import PairEvaluation
from training.runs.paired import PairConfig, PairRun

ERRORS = {"squared": F.mse_loss, "absolute": F.l1_loss}


@dataclass(frozen=True, kw_only=True)
class Config(PairConfig):
    """Flags of the autoencoder script."""

    error: Literal["squared", "absolute"] = "squared"  # Its mean is what is made small.
    base_channels: int = 128  # Width of the network; 128 is the project's, of 9.6 million numbers.


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = PairRun(config)
    torch.manual_seed(config.seed)
    sides = (3, 3) if config.predicts == "rgb" else (4, 2)
    G = autoencoder.Generator(*sides, base_channels=config.base_channels)
    if config.init_from:
        run.copy_weights(config.init_from, generator=G)
    ema = EMA(G, config.ema_halflife_images)
    opt_G = Adam(G.parameters(), config.lr, betas=(config.beta1, 0.999), fused=True)
    run.resume(G=G, ema=ema.model, opt_G=opt_G)
    shown, *pictures = run.shown()
    run.choose_threads(G, shown.taken)
    if run.step == 0:  # The film begins before anything is learnt.
        with torch.no_grad():
            run.save_sheet(run.sheet(ema.model(shown.taken), *pictures))

    for step in run.steps():
        run.set_rates(opt_G)
        opt_G.zero_grad()
        for batch in run.pairs(step):
            with run.accelerator.autocast():
                given = G(batch.taken)
            error = ERRORS[config.error](given.float(), batch.wanted)
            run.backward(error)
            run.note(error=error)
        run.average(G)
        opt_G.step()
        ema.update(G, config.batch_size, run.images_seen)

        run.end_step()
        if run.is_save_due:
            with torch.no_grad():
                run.save(run.sheet(ema.model(shown.taken), *pictures))

    if run.is_finished:
        publish(run, AutoencoderPipeline(ema.model, **config.published), PairEvaluation(run))


if __name__ == "__main__":
    train(tyro.cli(Config))
