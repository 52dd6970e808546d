"""Pictures from one photo by its own patches, without training. Start at `synthesize`.

Coarse to fine: each level keeps, for every 7x7 patch of the picture, which patch of the photo it is
(the nearest-neighbour field), finds better ones, and paints the picture as their average, as in
Wexler et al. 2007, PatchMatch (Barnes et al. 2009) and GPNN (Granot et al. 2022, arXiv:2103.15545).

Departs from GPNN:
- patches are compared by their principal components, so that even exact search is a small matrix
  product; fine levels refine the field of the level before by propagation (PatchMatch), so that
  the picture is as sharp as the photo at its full resolution;
- the coarsest level is not noise: the photo is continued by pieces of itself, as wide as they can
  be, or the picture grows outward from it, patch by patch (Efros & Leung 1999), or follows the
  cheapest way through the photo's columns and rows;
- a patch knows its height in the photo, so that sky stays above and water below;
- what exists only once in the photo (a building) costs more to repeat than what repeats already;
- a wider and a narrower copy of the photo offer their patches too, and so does its mirror image
  where that is wanted: a layout that comes from it has an axis that everybody sees;
- what has been taken costs more to take again, at every level that is searched exactly;
- patches vote for differences between pixels, and the picture is blended from those.
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.models.patches.field import SEARCH_PIXELS, Canvas, Level
from genmodels.models.patches.source import HALF, PATCH, PatchSettings, patches_of, resize
from genmodels.nn.threads import threads_for

MIN_SIDE = 16  # Smallest side of a photo: a smaller one has hardly two different patches.
NEVER = 1e9  # A cost.
TASTE = (3, 10)  # Parts of the source that a seed likes more or less, down and across.

CONTEXT = 5  # Columns before a cut that must look like those before its other side.
PIECE_COST = 0.25  # Of one more piece, in what a column usually differs from all others.
REPEAT_COST = 1.5  # Of a piece as wide as the photo that repeats what is alone of its kind in it.
TASTE_COST = 20.0  # What `variety` is multiplied with, in what a cut usually costs.

Start = Literal["grow", "pieces", "strip", "path"]


def synthesize(
    photo: Tensor,  # [3, h, w] in [-1, 1], h and w at least MIN_SIDE.
    canvas: Canvas,
    start: Start,  # "grow" from the photo or add "pieces" (both anchored), a "strip", or a "path".
    *,
    seed: int,  # 0 to 2**63 - 1.
    settings: PatchSettings | None = None,
) -> Iterator[Tensor]:
    """Pictures [3, H, W] in [-1, 1] from coarse to fine; the last has the size of the canvas."""
    settings = settings or PatchSettings()
    check_default_dtype()
    rng = torch.Generator().manual_seed(seed)
    taste = torch.rand(1, 1, *TASTE, generator=rng)
    level: Level | None = None
    field = picture = None
    for scale in scales(min(photo.shape[1:]), start, settings):
        before = level
        level = Level(photo, canvas, scale, settings, taste if before is None else None)
        with threads_for(level.height * level.width * settings.components):
            if before is None or field is None or picture is None:
                field = _BEGINNINGS[start](level, rng)
                picture = level.paint(field)
                rounds = 10
            else:
                field = level.carry(before, field)
                before = None  # It is large.
                level.guide = (
                    None if level.is_blended else resize(picture, (level.height, level.width))
                )
                picture = level.paint(field)
                rounds = 3 if level.is_exact else 2 if level.is_searched else 0
            for _ in range(rounds):
                field = level.search(field, picture, rng)
                picture = level.paint(field)
        level.source.forget()
        yield picture


def scales(side: int, start: Start, settings: PatchSettings) -> list[float]:
    """Scales of the levels, from coarse to 1, for a photo of this shorter side."""
    # Columns must be told apart, growth wants patches that see half the picture.
    by_columns = start in ("path", "pieces")
    coarsest = min(side, 2 * settings.coarsest if by_columns else settings.coarsest)
    steps = math.ceil(math.log(side / coarsest) / -math.log(settings.ratio))
    return [(coarsest / side) ** (1 - i / steps) for i in range(steps)] + [1.0]


def megabytes(
    photo: tuple[int, int],  # Height and width.
    canvas: Canvas,
    start: Start,
    settings: PatchSettings,
) -> int:
    """About what `synthesize` takes at most: what was measured, and some more."""
    copies = (1 + settings.mirror) * (1 + sum(settings.stretches))
    most = 0.0
    for scale in scales(min(photo), start, settings):
        source, picture = (
            math.prod(size) * scale**2 for size in (photo, (canvas.height, canvas.width))
        )
        # A vector for each patch of both, or else the colours of the source and its field.
        of_each = (130, 310) if picture <= SEARCH_PIXELS else (26, 200)
        most = max(most, of_each[0] * copies * source + of_each[1] * picture)
    return max(500, 200 + round(most / 1e6))


def check_default_dtype() -> None:
    """Raise `ValueError` where numbers would be made of another type than the photo's."""
    if torch.get_default_dtype() != torch.float32:
        raise ValueError(
            "patches are put together in float32, which must be torch's default type: it is "
            f"{torch.get_default_dtype()}, see torch.set_default_dtype"
        )


