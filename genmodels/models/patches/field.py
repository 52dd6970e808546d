"""Nearest-neighbour fields: a picture as a map of which patch of a photo stands where.

`Level` holds a photo and the picture made from it at one scale; `models/patches.py` goes through
the scales. The search is exact where that is cheap and PatchMatch's (Barnes et al. 2009) where it
is not; the painting averages the patches (Wexler et al. 2007) and blends their differences.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.models.patches.poisson import differences, screened_poisson
from genmodels.models.patches.source import (
    HALF,
    PATCH,
    UNIQUE_PATCHES,
    PatchSettings,
    Source,
    distances_to,
)

EXACT_PAIRS = 2.5e7  # Patches of the picture times those of the photo that are all compared.
BLEND_PIXELS = 20_000  # Up to here differences are averaged; above, colours follow these.
SEARCH_PIXELS = 1_600_000  # Above, a level only refines the matches of the level before.
FEW = 1 << 16  # Patches compared at a time.
JOIN = 20  # Width in pixels of the blended border around the photo.
PARTS = 24  # Number of parts a picture's patches are split into; a part is updated at once.


@dataclass(frozen=True)
class Canvas:
    """The picture to be made, in pixels of the photo's own resolution."""

    height: int
    width: int
    top: int = 0  # Position of the photo, ...
    left: int = 0
    anchored: bool = False  # ... if it is kept in the picture.
    wrap: bool = False  # The right edge continues at the left one.


