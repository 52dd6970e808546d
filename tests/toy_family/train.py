"""Train the linear generator on a folder of images.

accelerate launch training/train_linear.py --data photos/ --out runs/mine
"""

from dataclasses import dataclass

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro
from torch.optim import Adam

from genmodels.models import linear
from genmodels.pipelines.pipeline_linear import LinearPipeline
from training.publish.hub_repo import publish
from training.publish.samples import SampleEvaluation
from training.runs.run import Run, RunConfig


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Flags of the linear generator's training."""

    z_dim: int = 8  # Length of the latent vector.
    lr: float = 1e-2  # Learning rate of Adam.


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = Run(config)
    torch.manual_seed(config.seed)
    G = linear.Generator(config.resolution, config.z_dim)
    opt = Adam(G.parameters(), config.lr)
    run.resume(G=G, opt=opt)
    for step in run.steps():
        opt.zero_grad()
        for batch in run.micro_batches(step, "G"):
            z = batch.noise(config.z_dim)
            loss = (G(z) - batch.real).square().mean()
            run.backward(loss)
            run.note(loss=loss)
        run.average(G)
        opt.step()
        run.end_step()
        if run.is_save_due:
            with torch.no_grad():
                run.save(G(torch.eye(config.z_dim)))
    if run.is_finished:
        publish(run, LinearPipeline(G), SampleEvaluation(run))


if __name__ == "__main__":
    train(tyro.cli(Config))
