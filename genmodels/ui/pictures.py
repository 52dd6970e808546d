"""Pictures on the page: shown, saved, linked to, and drawn again, always with their recipe."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

import genmodels

MAX_PIXELS = 1 << 22  # Of a dropped file: what we make is far smaller, and a bomb is not decoded.


def gallery() -> gr.Gallery:
    """Where pictures are shown; what a visitor saves from it is the file as it was made."""
    return gr.Gallery(
        show_label=False,
        columns=4,
        height="auto",
        object_fit="cover",
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id="pictures",
        elem_classes="pictures",
    )


def captioned(pictures: list[Image.Image], recipes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pictures for a gallery, as captioned PNG files: the model's own pixels, and the recipe."""
    shown = []
    for picture, recipe in zip(pictures, recipes, strict=True):
        name = f"{recipe['model']}-seed-{recipe['seed']}"
        path = save_pil_to_cache(picture, get_upload_folder(), name=name, format="png")
        asked = [_in_words(value) for value in recipe["settings"].get("condition", {}).values()]
        shown.append((path, ", ".join(asked) or f"seed {recipe['seed']}"))
    return shown


def picked_line() -> tuple[gr.Markdown, gr.DownloadButton]:
    """The name and the file of the picture that was picked last."""
    with gr.Row(elem_classes="picked"):
        words = gr.Markdown(elem_id="picked")
        file = gr.DownloadButton("Download PNG", size="sm", scale=0, min_width=140, visible=False)
    return words, file


def follow_picked(
    gallery: gr.Gallery,
    recipes: gr.JSON,  # One per picture.
    shown: list[Any],  # Words, file and recipe: of the first picture, then of the one clicked.
    batches: Sequence[Any],  # The events that fill the gallery.
) -> None:
    """Keep what is shown of one picture at the one that was picked."""

    def picked(
        pictures: list[tuple[str, str]], recipes: list[dict[str, Any]], index: int = 0
    ) -> tuple[Any, ...]:
        from genmodels.recipe import to_query  # Brings torch.

        one = recipes[index]
        link = f"?recipe={to_query(one)}"
        words = f"Picture {index + 1} of {len(recipes)}, seed {one['seed']} · [link]({link})"
        return words, gr.update(value=pictures[index][0], visible=True), one

    def clicked(pictures: Any, recipes: Any, event: gr.SelectData) -> tuple[Any, ...]:
        return picked(pictures, recipes, event.index)

    at_once: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    for batch in batches:
        batch.success(picked, [gallery, recipes], shown, queue=False, **at_once)
    gallery.select(clicked, [gallery, recipes], shown, queue=False, **at_once)


def drop() -> gr.File:
    """Where a picture's file is dropped for its recipe; nothing decodes its pixels."""
    return gr.File(
        label="A PNG that was saved here",
        show_label=False,
        file_types=[".png"],
        height=130,
        elem_id="replay",
    )


def recipe_of_file(path: str) -> dict[str, Any]:
    """The recipe in a file that a visitor dropped."""
    from genmodels import recipe  # Brings torch.

    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"pictures from here are smaller than {picture.size} pixels")
            return recipe.read(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("that is not a PNG that was saved here") from error


def recipe_of_link(value: str) -> dict[str, Any]:
    """The recipe in the address that a visitor followed."""
    from genmodels import recipe  # Brings torch.

    return recipe.from_query(value)


def replay(
    recipe: dict[str, Any],  # Anyone's.
    allowed: Sequence[str],  # Models that it may name; others are not looked for.
) -> tuple[Image.Image, dict[str, Any]]:
    """The picture of a recipe and its recipe now; the visitor is told whether it is the same."""
    if recipe["model"] not in allowed:
        raise ValueError(f"it was made by {recipe['model']!r}, which is not on this page")
    picture = genmodels.replay(recipe)
    remade = genmodels.recipe.read(picture)
    if remade["pixels_sha256"] == recipe.get("pixels_sha256"):
        gr.Info("The same picture, pixel for pixel.")
    else:
        gr.Warning("Drawn again, but the pixels differ from the recipe's.")
    return picture, remade


def _in_words(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)