class Level:
    """The photo and the picture at one scale.

    A field is a tensor [gh * gw] that says for each patch of the picture, row by row, the index of
    its patch among the photo's [ph * pw]. Patches are known by their upper left pixel.
    """

    def __init__(
        self,
        photo: Tensor,  # [3, h, w] in [-1, 1], at full resolution.
        canvas: Canvas,
        scale: float,  # 1 at the finest level.
        settings: PatchSettings,
        taste: Tensor | None = None,  # [1, 1, rows, columns]: how little each part is liked.
    ) -> None:
        self.settings, self.canvas = settings, canvas
        self.guide: Tensor | None = None  # [3, H, W]: whose colours to follow when not blended.
        self._measure(photo, canvas, scale)
        self.source = Source(photo, (self.h, self.w), settings, taste)
        h, w, self.ph, self.pw = self.h, self.w, self.source.ph, self.source.pw
        self.gh = self.height - PATCH + 1
        self.gw = self.width if canvas.wrap else self.width - PATCH + 1
        # For each patch of the picture: where it lies, in the photo's coordinates, and the row of
        # the photo that has its height.
        self.y = torch.arange(self.gh).repeat_interleave(self.gw) - self.top
        self.x = torch.arange(self.gw).repeat(self.gh) - self.left
        inside = (self.y >= 0) & (self.y <= h - PATCH) & (self.x >= 0) & (self.x <= w - PATCH)
        stretch = (self.ph - 1) / max(self.gh - 1, 1)
        self.rows_wanted = (
            self.y.clamp(0, h - PATCH) if canvas.anchored else (self.y + self.top) * stretch
        ).float()
        self.known = torch.zeros(self.height, self.width, dtype=torch.bool)
        self.base = torch.zeros(3, self.height, self.width)
        if canvas.anchored:
            at = (slice(self.top, self.top + h), slice(self.left, self.left + w))
            self.known[at], self.base[:, at[0], at[1]] = True, self.source.photo
        self.own = torch.where(inside, self.y * self.pw + self.x, -1)
        if not canvas.anchored:
            self.own.fill_(-1)
        self.open = (self.own < 0).nonzero()[:, 0]  # Patches that are not wholly the photo's.

    def _measure(self, photo: Tensor, canvas: Canvas, scale: float) -> None:
        """Sizes at this scale: the photo's [h, w] fits in the picture's [height, width] exactly."""
        h, w = photo.shape[1:]
        self.h, self.w = round(h * scale), round(w * scale)
        self.top = self.left = 0
        if canvas.anchored:
            self.top, self.left = round(canvas.top * scale), round(canvas.left * scale)
            self.height = self.top + self.h + round((canvas.height - canvas.top - h) * scale)
            self.width = self.left + self.w + round((canvas.width - canvas.left - w) * scale)
        else:
            self.height = max(PATCH, round(canvas.height * scale))
            self.width = max(PATCH, round(canvas.width * scale))

    @property
    def is_exact(self) -> bool:
        return len(self.open) * len(self.source) < EXACT_PAIRS

    @property
    def is_blended(self) -> bool:
        return self.height * self.width <= BLEND_PIXELS

    @property
    def is_searched(self) -> bool:
        return self.height * self.width <= SEARCH_PIXELS

    def is_too_near(self, patches: Tensor) -> Tensor:
        """[n, ph * pw]: what would stand beside itself, or where a mirror would show it."""
        right = self.w - PATCH
        x, y = self.x[patches, None], self.y[patches, None]
        reflected = torch.where(x < 0, -x, torch.where(x > right, 2 * right - x, x))
        high = (y - self.source.row).abs()
        shift, mirror = self.settings.min_shift * self.w, self.settings.min_mirror * self.w
        copied = (high < shift) & ((x - self.source.column).abs() < shift)
        reflects = (high < mirror) & ((reflected - self.source.column).abs() < mirror)
        return torch.where(self.source.mirrored, reflects, copied) | self.source.straddles

    def search(self, field: Tensor, picture: Tensor, rng: torch.Generator) -> Tensor:
        """The field with nearer patches for what the picture shows now."""
        if not len(self.open):
            return field  # The picture is the photo.
        if self.is_exact:
            return field.index_copy(0, self.open, self.match(picture, self.open))
        queries = self._queries(picture)
        if len(self.open) < len(queries):  # A copy of all is large.
            queries = queries[self.open]
        return self._refine(field, queries, rng)

    def match(self, picture: Tensor, patches: Tensor) -> Tensor:
        """The nearest of all the photo's patches for some of the picture's.

        Part after part, as what others have taken costs more; each part is from all over the
        picture, or what is near its upper left corner would have the first choice.
        """
        queries = self._queries(picture)
        keeps_off = self.canvas.anchored and len(self.source) < UNIQUE_PATCHES
        taken = self.source.taken(self.own)
        matches = torch.empty_like(patches)
        order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))
        for places in order.split(math.ceil(len(order) / PARTS)):
            few = patches[places]
            dislike = self.source.dislike + self.source.crowding(taken)
            chosen = []
            for part, distances in distances_to(queries[few], self.source.keys):
                distances += dislike
                if keeps_off:
                    distances.masked_fill_(self.is_too_near(few[part]), math.inf)
                chosen.append(distances.argmin(1))
            matches[places] = torch.cat(chosen)
            taken += self.source.taken(matches[places])
        return matches

    def _queries(self, picture: Tensor) -> Tensor:
        """The picture's patches as vectors [gh * gw, k + 1]."""
        return self.source.describe(self.padded(picture), self.rows_wanted)

    def _refine(self, field: Tensor, queries: Tensor, rng: torch.Generator) -> Tensor:
        """PatchMatch: offer each patch what suits its neighbours, then places near its own."""
        best = field[self.open]
        cost = self._distances(queries, best)
        y, x = self.open // self.gw, self.open % self.gw

        def offer(row: Tensor, column: Tensor) -> None:
            nonlocal best, cost
            other = row.clamp(0, self.ph - 1) * self.pw + column.clamp(0, self.pw - 1)
            its = self._distances(queries, other)
            is_nearer = its < cost
            best = torch.where(is_nearer, other, best)
            cost = torch.where(is_nearer, its, cost)

        for step in (1, 2, 4):
            for dy, dx in ((0, step), (0, -step), (step, 0), (-step, 0)):
                beside = (x + dx) % self.gw if self.canvas.wrap else (x + dx).clamp(0, self.gw - 1)
                other = field[(y + dy).clamp(0, self.gh - 1) * self.gw + beside]
                offer(other // self.pw - dy, other % self.pw - dx)
            field = field.index_copy(0, self.open, best)
        for reach in (8, 2):
            jitter = torch.randint(-reach, reach + 1, (2, len(best)), generator=rng)
            offer(best // self.pw + jitter[0], best % self.pw + jitter[1])
        return field.index_copy(0, self.open, best)

    def _distances(self, queries: Tensor, patches: Tensor) -> Tensor:
        """[n]: how far each query is from its patch of the photo; a copy of all would be large."""
        pairs = zip(queries.split(FEW), patches.split(FEW), strict=True)
        return torch.cat([(part - self.source.keys[at]).square_().sum(1) for part, at in pairs])

    def carry(self, coarse: "Level", field: Tensor) -> Tensor:
        """The coarser level's field at this one: what lay side by side still does."""
        fine = (self.y + self.top, self.x + self.left)
        ratios = (self.height / coarse.height, self.width / coarse.width)
        y, x = (
            ((at + HALF + 0.5) / ratio - HALF - 0.5).round()
            for at, ratio in zip(fine, ratios, strict=True)
        )
        y = y.clamp(0, coarse.gh - 1)
        x = x if self.canvas.wrap else x.clamp(0, coarse.gw - 1)
        at = field[(y * coarse.gw + x % coarse.gw).long()]
        piece = coarse.source.piece_of(at % coarse.pw)
        wide, was = (level.source.widths[piece] for level in (self, coarse))
        candidates = []
        pairs = (
            (at // coarse.pw, self.h / coarse.h, fine[0], y, ratios[0], self.h),
            (at % coarse.pw - coarse.source.starts[piece], wide / was, fine[1], x, ratios[1], wide),
        )
        for place, zoom, here, there, ratio, size in pairs:
            rest = here + HALF + 0.5 - (there + HALF + 0.5) * ratio  # Lost in rounding.
            exact = (place + HALF + 0.5) * zoom + rest - HALF - 0.5
            candidates.append(exact.round().long().clamp_min(0).clamp_max(size - PATCH))
        carried = candidates[0] * self.pw + candidates[1] + self.source.starts[piece]
        return torch.where(self.own >= 0, self.own, carried)

    def paint(self, field: Tensor) -> Tensor:
        """The picture [3, H, W] that the patches of a field agree on."""
        wrap = self.canvas.wrap
        if self.guide is None:
            right, below = differences(self.source.image, False)
            votes = self._vote(field, torch.cat([self.source.image, right, below]))
            colours, right, below = votes.split(3)
            colours = torch.where(self.known, self.base, colours)
            colours = screened_poisson(colours, right, below, self.known, wrap=wrap)
        else:
            colours = self._vote(field, self.source.image) + self._drift(field, self.guide)
            if self.canvas.anchored:
                self._join(colours)
        return torch.where(self.known, self.base, colours.clamp_(-1, 1))

    def _join(self, colours: Tensor) -> None:
        """Blend the photo and what was drawn around it, in place; JOIN pixels from it all stays.

        Conjugate gradients carry a difference one pixel farther with each iteration.
        """
        rows = slice(max(self.top - JOIN, 0), self.top + self.h + JOIN)
        columns = slice(max(self.left - JOIN, 0), self.left + self.w + JOIN)
        wrap = self.canvas.wrap
        if wrap:  # The photo may lie at one end, and its surroundings at the other.
            columns = slice(0, self.width)
        part, known = colours[:, rows, columns], self.known[rows, columns]
        right, below = differences(part, wrap)
        part = torch.where(known, self.base[:, rows, columns], part)
        colours[:, rows, columns] = screened_poisson(
            part, right, below, known, wrap=wrap, iterations=JOIN - 1
        )

    def _vote(self, field: Tensor, channels: Tensor) -> Tensor:
        """channels [C, h, w] of the source -> their weighted mean [C, H, W] over the patches."""
        wide = channels.shape[2]
        flat = channels.flatten(1).T.contiguous()
        corner = field // self.pw * wide + field % self.pw
        spread = 2 * self.settings.sigma**2
        weights = [math.exp(-((i - HALF) ** 2) / spread) for i in range(PATCH)]
        total = torch.zeros(self.height, self.gw + PATCH - 1, len(channels))
        for dy in range(PATCH):
            for dx in range(PATCH):
                votes = flat[corner + dy * wide + dx].view(self.gh, self.gw, -1)
                at = total[dy : dy + self.gh, dx : dx + self.gw]
                at.add_(votes, alpha=weights[dy] * weights[dx])
        down, across = (
            F.conv_transpose1d(torch.ones(1, 1, n), torch.tensor([[weights]]))[0, 0]
            for n in (self.gh, self.gw)
        )
        return self.folded(total.permute(2, 0, 1)) / self.folded(torch.outer(down, across)[None])

    def _drift(self, field: Tensor, guide: Tensor) -> Tensor:
        """[3, H, W]: how much brighter the guide is than the patches, smoothed."""
        # A channel at a time: the photo's copies are large.
        means = (_means(channel).flatten() for channel in self.source.image.split(1))
        theirs = torch.stack([mean[field] for mean in means])
        wanted = _means(self.padded(guide))
        drift = (wanted - theirs.view_as(wanted)).clamp(-0.3, 0.3)
        if self.canvas.wrap:
            drift = torch.cat([drift[:, :, 1 - PATCH :], drift], 2)
        sides = (0 if self.canvas.wrap else PATCH - 1,) * 2
        drift = F.pad(drift, (*sides, PATCH - 1, PATCH - 1), mode="replicate")
        return _means(drift)

    def padded(self, x: Tensor) -> Tensor:
        """x [C, H, W] so that every patch of the picture lies in it, those over its end too."""
        return torch.cat([x, x[:, :, : PATCH - 1]], 2) if self.canvas.wrap else x

    def folded(self, x: Tensor) -> Tensor:
        """The transpose of `padded`."""
        if not self.canvas.wrap:
            return x
        x[:, :, : PATCH - 1] += x[:, :, self.width :]
        return x[:, :, : self.width]


def _means(x: Tensor) -> Tensor:
    """x [C, h, w] -> means of its patches [C, h - 6, w - 6]; across and down is 7 x 7 at once."""
    return F.avg_pool2d(F.avg_pool2d(x[None], (1, PATCH), 1), (PATCH, 1), 1)[0]
