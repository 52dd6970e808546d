"""One photo made wider, higher, other or endless from its own patches, without any training."""

import secrets
from collections.abc import Iterator
from typing import Any

from PIL import Image

from genmodels.data import images
from genmodels.hub import recipe
from genmodels.hub.checks import check_flag, check_range, check_whole, plain, quoted
from genmodels.hub.pipelines import ImageOutput, ImagePipeline, ambient
from genmodels.models.patches import synthesis
from genmodels.models.patches.field import Canvas
from genmodels.models.patches.source import PatchSettings

MAX_PIXELS = 8_400_000  # Largest picture: 4096 x 2048 takes 3 GB of memory, a new one up to 4.
MAX_FACTOR = 8  # How much longer than the photo's a side may be, and shorter.
MAX_ASPECT = 8  # Largest aspect ratio of a photo: the coarsest level is this much larger.

# What a picture begins with.
STARTS: dict[str, synthesis.Start] = {
    "extend": "grow",
    "resample": "strip",
    "retarget": "path",
    "wrap": "grow",
}

# Settings of a picture that keeps the photo's order. Were mirrored patches as good as others, a sky
# that is bright on the left would become an even one.
IN_ORDER: dict[str, Any] = {"mirror": True, "reuse": 0.25, "mirror_cost": 0.1}


class PatchPipeline(ImagePipeline):
    """Draws pictures of any size from one photo. Start at `steps`."""

    source = "patches"  # What `genmodels.load` and recipes call it: there are no weights.

    def __call__(
        self,
        image: Any,  # The photo, as `images.to_rgb` takes it.
        num_images: int = 1,  # How many, 1 to 256.
        *,
        mode: str = "extend",  # "extend", "resample", "retarget" or "wrap".
        width: int | None = None,  # None: that of the photo, doubled where it is extended.
        height: int | None = None,  # None: the photo's.
        left: int | None = None,  # Where the photo lies (extend, wrap); None: in the middle.
        top: int | None = None,
        seed: int | None = None,  # Image i uses seed + i; None draws one.
        mirror: bool | None = None,  # Use mirrored patches; None: to keep the photo's order only.
        variety: float = 0.05,  # How far pictures of several seeds differ, 0 to 1.
        uniqueness: float | None = None,  # How little of what is there once comes again, 0 to 2.
    ) -> ImageOutput:
        """New pictures, each with its recipe. Errors: as of `steps`."""
        num_images = check_whole("num_images", num_images, 1, 256)
        seed = secrets.randbelow(2**31) if seed is None else seed
        seed = check_whole("seed", seed, 0, 2**63 - 257)
        image = check_photo(image)
        output = ImageOutput(images=[], recipes=[])
        for image_seed in range(seed, seed + num_images):
            *_, picture = self.steps(
                image,
                mode=mode,
                width=width,
                height=height,
                left=left,
                top=top,
                seed=image_seed,
                mirror=mirror,
                variety=variety,
                uniqueness=uniqueness,
            )
            output.images.append(picture)
            output.recipes.append(recipe.read(picture))
        return output

    def extend(self, image: Any, **arguments: Any) -> ImageOutput:
        """The photo, pixel for pixel, in a larger picture of its scene."""
        return self(image, mode="extend", **arguments)

    def resample(self, image: Any, **arguments: Any) -> ImageOutput:
        """A new picture of the photo's scene."""
        return self(image, mode="resample", **arguments)

    def retarget(self, image: Any, **arguments: Any) -> ImageOutput:
        """The photo's content in another shape, in its order and undistorted."""
        return self(image, mode="retarget", **arguments)

    def wrap(self, image: Any, **arguments: Any) -> ImageOutput:
        """The photo, pixel for pixel, in a strip whose ends meet: a cylinder, not a sphere."""
        return self(image, mode="wrap", **arguments)

    def steps(
        self,
        image: Any,  # The photo, as `images.to_rgb` takes it, 16 x 16 pixels or more.
        *,
        mode: str = "extend",  # "extend", "resample", "retarget" or "wrap".
        width: int | None = None,  # None: that of the photo, doubled where it is extended.
        height: int | None = None,  # None: the photo's.
        left: int | None = None,  # Where the photo lies (extend, wrap); None: in the middle.
        top: int | None = None,
        seed: int = 0,  # Chooses among pictures.
        mirror: bool | None = None,  # Use mirrored patches; None: to keep the photo's order only.
        variety: float = 0.05,  # How far pictures of several seeds differ, 0 to 1.
        uniqueness: float | None = None,  # How little of what is there once comes again, 0 to 2.
    ) -> Iterator[Image.Image]:
        """The picture from coarse to fine, for a page to show; the last holds its recipe.

        Errors: ValueError, before anything is computed, for a photo, a size (at most 8.4 million
        pixels, and 8 times the photo's sides) or a setting that will not do.
        """
        image, mode = check_photo(image), plain(mode)
        width, height, left, top = plain((width, height, left, top))
        if not isinstance(mode, str) or mode not in STARTS:
            raise ValueError(f"mode must be one of {', '.join(STARTS)}, got {quoted(mode)}")
        if uniqueness is None:
            uniqueness = 0.4 if mode in ("extend", "wrap") else 0.0
        if mirror is None:
            mirror = mode == "retarget"
        mirror = check_flag("mirror", mirror)
        seed = check_whole("seed", seed, 0, 2**63 - 257)
        variety = check_range("variety", variety, 0, 1)
        uniqueness = check_range("uniqueness", uniqueness, 0, 2)
        canvas = _canvas(image, mode, (width, height), (left, top))
        settings: dict[str, Any] = {"mode": mode, "width": canvas.width, "height": canvas.height}
        if canvas.anchored:
            settings |= {"left": canvas.left, "top": canvas.top}
        settings |= {"mirror": mirror, "variety": variety, "uniqueness": uniqueness}
        return self._steps(image, canvas, seed, settings)

    def _steps(
        self, image: Image.Image, canvas: Canvas, seed: int, settings: dict[str, Any]
    ) -> Iterator[Image.Image]:
        chosen = _chosen(settings)
        photo = images.to_float(images.from_pil([image]))[0]
        start = _start(canvas, settings, image.height)
        levels = synthesis.synthesize(photo, canvas, start, seed=seed, settings=chosen)
        while True:
            with ambient(self.device):  # Not while somebody looks at what has been yielded.
                level = next(levels, None)
            if level is None:
                break
            (picture,) = images.to_pil(level[None])
            if picture.size != (canvas.width, canvas.height):
                yield picture
        record = recipe.make(self, seed, image=image, **settings)
        yield recipe.attach(picture, record, recipe.COMPOSITE)


