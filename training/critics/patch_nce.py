"""PatchNCE: what holds a translation to its picture where there is no target (arXiv:2007.15651)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.models.pix2pix import Generator
from genmodels.nn import losses

PLACES = 256  # Places of a picture that are compared, at each size.
FEATURES = 128  # Length of what a place is compared by.


class PatchNCE(nn.Module):
    """picture and translation [N, 3, H, W] in [-1, 1] -> loss; low where each place is found again.

    A place is known by the colours there and by what the generator's own encoder says of it after
    each of its first halvings, each through two layers that learn what to look at.

    Departs from the paper: a U-Net's halvings rather than blocks of a ResNet.
    """

    def __init__(
        self,
        G: Generator,  # Its encoder is used, and learns from the loss; it is not part of this.
        halvings: int = 4,  # How many of its halvings are asked.
    ) -> None:
        super().__init__()
        self.halvings = min(halvings, G.config.levels)
        with torch.no_grad():
            seen = self._look(G, torch.zeros(1, G.in_channels, G.multiple, G.multiple))
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(features.shape[1], FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES)
            )
            for features in seen
        )

    def forward(self, G: Generator, picture: Tensor, translation: Tensor) -> Tensor:
        with torch.no_grad():
            keys = self._look(G, picture)
        values = []
        for head, key, query in zip(self.heads, keys, self._look(G, translation), strict=True):
            count = key.shape[2] * key.shape[3]
            places = torch.randperm(count)[:PLACES].to(key.device)
            queries, positives = (
                F.normalize(head(x.flatten(2)[..., places].transpose(1, 2)).float(), dim=2)
                for x in (query, key)
            )
            values.append(losses.patch_nce(queries, positives.detach()))
        return torch.stack(values).mean()

    def _look(self, G: Generator, image: Tensor) -> list[Tensor]:
        """The picture, and what the encoder says of it: [N, C, h, w] each."""
        return [image, *G.encode(image, self.halvings)]
