"""How good a picture made from ONE photo is, without any downloaded network. Start at `panel`.

Likeness: `rsifid`, `patch_swd`. Both directions of it: `coherence` (is everything in the output
from the photo?) and `completeness` (is everything in the photo in the output?). What these do not
see: `layout_error` (sky in the water), `repetition` (one bush ten times), `symmetry` (a mirror's
axis), `seam_ratio` (a visible join), `diversity` (do samples differ?). The figures order ways of
making pictures from the same photo at the same sizes, and mean little beyond; floors and chance
levels stand beside them.

All but `seam_ratio` look at a working size: both pictures are shrunk by one factor (antialiased,
never enlarged) that leaves the source's longer side at most `longest` px. The price: a piece of the
photo, moved by no multiple of that factor, is another after it: 1 to 4 grey levels of coherence.

All is deterministic: patches are sampled by a fixed seed, and each is compared with all others.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genmodels.metrics.descriptors import Images, image_batch
from genmodels.metrics.paired import Mean

SINGLE_IMAGE_VERSION = 1  # Raised whenever a figure changes its value for the same pictures.
LONGEST = 200  # Working size: longer side of the source, px.

PATCH_SIDE = 7
STEPS = (1, 2, 4)  # Three scales: each of a patch's 7x7 values is the mean of as many px squared.
MIN_SIDE = PATCH_SIDE * STEPS[-1]
NUM_QUERIES = 4096  # Patches that look for their nearest, at most: 1 to 2 % error of a mean.
CHUNK = 256  # Patches compared at a time: bounds memory.

NUM_PROJECTIONS = 128
NUM_QUANTILES = 1024  # Quantiles per projection: makes pictures of different sizes comparable.

NUM_NETWORKS = 3
NETWORK_CHANNELS = 64
KERNEL_SIDE = 5  # Three layers of it see 13x13 px.

REPEAT_SIDE = 15
REPEAT_FAR = 20  # px between places, to a side or up or down, from which a likeness is a repeat.
REPEAT_MIN_SIDE = REPEAT_SIDE + 2 * REPEAT_FAR + 1  # Even the middle has a patch far from it.
REPEAT_CONTRAST = 8.0  # Grey levels; patches of less repeat rightly: sky, fog, still water.
REPEAT_SHARE = 0.05  # Share of the source's own patches that count as repeats.

AXIS_REACH = 0.15  # To each side of an axis, as a share of the source's width.
AXIS_BLUR = 9  # px: what is wider is no detail.

FEWER_QUERIES = 2048  # For repetition and layout, which do more with each.
TIE = 1.0  # Grey levels: two patches that differ so little in distance are equally near.

Picture = Image.Image | np.ndarray | Tensor  # RGB; or uint8 [H, W, 3]; or uint8 [3, H, W].


def panel(
    generated: Picture,  # Any size.
    source: Picture,  # The photo it was made from.
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> dict[str, float]:
    """All figures of a pair by name, with floor and chance beside those that need them.

    Lower is better in each. "layout_error" means something only where the output should keep the
    photo's order from top to bottom, and is to be read against "layout_chance".
    """
    pair = _pair(generated, source, longest, REPEAT_MIN_SIDE)
    error, chance = _layout(*pair)
    return {
        "rsifid": _rsifid(*pair),
        "rsifid_floor": _rsifid(*_shifted_crops(pair[1])),
        "patch_swd": float(_patch_swd(*pair)),
        "coherence": float(_nearest_distance(*pair)),
        "completeness": float(_nearest_distance(*pair[::-1])),
        "repetition": _repetition(*pair),
        "symmetry": _symmetry(*pair),
        "layout_error": error,
        "layout_chance": chance,
    }


def rsifid(
    generated: Picture,  # Any size.
    source: Picture,
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> float:
    """Frechet distance between the features at all places of two pictures; 0 when equal.

    After SIFID (SinGAN, arXiv:1905.01164). Departures:
    - Random networks (mean of three, seeds 0 to 2; three 5x5 layers of 64 channels, so 13x13 px
      are seen at a place) instead of Inception: compare with `rsifid_floor`, never with SIFID.
    - Filters of the first layer sum to zero in each colour: a shift of colour is not seen, which
      `completeness` and `patch_swd` see.
    - Features in units of the source's own spread, and divided by the number of channels.
    """
    return _rsifid(*_pair(generated, source, longest))


def rsifid_floor(
    source: Picture,
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> float:
    """`rsifid` between the first and the last three quarters of a photo along its longer side.

    What a perfect picture of the place just beside would have. Ten photos: 0.008 to 0.033, where a
    blur of 0.8 px at the working size has 0.07 to 0.20.
    """
    return _rsifid(*_shifted_crops(_pair(source, source, longest)[1]))


def patch_swd(
    generated: Picture,  # Any size.
    source: Picture,
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> Mean:
    """Sliced Wasserstein distance of 7x7 patches x 1e3; `.values` [3] per level, finest first.

    After Karras et al. 2018, arXiv:1710.10196. Departures:
    - All patches of one picture in 128 random directions, not 128 patches of each of many pictures.
    - Three levels of a Laplacian pyramid, the last being the low-pass rest.
    - Units are the source's spread per level and colour; neither picture is centred or scaled by
      itself, so that lost contrast and shifted colours are seen.
    """
    return _patch_swd(*_pair(generated, source, longest))


def coherence(
    generated: Picture,  # Any size.
    source: Picture,
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> Mean:
    """Mean distance of the output's patches to their nearest in the source, in grey levels.

    High when the output has what the photo has not: blur, blends, artefacts. 7x7 patches, root
    mean square, mean of three scales; `.values` [3] per scale, finest first. One half of Simakov
    et al.'s bidirectional similarity (2008), which is the sum of both with squared distances.
    """
    return _nearest_distance(*_pair(generated, source, longest))


def completeness(
    generated: Picture,  # Any size.
    source: Picture,
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> Mean:
    """Mean distance of the source's patches to their nearest in the output, in grey levels.

    High when the output lacks what the photo has. Otherwise as `coherence`. Lower is better.
    """
    return _nearest_distance(*_pair(generated, source, longest)[::-1])


def repetition(
    generated: Picture,  # Any size; its patches are compared with each other.
    source: Picture,  # Says which likeness within a picture is normal.
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> float:
    """Share of the output's patches that it repeats more than 20 px away; the source has 0.05.

    Of each 15x15 patch, the distance to the nearest that is more than 20 px away, sideways or up
    or down, divided by the patch's own contrast. Repeated are those nearer than 95 % of the
    source's are to theirs. Contrast is the root mean square deviation from the patch's mean colour;
    patches of less than 8 grey levels do not count, as a clear sky repeats itself rightly, and
    dividing keeps faint ones, all alike, from being all that is found.

    A picture larger than its source has to use patches again: compare outputs of one size, and look
    above 0.10. Ten whole photos, as outputs from their own left halves, have 0.05 to 0.11; a photo
    set beside itself has 0.95. A source that repeats itself exactly (stripes) hides repeats. An
    output without contrast has 0.
    """
    return _repetition(*_pair(generated, source, longest, REPEAT_MIN_SIDE))


def symmetry(
    generated: Picture,  # Any size.
    source: Picture,  # Says how symmetric the scene itself is.
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> float:
    """How much more symmetric about an upright axis the output is than its source, -1 to 1.

    About each axis, the correlation of the detail at its left, mirrored, with that at its right, as
    far as 15 % of the source's width; the largest one, minus the source's largest. Of 32 pictures
    that were judged by eye, 0.23 and above had an axis that one sees at once (11 of 16 of those
    that were drawn with mirrored patches, none of 16 without).
    """
    return _symmetry(*_pair(generated, source, longest))


def layout_error(
    generated: Picture,  # Any size, but it should show the source from top to bottom.
    source: Picture,
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> float:
    """How far things moved up or down, as a share of the height: sky that ended up in the water.

    Mean over the output's coarsest patches (of 28x28 px) of the difference between their height in
    the picture and that of the nearest source patch. 0 when all is in place, 1/3 by chance, less
    where heights look alike (`panel` has it). Of source patches that are as near, to one grey
    level, the least move counts. The other end of the same photo has 0.00 to 0.06.
    """
    return _layout(*_pair(generated, source, longest))[0]


def diversity(
    samples: Images,  # Two or more, of one size: [N, H, W, 3] uint8, or PIL pictures, ...
    source: Picture,
    *,
    longest: int = LONGEST,  # Working size: longer side of the source, px.
) -> float:
    """Spread of samples: mean over pixels of the std over samples, per std of the source's pixels.

    As in SinGAN (arXiv:1905.01164), over all colours instead of grey, and with N - 1, so that the
    number of samples does not matter. 0 when all are equal, 1 when pixels are at random places.
    """
    batch = image_batch(samples, "samples", at_least=2)
    original = _pixels(source, "source")
    factor = _factor(original, longest)
    spread = _shrunk(batch.float(), factor).std(dim=0).mean()
    scale = _shrunk(original, factor).std(dim=(2, 3)).mean()
    if scale < 1e-3:
        raise ValueError("source must not be one flat colour: its spread is the unit of diversity")
    return float(spread / scale)


def seam_ratio(
    picture: Picture,
    column: int | None = None,  # First column after the seam; 0 is the wrap, last to first column.
    *,
    row: int | None = None,  # First row after a horizontal seam, instead of a column.
) -> float:
    """Mean difference across a seam / the median of it over all neighbouring columns (or rows).

    1 when a join looks like any other place, above when it is visible, below when it is smeared.
    Photos differ in themselves: of the columns of 40 of them, 60 % had 0.8 to 1.25 and 90 % 0.57
    to 1.70, so judge several joins, not one. On all pixels, at no working size.
    """
    pixels = _pixels(picture, "picture")
    if (column is None) == (row is None):
        raise ValueError(f"give a column or a row, got column={column!r} and row={row!r}")
    name, place, axis = ("column", column, 3) if row is None else ("row", row, 2)
    last = pixels.shape[axis] - 1
    if type(place) is not int or not 0 <= place <= last or last < 2:
        raise ValueError(
            f"{name} must be a whole number from 0 to {last} in a picture of 3 or more {name}s, "
            f"got {place!r}"
        )
    steps = (pixels - pixels.roll(1, dims=axis)).abs().mean(dim=(0, 1, 5 - axis))  # Step 0 wraps.
    usual = steps[1:].median()
    if usual == 0:
        raise ValueError(f"half of the picture's {name}s equal the one before: no usual difference")
    return float(steps[place] / usual)


def _pair(
    generated: Picture, source: Picture, longest: int, min_length: int = MIN_SIDE
) -> tuple[Tensor, Tensor]:
    """Both at the working size: float [1, 3, h, w] in grey levels, checked to be large enough."""
    pixels = {"generated": _pixels(generated, "generated"), "source": _pixels(source, "source")}
    factor = _factor(pixels["source"], longest)
    for name, full in pixels.items():
        pixels[name] = _shrunk(full, factor)
        height, width = pixels[name].shape[2:]
        if min(height, width) < MIN_SIDE or max(height, width) < min_length:
            raise ValueError(
                f"{name} must be at least {MIN_SIDE} px high and wide, and its longer side "
                f"{min_length}, where the source's is at most {longest}; got {width}x{height} "
                f"from {full.shape[3]}x{full.shape[2]}"
            )
    return pixels["generated"], pixels["source"]


def _pixels(picture: Any, name: str) -> Tensor:
    """One picture in any accepted form -> float [1, 3, H, W] in grey levels 0 to 255."""
    if isinstance(picture, Image.Image) and picture.mode == "RGB":
        return image_batch([picture], name).float()
    shape = getattr(picture, "shape", ())
    if len(shape) != 3 or not isinstance(picture, np.ndarray | Tensor):
        got = getattr(picture, "mode", None) or (list(shape) if shape else type(picture).__name__)
        raise ValueError(
            f"{name} must be one RGB picture: PIL, or a uint8 array [H, W, 3], or a uint8 tensor "
            f"[3, H, W]; got {got}"
        )
    return image_batch(picture[None], name).float()


def _factor(source: Tensor, longest: int) -> float:
    if type(longest) is not int or longest < MIN_SIDE:
        raise ValueError(f"longest must be a whole number from {MIN_SIDE} on, got {longest!r}")
    return min(1.0, longest / max(source.shape[2:]))


def _shrunk(pixels: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return pixels
    size = [max(1, round(side * factor)) for side in pixels.shape[2:]]
    return F.interpolate(pixels, size, mode="bicubic", antialias=True)


def _patches(x: Tensor, side: int, step: int = 1) -> Tensor:
    """[1, 3, h, w] -> [places, 3 * side^2], row by row, of means over step x step px.

    At every pixel: on a coarse grid, a piece of the photo moved by 1 px would be another piece.
    Around 0, which keeps products exact.
    """
    means = F.avg_pool2d(x - 128, step, stride=1)
    return F.unfold(means, side, dilation=step)[0].T.contiguous()


def _sampled(count: int, at_most: int) -> Tensor:
    """Indices in order: all of them, or as many as allowed, by a fixed seed."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[:at_most].sort().values


