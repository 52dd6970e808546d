"""A photograph painted with the palette and the strokes of given paintings: targets for training.

Start at `monet_teacher`. Four steps: the photograph without its fine detail (guided filter, He et
al. 2010); its colours carried over to the nearest paintings (sliced optimal transport in Lab, Pitie
et al. 2007); layers of curved brush strokes along its contours, coarse to fine (Hertzmann 1998);
light on the relief of the paint (Hertzmann 2002). Nothing is learned, and everything stays where it
is in the photograph, so that a network can learn the way from one to the other.

Departures: strokes of one layer are traced all at once, on the canvas as the layer found it; their
direction comes from a smoothed structure tensor and not from the gradient, which is noise in a sky;
a stroke is a few bristles, each a shade of its own; the palette is that of the three paintings with
the nearest Lab histograms, and the transport is smoothed by the photograph's lightness.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training.prepare.pair_checks import check_picture

BINS = 8  # Bins of Lab histograms per axis.
LAB_LOW, LAB_HIGH = np.array([0.0, -64, -64]), np.array([100.0, 64, 64])
SAMPLES = 4096  # Pixels that stand for a painting, or a photograph, in the transport.
TURNS = 12  # Random bases of the transport.
QUANTILES = np.linspace(0, 1, 65)
NEAREST = 3  # Paintings that share in one palette: with one, two alike skies may part ways.
STRENGTH = 0.75  # Share of the way to the palette.

WIDTHS = (12.0, 6.0, 3.2, 1.8)  # Brush width of each layer in pixels, at 256 px.
THRESHOLDS = (-1.0, 4.0, 5.0, 9.0)  # Error in Lab above which a layer paints; the first always.
LENGTHS = (7, 8, 7, 6)  # Steps of a stroke at most; one is half the brush wide.
SHORTEST = 3
SLACK = 5.0  # Error in Lab that does not stop a stroke.
CONTOURS = ((1.5, 1.0), (5.0, 0.5), (14.0, 0.25), (36.0, 0.1))  # Sigmas of the tensor, weights.
HORIZONTAL, WAVES = 1.5, 0.4  # Where there is no contour: how strokes lie, how far they sway.
SUPER = 3  # Supersampling of strokes, for smooth edges.
STROKE_JITTER = np.array([2.6, 3.0, 3.4])  # Standard deviations in Lab: broken colour.
TREMOR = (1.0, 1.0, 0.6, 0.3)  # Jitter of each layer: less in the details.
BRISTLE_JITTER = 1.8  # Standard deviation of lightness between bristles.
RELIEF = 3.2  # Lightness that the light adds on slopes.


@dataclass(frozen=True)
class Paintings:
    """What the teacher knows of paintings."""

    histograms: np.ndarray  # [n, BINS ** 3], of Lab, smoothed; each sums to 1.
    samples: np.ndarray  # [n, SAMPLES, 3]: Lab of pixels.
    lightness: np.ndarray  # [len(QUANTILES)]: of all of them together.


def study(
    paintings: Sequence[np.ndarray],  # RGB uint8 [H, W, 3] each, 64 to 1024 px a side.
) -> Paintings:
    """Prepare paintings once for many photographs; ValueError for none, and for what is none."""
    if not len(paintings):
        raise ValueError("paintings must hold at least one picture, got none")
    samples = []
    for painting in paintings:
        check_picture("painting", painting)
        places = np.linspace(0, painting.shape[0] * painting.shape[1] - 1, SAMPLES).astype(int)
        samples.append(to_lab(painting).reshape(-1, 3)[places])
    lab = np.stack(samples)
    histograms = np.stack([lab_histogram(x) for x in lab])
    return Paintings(histograms, lab, np.quantile(lab[..., 0], QUANTILES))


def monet_teacher(
    image: np.ndarray,  # Photograph, RGB uint8 [H, W, 3], 64 to 1024 px a side.
    paintings: Paintings,  # From `study`.
    *,
    strength: float = STRENGTH,  # Share of the way to the paintings' palette, 0 to 1.
    jitter: float = 1.0,  # Jitter of the strokes' colours; 0: the palette's colours only.
) -> np.ndarray:
    """The photograph as a painting, uint8 [H, W, 3]; the same photograph always gives the same one.

    Errors: ValueError for pictures that are not such arrays and shares outside their ranges.
    """
    check_picture("image", image)
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be 0 to 1, got {strength}")
    if not 0 <= jitter <= 2:
        raise ValueError(f"jitter must be 0 to 2, got {jitter}")
    seed = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed))
    scale = np.sqrt(min(image.shape[:2]) / 256)  # A small picture has few, still visible strokes.
    lab = to_lab(image)
    base = np.dstack([guided(lab[..., 0], x, round(2 * scale) + 1, 6.0) for x in np.dsplit(lab, 3)])
    colours = recolour(base, paintings, strength)
    angle = directions(colours[..., 0], scale, rng)
    canvas = np.full_like(lab, colours.mean(axis=(0, 1)))
    relief = np.zeros(lab.shape[:2])
    for layer, width in enumerate(WIDTHS):
        paint(canvas, relief, colours, angle, layer, max(1.5, width * scale), rng, jitter)
    return to_rgb(light(canvas, relief))


def to_lab(image: np.ndarray) -> np.ndarray:
    """RGB bytes -> Lab, float32 [H, W, 3]: L 0 to 100."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """Lab -> RGB bytes; colours that no screen has are clipped."""
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return (np.clip(rgb, 0, 1) * 255).round().astype(np.uint8)


def guided(guide: np.ndarray, values: np.ndarray, radius: int, smoothing: float) -> np.ndarray:
    """Values [H, W] smoothed where the guide [H, W] is flat (He et al. 2010)."""
    guide, values = (np.squeeze(x).astype(np.float32) for x in (guide, values))

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values) - mean_guide * mean_values
    slope = covariance / (mean(guide * guide) - mean_guide**2 + smoothing)
    return mean(slope) * guide + mean(mean_values - slope * mean_guide)


def lab_histogram(lab: np.ndarray) -> np.ndarray:
    """Colours [n, 3] -> shares [BINS ** 3], blurred, so that near colours are near."""
    edges = [np.linspace(a, b, BINS + 1) for a, b in zip(LAB_LOW, LAB_HIGH, strict=True)]
    inside = np.clip(lab, LAB_LOW, LAB_HIGH - 1e-3)
    counts = np.histogramdd(inside, edges)[0]
    for axis in range(3):
        padded = np.pad(counts, [(int(i == axis),) * 2 for i in range(3)], "edge")
        low, high = (np.take(padded, range(i, i + BINS), axis) for i in (0, 2))
        counts = 0.5 * counts + 0.25 * (low + high)
    return counts.ravel() / counts.sum()


def recolour(lab: np.ndarray, paintings: Paintings, strength: float) -> np.ndarray:
    """Lab [H, W, 3] with the distribution of colours of the nearest paintings."""
    flat = lab.reshape(-1, 3).astype(np.float64)
    few = flat[np.linspace(0, len(flat) - 1, SAMPLES).astype(int)]
    # Photographs have blacks that no painting has: half way to their lightness before comparing.
    source_quantiles = np.quantile(few[:, 0], QUANTILES) + 1e-6 * np.arange(len(QUANTILES))
    seen = few.copy()
    seen[:, 0] += 0.5 * (np.interp(few[:, 0], source_quantiles, paintings.lightness) - few[:, 0])
    # Hellinger's distance: a colour that one of two lacks counts, however small its share.
    gaps = np.sqrt(paintings.histograms) - np.sqrt(lab_histogram(seen))
    nearest = np.argsort((gaps**2).sum(axis=1), kind="stable")[:NEAREST]
    palette = paintings.samples[nearest].reshape(-1, 3)
    moved = transport(flat, few, palette) - flat
    # Colours that lie close in the photograph stay close: no grain in skies.
    smooth = [guided(lab[..., 0], x.reshape(lab.shape[:2]), 6, 20.0) for x in moved.T]
    return lab + strength * np.dstack(smooth) * np.array([0.8, 1.0, 1.0])


def transport(points: np.ndarray, few: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Points [n, 3] moved as those in `few` must move to be distributed as the palette [m, 3]."""
    rng = np.random.default_rng(0)  # The same directions for every picture.
    few = few.copy()
    for _ in range(TURNS):
        basis = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        here, there, turned = few @ basis, palette @ basis, points @ basis
        for axis in range(3):
            source_quantiles = np.quantile(here[:, axis], QUANTILES) + 1e-6 * np.arange(
                len(QUANTILES)
            )
            step = np.quantile(there[:, axis], QUANTILES) - source_quantiles
            turned[:, axis] += np.interp(turned[:, axis], source_quantiles, step)
            here[:, axis] += np.interp(here[:, axis], source_quantiles, step)
        few, points = here @ basis.T, turned @ basis.T
    return points


