"""Nearest-neighbour fields: a picture as a map of which patch of a photo stands where.

`Level` holds a photo and the picture made from it at one scale; `models/patches.py` goes through
the scales. The search is exact where that is cheap and PatchMatch's (Barnes et al. 2009) where it
is not; the painting averages the patches (Wexler et al. 2007) and blends their differences.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.blend import differences, screened_poisson

PATCH = 7
HALF = PATCH // 2
ENOUGH_PATCHES = 20_000  # For the principal components.
EXACT_PAIRS = 2.5e7  # Patches of the picture times those of the photo that are all compared.
UNIQUE_PATCHES = 4_000  # Up to so many of the photo's are compared with each other.
BLEND_PIXELS = 20_000  # Up to so many, differences are voted for; above, colours follow these.
SEARCH_PIXELS = 1_600_000  # Above, a level only carries on what the level before has found.
JOIN = 20  # Pixels around the photo within which what is drawn is blended with it.
PARTS = 24  # Of a picture's patches: those of one choose at the same time.
CHUNK = 1 << 23  # Distances that are in memory at once.


@dataclass(frozen=True)
class Settings:
    """How a picture is made; the defaults were chosen by eye on fifteen landscapes and towns."""

    mirror: bool = True  # Whether the photo's mirror image offers patches as well.
    stretches: tuple[float, ...] = (1.3, 0.77)  # Copies so much wider offer patches as well.
    height_weight: float = 4.0  # How much a patch wants its own height; 0 not at all.
    uniqueness: float = 0.4  # Cost of repeating what is alone of its kind in the photo.
    reuse: float = 0.3  # Cost of taking a patch again.
    variety: float = 0.05  # How much more one seed likes some parts of the photo than another does.
    min_shift: float = 0.15  # Share of the photo that a patch moves at least, while growing.
    min_mirror: float = 0.12  # The same for mirrored patches, from where a mirror would put them.
    strip: float = 0.3  # Share of the photo's width that `strip` begins with.
    coarsest: int = 16  # The photo's short side at the first level.
    ratio: float = 0.7  # Between levels.
    components: int = 24  # Principal components of a patch.
    mean_weight: float = 0.5  # Of a patch's mean colour: blending repairs some of a difference.
    sigma: float = 2.0  # Pixels: how far from its centre a patch's vote counts.


@dataclass(frozen=True)
class Frame:
    """The picture to be made, in pixels of the photo's own resolution."""

    height: int
    width: int
    top: int = 0  # Where the photo lies in it, ...
    left: int = 0
    anchored: bool = False  # ... if it does: its pixels are kept then.
    wrap: bool = False  # The right end meets the left one.