def _nearest_distance(a: Tensor, b: Tensor) -> Mean:
    """Mean root mean square distance of a's patches to their nearest in b, per scale."""
    means = []
    for step in STEPS:
        queries, keys = (_patches(x, PATCH_SIDE, step) for x in (a, b))
        queries = queries[_sampled(len(queries), NUM_QUERIES)]
        norms = keys.square().sum(dim=1)
        nearest = [
            torch.addmm(norms, few, keys.T, alpha=-2).argmin(dim=1) for few in queries.split(CHUNK)
        ]
        # Again from the difference: the expanded square is not exactly 0 between equal patches.
        squares = (queries - keys[torch.cat(nearest)]).square().mean(dim=1)
        means.append(float(squares.sqrt().mean()))
    return Mean(np.array(means))


def _patch_swd(generated: Tensor, source: Tensor) -> Mean:
    rng = torch.Generator().manual_seed(0)
    directions = torch.randn(NUM_PROJECTIONS, 3, PATCH_SIDE, PATCH_SIDE, generator=rng)
    directions /= directions.flatten(1).norm(dim=1)[:, None, None, None]
    gaps = []
    for x, y in zip(_laplacian(generated), _laplacian(source), strict=True):
        # At least one grey level: a smooth photo leaves only rounding on its finest level.
        scale = y.std(dim=(2, 3), keepdim=True).clamp(min=1)
        a, b = (_quantiles(F.conv2d(level / scale, directions)[0].flatten(1)) for level in (x, y))
        gaps.append(1e3 * float((a - b).abs().mean()))
    return Mean(np.array(gaps))