def megabytes(
    photo: tuple[int, int],  # Its width and height, as it lies in the picture.
    settings: dict[str, Any],  # Settings of `PatchPipeline.steps`: mode, width, height, mirror, ...
) -> int:
    """About the memory that drawing a picture takes at most, beside what is imported."""
    canvas = Canvas(settings["height"], settings["width"])
    start, chosen = _start(canvas, settings, photo[1]), _chosen(settings)
    return synthesis.megabytes((photo[1], photo[0]), canvas, start, chosen)


def _start(canvas: Canvas, settings: dict[str, Any], photo_height: int) -> synthesis.Start:
    """What the picture begins with. Whole columns of the photo fit where it is as high as that."""
    start = STARTS[settings["mode"]]
    by_columns = start == "grow" and canvas.height == photo_height and not _chosen(settings).mirror
    return "pieces" if by_columns else start


def _chosen(settings: dict[str, Any]) -> PatchSettings:
    names = [name for name in ("mirror", "variety", "uniqueness") if name in settings]
    in_order = IN_ORDER if settings["mode"] == "retarget" else {}
    return PatchSettings(**in_order | {name: settings[name] for name in names})


def check_photo(image: Any) -> Image.Image:
    """The photo as RGB, if there is something to learn from."""
    image = images.to_rgb(image)
    low, most = synthesis.MIN_SIDE, MAX_PIXELS
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ValueError(
            f"a photo must be at most {MAX_ASPECT} times as long as wide, got "
            f"{image.width} x {image.height}"
        )
    if min(image.size) < low or image.width * image.height > most:
        raise ValueError(
            f"a photo must be {low} x {low} pixels or more and have at most {most} pixels, got "
            f"{image.width} x {image.height}"
        )
    if image.getcolors(maxcolors=1) is not None:
        raise ValueError("the photo is all of one colour: there is nothing to continue")
    return image


def _canvas(
    image: Image.Image,
    mode: str,
    size: tuple[int | None, int | None],
    place: tuple[int | None, int | None],
) -> Canvas:
    """The size asked for, and where the photo lies in it if it does."""
    is_kept = mode in ("extend", "wrap")
    width = image.width * (1 + is_kept) if size[0] is None else size[0]
    height = image.height if size[1] is None else size[1]
    for name, photo_side, side in (("width", image.width, width), ("height", image.height, height)):
        low = photo_side if is_kept else max(synthesis.MIN_SIDE, -(-photo_side // MAX_FACTOR))
        check_whole(name, side, low, MAX_FACTOR * photo_side)
    if width * height > MAX_PIXELS:
        raise ValueError(f"a picture must have at most {MAX_PIXELS} pixels, got {width} x {height}")
    if not is_kept:
        if place != (None, None):
            raise ValueError(f"left and top are for extend and wrap, not for {mode}")
        return Canvas(height, width)
    spare = (width - image.width, height - image.height)
    left, top = (room // 2 if at is None else at for at, room in zip(place, spare, strict=True))
    check_whole("left", left, 0, spare[0])
    check_whole("top", top, 0, spare[1])
    return Canvas(height, width, top, left, anchored=True, wrap=mode == "wrap")
