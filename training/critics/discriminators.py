"""The critics that a generator learns from, each with its losses, its optimizer and its weight.

`OwnCritic` is a discriminator trained from scratch: slow to see, but fair to all of the data.
`ProjectedCritic` sees at once, through a pretrained network, and must be held back.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from genmodels.doctor import training as doctor
from genmodels.nn import losses
from training.critics.projected_features import Heads, Projection


class OwnCritic:
    """The family's own discriminator, by the non-saturating logistic loss."""

    d_name, g_name = "loss_D", "loss_G"  # Names of the losses in the log.
    is_active = True

    def __init__(
        self,
        network: nn.Module,  # image [N, 3, R, R], c [N, c_dim], c_weight -> logits [N].
        optimizer: Optimizer,  # Its optimizer.
    ) -> None:
        self.network, self.optimizer = network, optimizer

    def d_loss(
        self, real: Tensor, fake: Tensor, c: Tensor, c_weight: float
    ) -> tuple[Tensor, Tensor]:
        """What it has to lower, and its logits of the real images."""
        real_logits, fake_logits = (self.network(x, c, c_weight) for x in (real, fake))
        return losses.bce_d(real_logits, fake_logits), real_logits

    def g_loss(self, fake: Tensor, c: Tensor, c_weight: float) -> Tensor:
        """What the generator has to lower."""
        return losses.non_saturating_g(self.network(fake, c, c_weight))

    def step(self) -> None:
        """Learn from the gradients of a whole batch."""
        self.optimizer.step()


class ProjectedCritic:
    """Heads on pretrained features, by the hinge loss, and the rules by which they take part.

    They see so much better than a young generator draws that they win, and the generator then keeps
    only the few pictures that fare best with them. Three rules hold them back:

    - They take part only while the generator covers its data, as measured at the snapshots.
    - They do not learn while their running hinge loss is below a bound.
    - Their slope at the generated image is a fixed multiple of the own critic's, however steep they
      become.
    """

    d_name, g_name = "loss_heads", "loss_G_heads"

    def __init__(
        self,
        projection: Projection,
        heads: Heads,
        optimizer: Optimizer,  # The optimizer of the heads.
        *,
        rest_below: float,  # They do not learn while their running loss is below this.
        min_coverage: float,  # They take part from this coverage of held-out images on ...
        from_images: float,  # Images before which the heads are not used.
        slope_ratio: float,  # Their mean gradient norm at the image, relative to the own critic's.
        warmup_images: float,  # Images over which their weight rises.
    ) -> None:
        self.projection, self.network, self.optimizer = projection, heads, optimizer
        self.rest_below, self.min_coverage = rest_below, min_coverage
        self.from_images = from_images
        self.slope_ratio, self.warmup_images = slope_ratio, warmup_images
        self.balance = heads.balance
        if min_coverage <= 0:
            self.balance.active_from.fill_(0)

    @property
    def is_active(self) -> bool:
        """Whether they take part at all."""
        return int(self.balance.active_from) >= 0

    @property
    def is_resting(self) -> bool:
        """Whether they are so far ahead of the generator that they wait for it."""
        return float(self.balance.loss_mean) < self.rest_below

    def watch(self, coverage: float, images_seen: int) -> str | None:
        """Switch the heads on or off by a snapshot's coverage; return a message about it."""
        is_enough = coverage >= self.min_coverage and images_seen >= self.from_images
        if is_enough != self.is_active:
            self.balance.active_from.fill_(images_seen if is_enough else -1)
            self.balance.reset()
            return f"the heads {'take part' if is_enough else 'pause'}: coverage is {coverage:.2f}"
        return None

    def alarms(self) -> list[doctor.Alarm]:
        """What the training doctor says of the heads."""
        return doctor.of_heads(float(self.balance.loss_mean)) if self.is_active else []

    def joined(self, own_loss: Tensor, seen: Tensor, images_seen: int) -> Tensor:
        """Both critics' slopes at the image, theirs weighted; rising since they take part."""
        ratio = seen.norm() / own_loss.norm().clamp(min=1e-12)
        self.balance.add(slope_ratio=ratio)
        mean = self.balance.slope_ratio if self.balance.slope_ratio > 0 else ratio
        since = images_seen - int(self.balance.active_from)
        rise = min(since / max(self.warmup_images, 1), 1.0)
        return own_loss + rise * self.slope_ratio / mean * seen

    def d_loss(
        self, real: Tensor, fake: Tensor, c: Tensor, c_weight: float
    ) -> tuple[Tensor, Tensor]:
        """What they have to lower, real and fake with batch statistics apart; logits of real."""
        with torch.no_grad():
            real_maps, fake_maps = self.projection(real), self.projection(fake)
        real_logits, fake_logits = (self.network(x, c, c_weight) for x in (real_maps, fake_maps))
        loss = hinge_d(real_logits, fake_logits)
        self.balance.add(loss_mean=loss.detach())
        return loss, torch.cat([logits.flatten() for logits in real_logits])

    def g_loss(self, fake: Tensor, c: Tensor, c_weight: float) -> Tensor:
        """What the generator has to lower."""
        return hinge_g(self.network(self.projection(fake), c, c_weight))

    def step(self) -> None:
        """Learn from the gradients of a whole batch, unless resting."""
        self.balance.follow()
        if not self.is_resting:
            self.optimizer.step()


def hinge_d(real_logits: list[Tensor], fake_logits: list[Tensor]) -> Tensor:
    """Real above 1, fake below -1 (Lim and Ye 2017, arXiv:1705.02894); the mean over heads."""
    pairs = zip(real_logits, fake_logits, strict=True)
    losses = [F.relu(1 - real).mean() + F.relu(1 + fake).mean() for real, fake in pairs]
    return torch.stack(losses).mean()


def hinge_g(fake_logits: list[Tensor]) -> Tensor:
    """The generator's side of the same game: up."""
    return -torch.stack([logits.mean() for logits in fake_logits]).mean()
