"""A picture's recipe: the JSON that remakes it, in the picture's own file and in a link.

A recipe names the model, the hash of its weights, the seed and every setting, and the hash of the
pixels, so that a replay can tell whether it made the same picture. Another processor, release of
torch or number of CPU threads may round otherwise: of a picture that the network saw at 448 x 320
pixels, 4 of a million values differed by one level between one thread and two, because oneDNN adds
up a convolution in another order.

It also says that the picture is generated, in our own words and in IPTC's, for those who meet it
without us.
"""

import base64
import binascii
import hashlib
import inspect
import json
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import ExifTags, Image, PngImagePlugin

import genmodels
from genmodels.data import images
from genmodels.hub import checks, loading
from genmodels.hub.pipelines import HubPipeline, ImagePipeline

KEY = "genmodels"  # The PNG text chunk that holds the recipe.
XMP_KEY = "XML:com.adobe.xmp"  # The PNG text chunk that holds an XMP packet.
# IPTC's terms for "made by a trained algorithm" and "put together, partly synthetic", which are in
# XMP, where photo libraries look for them.
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
XMP = f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
Iptc4xmpExt:DigitalSourceType=
"{GENERATED}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""
QUICK_PIXELS = 1 << 22  # Larger PNGs are packed quickly: zlib takes longer than a network.
DTYPES = ("float32", "float16", "bfloat16", "float64")  # That networks compute in.
MAX_BYTES = 1 << 16  # Far above any real recipe; a hostile one is refused before it is parsed.
MAX_DEPTH = 32  # Of objects and lists in each other: eight steps have twenty.
MAX_STEPS = 8  # Pictures made from pictures made from ...


class GeneratedImage(Image.Image):
    """A PIL image that writes its recipe, `info["genmodels"]`, into every file it is saved to."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """As PIL's. PNG carries the recipe as text, formats with EXIF as ImageDescription."""
        if KEY in self.info:
            if "pnginfo" not in params:
                params["pnginfo"] = PngImagePlugin.PngInfo()
                for key in (KEY, "Software", XMP_KEY):
                    params["pnginfo"].add_itxt(key, self.info[key])
            if "exif" not in params:
                params["exif"] = Image.Exif()
                params["exif"][ExifTags.Base.ImageDescription] = self.info[KEY]
                params["exif"][ExifTags.Base.Software] = self.info["Software"]
            params.setdefault("xmp", self.info[XMP_KEY].encode())
        if self.width * self.height > QUICK_PIXELS:
            params.setdefault("compress_level", 1)
        super().save(fp, format, **params)


def make(
    pipeline: ImagePipeline,
    seed: int,
    *,
    image: Image.Image | None = None,  # What it is made from, if anything.
    weights_sha256: str | None = None,  # The pipeline's, of who makes many; None: ask it.
    **settings: Any,
) -> dict[str, Any]:
    """The recipe of one picture that `pipeline([image,] seed=seed, **settings)` makes."""
    made_from: dict[str, Any] = {}
    dtype = str(pipeline.dtype).removeprefix("torch.")
    if image is not None:
        width, height = image.size
        made_from["image"] = {"sha256": pixels_sha256(image), "width": width, "height": height}
        if (before := _recipe_of(image, made_from["image"]["sha256"])) is not None:
            made_from["image"]["recipe"] = before
    return made_from | {
        "generated": True,
        "pipeline": type(pipeline).__name__,
        "model": pipeline.source,
        "weights_sha256": weights_sha256 or pipeline.weights_sha256,
        **({} if dtype == "float32" else {"dtype": dtype}),
        "seed": seed,
        "settings": checks.plain(settings),
        "versions": {"genmodels": genmodels.__version__, "torch": torch.__version__},
    }


def source_type(recipe: dict[str, Any]) -> str:
    """What IPTC calls a picture: partly synthetic if a given picture is at its beginning."""
    while "image" in recipe:
        if "recipe" not in recipe["image"]:
            return COMPOSITE
        recipe = recipe["image"]["recipe"]
    return GENERATED


def film(
    recipes: Sequence[dict[str, Any]],  # Recipes of the frames, in order.
    verb: str | None = None,  # The pipeline's method that made them, "interpolate" say, ...
    **arguments: Any,  # ... and what it was called with.
) -> str:
    """What a film says of itself: a comment, in JSON, for `images.encode_animation`.

    Give that `xmp=recipe.XMP` too, which says in IPTC's words that the film is generated.
    """
    if not recipes:
        raise ValueError("a film must have at least one frame, got none")
    first, last = recipes[0], recipes[-1]
    if any(each["weights_sha256"] != first["weights_sha256"] for each in recipes):
        raise ValueError("a film's frames must be of one model, got recipes of several")
    shared = {key: first[key] for key in ("pipeline", "model", "weights_sha256", "versions")}
    origin = {"verb": verb, "arguments": arguments} if verb else {}
    ends = {"frames": len(recipes), "first": first, "last": last}
    return json.dumps(
        {"generated": True, "digital_source_type": GENERATED} | shared | origin | ends
    )