class Level:
    """The photo and the picture at one scale.

    A field is a tensor [gh * gw] that says for each patch of the picture, row by row, the index of
    its patch among the photo's [ph * pw]. Patches are known by their upper left pixel.
    """

    def __init__(
        self,
        photo: Tensor,  # [3, h, w] in [-1, 1], at full resolution.
        frame: Frame,
        scale: float,  # 1 at the finest level.
        settings: Settings,
        taste: Tensor | None = None,  # [1, 1, rows, columns]: how little each part is liked.
    ) -> None:
        self.settings, self.frame, self.taste = settings, frame, taste
        self.guide: Tensor | None = None  # [3, H, W]: whose colours to follow when not blended.
        self._measure(photo, frame, scale)
        h, w = self.h, self.w
        self.photo = resize(photo, (h, w))
        pieces = self._pieces(photo)
        self.source = torch.cat(pieces, 2)
        self.widths = torch.tensor([piece.shape[2] for piece in pieces])
        self.starts = self.widths.cumsum(0) - self.widths  # Of the pieces, in columns.
        self.ph, self.pw = h - PATCH + 1, self.source.shape[2] - PATCH + 1
        self.gh = self.height - PATCH + 1
        self.gw = self.width if frame.wrap else self.width - PATCH + 1
        # Of each patch of the picture: where it lies, in the photo's coordinates, and the row of
        # the photo that has its height.
        self.y = torch.arange(self.gh).repeat_interleave(self.gw) - self.top
        self.x = torch.arange(self.gw).repeat(self.gh) - self.left
        inside = (self.y >= 0) & (self.y <= h - PATCH) & (self.x >= 0) & (self.x <= w - PATCH)
        stretch = (self.ph - 1) / max(self.gh - 1, 1)
        self.rows_wanted = (
            self.y.clamp(0, h - PATCH) if frame.anchored else (self.y + self.top) * stretch
        ).float()
        self.known = torch.zeros(self.height, self.width, dtype=torch.bool)
        self.base = torch.zeros(3, self.height, self.width)
        if frame.anchored:
            at = (slice(self.top, self.top + h), slice(self.left, self.left + w))
            self.known[at], self.base[:, at[0], at[1]] = True, self.photo
        self.own = torch.where(inside, self.y * self.pw + self.x, -1)
        if not frame.anchored:
            self.own.fill_(-1)
        self.open = (self.own < 0).nonzero()[:, 0]  # Patches that are not wholly the photo's.

    def _pieces(self, photo: Tensor) -> list[Tensor]:
        """The photo, its mirror image, and both stretched sideways, as far as settings have it."""
        pieces = []
        for stretch in (1.0, *self.settings.stretches):
            piece = resize(photo, (self.h, max(PATCH + 1, round(self.w * stretch))))
            pieces += [piece, piece.flip(2)] if self.settings.mirror else [piece]
        return pieces

    def piece_of(self, column: Tensor) -> Tensor:
        """Which piece of the source the patches at these columns begin in."""
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
        """Of each column [pw]: its piece, its place in it, and the last place of a patch there."""
        column = torch.arange(self.pw)
        piece = self.piece_of(column)
        return piece, column - self.starts[piece], self.widths[piece] - PATCH

    def _mirrors(self, piece: Tensor) -> Tensor:
        return (piece % 2 == 1) & self.settings.mirror

    def _measure(self, photo: Tensor, frame: Frame, scale: float) -> None:
        """Sizes at this scale: the photo's [h, w] fits in the picture's [height, width] exactly."""
        h, w = photo.shape[1:]
        self.h, self.w = round(h * scale), round(w * scale)
        self.top = self.left = 0
        if frame.anchored:
            self.top, self.left = round(frame.top * scale), round(frame.left * scale)
            self.height = self.top + self.h + round((frame.height - frame.top - h) * scale)
            self.width = self.left + self.w + round((frame.width - frame.left - w) * scale)
        else:
            self.height = max(PATCH, round(frame.height * scale))
            self.width = max(PATCH, round(frame.width * scale))

    @property
    def is_exact(self) -> bool:
        return len(self.open) * self.ph * self.pw < EXACT_PAIRS

    @property
    def is_blended(self) -> bool:
        return self.height * self.width <= BLEND_PIXELS

    @property
    def is_searched(self) -> bool:
        return self.height * self.width <= SEARCH_PIXELS

    @functools.cached_property
    def basis(self) -> tuple[Tensor, float]:
        """Filters [k, 3, 7, 7] that describe a patch, and the mean energy of the photo's patches.

        The principal components of the patches without their mean colours, then those colours.
        """
        patches = patches_of(self.photo)
        if len(patches) > ENOUGH_PATCHES:
            rng = torch.Generator().manual_seed(0)
            patches = patches[torch.randperm(len(patches), generator=rng)[:ENOUGH_PATCHES]]
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
        keys = self.describe(self.source, self.row.float())
        keys[self.straddles] = 1e3  # Far from everything.
        return keys

    @functools.cached_property
    def dislike(self) -> Tensor:
        """[ph * pw]: what it costs to take each patch of the photo, however well it fits."""
        if len(self.keys) > UNIQUE_PATCHES:
            return torch.zeros(len(self.keys))
        cost = torch.zeros(len(self.keys))
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
        found = torch.cat(lowest)
        fine = found.isfinite() & ~self.straddles
        highest = float(found[fine].max()) if fine.any() else 0.0
        return torch.where(fine, found, highest)

    def is_too_near(self, patches: Tensor) -> Tensor:
        """[n, ph * pw]: what would stand beside itself, or where a mirror would show it."""
        right = self.w - PATCH
        x, y = self.x[patches, None], self.y[patches, None]
        reflected = torch.where(x < 0, -x, torch.where(x > right, 2 * right - x, x))
        high = (y - self.row).abs()
        shift, mirror = self.settings.min_shift * self.w, self.settings.min_mirror * self.w
        copied = (high < shift) & ((x - self.column).abs() < shift)
        reflects = (high < mirror) & ((reflected - self.column).abs() < mirror)
        return torch.where(self.mirrored, reflects, copied) | self.straddles

    def search(self, field: Tensor, picture: Tensor, rng: torch.Generator) -> Tensor:
        """The field with nearer patches for what the picture shows now."""
        if not len(self.open):
            return field  # The picture is the photo.
        if self.is_exact:
            return field.index_copy(0, self.open, self.match(picture, self.open))
        return self._refine(field, self._queries(picture)[self.open], rng)

    def match(self, picture: Tensor, patches: Tensor) -> Tensor:
        """The nearest of all the photo's patches for some of the picture's.

        Part after part, as what others have taken costs more.
        """
        queries = self._queries(picture)
        keeps_off = self.frame.anchored and len(self.keys) < UNIQUE_PATCHES
        taken = self.taken(self.own)
        found = torch.empty_like(patches)
        order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))
        for places in order.split(math.ceil(len(order) / PARTS)):
            few = patches[places]
            dislike = self.dislike + self.crowding(taken)
            chosen = []
            for part, distances in distances_to(queries[few], self.keys):
                distances += dislike
                if keeps_off:
                    distances.masked_fill_(self.is_too_near(few[part]), math.inf)
                chosen.append(distances.argmin(1))
            found[places] = torch.cat(chosen)
            taken += self.taken(found[places])
        return found

    def taken(self, field: Tensor) -> Tensor:
        """[ph * pw]: how often a field has each patch of the photo."""
        return torch.bincount(field[field >= 0], minlength=self.ph * self.pw).float()

    def crowding(self, taken: Tensor) -> Tensor:
        """[ph * pw]: what it costs to take a patch that it, or one beside it, has been taken."""
        often = taken.view(1, 1, self.ph, self.pw)
        often = F.avg_pool2d(often, 5, 1, 2, count_include_pad=False).flatten()
        return self.settings.reuse * self.basis[1] * often

    def _queries(self, picture: Tensor) -> Tensor:
        """The picture's patches as vectors [gh * gw, k + 1]."""
        return self.describe(self.padded(picture), self.rows_wanted)

    def _refine(self, field: Tensor, queries: Tensor, rng: torch.Generator) -> Tensor:
        """PatchMatch: offer each patch what suits its neighbours, then places near its own."""
        best = field[self.open]
        cost = (queries - self.keys[best]).square_().sum(1)
        y, x = self.open // self.gw, self.open % self.gw

        def offer(row: Tensor, column: Tensor) -> None:
            nonlocal best, cost
            other = row.clamp(0, self.ph - 1) * self.pw + column.clamp(0, self.pw - 1)
            its = (queries - self.keys[other]).square_().sum(1)
            is_nearer = its < cost
            best = torch.where(is_nearer, other, best)
            cost = torch.where(is_nearer, its, cost)

        for step in (1, 2, 4):
            for dy, dx in ((0, step), (0, -step), (step, 0), (-step, 0)):
                beside = (x + dx) % self.gw if self.frame.wrap else (x + dx).clamp(0, self.gw - 1)
                other = field[(y + dy).clamp(0, self.gh - 1) * self.gw + beside]
                offer(other // self.pw - dy, other % self.pw - dx)
            field = field.index_copy(0, self.open, best)
        for reach in (8, 2):
            jitter = torch.randint(-reach, reach + 1, (2, len(best)), generator=rng)
            offer(best // self.pw + jitter[0], best % self.pw + jitter[1])
        return field.index_copy(0, self.open, best)

    def carry(self, coarse: "Level", field: Tensor) -> Tensor:
        """The coarser level's field at this one: what lay side by side still does."""
        fine = (self.y + self.top, self.x + self.left)
        ratios = (self.height / coarse.height, self.width / coarse.width)
        y, x = (
            ((at + HALF + 0.5) / ratio - HALF - 0.5).round()
            for at, ratio in zip(fine, ratios, strict=True)
        )
        y = y.clamp(0, coarse.gh - 1)
        x = x if self.frame.wrap else x.clamp(0, coarse.gw - 1)
        at = field[(y * coarse.gw + x % coarse.gw).long()]
        piece = coarse.piece_of(at % coarse.pw)
        wide, was = (level.widths[piece] for level in (self, coarse))
        found = []
        pairs = (
            (at // coarse.pw, self.h / coarse.h, fine[0], y, ratios[0], self.h),
            (at % coarse.pw - coarse.starts[piece], wide / was, fine[1], x, ratios[1], wide),
        )
        for place, zoom, here, there, ratio, size in pairs:
            rest = here + HALF + 0.5 - (there + HALF + 0.5) * ratio  # Lost in rounding.
            exact = (place + HALF + 0.5) * zoom + rest - HALF - 0.5
            found.append(exact.round().long().clamp_min(0).clamp_max(size - PATCH))
        carried = found[0] * self.pw + found[1] + self.starts[piece]
        return torch.where(self.own >= 0, self.own, carried)

    def paint(self, field: Tensor) -> Tensor:
        """The picture [3, H, W] that the patches of a field agree on."""
        wrap = self.frame.wrap
        if self.guide is None:
            right, below = differences(self.source, False)
            votes = self._vote(field, torch.cat([self.source, right, below]))
            colours, right, below = votes.split(3)
            colours = torch.where(self.known, self.base, colours)
            colours = screened_poisson(colours, right, below, self.known, wrap=wrap)
        else:
            colours = self._vote(field, self.source) + self._drift(field, self.guide)
            if self.frame.anchored:
                self._join(colours)
        return torch.where(self.known, self.base, colours.clamp_(-1, 1))

    def _join(self, colours: Tensor) -> None:
        """Blend the photo and what was drawn around it, in place; JOIN pixels from it all stays.

        Conjugate gradients carry a difference one pixel farther with each iteration.
        """
        rows = slice(max(self.top - JOIN, 0), self.top + self.h + JOIN)
        columns = slice(max(self.left - JOIN, 0), self.left + self.w + JOIN)
        wrap = self.frame.wrap
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
        total = torch.zeros(self.height, self.gw + PATCH - 1, len(channels) + 1)
        for dy in range(PATCH):
            for dx in range(PATCH):
                off = (dy - HALF) ** 2 + (dx - HALF) ** 2
                weight = math.exp(-off / (2 * self.settings.sigma**2))
                at = total[dy : dy + self.gh, dx : dx + self.gw]
                votes = flat[corner + dy * wide + dx].view(self.gh, self.gw, -1)
                at[..., :-1].add_(votes, alpha=weight)
                at[..., -1] += weight
        total = self.folded(total.permute(2, 0, 1))
        return total[:-1] / total[-1]

    def _drift(self, field: Tensor, guide: Tensor) -> Tensor:
        """[3, H, W]: how much brighter the guide is than the patches, smoothed."""
        theirs = F.avg_pool2d(self.source[None], PATCH, 1)[0].flatten(1)[:, field]
        wanted = F.avg_pool2d(self.padded(guide)[None], PATCH, 1)[0]
        drift = (wanted - theirs.view_as(wanted)).clamp(-0.3, 0.3)
        if self.frame.wrap:
            drift = torch.cat([drift[:, :, 1 - PATCH :], drift], 2)
        sides = (0 if self.frame.wrap else PATCH - 1,) * 2
        drift = F.pad(drift, (*sides, PATCH - 1, PATCH - 1), mode="replicate")
        return F.avg_pool2d(drift[None], PATCH, 1)[0]

    def padded(self, x: Tensor) -> Tensor:
        """x [C, H, W] so that every patch of the picture lies in it, those over its end too."""
        return torch.cat([x, x[:, :, : PATCH - 1]], 2) if self.frame.wrap else x

    def folded(self, x: Tensor) -> Tensor:
        """The transpose of `padded`."""
        if not self.frame.wrap:
            return x
        x[:, :, : PATCH - 1] += x[:, :, self.width :]
        return x[:, :, : self.width]

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
        own = queries[part].square().sum(1, keepdim=True)
        found = torch.addmm(squares, queries[part], keys.T, alpha=-2).add_(own)
        yield part, found.clamp_min_(0)
