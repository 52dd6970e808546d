"""Pictures that are there more than once: the same pixels, or one photograph in two files.

Candidates are a picture's nearest neighbours, by 16x16 copies and by frozen features. Each pair is
then laid on each other at several scales and places: only what fits in its details is one
photograph, however much two faces or two cars are alike.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.data.splits import first_repeats
from genmodels.doctor.readings import Reading

# How many neighbours are looked at, and how near they must be: correlation of 16x16 copies, cosine
# of features.
BY_THUMBNAIL = (3, 0.9)
BY_FEATURES = (5, 0.7)
# First on small copies, then those that may be one on larger ones: the side, how many scales are
# tried, and the least correlation of details. Of aligned faces, different people reach 0.80 on the
# small ones and 0.65 on the large, crops of one photograph 0.78 and more on both.
LOOKS = ((48, 9, 0.7), (96, 17, 0.75))
LARGEST_SCALE = 1.25
MIDDLE = 0.6  # Share of a picture's side that is looked for in the other.
_ROWS = 256  # Pictures compared with all others at a time.
_PAIRS = 64  # Pairs laid on each other at a time.


def exact_firsts(images: Sequence[Reading]) -> list[int]:
    """For each image the first one with the same pixels, perhaps mirrored: often itself."""
    return first_repeats([image.digests for image in images])


def near_pairs(
    images: Sequence[Reading],
    features: np.ndarray,  # [N, D], each of length 1.
    rows: Sequence[int],  # Which of them to compare: one of each that has the same pixels.
) -> list[tuple[int, int]]:
    """Rows of images that show one photograph: cropped, recompressed, brighter, mirrored."""
    if len(rows) < 2:
        return []
    chosen = np.array(rows)
    candidates = _candidates([images[row] for row in rows], features[chosen])
    for side, steps, least in LOOKS:
        greys = {row: _detail_copy(images[chosen[row]].grey, side) for row in set(candidates.flat)}
        fits = np.zeros(len(candidates), dtype=bool)
        for start in range(0, len(candidates), _PAIRS):
            some = candidates[start : start + _PAIRS].T
            first, second = (torch.stack([greys[row] for row in rows]) for rows in some)
            fits[start : start + _PAIRS] = (likeness(first, second, steps) > least).numpy()
        candidates = candidates[fits]
    return [(int(chosen[a]), int(chosen[b])) for a, b in candidates]


def groups(
    count: int,  # Number of images.
    exact: Sequence[int],  # From `exact_firsts`.
    near: Sequence[tuple[int, int]],  # From `near_pairs`.
) -> list[list[int]]:
    """The images by photograph, in order: groups of rows, most of them of one."""
    keys = [[f"exact {first}"] for first in exact]
    for number, pair in enumerate(near):
        for row in pair:
            keys[row].append(f"near {number}")
    members: dict[int, list[int]] = defaultdict(list)
    for row, first in enumerate(first_repeats(keys) if count else []):
        members[first].append(row)
    return list(members.values())


def _candidates(images: Sequence[Reading], features: np.ndarray) -> np.ndarray:
    """Pairs of near neighbours [P, 2], each once."""
    small = torch.from_numpy(np.stack([image.thumbnail for image in images])).float()
    small = small - small.mean(dim=(1, 2, 3), keepdim=True)
    small = small / small.flatten(1).norm(dim=1).clamp(min=1)[:, None, None, None]
    vectors = [
        ([small.flatten(1), small.flip(2).flatten(1)], BY_THUMBNAIL),
        ([torch.from_numpy(features)], BY_FEATURES),
    ]
    found: set[tuple[int, int]] = set()
    count = len(images)
    for (queries, *mirrored), (most, least) in vectors:
        for start in range(0, count, _ROWS):
            block = queries[start : start + _ROWS]
            alike = block @ queries.T
            for other in mirrored:
                alike = torch.maximum(alike, block @ other.T)
            alike[torch.arange(len(block)), torch.arange(start, start + len(block))] = -1
            best = alike.topk(min(most, count - 1))
            rows, places = torch.nonzero(best.values > least, as_tuple=True)
            others = best.indices[rows, places]
            for a, b in zip((rows + start).tolist(), others.tolist(), strict=True):
                found.add((min(a, b), max(a, b)))
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def _detail_copy(grey: np.ndarray, side: int) -> Tensor:
    """A grey copy uint8 [R, R] -> float32 [side, side]."""
    whole = torch.from_numpy(grey.copy())[None, None].float()
    return F.interpolate(whole, (side, side), mode="area")[0, 0]


@torch.inference_mode()
def likeness(
    first: Tensor,  # Grey [P, R, R], 0 to 255.
    second: Tensor,
    steps: int,  # How many scales are tried, from 0.8 to 1.25.
) -> Tensor:
    """How well the details of each second picture's middle fit into the first, -1 to 1: [P].

    At the best scale and place, as it is and mirrored.
    """
    whole_side = first.shape[-1]
    whole = _details(first)
    # Of places that lie within the picture, none wraps around.
    spectra = [torch.fft.rfft2(each) for each in (whole, whole.flip(2))]
    sums = [_sums(each.square()) for each in (whole, whole.flip(2))]
    best = torch.full((len(first),), -1.0)
    for scale in np.geomspace(1 / LARGEST_SCALE, LARGEST_SCALE, steps):
        side = round(whole_side * float(scale))
        size = (side, side)
        scaled = F.interpolate(
            second[:, None], size, mode="bilinear", antialias=True, align_corners=False
        )
        middle = round(side * MIDDLE)
        start = (side - middle) // 2
        part = _details(scaled[:, 0])[:, start : start + middle, start : start + middle]
        norm = part.flatten(1).norm(dim=1)[:, None, None]
        other = torch.fft.rfft2(part, (whole_side, whole_side)).conj()
        places = whole_side - middle + 1
        for spectrum, total in zip(spectra, sums, strict=True):
            product = torch.fft.irfft2(spectrum * other, (whole_side, whole_side))
            square = total[:, middle:, middle:] - total[:, :-middle, middle:]
            square = square - total[:, middle:, :-middle] + total[:, :-middle, :-middle]
            below = norm * square.clamp(min=0).sqrt().float()
            fit = product[:, :places, :places] / below.clamp(min=middle**2)
            best = torch.maximum(best, fit.flatten(1).amax(1))
    return best


def _sums(values: Tensor) -> Tensor:
    """[P, H, W] -> sums of all above and to the left, float64 [P, H + 1, W + 1]."""
    return F.pad(values.double().cumsum(1).cumsum(2), (1, 0, 1, 0))


def _details(grey: Tensor) -> Tensor:
    """[P, H, W] less its surroundings' mean, 7x7: what does not hang on exposure."""
    padded = F.pad(grey[:, None], (3, 3, 3, 3), mode="reflect")
    return grey - F.avg_pool2d(padded, 7, stride=1)[:, 0]
