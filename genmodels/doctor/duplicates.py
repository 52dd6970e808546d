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

NEIGHBOURS = 5  # Candidates of each picture, by each of both.
LIKE_THUMBNAIL = 0.9  # Smallest correlation of 16x16 copies to be a candidate ...
LIKE_FEATURES = 0.7  # ... and cosine of features.
SAME_PHOTOGRAPH = 0.8  # Correlation of details.
SCALES = tuple(0.8 * 1.25 ** (i / 4) for i in range(9))  # 0.8 to 1.25.
MIDDLE = 0.6  # Share of a picture's side that is looked for in the other.
DETAIL_SIDE = 48  # Pixels at which pictures are laid on each other.
_ROWS = 256  # Pictures compared with all others at a time.
_PAIRS = 256  # Pairs laid on each other at a time.
_FFT_SIDE = 64


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
    greys = torch.cat([_detail_copy(images[row].grey) for row in rows])
    pairs = []
    for start in range(0, len(candidates), _PAIRS):
        some = candidates[start : start + _PAIRS]
        fits = likeness(greys[some[:, 0]], greys[some[:, 1]]) > SAME_PHOTOGRAPH
        pairs += [(int(chosen[a]), int(chosen[b])) for a, b in some[fits.numpy()]]
    return pairs


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
        ([small.flatten(1), small.flip(2).flatten(1)], LIKE_THUMBNAIL),
        ([torch.from_numpy(features)], LIKE_FEATURES),
    ]
    found: set[tuple[int, int]] = set()
    count = len(images)
    for (queries, *mirrored), least in vectors:
        for start in range(0, count, _ROWS):
            block = queries[start : start + _ROWS]
            alike = block @ queries.T
            for other in mirrored:
                alike = torch.maximum(alike, block @ other.T)
            alike[torch.arange(len(block)), torch.arange(start, start + len(block))] = -1
            best = alike.topk(min(NEIGHBOURS, count - 1))
            rows, places = torch.nonzero(best.values > least, as_tuple=True)
            others = best.indices[rows, places]
            for a, b in zip((rows + start).tolist(), others.tolist(), strict=True):
                found.add((min(a, b), max(a, b)))
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def _detail_copy(grey: np.ndarray) -> Tensor:
    """A grey copy uint8 [R, R] -> float32 [1, 48, 48]."""
    size = (DETAIL_SIDE, DETAIL_SIDE)
    return F.interpolate(torch.from_numpy(grey.copy())[None, None].float(), size, mode="area")[0]


@torch.inference_mode()
def likeness(
    first: Tensor,  # Grey [P, 48, 48], 0 to 255.
    second: Tensor,
) -> Tensor:
    """How well the details of each second picture's middle fit into the first, -1 to 1: [P].

    At the best of nine scales and of all places, as it is and mirrored.
    """
    whole = _details(first)
    spectrum = torch.fft.rfft2(whole, (_FFT_SIDE, _FFT_SIDE))
    energy = torch.fft.rfft2(whole.square(), (_FFT_SIDE, _FFT_SIDE))
    best = torch.full((len(first),), -1.0)
    for scale in SCALES:
        side = round(DETAIL_SIDE * scale)
        size = (side, side)
        scaled = F.interpolate(
            second[:, None], size, mode="bilinear", antialias=True, align_corners=False
        )
        middle = round(side * MIDDLE)
        start = (side - middle) // 2
        part = _details(scaled[:, 0])[:, start : start + middle, start : start + middle]
        norm = part.flatten(1).norm(dim=1)[:, None, None]
        ones = torch.fft.rfft2(torch.ones(1, middle, middle), (_FFT_SIDE, _FFT_SIDE))
        places = DETAIL_SIDE - middle + 1
        below = torch.fft.irfft2(energy * ones.conj(), (_FFT_SIDE, _FFT_SIDE))
        below = below[:, :places, :places].clamp(min=0).sqrt()
        for template in (part, part.flip(2)):
            other = torch.fft.rfft2(template, (_FFT_SIDE, _FFT_SIDE))
            product = torch.fft.irfft2(spectrum * other.conj(), (_FFT_SIDE, _FFT_SIDE))
            fit = product[:, :places, :places] / (norm * below).clamp(min=middle**2)
            best = torch.maximum(best, fit.flatten(1).amax(1))
    return best


def _details(grey: Tensor) -> Tensor:
    """[P, H, W] less its surroundings' mean, 7x7: what does not hang on exposure."""
    padded = F.pad(grey[:, None], (3, 3, 3, 3), mode="reflect")
    return grey - F.avg_pool2d(padded, 7, stride=1)[:, 0]