def grow(level: Level, rng: torch.Generator) -> Tensor:
    """A field [gh * gw] that continues the photo outward."""
    del rng  # The level's taste has all the chance in it.
    return _grown(level, level.base, level.known, level.own)


def grow_strip(level: Level, rng: torch.Generator) -> Tensor:
    """A field that continues an upright strip of the photo, from anywhere in it, put anywhere."""
    width = min(level.w, level.width, max(PATCH + 2, round(level.settings.strip * level.w)))
    column = int(torch.randint(level.w - width + 1, (), generator=rng))
    at = int(torch.randint(level.width - width + 1, (), generator=rng))
    top = (level.height - level.h) // 2  # Below 0 where the picture is lower than the photo.
    rows = slice(max(top, 0), min(top + level.h, level.height))
    base, known = torch.zeros_like(level.base), torch.zeros_like(level.known)
    strip = level.source.photo[:, rows.start - top : rows.stop - top, column : column + width]
    base[:, rows, at : at + width], known[rows, at : at + width] = strip, True
    inside = (level.y >= rows.start) & (level.y <= rows.stop - PATCH)
    inside &= (level.x >= at) & (level.x <= at + width - PATCH)
    original = (level.y - top) * level.pw + level.x - at + column
    return _grown(level, base, known, torch.where(inside, original, -1))


def _grown(level: Level, picture: Tensor, known: Tensor, original: Tensor) -> Tensor:
    """The field of a picture that grows from what is known of it, ring by ring.

    In each ring the patches that are more than half known, or else the most known ones, choose what
    fits best; the unknown rest of them is painted with the mean of the chosen.
    """
    field, source = original.clone(), level.source
    patches = patches_of(source.image)
    squares = patches.square()
    taken = source.taken(original)
    while not known.all():
        mask = known.float()[None]
        shown = F.avg_pool2d(level.padded(mask)[None], PATCH, 1).flatten()
        is_open = shown < 1 - 1e-4
        threshold = min(0.55, float(shown[is_open].max()) - 1e-4)
        ring = (is_open & (shown >= threshold)).nonzero()[:, 0]
        queries = patches_of(level.padded(picture))[ring]
        weights = patches_of(level.padded(mask))[ring].repeat(1, 3)
        queries = queries * weights
        cost = weights @ squares.T - 2 * queries @ patches.T
        cost += queries.square().sum(1, keepdim=True)
        cost /= weights.mean(1, keepdim=True)
        cost += (
            level.source.row_weight * (level.rows_wanted[ring, None] - level.source.row)
        ).square()
        cost += level.source.dislike + level.source.crowding(taken)
        cost = cost.masked_fill(level.source.straddles, 2 * NEVER)
        if level.canvas.anchored:
            cost = cost.masked_fill(level.is_too_near(ring), NEVER)
        field[ring] = cost.argmin(1)
        taken += source.taken(field[ring])
        picture, known = _painted(level, picture, known, ring, patches[field[ring]])
    rest = (field < 0).nonzero()[:, 0]  # Where others have painted all that was unknown.
    return field.index_copy(0, rest, level.match(picture, rest)) if len(rest) else field


