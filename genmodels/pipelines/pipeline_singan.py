"""One photo: training SinGAN on it, and what can be drawn from it then."""

import hashlib
import math
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genmodels import images, recipe, singan_layouts, singan_training
from genmodels.hub import HubModel, HubPipeline, ImageOutput, check_range, check_whole
from genmodels.models import singan
from genmodels.singan_settings import Settings
from genmodels.singan_training import Progress
from genmodels.threads import threads_for

MIN_SIDE, MAX_SIDE = 25, 8192
MAX_PIXELS = 1 << 24  # 4096 x 4096.
SWAYS = (4, 6)  # Places of a layout, down and across, that move by themselves in a film ...
SWAY = (0.06, 0.025)  # ... by about so much of half its width and height.
SEAM = 3  # Pixels by which a mask grows and over which it then fades.


class SinGANPipeline(HubPipeline):
    """Draws pictures of any size from a `singan.SinGAN`; `fit` trains one on a photo."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": singan.SinGAN}

    def __init__(self, generator: singan.SinGAN) -> None:
        super().__init__()
        self.register_modules(generator=generator.eval())

    @classmethod
    def fit(
        cls,
        image: Image.Image,  # The photo, RGB; `images.open_rgb` makes that of any file.
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
        image: Image.Image,  # The photo, RGB; `images.open_rgb` makes that of any file.
        *,
        mode: str = "fast",  # "fast", of layouts by patches; or "full", the paper's protocol.
        max_size: int = 150,  # Longer side of the photo while it is learnt, 25 to 400.
        epochs: int | None = None,  # Iterations per scale, 1 to 10,000; None: the mode's own.
        optimizer: str = "adam",  # "adam", "adamax", "adamw", "sgd" or "asgd".
        budget_seconds: float | None = None,  # Plan the iterations to take this long.
        seed: int = 0,  # Of everything random.
        out: str | Path | None = None,  # Folder of the state: resumes from it, and is written to.
        finish: threading.Event | None = None,  # Set it to end now, with what has been learnt.
    ) -> Iterator[Progress]:
        """Train on one photo, as a generator of events; the last one carries the pipeline.

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
            singan_training.fit_steps(image, settings, out=out, finish=finish)
        )

    @torch.inference_mode()
    def __call__(
        self,
        num_images: int = 1,  # How many, 1 to 256.
        *,
        width: int | None = None,  # Of the picture, 25 to 8192; None: as trained.
        height: int | None = None,  # Of the picture, 25 to 8192; None: as trained.
        seed: int | None = None,  # Image i uses seed + i; None draws one.
        start_scale: int = 0,  # The first scale to vary: higher ones keep more of the layout.
        wrap: bool = False,  # Whether left and right sides are to meet, as on a cylinder.
    ) -> ImageOutput:
        """New pictures of the photo's scene, each with its recipe; at most 4096 x 4096 pixels."""
        check_whole("num_images", num_images, 1, 256)
        if type(wrap) is not bool:
            raise ValueError(f"wrap must be True or False, got {wrap!r}")
        check_whole("start_scale", start_scale, 0, len(self.generator.channels) - 1)
        seed = _seed(seed)
        own_height, own_width = self.generator.sizes[-1]
        size = _check_size(width or own_width, height or own_height, (width, height))
        settings = {"width": size[1], "height": size[0], "start_scale": start_scale, "wrap": wrap}
        output = ImageOutput(images=[], recipes=[])
        with self._threads(size):
            below = self.generator.reconstruct(start_scale) if start_scale else None  # No noise.
            for own in range(seed, seed + num_images):
                picture = self._draw(own, size, start_scale, below, wrap)
                self._add(output, picture, own, settings)
        return output

    @torch.inference_mode()
    def paint_to_image(
        self,
        image: Image.Image,  # A rough painting in the photo's colours, RGB.
        *,
        start_scale: int | None = None,  # Where it enters: the lower, the freer; None: the lowest.
        seed: int | None = None,  # Of the noise; None draws one.
    ) -> ImageOutput:
        """The painting in the photo's textures, at the painting's size (the paper's section 4).

        The lowest scale is 1; or 0 where layouts are of patches: one is made like the painting.
        """
        seed = _seed(seed)
        start_scale = self._lowest if start_scale is None else start_scale
        picture = self._through(image, start_scale, seed)
        settings: dict[str, Any] = {"verb": "paint_to_image", "start_scale": start_scale}
        settings |= {"image_sha256": _sha256(image)}
        return self._add(ImageOutput(images=[], recipes=[]), picture, seed, settings)

    @torch.inference_mode()
    def harmonize(
        self,
        image: Image.Image,  # The photo with something pasted into it, RGB.
        mask: Image.Image,  # Where that is: white on black, of mode "L" and the same size.
        *,
        start_scale: int = 1,  # Where it enters: the higher, the more of it stays.
        seed: int | None = None,  # Of the noise; None draws one.
    ) -> ImageOutput:
        """What was pasted takes on the photo's look; far from the mask the pixels stay."""
        if not isinstance(mask, Image.Image) or mask.mode != "L":
            raise ValueError(f'mask must be a PIL image of mode "L", got {_kind(mask)}')
        seed = _seed(seed)
        picture = self._through(image, start_scale, seed)
        if mask.size != image.size:
            raise ValueError(f"mask must have the image's size, {image.size}, got {mask.size}")
        weight = images.from_pil([mask.convert("RGB")])[:, :1].float() / 255
        window = 2 * SEAM + 1
        weight = F.max_pool2d(weight, window, 1, SEAM)
        weight = F.avg_pool2d(weight, window, 1, SEAM, count_include_pad=False)
        mixed = torch.lerp(_to_float(image), picture.cpu(), weight)
        settings: dict[str, Any] = {"verb": "harmonize", "start_scale": start_scale}
        settings |= {"image_sha256": _sha256(image), "mask_sha256": _sha256(mask)}
        return self._add(ImageOutput(images=[], recipes=[]), mixed, seed, settings)

    @torch.inference_mode()
    def super_resolution(
        self,
        factor: float = 2,  # How much larger, 1 to 4.
        *,
        image: Image.Image | None = None,  # What to enlarge, RGB; None: the photo as remembered.
        seed: int | None = None,  # Of the noise; None draws one.
    ) -> ImageOutput:
        """The picture enlarged in small steps, the finest scale adding detail after each.

        The paper trains for this with ten times the weight on reconstruction; this does not.
        """
        check_range("factor", factor, 1, 4)
        seed = _seed(seed)
        model, last = self.generator, len(self.generator.channels) - 1
        if not model.channels[last]:
            raise ValueError("a model without a trained scale cannot add detail")
        start = model.reconstruct() if image is None else self._check_image(image)
        height, width = start.shape[2:]
        size = _check_size(round(width * factor), round(height * factor))
        pitch = model.sizes[last][1] / model.sizes[last - 1][1] if last else 4 / 3
        steps = max(1, round(math.log(factor) / math.log(max(pitch, 1.1))))
        rng = torch.Generator().manual_seed(seed)
        picture = start
        with self._threads(size):
            for i in range(1, steps + 1):
                way = factor ** (i / steps)
                inner = size if i == steps else (round(height * way), round(width * way))
                noise = torch.randn(1, 3, *inner, generator=rng).to(self.device)
                picture = model.refine(last, singan.resize(picture, inner), noise)
        settings: dict[str, Any] = {"verb": "super_resolution", "factor": factor}
        if image is not None:
            settings["image_sha256"] = _sha256(image)
        return self._add(ImageOutput(images=[], recipes=[]), picture, seed, settings)

    @torch.inference_mode()
    def animate(
        self,
        frames: int = 24,  # How many, 1 to 600.
        *,
        start_scale: int = 0,  # The first scale that moves; the higher, the less.
        alpha: float = 0.1,  # Pull towards the photo, 0 to 1.
        beta: float = 0.9,  # How smoothly it moves, 0 to 1.
        loop: bool = True,  # Whether the last frame goes over into the first.
        seed: int | None = None,  # Of the walk; None draws one.
    ) -> ImageOutput:
        """A film that starts at the photo: a random walk of the noise around the photo's own.

        The paper's: z' = alpha z_rec + (1 - alpha)(z + d'), d' = beta d + (1 - beta) u, u normal. A
        layout has no noise: it sways. A walk w of n frames that is to end where it began is bent
        back, to w - i / n of its end (a bridge). Errors: ValueError.
        """
        check_whole("frames", frames, 1, 600)
        check_range("alpha", alpha, 0, 1)
        check_range("beta", beta, 0, 1)
        check_whole("start_scale", start_scale, 0, len(self.generator.channels) - 1)
        if type(loop) is not bool:
            raise ValueError(f"loop must be True or False, got {loop!r}")
        seed, model = _seed(seed), self.generator
        rest = [torch.zeros(1, 3, *shape, device=self.device) for shape in model.shapes()]
        rest[0] = rest[0].new_zeros(1, 2, *SWAYS) if model.has_layouts else model.z_rec
        settings: dict[str, Any] = {"verb": "animate", "start_scale": start_scale}
        settings |= {"alpha": alpha, "beta": beta, "loop": loop}
        *_, end = _walk(rest, frames + 1, start_scale, alpha, beta, seed)
        output = ImageOutput(images=[], recipes=[])
        with self._threads(model.sizes[-1]):
            for frame, z in enumerate(_walk(rest, frames, start_scale, alpha, beta, seed)):
                if loop:
                    ends = zip(z, end, rest, strict=True)
                    z = [here - frame / frames * (last - start) for here, last, start in ends]
                if model.has_layouts:
                    picture = self._above(z[1:], 1, _swayed(model.z_rec, z[0]))
                else:
                    picture = self._above(z, 0, None)
                self._add(output, picture, seed, settings | {"frame": frame, "frames": frames})
        return output

    @classmethod
    def _with_pipeline(cls, events: Any) -> Iterator[Progress]:
        with closing(events):
            for event in events:
                yield replace(event, pipeline=cls(event.model)) if event.model else event

    def _draw(
        self,
        seed: int,
        size: tuple[int, int],
        start_scale: int,
        below: Tensor | None,
        wrap: bool = False,
    ) -> Tensor:
        """One picture [1, 3, H, W], its noise drawn on the CPU: the same on every device."""
        rng = torch.Generator().manual_seed(seed)
        shapes = self.generator.shapes(*size)
        if self.generator.has_layouts and start_scale == 0:
            *_, layout = singan_layouts.draw(self.generator.z_rec, shapes[0], seed=seed, wrap=wrap)
            start_scale, below = 1, layout.to(self.device)
        noises = [
            torch.randn(1, 3, *shape, generator=rng).to(self.device)
            for shape in shapes[start_scale:]
        ]
        return self._above(noises, start_scale, below, wrap, size)

    def _above(
        self,
        noises: list[Tensor],
        start_scale: int,
        below: Tensor | None,
        wrap: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """The model's picture at a size, the photo's by default; or a layout that has no more."""
        size = size or self.generator.sizes[-1]
        if not noises and below is not None:
            return singan.resize(below, size, wrap)
        return self.generator(noises, start_scale, below, wrap, size)

    def _through(self, image: Image.Image, start_scale: int, seed: int) -> Tensor:
        """The image, shrunk to what the scale expects from below, and all scales from there on."""
        last = len(self.generator.channels) - 1
        if last < self._lowest:
            raise ValueError("a model of a single scale cannot start from a picture")
        check_whole("start_scale", start_scale, self._lowest, last)
        picture = self._check_image(image)
        height, width = picture.shape[2:]
        with self._threads((height, width)):
            if start_scale == 0:
                shape, photo = self.generator.shapes(height, width)[0], self.generator.z_rec
                below = singan_layouts.project(photo, picture, shape, seed=seed).to(self.device)
                return self._draw(seed, (height, width), 1, below)
            shape = self.generator.shapes(height, width)[start_scale - 1]
            return self._draw(seed, (height, width), start_scale, singan.resize(picture, shape))

    @property
    def _lowest(self) -> int:
        """The first scale that a given picture can enter."""
        return 0 if self.generator.has_layouts else 1

    def _check_image(self, image: Image.Image) -> Tensor:
        if not isinstance(image, Image.Image) or image.mode != "RGB":
            raise ValueError(f"image must be an RGB PIL image, got {_kind(image)}")
        _check_size(*image.size)
        return _to_float(image).to(self.device)

    def _add(
        self, output: ImageOutput, picture: Tensor, seed: int, settings: dict[str, Any]
    ) -> ImageOutput:
        output.recipes.append(recipe.make(self, seed, **settings))
        output.images.append(recipe.attach(images.to_pil(picture)[0], output.recipes[-1]))
        return output

    def _threads(self, size: tuple[int, int]) -> Any:
        return threads_for(size[0] * size[1] * max(self.generator.channels))


def _check_size(
    width: int, height: int, asked: tuple[int | None, int | None] = (None, None)
) -> tuple[int, int]:
    """(height, width), bounded."""
    for name, side, own in zip(("width", "height"), (width, height), asked, strict=True):
        check_whole(name, side if own is None else own, MIN_SIDE, MAX_SIDE)
    if width * height > MAX_PIXELS:
        raise ValueError(f"a picture must have at most {MAX_PIXELS} pixels, got {width}x{height}")
    return height, width


def _seed(seed: int | None) -> int:
    seed = secrets.randbelow(2**31) if seed is None else seed
    check_whole("seed", seed, 0, 2**63 - 257)
    return seed


def _to_float(image: Image.Image) -> Tensor:
    return images.to_float(images.from_pil([image]))


def _kind(image: object) -> str:
    return image.mode if isinstance(image, Image.Image) else type(image).__name__


def _sha256(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.mode}{image.size}".encode() + image.tobytes()).hexdigest()


def _walk(
    rest: list[Tensor], frames: int, first: int, alpha: float, beta: float, seed: int
) -> Iterator[list[Tensor]]:
    """Noise that walks around `rest`, from which it starts; that below `first` stays there."""
    rng = torch.Generator().manual_seed(seed)
    z, d = list(rest), [torch.zeros_like(one) for one in rest]
    for _ in range(frames):
        yield list(z)
        for i in range(first, len(z)):
            u = torch.randn(z[i].shape, generator=rng).to(z[i].device)
            d[i] = beta * d[i] + (1 - beta) * u
            moved = alpha * rest[i] + (1 - alpha) * (z[i] + d[i])
            d[i], z[i] = moved - z[i], moved


def _swayed(layout: Tensor, offsets: Tensor) -> Tensor:
    """The layout [1, 3, h, w], its places moved by offsets [1, 2, *SWAYS], and what is between."""
    if not offsets.any():
        return layout  # Bit for bit.
    size = layout.shape[2:]
    still = torch.eye(2, 3, device=layout.device)[None]
    grid = F.affine_grid(still, list(layout.shape), align_corners=False)
    moves = F.interpolate(offsets, size, mode="bicubic", align_corners=True)
    grid = grid + moves.permute(0, 2, 3, 1) * grid.new_tensor(SWAY)
    swayed = F.grid_sample(
        layout, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return swayed.clamp(-1, 1)
