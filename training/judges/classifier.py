"""A small classifier for measurements, trained in a few minutes on one busy core.

It shares nothing with the networks that it evaluates. `condition_accuracy` trains it to predict
conditions, `two_sample` to distinguish real images from generated ones.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.data import images

MAX_SIDE = 64  # Pixels; more take longer and add little for body type and year.
MAX_EPOCHS = 60
MAX_IMAGES = 90_000  # Images seen in training: four minutes of one busy core.
BATCH_SIZE = 32  # Small: at this budget more steps are worth more than larger batches.
DIRECTIONS = 8  # Directions of edges.
MAP = 16  # Side of the first maps.


class Classifier(nn.Module):
    """Images [N, 3, R, R] in [-1, 1] -> one number per output [N, outputs].

    Edges by direction, which a few thousand images would not teach it, beside colours and learnt
    patterns, all as maps of 16 px; then five convolutions.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.patterns = nn.Sequential(nn.Conv2d(3, 21, 4, stride=2, padding=1), nn.ReLU())
        self.body = nn.Sequential(
            *_convolution(DIRECTIONS + 3 + 21, 48, stride=1),
            *_convolution(48, 96, stride=2),
            *_convolution(96, 96, stride=1),
            *_convolution(96, 192, stride=2),
            *_convolution(192, 192, stride=1),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
        )
        self.head = nn.Linear(4 * 192, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = [F.adaptive_avg_pool2d(each, MAP) for each in (x, self.patterns(x))]
        return self.head(self.body(torch.cat([_edges(x), *maps], dim=1)))


def _edges(x: Tensor) -> Tensor:
    """Strength of edges in each direction, relative to its surroundings: [N, 8, 16, 16]."""
    grey = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), "replicate")
    right = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
    down = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    angles = [math.pi * i / DIRECTIONS for i in range(DIRECTIONS)]
    along = torch.cat([math.cos(a) * right + math.sin(a) * down for a in angles], dim=1)
    strength = F.adaptive_avg_pool2d(along.square(), MAP)
    around = F.avg_pool2d(strength.sum(1, keepdim=True), 5, 1, 2, count_include_pad=False)
    return strength.clamp(min=1e-8).sqrt() / (around.sqrt() + 0.05)


def _convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def fit(
    network: Classifier,
    pixels: Tensor,  # uint8 [N, 3, R, R], `shrink`ed.
    targets: Tensor,  # [N, outputs].
    loss: Callable[[Tensor, Tensor], Tensor],  # Loss of outputs and targets, both [n, outputs].
    alter: Callable[[Tensor], Tensor],  # What is done to the images [n, 3, R, R] in [-1, 1].
    *,
    max_images: int | None = None,  # Seen at most; default: MAX_IMAGES.
) -> Classifier:
    """Train in place, on the network's own device; returns it ready to be asked."""
    device = network.head.weight.device
    n = len(pixels)
    num_steps = max(min(max_images or MAX_IMAGES, MAX_EPOCHS * n) // BATCH_SIZE, 1)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, num_steps)
    network.train()
    for _ in range(num_steps):
        rows = torch.randint(n, (BATCH_SIZE,))
        x = images.to_float(pixels[rows].to(device))
        x = torch.where(torch.rand(BATCH_SIZE, 1, 1, 1, device=device) < 0.5, x.flip(3), x)
        optimizer.zero_grad()
        loss(network(alter(x)), targets[rows].to(device)).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def shrink(pixels: Tensor) -> Tensor:
    """uint8 [N, 3, R, R] -> the same of at most 64 px."""
    while pixels.shape[-1] > MAX_SIDE:
        blocks = pixels.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).float()
        pixels = blocks.mean((3, 5)).round().to(torch.uint8)
    return pixels


@torch.inference_mode()
def look(network: Classifier, pixels: Tensor) -> Tensor:
    """Predictions for uint8 [N, 3, R, R], averaged with their mirror images: [N, outputs]."""
    device = network.head.weight.device
    parts = [images.to_float(part.to(device)) for part in shrink(pixels).split(256)]
    return torch.cat([(network(x) + network(x.flip(3))).cpu() / 2 for x in parts])