def _painted(
    level: Level, picture: Tensor, known: Tensor, ring: Tensor, patches: Tensor
) -> tuple[Tensor, Tensor]:
    """The picture and what is known of it, with a ring's patches [n, 147] over the unknown."""
    full = torch.zeros(4 * PATCH**2, level.gh * level.gw)
    full[: -(PATCH**2), ring], full[-(PATCH**2) :, ring] = patches.T, 1.0
    size = (level.height, level.gw + PATCH - 1)
    total = level.folded(F.fold(full[None], size, PATCH)[0])
    is_new = (total[3] > 0) & ~known
    return torch.where(is_new, total[:3] / total[3].clamp_min(1), picture), known | is_new


def continue_in_pieces(level: Level, rng: torch.Generator) -> Tensor:
    """A field that continues the photo to both sides with columns of its own, in whole pieces."""
    del rng  # The level's taste has all the chance in it.
    photo, settings, width = level.source.photo, level.settings, level.w
    beyond = level.width - width - level.left
    dislike = _column_taste(level)
    if level.canvas.wrap:  # One gap, from the photo's end round to its beginning.
        gap = continuation(photo, beyond + level.left, settings, dislike, closes=True)
        right, left = gap[:beyond], gap[beyond:]
    else:
        right = continuation(photo, beyond, settings, dislike)
        left = continuation(photo.flip(2), level.left, settings, dislike.flip(0))
        left = width - 1 - left.flip(0)
    columns = torch.cat([left, torch.arange(width), right])
    column = columns[(level.x + level.left + HALF) % level.width] - HALF
    field = level.y.clamp(0, level.ph - 1) * level.pw + column.clamp(0, width - PATCH)
    return torch.where(level.own >= 0, level.own, field)


def _column_taste(level: Level) -> Tensor:
    """[w]: how little each column of the photo is liked by this seed, from 0 to 1."""
    taste = level.source.taste
    if taste is None:
        return torch.zeros(level.w)
    by_column = taste.mean(2)  # [1, 1, columns]
    return F.interpolate(by_column, level.w, mode="linear", align_corners=False).flatten()


def continuation(
    photo: Tensor,  # [3, h, w] in [-1, 1].
    length: int,
    settings: PatchSettings,
    dislike: Tensor,  # [w]: how little each column is liked, from 0 to 1.
    *,
    closes: bool = False,  # Whether the photo's first column follows.
) -> Tensor:
    """Which columns [length] of the photo follow its last one, as few and as fitting pieces.

    A piece begins where the columns before it look like those that it is put beside (video
    textures, Schoedl et al. 2000). What is alone of its kind in the photo costs more to repeat,
    the more the nearer it lies to itself.
    """
    if length == 0:
        return torch.empty(0, dtype=torch.long)
    w = photo.shape[2]
    columns = photo.permute(2, 0, 1).flatten(1)  # [w, 3 h]
    place, reach = torch.arange(w), max(PATCH, round(2 * settings.min_shift * w))
    unique = _uniqueness(torch.cdist(columns, columns).square() / columns.shape[1], reach)
    # cut[a, b]: what it costs that b follows a: how the columns up to a differ from those before b.
    windows = torch.cat([columns[:1].expand(CONTEXT, -1), columns]).unfold(0, CONTEXT, 1).flatten(1)
    alike = torch.cdist(windows, windows).square() / windows.shape[1]  # [w + 1, w + 1]
    cut = alike[1:, :w] + PIECE_COST * unique.mean()
    usual = cut.median()
    cut = cut.masked_fill((place - place[:, None] - 1).abs() < reach, NEVER)
    cut[place[:-1], place[1:]] = 0
    disliked = settings.variety * TASTE_COST * usual * dislike / w

    def price(i: int) -> Tensor:
        nearness = (1 - (w + i - place).float() / w).clamp_min(0)
        return REPEAT_COST * unique / w * (1 + 2 * nearness) + disliked

    cost = cut[w - 1] + price(0)
    came_from = []
    for i in range(1, length):  # Dynamic programming: the cheapest way to each column.
        cost, before = (cost[:, None] + cut).min(0)
        cost = cost + price(i)
        came_from.append(before)
    path = [int((cost + cut[:, 0] if closes else cost).argmin())]
    for before in reversed(came_from):
        path.append(int(before[path[-1]]))
    return torch.tensor(path[::-1])


