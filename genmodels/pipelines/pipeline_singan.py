"""One photo: training SinGAN on it, and what can be drawn from it then."""

import math
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genmodels.data import images
from genmodels.hub import recipe
from genmodels.hub.checks import check_flag, check_range, check_whole, plain
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from genmodels.hub.weights import unwrapped
from genmodels.models.singan import layouts, networks, training
from genmodels.models.singan.settings import Settings
from genmodels.models.singan.training import Progress
from genmodels.nn.threads import threads_for

MIN_SIDE, MAX_SIDE = 25, 8192
MAX_PIXELS = 1 << 24  # 4096 x 4096.
SWAYS = (4, 6)  # Places of a layout, down and across, that move by themselves in a film ...
SWAY = (0.06, 0.025)  # ... by about so much of half its width and height.
SEAM = 3  # Pixels by which a mask grows and over which it then fades.


class SinGANPipeline(HubPipeline):
    """Draws pictures of any size from a `singan.SinGAN`; `fit` trains one on a photo."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": networks.SinGAN}
    tags = ("gan", "singan")

    def __init__(self, generator: networks.SinGAN) -> None:
        super().__init__()
        self.register_modules(generator=generator)

    @classmethod
    def fit(
        cls,
        image: Any,  # The photo, as `images.to_rgb` takes it.
        *,
        on_progress: Callable[[Progress], None] | None = None,  # Called with every event.
        **arguments: Any,  # As of `fit_steps`.
    ) -> Self:
        """Train on one photo until it is done. Errors: as of `fit_steps`."""
        for event in cls.fit_steps(image, **arguments):
            if on_progress is not None:
                on_progress(event)
        return event.pipeline

    @classmethod
    def fit_steps(
        cls,
        image: Any,  # The photo, as `images.to_rgb` takes it.
        *,
        mode: str = "fast",  # "fast", of layouts by patches; or "full", the paper's protocol.
        max_size: int = 150,  # Longer side of the photo while it is learnt, 25 to 400.
        epochs: int | None = None,  # Iterations per scale, 1 to 10,000; None: the mode's own.
        optimizer: str = "adam",  # "adam", "adamax", "adamw", "sgd" or "asgd".
        budget_seconds: float | None = None,  # Plan the iterations to take this long.
        seed: int = 0,  # Random seed.
        out: str | Path | None = None,  # Folder of the state: resumes from it, and is written to.
        finish: threading.Event | None = None,  # Set it to end now, with what has been learnt.
    ) -> Iterator[Progress]:
        """Train on one photo, as a generator of events; the last one has the pipeline.

        Closing it stops the work within an update of a network. Errors: ValueError for a photo, a
        setting or a folder that will not do, at once; FloatingPointError when it diverges.
        """
        settings = Settings(
            mode=mode,
            max_size=max_size,
            epochs=epochs,
            optimizer=optimizer,
            budget_seconds=budget_seconds,
            seed=seed,
        )
        return cls._with_pipeline(
            training.fit_steps(images.to_rgb(image), settings, out=out, finish=finish)
        )

    def __call__(
        self,
        num_images: int = 1,  # How many, 1 to 256.
        *,
        width: int | None = None,  # Size of the picture, 25 to 8192; None: as trained.
        height: int | None = None,  # Size of the picture, 25 to 8192; None: as trained.
        seed: int | None = None,  # Image i uses seed + i; None draws one.
        start_scale: int = 0,  # The first scale to vary: higher ones keep more of the layout.
        wrap: bool = False,  # Whether left and right sides are to meet, as on a cylinder.
    ) -> ImageOutput:
        """New pictures of the photo's scene, each with its recipe; at most 4096 x 4096 pixels."""
        num_images = check_whole("num_images", num_images, 1, 256)
        wrap = check_flag("wrap", wrap)
        model = self.networks["generator"]
        start_scale = check_whole("start_scale", start_scale, 0, len(model.channels) - 1)
        seed, (width, height) = _seed(seed), plain((width, height))
        own_height, own_width = model.sizes[-1]
        size = _check_size(width or own_width, height or own_height, (width, height))
        settings = {"width": size[1], "height": size[0], "start_scale": start_scale, "wrap": wrap}
        with self._drawing(size) as (model, add):
            below = model.reconstruct(start_scale) if start_scale else None  # Without noise.
            for image_seed in range(seed, seed + num_images):
                add(_draw(model, image_seed, size, start_scale, below, wrap), image_seed, settings)
        return add.output

    def paint_to_image(
        self,
        image: Any,  # A rough painting in the photo's colours, as `images.to_rgb` takes it.
        *,
        start_scale: int | None = None,  # Where it enters: the lower, the freer; None: the lowest.
        seed: int | None = None,  # Seed of the noise; None draws one.
    ) -> ImageOutput:
        """The painting in the photo's textures, at the painting's size (the paper's section 4).

        The lowest scale is 1; or 0 where layouts are of patches: one is made like the painting.
        """
        seed, image = _seed(seed), _check_image(image)
        start_scale = self._check_entry(start_scale)
        settings: dict[str, Any] = {"verb": "paint_to_image", "start_scale": start_scale}
        settings |= {"image_sha256": recipe.pixels_sha256(image)}
        with self._drawing(image.size[::-1]) as (model, add):
            add(_through(model, image, start_scale, seed), seed, settings)
        return add.output

    def harmonize(
        self,
        image: Any,  # The photo with something pasted into it, as `images.to_rgb` takes it.
        mask: Image.Image,  # Where that is: white on black, of the same size.
        *,
        start_scale: int = 1,  # Where it enters: the higher, the more of it stays.
        seed: int | None = None,  # Seed of the noise; None draws one.
    ) -> ImageOutput:
        """What was pasted takes on the photo's look; far from the mask the pixels stay."""
        seed, image, mask = _seed(seed), _check_image(image), images.to_rgb(mask).convert("L")
        start_scale = self._check_entry(start_scale)
        if mask.size != image.size:
            raise ValueError(f"mask must have the image's size, {image.size}, got {mask.size}")
        weight = images.from_pil([mask.convert("RGB")])[:, :1].float() / 255
        window = 2 * SEAM + 1
        weight = F.max_pool2d(weight, window, 1, SEAM)
        weight = F.avg_pool2d(weight, window, 1, SEAM, count_include_pad=False)
        settings: dict[str, Any] = {"verb": "harmonize", "start_scale": start_scale}
        settings |= {
            "image_sha256": recipe.pixels_sha256(image),
            "mask_sha256": recipe.pixels_sha256(mask),
        }
        with self._drawing(image.size[::-1]) as (model, add):
            picture = _through(model, image, start_scale, seed).float().cpu()
            add(torch.lerp(_to_float(image), picture, weight), seed, settings)
        return add.output

    def super_resolution(
        self,
        factor: float = 2,  # How much larger, 1 to 4.
        *,
        image: Any = None,  # What to enlarge, as `images.to_rgb`; None: the photo as remembered.
        seed: int | None = None,  # Seed of the noise; None draws one.
    ) -> ImageOutput:
        """The picture enlarged in small steps, the finest scale adding detail after each.

        The paper trains for this with ten times the weight on reconstruction; this does not.
        """
        factor = check_range("factor", factor, 1, 4)
        seed, network = _seed(seed), self.networks["generator"]
        last = len(network.channels) - 1
        if not network.channels[last]:
            raise ValueError("a model without a trained scale cannot add detail")
        settings: dict[str, Any] = {"verb": "super_resolution", "factor": factor}
        (height, width), given = network.sizes[last], None
        if image is not None:
            given = _check_image(image)
            width, height = given.size
            settings["image_sha256"] = recipe.pixels_sha256(given)
        size = _check_size(round(width * factor), round(height * factor))
        pitch = network.sizes[last][1] / network.sizes[last - 1][1] if last else 4 / 3
        steps = max(1, round(math.log(factor) / math.log(max(pitch, 1.1))))
        rng = torch.Generator().manual_seed(seed)
        with self._drawing(size) as (model, add):
            picture = model.reconstruct() if given is None else _to_float(given).to(model.z_rec)
            for i in range(1, steps + 1):
                way = factor ** (i / steps)
                inner = size if i == steps else (round(height * way), round(width * way))
                noise = _normal((1, 3, *inner), rng).to(model.z_rec)
                picture = model.refine(last, networks.resize(picture, inner), noise)
            add(picture, seed, settings)
        return add.output

    def animate(
        self,
        frames: int = 24,  # How many, 1 to 600.
        *,
        start_scale: int = 0,  # The first scale that moves; the higher, the less.
        alpha: float = 0.1,  # Pull towards the photo, 0 to 1.
        beta: float = 0.9,  # How smoothly it moves, 0 to 1.
        loop: bool = True,  # Whether the last frame goes over into the first.
        seed: int | None = None,  # Seed of the walk; None draws one.
    ) -> ImageOutput:
        """A film that starts at the photo: a random walk of the noise around the photo's own.

        The paper's: z' = alpha z_rec + (1 - alpha)(z + d'), d' = beta d + (1 - beta) u, u normal. A
        layout has no noise: it sways. A walk w of n frames that is to end where it began is bent
        back, to w - i / n of its end (a bridge). Errors: ValueError.
        """
        frames = check_whole("frames", frames, 1, 600)
        alpha, beta = check_range("alpha", alpha, 0, 1), check_range("beta", beta, 0, 1)
        network = self.networks["generator"]
        start_scale = check_whole("start_scale", start_scale, 0, len(network.channels) - 1)
        loop, seed = check_flag("loop", loop), _seed(seed)
        settings: dict[str, Any] = {"verb": "animate", "start_scale": start_scale}
        settings |= {"alpha": alpha, "beta": beta, "loop": loop}
        with self._drawing(network.sizes[-1]) as (model, add):
            rest = [model.z_rec.new_zeros(1, 3, *shape) for shape in model.shapes()]
            rest[0] = rest[0].new_zeros(1, 2, *SWAYS) if model.has_layouts else model.z_rec
            *_, end = _walk(rest, frames + 1, start_scale, alpha, beta, seed)
            for frame, z in enumerate(_walk(rest, frames, start_scale, alpha, beta, seed)):
                if loop:
                    ends = zip(z, end, rest, strict=True)
                    z = [here - frame / frames * (last - start) for here, last, start in ends]
                if model.has_layouts:
                    picture = _above(model, z[1:], 1, _swayed(model.z_rec, z[0]))
                else:
                    picture = _above(model, z, 0, None)
                add(picture, seed, settings | {"frame": frame, "frames": frames})
        return add.output

    @classmethod
    def _with_pipeline(cls, events: Any) -> Iterator[Progress]:
        with closing(events):
            for event in events:
                yield replace(event, pipeline=cls(event.model)) if event.model else event

    @contextmanager
    def _drawing(self, size: tuple[int, int]) -> Iterator[tuple[networks.SinGAN, "_Output"]]:
        """The networks, ready to draw pictures of a size, and where the pictures go."""
        elements = size[0] * size[1] * max(self.networks["generator"].channels)
        with self.drawing() as generator, threads_for(elements):
            yield unwrapped(generator), _Output(self)

    def _check_entry(self, start_scale: int | None) -> int:
        """The scale that a given picture enters; None: the first that it can."""
        network = self.networks["generator"]
        first, last = int(not network.has_layouts), len(network.channels) - 1
        if last < first:
            raise ValueError("a model of a single scale cannot start from a picture")
        return check_whole(
            "start_scale", first if start_scale is None else start_scale, first, last
        )


