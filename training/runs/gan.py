"""What scripts that train a generator of latents against a discriminator share: z, G and D."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genmodels.data import images
from genmodels.data.image_folder import evenly
from training.runs.run import Run, RunConfig, mix

# Images seen -> what to expect of a few thousand photographs at 64 px. Our own runs on cars.
EXPECTATIONS = (
    (20_000, "noise turning into blobs of the right colours"),
    (60_000, "silhouettes on a ground"),
    (200_000, "recognisable things, soft and without detail"),
    (600_000, "clear things with some detail, some of them bent"),
    (float("inf"), "as good as the data and the size of the networks allow"),
)

MAX_SEEN = 500  # Images of each kind that the discriminator is tested on ...
MIN_SEEN = 32  # ... and so few that the test says nothing: its error is 0.35 with 32.

Logits = Callable[[Tensor], Tensor]  # Images [n, 3, R, R] -> logits, as the loop computes them.


@dataclass(frozen=True, kw_only=True)
class GanConfig(RunConfig):
    """Flags that only scripts of GANs have."""

    may_change: ClassVar = RunConfig.may_change | {"snapshot_images", "on_alarm"}

    snapshot_images: float = 10_000  # Images between snapshots, which are measured.
    # "stop" ends the run at a snapshot that is worse than the best one, if an alarm has come since.
    on_alarm: Literal["warn", "stop"] = "warn"


def forecast(run: Run, G: nn.Module, D: nn.Module, z_dim: int) -> None:
    """Choose the number of threads, and print what the rest of the run will cost."""
    n = run.micro_batch_size
    z = torch.randn(n, z_dim, generator=torch.Generator().manual_seed(0)).to(run.device)
    c = run.data.c[torch.zeros(n, dtype=torch.int64)].to(run.device)
    inputs = (z, c) if c.shape[1] else (z,)
    run.choose_threads(G, *inputs)
    run.forecast(partial(update, inputs), G, D, expectations=EXPECTATIONS)


def update(
    inputs: tuple[Tensor, ...],  # z [n, z_dim] and, for networks with conditions, c [n, c_dim].
    G: nn.Module,
    D: nn.Module,
) -> None:
    """The passes of one update: G forward, D twice forward and back, and both together."""
    z, *c = inputs
    with torch.no_grad():
        fake = G(z, *c)
    for _ in range(2):
        D(fake, *c).mean().backward()
    D(G(z, *c), *c).mean().backward()


def fixed_latents(run: Run, num_images: int, z_dim: int) -> tuple[Tensor, Tensor]:
    """z [N, z_dim] and c [N, c_dim] that are the same in every sheet of the run."""
    rng = torch.Generator().manual_seed(mix(run.config.seed, "fixed"))
    z = torch.randn(num_images, z_dim, generator=rng)
    rows = torch.randint(len(run.data), (num_images,), generator=rng)
    return z.to(run.device), run.data.c[rows].to(run.device)


@torch.no_grad()
def held_out_gap(run: Run, logits: Logits) -> float | None:
    """Mean sign of D on training images minus that on held-out ones: 0 to 2 as it learns by heart.

    None where few are held out. Seeds torch's global source, as each part of a batch does.
    """
    if min(len(run.data), len(run.held_out)) < MIN_SEEN:
        return None
    torch.manual_seed(mix(run.config.seed, "held-out gap"))
    means = []
    for folder in (run.data, run.held_out):
        pixels = folder.images[evenly(len(folder), MAX_SEEN)]
        batches = pixels.split(run.micro_batch_size)
        signs = [logits(images.to_float(x.to(run.device))).sign().flatten() for x in batches]
        means.append(float(torch.cat(signs).mean()))
    return means[0] - means[1]