def attach(
    image: Image.Image, recipe: dict[str, Any], source_type: str = GENERATED
) -> GeneratedImage:
    """The picture with its recipe, to which the hash of the pixels is added in place."""
    recipe["pixels_sha256"] = pixels_sha256(image)
    generated = GeneratedImage()
    generated.__dict__.update(image.__dict__)
    generated.info = {
        KEY: json.dumps(recipe),
        "Software": f"genmodels {genmodels.__version__}",
        XMP_KEY: PngImagePlugin.iTXt(
            XMP.replace(GENERATED, source_type)
        ),  # As iTXt even where Gradio writes the file.
    }
    return generated


def read(source: str | Path | Image.Image) -> dict[str, Any]:
    """The recipe in an image file, or in an open image. ValueError when it has none."""
    if isinstance(source, Image.Image):
        if getattr(source, "is_animated", False):
            raise ValueError(
                "a film holds no recipe to replay; its comment tells those of its first and last "
                "frame, and what made the film"
            )
        text = source.info.get(KEY) or source.getexif().get(ExifTags.Base.ImageDescription)
    else:
        try:
            with Image.open(source, formats=images.FORMATS) as image:
                return read(image)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{source}: not an image that can be read: {error}") from error
    if not isinstance(text, str) or not text:
        raise ValueError("the image holds no recipe: it was not made here, or its metadata is gone")
    return _parse(text)