def _laplacian(x: Tensor) -> list[Tensor]:
    """What each halving removes, finest first, and the rest."""
    levels = []
    for _ in STEPS[1:]:
        coarse = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        levels.append(x - F.interpolate(coarse, x.shape[2:], mode="bilinear"))
        x = coarse
    return [*levels, x]


def _quantiles(values: Tensor) -> Tensor:
    """[D, places] -> the same number of evenly spaced order statistics for any picture, [D, 1024].

    Between neighbours it interpolates, as small pictures have fewer places.
    """
    ordered = values.sort(dim=1).values
    positions = (torch.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES * (ordered.shape[1] - 1)
    low = positions.long()
    high = (low + 1).clamp(max=ordered.shape[1] - 1)
    return ordered[:, low].lerp(ordered[:, high], positions - low)


def _shifted_crops(source: Tensor) -> tuple[Tensor, Tensor]:
    axis = 3 if source.shape[3] >= source.shape[2] else 2
    side = source.shape[axis]
    length = side * 3 // 4
    return source.narrow(axis, 0, length), source.narrow(axis, side - length, length)


def _rsifid(generated: Tensor, source: Tensor) -> float:
    distances = []
    for seed in range(NUM_NETWORKS):
        a, b = (_place_features(x, seed) for x in (generated, source))  # [places, 64]
        std = b.std(axis=0)
        if std.min() <= 1e-6 * np.abs(b).max():
            raise ValueError("source must not be one flat colour: it has no texture to compare")
        distances.append(_frechet(a / std, b / std) / NETWORK_CHANNELS)
    return float(np.mean(distances))


def _place_features(x: Tensor, seed: int) -> np.ndarray:
    """Float [1, 3, h, w] -> float64 [places, 64] of a random network without padding."""
    rng = torch.Generator().manual_seed(seed)
    widths = (3, *[NETWORK_CHANNELS] * 3)
    x = x / 127.5 - 1
    for layer, (c_in, c_out) in enumerate(zip(widths, widths[1:], strict=False)):
        weight = torch.randn(c_out, c_in, KERNEL_SIDE, KERNEL_SIDE, generator=rng)
        weight *= (2 / weight[0].numel()) ** 0.5
        if layer == 0:
            weight -= weight.mean(dim=(2, 3), keepdim=True)
        x = F.leaky_relu(F.conv2d(x, weight), 0.2)
    return x[0].flatten(1).T.double().numpy()


def _frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Between the normal distributions with the moments of two sets of rows."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(min=0)).sum()
    gap = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return max(0.0, float(gap + np.trace(cov_a) + np.trace(cov_b) - 2 * shared))


def _repetition(generated: Tensor, source: Tensor) -> float:
    normal = _self_distances(source)
    if not len(normal):
        raise ValueError(
            f"source must have a {REPEAT_SIDE}x{REPEAT_SIDE} patch with a contrast of "
            f"{REPEAT_CONTRAST:g} grey levels or more, got none"
        )
    distances = _self_distances(generated)
    limit = torch.quantile(normal, REPEAT_SHARE)
    return float((distances < limit).float().mean()) if len(distances) else 0.0


def _symmetry(generated: Tensor, source: Tensor) -> float:
    reach = round(AXIS_REACH * source.shape[3])
    return _most_symmetric(generated, reach) - _most_symmetric(source, reach)


def _most_symmetric(x: Tensor, reach: int) -> float:
    """The largest correlation about an axis of [1, 3, h, w]; 0 if it is too narrow for one."""
    grey = x.mean(1, keepdim=True)
    smooth = F.avg_pool2d(F.pad(grey, [AXIS_BLUR // 2] * 4, mode="replicate"), AXIS_BLUR, 1)
    detail = (grey - smooth)[0, 0]
    most = 0.0
    for axis in range(reach, detail.shape[1] - reach + 1):
        left, right = detail[:, axis - reach : axis].flip(1), detail[:, axis : axis + reach]
        scale = left.norm() * right.norm()
        most = max(most, float((left * right).sum() / scale.clamp_min(1e-6)))
    return most


def _self_distances(x: Tensor) -> Tensor:
    """Distance of sampled patches to the nearest far away in the same picture, per contrast."""
    patches = _patches(x, REPEAT_SIDE)  # [places, 675]
    index = torch.arange(len(patches))
    columns = x.shape[3] - REPEAT_SIDE + 1
    row, column = index // columns, index % columns
    colours = patches.view(len(patches), 3, -1)
    contrast = colours.var(dim=2, correction=0).mean(dim=1).sqrt()
    queries = index[contrast >= REPEAT_CONTRAST]
    queries = queries[_sampled(len(queries), FEWER_QUERIES)]
    norms = patches.square().sum(dim=1)
    distances = []
    for few in queries.split(CHUNK):
        scores = torch.addmm(norms, patches[few], patches.T, alpha=-2)
        near = (row - row[few, None]).abs() <= REPEAT_FAR
        near &= (column - column[few, None]).abs() <= REPEAT_FAR
        nearest = scores.masked_fill_(near, torch.inf).argmin(dim=1)
        distances.append((patches[few] - patches[nearest]).square().mean(dim=1).sqrt())
    return torch.cat(distances) / contrast[queries] if distances else contrast[queries]


def _layout(generated: Tensor, source: Tensor) -> tuple[float, float]:
    """The error, and its level by chance: of the same patches in random order."""
    queries, keys = (_patches(x, PATCH_SIDE, STEPS[-1]) for x in (generated, source))
    generated_heights, source_heights = _heights(generated), _heights(source)
    shuffled = generated_heights[
        torch.randperm(len(generated_heights), generator=torch.Generator().manual_seed(0))
    ]
    errors: list[Tensor] = []
    chances: list[Tensor] = []
    for few in _sampled(len(queries), FEWER_QUERIES).split(CHUNK):
        distances = torch.cdist(queries[few], keys) / PATCH_SIDE / 3**0.5  # [n, keys]
        far = distances > distances.amin(dim=1, keepdim=True) + TIE
        for heights, moves in ((generated_heights, errors), (shuffled, chances)):
            move = (heights[few, None] - source_heights).abs()
            moves.append(move.masked_fill_(far, torch.inf).amin(dim=1))
    return float(torch.cat(errors).mean()), float(torch.cat(chances).mean())


def _heights(x: Tensor) -> Tensor:
    """The relative height of each patch, 0 at the top and 1 at the bottom: [places]."""
    rows, columns = (side - MIN_SIDE + 1 for side in x.shape[2:])
    return torch.linspace(0, 1, rows).repeat_interleave(columns)