def directions(lightness: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Where strokes go, the angle [H, W]: along contours; in flat regions as those nearby do."""
    x = cv2.Scharr(cv2.GaussianBlur(lightness, (0, 0), 1.2 * scale), cv2.CV_64F, 1, 0)
    y = cv2.Scharr(cv2.GaussianBlur(lightness, (0, 0), 1.2 * scale), cv2.CV_64F, 0, 1)
    # The gradient's doubled angle, as a tangent and its opposite are one direction.
    double = np.dstack([x * x - y * y, 2 * x * y])
    double /= np.sqrt(np.linalg.norm(double, axis=2, keepdims=True)) + 1  # Now a length.
    # Towards a vertical gradient: horizontal strokes where nothing is.
    total = np.zeros_like(double) - np.array([HORIZONTAL, 0])
    for sigma, weight in CONTOURS:
        total += weight * cv2.GaussianBlur(double, (0, 0), sigma * scale)
    angle = 0.5 * np.arctan2(total[..., 1], total[..., 0]) + np.pi / 2
    size = lightness.shape[::-1]
    waves = cv2.resize(rng.standard_normal((5, 5)), size, interpolation=cv2.INTER_CUBIC)
    return angle + WAVES * waves / (1 + np.linalg.norm(total, axis=2) / 8)


def paint(
    canvas: np.ndarray,  # Lab [H, W, 3], painted over.
    relief: np.ndarray,  # Thickness of the paint [H, W], painted over.
    colours: np.ndarray,  # Lab [H, W, 3]: what the painting is to show.
    angle: np.ndarray,  # [H, W].
    layer: int,
    width: float,  # Brush width in pixels.
    rng: np.random.Generator,
    jitter: float,
) -> None:
    """One layer of strokes, where the canvas is still too far from the colours."""
    wanted = cv2.GaussianBlur(colours, (0, 0), 0.2 * width)
    paths, lengths = trace(canvas, wanted, angle, layer, width, rng)
    n = len(paths)
    if not n:
        return
    x, y = paths[:, 0].astype(int).T
    stroke_colours = wanted[y, x] + jitter * STROKE_JITTER * TREMOR[layer] * rng.standard_normal(
        (n, 3)
    )
    bristles = max(2, round(width / 1.6))
    shades = np.repeat(stroke_colours[:, None], bristles, axis=1)
    shades[..., 0] += jitter * BRISTLE_JITTER * rng.standard_normal((n, bristles))
    heights = rng.random((n, bristles)) + np.sin(np.pi * (np.arange(bristles) + 0.5) / bristles)
    marks = draw(paths, lengths, width, bristles, canvas.shape[:2], rng)
    table = np.concatenate([np.zeros((1, 4)), np.dstack([shades, heights]).reshape(-1, 4)])
    drawn = table[marks].astype(np.float32)  # [SUPER * H, SUPER * W, 4]
    covered = (marks > 0).astype(np.float32)
    size = canvas.shape[1::-1]
    drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(covered, size, interpolation=cv2.INTER_AREA)[..., None]
    canvas += drawn[..., :3] - alpha * canvas
    relief += drawn[..., 3] * (0.5 + width / WIDTHS[0]) - alpha[..., 0] * relief


def starts_of(
    error: np.ndarray, threshold: float, spacing: float, rng: np.random.Generator
) -> np.ndarray:
    """Where strokes start, (x, y) [n, 2] in the order of painting.

    At most one in each cell of a grid, where the error [H, W] around it is above the threshold.
    """
    height, width = error.shape
    rows, columns = (np.arange(spacing / 2, side, spacing) for side in (height, width))
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    jittered = grid + spacing * (rng.random(grid.shape) - 0.5)
    starts = np.clip(jittered, 0, (width - 1, height - 1))
    around = cv2.blur(error, (max(1, round(spacing)),) * 2)
    x, y = starts.astype(int).T
    starts = starts[around[y, x] > threshold]
    return starts[rng.permutation(len(starts))]


def trace(
    canvas: np.ndarray,  # Lab [H, W, 3], as the layer found it.
    wanted: np.ndarray,  # Lab [H, W, 3].
    angle: np.ndarray,  # [H, W].
    layer: int,
    width: float,  # Brush width in pixels.
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Paths [n, steps, 2] of strokes as (x, y), in the order of painting, and their lengths [n]."""
    error = np.linalg.norm(canvas - wanted, axis=2)
    here = starts_of(error, THRESHOLDS[layer], 0.5 * width, rng)
    x, y = here.astype(int).T
    colour = wanted[y, x]
    heading = rng.standard_normal(here.shape)  # Either way: else all would lead to one side.
    path, lengths, alive = [here], np.ones(len(here), int), np.ones(len(here), bool)
    for step in range(1, LENGTHS[layer]):
        x, y = here.astype(int).T
        if step >= SHORTEST:  # Hertzmann's rule: on as long as the stroke's colour helps.
            away = np.linalg.norm(wanted[y, x] - colour, axis=1)
            alive &= away <= np.maximum(error[y, x], SLACK)
        way = np.stack([np.cos(angle[y, x]), np.sin(angle[y, x])], axis=1)
        way *= np.where((way * heading).sum(axis=1, keepdims=True) < 0, -1, 1)
        heading = way if step == 1 else 0.5 * (way + heading)
        here = np.clip(here + heading * 0.5 * width, 0, np.array(error.shape[::-1]) - 1)
        path.append(here)
        lengths += alive
    return np.stack(path, axis=1), lengths


def draw(
    paths: np.ndarray,
    lengths: np.ndarray,
    width: float,
    bristles: int,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Which bristle is on top, int [SUPER * H, SUPER * W]: 1 + stroke * bristles + its number."""
    steps = np.gradient(paths, axis=1)
    normals = np.stack([-steps[..., 1], steps[..., 0]], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-6
    places = (np.arange(bristles) + 0.5) / bristles - 0.5
    lines = paths[:, None] + normals[:, None] * (places * width)[:, None, None]
    # Ends are ragged: each bristle begins and stops somewhere else.
    ragged = rng.uniform(-0.25, 0.25, (len(paths), bristles, 1)) * width
    along = steps / (np.linalg.norm(steps, axis=-1, keepdims=True) + 1e-6)
    lines += along[:, None] * ragged[..., None]
    points = np.round((lines * SUPER - 0.5) * 16).astype(np.int32)  # Four bits after the point.
    marks = np.zeros((SUPER * shape[0], SUPER * shape[1]), np.int32)
    thickness = max(1, round(1.25 * SUPER * width / bristles))
    mark = 0
    for stroke, end in zip(points, lengths.tolist(), strict=True):
        for line in stroke[:, :end]:
            mark += 1
            cv2.polylines(marks, [line], False, mark, thickness, cv2.LINE_8, 4)
    return marks


def light(canvas: np.ndarray, relief: np.ndarray) -> np.ndarray:
    """The canvas, Lab [H, W, 3], lit from the upper left."""
    rough = cv2.GaussianBlur(relief, (0, 0), 0.6)
    slope = rough - np.roll(rough, (1, 1), (0, 1))
    slope[0], slope[:, 0] = 0, 0
    lit = canvas.copy()
    lit[..., 0] += RELIEF * np.clip(slope, -1.5, 1.5)
    return lit
