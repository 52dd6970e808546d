"""Pictures on the page: shown, saved, linked to, and drawn again, always with their recipe."""

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import encode_pil_to_bytes
from PIL import Image

import genmodels
from genmodels.ui.server import work_folder
from genmodels.ui.services import models, photos
from genmodels.ui.services.models import Recipe

MAX_REDRAWN = 128  # Pictures that are kept in memory, some 10 MB.
MAX_PIXELS = photos.MAX_PHOTO  # Largest dropped file, as for a photo: the page makes none larger.


def gallery(elem_id: str, columns: int = 4, *, visible: bool = True) -> gr.Gallery:
    """Where pictures are shown; a click picks one."""
    return gr.Gallery(
        show_label=False,
        columns=columns,
        height="auto",
        object_fit="cover",
        format="png",
        interactive=False,
        allow_preview=False,
        buttons=[],
        visible=visible,
        elem_id=elem_id,
        elem_classes="pictures",
    )


def captioned(pictures: list[Image.Image], recipes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pictures for a gallery, as captioned PNG files: the model's own pixels, and the recipe."""
    return [
        (saved(picture, recipe), models.in_words(recipe))
        for picture, recipe in zip(pictures, recipes, strict=True)
    ]


def saved(picture: Image.Image, recipe: dict[str, Any]) -> str:
    """The path of the picture's PNG file, which holds the recipe."""
    return work_folder.png(picture, _name(recipe))


def nothing() -> str:
    """The path of a picture that shows nothing, for the corner of a table."""
    return work_folder.png(Image.new("RGBA", (8, 8)), "nothing")


def zipped(
    files: Sequence[str],
    recipes: list[dict[str, Any]],  # Ours, or checked: the archive's name holds the first's model.
    names: Sequence[str] = (),  # What to call them, after their numbers; none: as the files.
) -> str:
    """The path of a ZIP of pictures, numbered in their order, and of all their recipes."""
    names = names or [Path(file).stem for file in files]
    text = json.dumps(recipes, indent=1)
    key = hashlib.sha256(json.dumps([recipes, list(names)]).encode())
    for file in files:
        key.update(hashlib.sha256(Path(file).read_bytes()).digest())

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:  # PNG is compressed already.
            for number, (file, name) in enumerate(zip(files, names, strict=True), 1):
                archive.write(file, f"{number:02d}-{name}.png")
            archive.writestr("recipes.json", text)

    name = f"{models.as_drawn(recipes[0])['model']}-{len(recipes)}-pictures.zip"
    return work_folder.written_once(key.hexdigest(), name, write)


def drop() -> gr.File:
    """Where a picture's file is dropped for its recipe; nothing decodes its pixels."""
    return gr.File(
        label="A PNG saved from this page",
        show_label=False,
        file_types=[".png"],
        height=130,
        elem_id="replay",
    )


def recipe_of_file(path: str) -> Recipe:
    """The recipe in a file that a visitor dropped; its pixels are not decoded."""
    from genmodels.hub import recipe  # Brings torch.

    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"pictures from here are smaller than {picture.size} pixels")
            if recipe.KEY not in picture.info:  # PIL would decode them to look for it elsewhere.
                raise ValueError(
                    "the image holds no recipe: it was not made here, or its metadata is gone"
                )
            return recipe.read(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("that is not a PNG that was saved here") from error


def recipe_of_link(value: str) -> Recipe:
    """The recipe in the address that a visitor followed."""
    from genmodels.hub import recipe  # Brings torch.

    return recipe.from_query(value)


def link(recipe: Recipe) -> str:
    """The address, on this page, that draws the recipe's picture."""
    from genmodels.hub.recipe import to_query  # Brings torch.

    return f"?recipe={to_query(recipe)}"


def checked(recipe: Any, allowed: Sequence[str]) -> Recipe:
    """The recipe, which is anyone's, if it is one, and of a model that may draw; or ValueError."""
    from genmodels.hub import recipe as recipes  # Brings torch.

    recipes.check(recipe)
    if recipe["model"] not in allowed:
        raise ValueError(f"it was made by {str(recipe['model'])[:80]!r}, which is not on this page")
    return recipe


def again(
    load: Callable[[str], Any], recipe: Any, allowed: Sequence[str]
) -> tuple[Image.Image, Recipe]:
    """The picture of a recipe, which is anyone's, and its recipe now.

    `load` gives the pipelines. What is enlarged is drawn, then enlarged. A picture that was made
    from any other one is not drawn here.
    """
    from genmodels.hub import recipe as recipes  # Brings torch.

    recipes.check(recipe)
    drawn = models.as_drawn(recipe)
    pipe = load(checked(drawn, allowed)["model"])
    picture = genmodels.replay(drawn, pipeline=pipe)
    if drawn is not recipe:  # On another machine its pixels may differ by a rounding.
        image = recipe["image"] | {"sha256": recipes.pixels_sha256(picture)}
        again = recipe | {"image": image}
        picture = genmodels.replay(again, picture, pipeline=load(models.UPSCALER))
    return picture, recipes.read(picture)


def redrawn(load: Callable[[str], Any], recipe: Recipe, *, enlarge: bool) -> tuple[str, Recipe]:
    """The file of a picture by its recipe as it was drawn, which is checked, and the file's recipe.

    It is drawn, and enlarged, unless that was done lately.
    """
    content, text = _redrawn(load, json.dumps(recipe), enlarge)
    file_recipe = json.loads(text)
    return work_folder.png_file(content, _name(file_recipe)), file_recipe


@functools.lru_cache(maxsize=MAX_REDRAWN)
def _redrawn(load: Callable[[str], Any], text: str, enlarge: bool) -> tuple[bytes, str]:
    """A PNG's content, and its recipe as text."""
    from genmodels.hub import recipe as recipes  # Brings torch.

    recipe = json.loads(text)
    picture = genmodels.replay(recipe, pipeline=load(recipe["model"]))
    if enlarge:  # By its own seed: then what it becomes does not depend on its place.
        picture = load(models.UPSCALER)(picture, seed=recipe["seed"]).images[0]
    return encode_pil_to_bytes(picture, "png"), json.dumps(recipes.read(picture))


def _name(recipe: Recipe) -> str:
    drawn = models.as_drawn(recipe)
    return f"{drawn['model']}-seed-{drawn['seed']}{'' if drawn is recipe else '-enlarged'}"


def report_difference(recipe: Recipe, remade: Recipe) -> None:
    """Tell the visitor whether a redrawn picture has the same pixels."""
    if remade.get("pixels_sha256") == recipe.get("pixels_sha256"):
        gr.Info("The same picture, pixel for pixel.")
    else:
        gr.Warning("Drawn again, but the pixels differ from those of the saved picture.")


def wanting(recipe: Recipe) -> str:
    """The message if the photo that a picture was made from is not here."""
    image = recipe["image"]
    return (
        f"**This picture was made from a photo of {image['width']} x {image['height']} pixels, "
        "which is not here.** Its settings are set: bring the photo as *Your photo*, and it is "
        "drawn again."
    )


def settled(wanted: Any, drawn: Any) -> tuple[Any, Any]:
    """Tell whether what was drawn is the saved picture that was wanted; then none is wanted.

    Both come from the page. The second output takes away the notice that a photo was missing.
    """
    if isinstance(wanted, dict) and isinstance(drawn, dict):
        if wanted.get("image") != drawn.get("image"):
            gr.Warning("This is another photo than the saved picture was made from.")
        elif wanted.get("settings") == drawn.get("settings"):
            report_difference(wanted, drawn)
    return None, gr.update(visible=False)