class _Output:
    """Takes pictures [1, 3, H, W] with their seed and settings; `output` collects the results."""

    def __init__(self, pipeline: SinGANPipeline) -> None:
        self.output = ImageOutput(images=[], recipes=[])
        self._pipeline, self._sha256 = pipeline, pipeline.weights_sha256

    def __call__(self, picture: Tensor, seed: int, settings: dict[str, Any]) -> None:
        record = recipe.make(self._pipeline, seed, weights_sha256=self._sha256, **settings)
        self.output.images.append(recipe.attach(images.to_pil(picture)[0], record))
        self.output.recipes.append(record)


def _draw(
    model: networks.SinGAN,
    seed: int,
    size: tuple[int, int],
    start_scale: int,
    below: Tensor | None,
    wrap: bool = False,
) -> Tensor:
    """One picture [1, 3, H, W], its noise drawn on the CPU: the same on every device."""
    rng = torch.Generator().manual_seed(seed)
    shapes = model.shapes(*size)
    if model.has_layouts and start_scale == 0:
        *_, layout = layouts.draw(model.z_rec, shapes[0], seed=seed, wrap=wrap)
        start_scale, below = 1, layout.to(model.z_rec)
    noises = [_normal((1, 3, *shape), rng).to(model.z_rec) for shape in shapes[start_scale:]]
    return _above(model, noises, start_scale, below, wrap, size)