def to_query(recipe: dict[str, Any]) -> str:
    """The recipe as the value of a link's query parameter."""
    packed = zlib.compress(json.dumps(recipe, separators=(",", ":")).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_query(value: str) -> dict[str, Any]:
    """The recipe in a link's query parameter. ValueError when it is damaged."""
    try:
        packed = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        inflate = zlib.decompressobj()
        text = inflate.decompress(packed, MAX_BYTES).decode()
    except (ValueError, binascii.Error, zlib.error) as error:
        raise ValueError(f"the link holds no recipe: {error}") from error
    if not inflate.eof:  # What is left may parse, but its checksum is gone.
        raise ValueError("the link holds no whole recipe: it was cut, or is too long")
    return _parse(text)


def replay(
    source: str | Path | Image.Image | dict[str, Any],  # Its file, the open image, or its recipe.
    image: Image.Image | None = None,  # What it was made from, where it was made from a picture.
    *,
    model: str | Path | None = None,  # Where its model is now; None: where the recipe says.
    pipeline: ImagePipeline | None = None,  # Its model, where that is loaded already.
) -> GeneratedImage:
    """Make the picture again.

    Of a model that was loaded from a folder the recipe holds that folder's name alone: say with
    `model` where it is. Errors: ValueError when the model or the image is another one by now. Warns
    when the pixels differ, which another release of torch or another processor can cause.
    """
    recipe = source if isinstance(source, dict) else read(source)
    check(recipe)
    pipeline = pipeline or _pipeline_of(recipe, model)
    if pipeline.weights_sha256 != recipe["weights_sha256"]:
        raise ValueError(
            f"{checks.quoted(model or recipe['model'])} holds other weights "
            f"({pipeline.weights_sha256[:12]}) than the picture was made with "
            f"({recipe['weights_sha256'][:12]})"
        )
    parameters = inspect.signature(type(pipeline).__call__).parameters
    known = set(parameters)
    takes = "image" in known
    needs = takes and parameters["image"].default is inspect.Parameter.empty
    if not (takes if "image" in recipe else not needs):
        raise ValueError(f"{pipeline.source} draws {'' if takes else 'not '}from an image")
    unknown = set(recipe["settings"]) - (known - {"self", "image", "num_images", "seed"})
    if unknown:
        raise ValueError(f"{pipeline.source} knows no settings {checks.quoted(sorted(unknown))}")
    given = dict(zip(("image",), _image_of(recipe, image), strict=False))
    seed = {"seed": recipe["seed"]} if "seed" in known else {}  # Some leave nothing to chance.
    (picture,) = pipeline(**given, **seed, **recipe["settings"]).images
    assert isinstance(picture, GeneratedImage), "pipelines attach the recipe"
    if pixels_sha256(picture) != recipe.get("pixels_sha256"):
        torch_then, torch_now = recipe["versions"].get("torch"), torch.__version__
        warnings.warn(f"the pixels differ (torch {torch_then} then, {torch_now} now)", stacklevel=2)
    return picture


def _recipe_of(image: Image.Image, sha256: str) -> dict[str, Any] | None:
    """The recipe inside a picture, if it describes these pixels and may have a further step."""
    if KEY not in image.info:
        return None
    try:
        stored = read(image)
    except ValueError:  # It came with a file that somebody else wrote.
        return None
    return stored if stored.get("pixels_sha256") == sha256 and _steps(stored) < MAX_STEPS else None


def _steps(recipe: dict[str, Any]) -> int:
    """How many pictures were made one from the other, this one included."""
    before = recipe.get("image", {}).get("recipe")
    return 1 if before is None else 1 + _steps(before)


def _pipeline_of(recipe: dict[str, Any], model: str | Path | None) -> ImagePipeline:
    """The recipe's model, or the given one, in the recipe's dtype."""
    named = recipe["model"]
    if named is None and model is None:
        raise ValueError(
            "the model had not been saved when the picture was made, so its recipe names none: if "
            "it has been since, say where with `model`"
        )
    try:
        pipeline = loading.load(named if model is None else model)
    except ValueError as error:
        if model is not None or "/" in named.strip("/"):
            raise
        raise ValueError(
            f"{error}. If {checks.quoted(named)} is the name of a folder, "
            "say where it is with `model`"
        ) from error
    dtype = recipe.get("dtype", "float32")
    if dtype == "float32" or not isinstance(pipeline, HubPipeline):
        return pipeline
    return pipeline.to(getattr(torch, dtype))


def _image_of(recipe: dict[str, Any], image: Image.Image | None) -> tuple[Image.Image, ...]:
    """The image that a recipe needs, checked by its pixels' hash, in any mode.

    One that was made here is made again. Its pixels may differ a little after an update of torch,
    which `replay` has warned of then.
    """
    needed = recipe.get("image")
    if needed is not None and image is None and "recipe" in needed:
        return (replay(needed["recipe"]),)
    if needed is None:
        if image is not None:
            raise ValueError("the picture was made from no other one: leave `image` out")
        return ()
    if image is None:
        raise ValueError(
            f"the picture was made from another one, of {needed['width']} x {needed['height']} "
            "pixels: give that as `image`"
        )
    shown = (images.to_rgb(image, keep_alpha=keep_alpha) for keep_alpha in (True, False))
    for candidate in shown:
        if pixels_sha256(candidate) == needed["sha256"]:
            return (candidate,)
    raise ValueError("that is not the image that the picture was made from")


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise ValueError(f"a recipe has at most {MAX_BYTES} characters, got {len(text)}")
    try:
        recipe = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the recipe is not JSON: {error}") from error
    check(recipe)
    if _is_deeper_than(MAX_DEPTH, recipe):
        raise ValueError(f"a recipe must be nested {MAX_DEPTH} deep at most, got more")
    try:
        json.dumps(recipe, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the recipe's text must be Unicode: {error.reason}") from error
    return recipe


def _is_deeper_than(depth: int, value: Any) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            part
            for item in level
            if isinstance(item, dict | list)
            for part in (item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)


def check(recipe: object, step: int = 1) -> None:
    """ValueError for what is no recipe: keys and types only, the pipeline checks the settings."""
    kinds = {"weights_sha256": str, "seed": int, "settings": dict, "versions": dict}
    if not isinstance(recipe, dict):
        raise ValueError(f"a recipe must be a JSON object, got {type(recipe).__name__}")
    for key, kind in kinds.items():
        if type(recipe.get(key)) is not kind:  # True is an int, and no seed.
            raise ValueError(
                f"the recipe's {key} must be {kind.__name__}, got {checks.quoted(recipe.get(key))}"
            )
    needed = recipe.get("image")
    kinds = {"sha256": str, "width": int, "height": int}
    is_image = isinstance(needed, dict) and all(type(needed.get(k)) is kinds[k] for k in kinds)
    if needed is not None and not is_image:
        raise ValueError(
            f"the recipe's image must be sha256, width and height, got {checks.quoted(needed)}"
        )
    if not isinstance(recipe.get("model"), str | None):
        raise ValueError(f"the recipe's model must be a name, got {checks.quoted(recipe['model'])}")
    if recipe.get("dtype", "float32") not in DTYPES:
        allowed, actual = ", ".join(DTYPES), checks.quoted(recipe["dtype"])
        raise ValueError(f"the recipe's dtype must be one of {allowed}, got {actual}")
    if needed is not None and "recipe" in needed:
        if step == MAX_STEPS:
            raise ValueError(f"a recipe must have at most {MAX_STEPS} steps, got more")
        check(needed["recipe"], step + 1)


def pixels_sha256(image: Image.Image) -> str:
    """Hash of a picture's mode, size and pixels, whatever file they come from."""
    return hashlib.sha256(f"{image.mode}{image.size}".encode() + image.tobytes()).hexdigest()