def follow_paths(level: Level, rng: torch.Generator) -> Tensor:
    """A field that keeps the photo's order: all its columns and rows, with loops or cuts."""
    del rng  # There is one best way.
    rows = cheapest_path(level.source.photo.transpose(1, 2), level.height, level.settings)
    columns = cheapest_path(level.source.photo, level.width, level.settings)
    row = (rows[level.y + HALF] - HALF).clamp(0, level.ph - 1)
    column = columns[(level.x + HALF) % level.width] - HALF
    return row * level.pw + column.clamp(0, level.w - PATCH)


def cheapest_path(photo: Tensor, length: int, settings: PatchSettings) -> Tensor:
    """Which column of the photo [3, h, w] stands at each of `length` places.

    From its first column to its last, each followed by the next or by a jump to one like the next
    (video textures, Schoedl et al. 2000), which costs more if it leaves out, or repeats, what is
    alone of its kind.
    """
    w = photo.shape[2]
    if length == w:
        return torch.arange(w)
    windows = F.pad(photo[None], (2, 2, 0, 0), mode="replicate")[0].unfold(2, 5, 1)
    windows = windows.permute(2, 0, 1, 3).flatten(1)
    alike = torch.cdist(windows, windows).square() / windows.shape[1]  # [w, w]
    place = torch.arange(w)
    reach = max(PATCH, round(settings.min_shift * w))
    unique = _uniqueness(alike, reach)
    # jump[a, b]: what it costs that b follows a, which is what b differs from a + 1, and that the
    # columns between are left out or come again.
    upto = F.pad(unique.cumsum(0), (1, 0))
    jump = torch.cat([alike[1:], alike[-1:]]) + 0.5 * unique.mean()
    jump += (upto[:w] - upto[1:, None]).abs()
    jump = jump.masked_fill((place - place[:, None] - 1).abs() < reach, NEVER)
    jump[place[:-1], place[1:]] = 0
    cost = torch.full((w,), NEVER)
    cost[0] = 0
    came_from = []
    for _ in range(length - 1):  # Dynamic programming: the cheapest way to each column.
        cost, before = (cost[:, None] + jump).min(0)
        came_from.append(before)
    path = [w - 1]
    for before in reversed(came_from):
        path.append(int(before[path[-1]]))
    return torch.tensor(path[::-1])


def _uniqueness(apart: Tensor, reach: int) -> Tensor:
    """[w]: how much each column differs from the one most like it beyond `reach`; apart [w, w]."""
    place = torch.arange(len(apart))
    nearest = apart.masked_fill((place[:, None] - place).abs() < reach, math.inf).amin(1)
    return nearest.nan_to_num(posinf=float(apart.max()))


_BEGINNINGS = {
    "grow": grow,
    "pieces": continue_in_pieces,
    "strip": grow_strip,
    "path": follow_paths,
}