def _above(
    model: networks.SinGAN,
    noises: list[Tensor],
    start_scale: int,
    below: Tensor | None,
    wrap: bool = False,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """The model's picture at a size, the photo's by default; or a layout that has no more."""
    size = size or model.sizes[-1]
    if not noises and below is not None:
        return networks.resize(below, size, wrap)
    return model(noises, start_scale, below, wrap, size)


def _through(model: networks.SinGAN, image: Image.Image, start_scale: int, seed: int) -> Tensor:
    """The image, shrunk to what the scale expects from below, and all scales from there on."""
    picture, size = _to_float(image).to(model.z_rec), image.size[::-1]
    if start_scale == 0:
        shape = model.shapes(*size)[0]
        below = layouts.project(model.z_rec, picture, shape, seed=seed).to(model.z_rec)
        return _draw(model, seed, size, 1, below)
    shape = model.shapes(*size)[start_scale - 1]
    return _draw(model, seed, size, start_scale, networks.resize(picture, shape))


def _normal(shape: Sequence[int], rng: torch.Generator) -> Tensor:
    """Standard normal numbers, drawn on the CPU in float32 whatever the caller's defaults are."""
    return torch.randn(*shape, generator=rng, dtype=torch.float32, device="cpu")


def _check_image(image: Any) -> Image.Image:
    """RGB, of a size that can be drawn."""
    picture = images.to_rgb(image)
    _check_size(*picture.size)
    return picture


def _check_size(
    width: int, height: int, requested: tuple[int | None, int | None] = (None, None)
) -> tuple[int, int]:
    """(height, width), bounded."""
    for name, side, requested_side in zip(
        ("width", "height"), (width, height), requested, strict=True
    ):
        check_whole(name, side if requested_side is None else requested_side, MIN_SIDE, MAX_SIDE)
    if width * height > MAX_PIXELS:
        raise ValueError(f"a picture must have at most {MAX_PIXELS} pixels, got {width}x{height}")
    return height, width


def _seed(seed: int | None) -> int:
    seed = secrets.randbelow(2**31) if seed is None else seed
    return check_whole("seed", seed, 0, 2**63 - 257)


def _to_float(image: Image.Image) -> Tensor:
    return images.to_float(images.from_pil([image]))


def _walk(
    rest: list[Tensor], frames: int, first: int, alpha: float, beta: float, seed: int
) -> Iterator[list[Tensor]]:
    """Noise that walks around `rest`, from which it starts; that below `first` stays there."""
    rng = torch.Generator().manual_seed(seed)
    z, d = list(rest), [torch.zeros_like(noise) for noise in rest]
    for _ in range(frames):
        yield list(z)
        for i in range(first, len(z)):
            u = _normal(z[i].shape, rng).to(z[i])
            d[i] = beta * d[i] + (1 - beta) * u
            moved = alpha * rest[i] + (1 - alpha) * (z[i] + d[i])
            d[i], z[i] = moved - z[i], moved


def _swayed(layout: Tensor, offsets: Tensor) -> Tensor:
    """The layout [1, 3, h, w], its places moved by offsets [1, 2, *SWAYS], and what is between."""
    if not offsets.any():
        return layout  # Bit for bit.
    size = layout.shape[2:]
    still = torch.eye(2, 3, dtype=layout.dtype, device=layout.device)[None]
    grid = F.affine_grid(still, list(layout.shape), align_corners=False)
    moves = F.interpolate(offsets, size, mode="bicubic", align_corners=True)
    grid = grid + moves.permute(0, 2, 3, 1) * grid.new_tensor(SWAY)
    swayed = F.grid_sample(
        layout, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return swayed.clamp(-1, 1)
