"""What patches are taken from: a photo at one scale, its mirror image, and both stretched.

Patches are compared as vectors: their principal components, their mean colours, and their height.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 7
HALF = PATCH // 2
ENOUGH_PATCHES = 20_000  # For the principal components.
UNIQUE_PATCHES = 4_000  # Patches of the photo that are compared with each other, at most.
CHUNK = 1 << 23  # Distances that are in memory at once.


@dataclass(frozen=True)
class PatchSettings:
    """How a picture is made; the defaults were chosen on fifteen landscapes and towns.

    By eye, but for stretches and reuse: these by repetition, at rSIFID and coherence no worse.
    Costs are in units of the mean energy of the photo's patches.
    """

    mirror: bool = False  # Whether the photo's mirror image offers patches as well.
    stretches: tuple[float, ...] = (1.3, 0.77)  # Copies so much wider offer patches as well.
    height_weight: float = 4.0  # How much a patch wants its own height; 0 not at all.
    uniqueness: float = 0.4  # Cost of repeating what is alone of its kind in the photo.
    reuse: float = 0.3  # Cost of taking a patch again.
    mirror_cost: float = 0.0  # Cost of taking a mirrored one.
    variety: float = 0.05  # How much more one seed likes some parts of the photo than another does.
    min_shift: float = 0.15  # Share of the photo that a patch moves at least, while growing.
    min_mirror: float = 0.12  # The same for mirrored patches, from where a mirror would put them.
    strip: float = 0.3  # Share of the photo's width that `strip` begins with.
    coarsest: int = 16  # The photo's short side at the first level.
    ratio: float = 0.7  # Between levels.
    components: int = 24  # Principal components of a patch.
    mean_weight: float = 0.5  # Weight of a patch's mean colour: blending reduces differences.
    sigma: float = 2.0  # Pixels: how far from its centre a patch's vote counts.


class Source:
    """The photo and its copies side by side in one image.

    A patch is known by the place of its upper left pixel: row * pw + column.
    """

    def __init__(
        self,
        photo: Tensor,  # [3, H, W] in [-1, 1], at full resolution.
        size: tuple[int, int],  # (h, w) of the photo at this scale.
        settings: PatchSettings,
        taste: Tensor | None = None,  # [1, 1, rows, columns]: how little each part is liked.
    ) -> None:
        self.settings, self.taste = settings, taste
        self.h, self.w = size
        self.photo = resize(photo, size)
        wide = [max(PATCH + 1, round(self.w * stretch)) for stretch in (1.0, *settings.stretches)]
        self.widths = torch.tensor(wide).repeat_interleave(1 + settings.mirror)
        self.starts = self.widths.cumsum(0) - self.widths  # First column of each piece.
        # [3, h, all widths], filled piece by piece: it may be large, and is not there twice.
        self.image = torch.empty(3, self.h, int(self.widths.sum()))
        places = iter(self.image.split(self.widths.tolist(), 2))
        for width in wide:
            piece = resize(photo, (self.h, width))
            next(places).copy_(piece)
            if settings.mirror:
                next(places).copy_(piece.flip(2))
        self.ph, self.pw = self.h - PATCH + 1, self.image.shape[2] - PATCH + 1

    def __len__(self) -> int:
        """How many patches there are."""
        return self.ph * self.pw

    def piece_of(self, column: Tensor) -> Tensor:
        """Which piece the patches at these columns begin in."""
        return torch.bucketize(column, self.starts, right=True) - 1

    @functools.cached_property
    def row(self) -> Tensor:
        """[ph * pw]: of each patch of the photo, its row."""
        return torch.arange(self.ph).repeat_interleave(self.pw)

    @functools.cached_property
    def column(self) -> Tensor:
        """[ph * pw]: of each patch of the photo, where it lies unmirrored and unstretched."""
        piece, local, spare = self._in_pieces()
        within = (local * (self.w - PATCH) / spare).round().long()
        return torch.where(self._mirrors(piece), self.w - PATCH - within, within).repeat(self.ph)

    @functools.cached_property
    def mirrored(self) -> Tensor:
        """[ph * pw]: whether a patch of the photo is one of its mirror image."""
        return self._mirrors(self._in_pieces()[0]).repeat(self.ph)

    @functools.cached_property
    def straddles(self) -> Tensor:
        """[ph * pw]: whether a patch is half of one piece and half of the next."""
        _, local, spare = self._in_pieces()
        return (local > spare).repeat(self.ph)

    def _in_pieces(self) -> tuple[Tensor, Tensor, Tensor]:
        """For each column [pw]: its piece, its position there, and the last position of a patch."""
        column = torch.arange(self.pw)
        piece = self.piece_of(column)
        return piece, column - self.starts[piece], self.widths[piece] - PATCH

    def _mirrors(self, piece: Tensor) -> Tensor:
        return (piece % 2 == 1) & self.settings.mirror

    @functools.cached_property
    def basis(self) -> tuple[Tensor, float]:
        """Filters [k, 3, 7, 7] that describe a patch, and the mean energy of the photo's patches.

        The principal components of the patches without their mean colours, then those colours.
        """
        wide = self.w - PATCH + 1
        count = wide * (self.h - PATCH + 1)
        if count > ENOUGH_PATCHES:  # All of them at once would be two hundred copies of the photo.
            rng = torch.Generator().manual_seed(0)
            chosen = torch.randperm(count, generator=rng)[:ENOUGH_PATCHES]
            windows = self.photo.unfold(1, PATCH, 1).unfold(2, PATCH, 1)  # [3, rows, columns, ..].
            patches = windows[:, chosen // wide, chosen % wide].transpose(0, 1).flatten(1)
        else:
            patches = patches_of(self.photo)
        patches = (patches - patches.mean(0)).view(-1, 3, PATCH**2)
        energy = float(patches.square().sum((1, 2)).mean())
        detail = (patches - patches.mean(2, keepdim=True)).flatten(1)
        _, vectors = torch.linalg.eigh(detail.T @ detail)
        filters = vectors.flip(1)[:, : self.settings.components].T.reshape(-1, 3, PATCH, PATCH)
        colours = torch.eye(3)[:, :, None, None].expand(3, 3, PATCH, PATCH)
        weight = self.settings.mean_weight / PATCH  # 1 / 7: of unit length, as the others.
        return torch.cat([filters, weight * colours]), max(energy, 1e-6)

    @functools.cached_property
    def row_weight(self) -> float:
        """What a row of distance from the height wanted costs, as a root."""
        return math.sqrt(self.basis[1] * self.settings.height_weight) / self.h

    @functools.cached_property
    def keys(self) -> Tensor:
        """The photo's patches as vectors [ph * pw, k + 1]."""
        rows = torch.arange(self.ph, dtype=torch.float32).repeat_interleave(self.pw)
        keys = self.describe(self.image, rows)
        keys[self.straddles] = 1e3  # Far from everything.
        return keys

    def forget(self) -> None:
        """Drop the vectors, a hundred bytes a patch, which the next level does not ask for."""
        self.__dict__.pop("keys", None)

    @functools.cached_property
    def dislike(self) -> Tensor:
        """[ph * pw]: what it costs to take each patch of the photo, however well it fits."""
        cost = self.settings.mirror_cost * self.basis[1] * self.mirrored
        if len(self) > UNIQUE_PATCHES:
            return cost
        if self.taste is not None:
            size = (self.ph, self.pw)
            taste = F.interpolate(self.taste, size, mode="bilinear", align_corners=False)
            cost = self.settings.variety * self.basis[1] * taste.flatten()
        if self.settings.uniqueness:
            cost = cost + self.settings.uniqueness * self._uniqueness()
        return cost

    def _uniqueness(self) -> Tensor:
        """[ph * pw]: the distance of each patch of the photo to the nearest one elsewhere in it."""
        reach = max(PATCH, round(self.settings.min_shift * self.w))
        lowest = []
        for part, distances in distances_to(self.keys, self.keys):
            high = (self.row[part, None] - self.row).abs() <= reach
            near = high & ((self.column[part, None] - self.column).abs() <= reach)
            lowest.append(distances.masked_fill_(near, math.inf).amin(1))
        nearest = torch.cat(lowest)
        fine = nearest.isfinite() & ~self.straddles
        highest = float(nearest[fine].max()) if fine.any() else 0.0
        return torch.where(fine, nearest, highest)

    def taken(self, field: Tensor) -> Tensor:
        """[ph * pw]: how often a field has each patch of the photo."""
        return torch.bincount(field[field >= 0], minlength=len(self)).float()

    def crowding(self, taken: Tensor) -> Tensor:
        """[ph * pw]: what it costs to take a patch that it, or one beside it, has been taken."""
        often = taken.view(1, 1, self.ph, self.pw)
        often = F.avg_pool2d(often, 5, 1, 2, count_include_pad=False).flatten()
        return self.settings.reuse * self.basis[1] * often

    def describe(self, image: Tensor, rows: Tensor) -> Tensor:
        """The patches of an image as vectors [N, k + 1] to compare."""
        filters = self.basis[0]
        wide = image.shape[2] - PATCH + 1
        described = torch.empty(len(rows), len(filters) + 1)
        described[:, -1] = self.row_weight * rows
        band = max(1, CHUNK // (wide * len(filters)))  # Rows at a time: a copy of all is large.
        for first in range(0, len(rows) // wide, band):
            part = F.conv2d(image[None, :, first : first + band + PATCH - 1], filters)[0].flatten(1)
            described[first * wide : first * wide + part.shape[1], :-1] = part.T
        return described


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """x [C, h, w] in [-1, 1] -> [C, *size], bicubic and without aliasing."""
    if tuple(x.shape[1:]) == size:
        return x
    resized = F.interpolate(x[None], size, mode="bicubic", antialias=True, align_corners=False)
    return resized[0].clamp(-1, 1)


def patches_of(x: Tensor) -> Tensor:
    """x [C, h, w] -> its patches [N, C * 49], row by row."""
    return F.unfold(x[None], PATCH)[0].T.contiguous()


def distances_to(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances [n, len(keys)] of some queries at a time, and which ones these are."""
    size = max(1, CHUNK // len(keys))
    squares = keys.square().sum(1)
    for first in range(0, len(queries), size):
        part = slice(first, first + size)
        query_squares = queries[part].square().sum(1, keepdim=True)
        distances = torch.addmm(squares, queries[part], keys.T, alpha=-2).add_(query_squares)
        yield part, distances.clamp_min_(0)
