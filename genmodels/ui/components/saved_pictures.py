"""A saved picture's file, or a link to one, opens the tab that it is from, as it was made there."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from genmodels.ui.components.address import Visit, error_text, in_browser
from genmodels.ui.components.widgets import AT_ONCE, show_errors
from genmodels.ui.services import models, pictures
from genmodels.ui.services.models import Recipe

Takes = Callable[[Recipe], bool]  # Whether a tab draws what has such a recipe.


def build(tabs: gr.Tabs, visits: Sequence[Visit], takes: Mapping[str, Takes]) -> gr.Textbox:
    """Lay out where a file is dropped; the text box is for the recipe of a link."""
    names = list(takes)
    with gr.Accordion("Open a saved picture", open=False, elem_id="open-picture"):
        gr.Markdown(
            "Drop a PNG that was saved here. Its tab opens with the model, the seed and all "
            "settings that made it, and draws it again."
        )
        drop = pictures.drop()
    link, tab = gr.Textbox(visible=False), gr.Textbox(visible=False)
    stored = gr.JSON(visible=False)

    def opened(recipe: Recipe, photos: Any) -> list[Any]:
        name = tab_of(recipe, takes)
        start = {"recipe": recipe, "photos": photos, "time": time.time()}  # Twice is twice.
        return [
            *(start if name == other else gr.skip() for other in names),
            gr.Tabs(selected=name),
            name,
        ]

    @show_errors
    def of_file(path: str, photos: Any) -> list[Any]:
        return [None, *opened(pictures.recipe_of_file(path), photos)]  # Room for the next.

    def of_link(value: Any, start: Any) -> list[Any]:
        photos = start.get("photos") if isinstance(start, dict) else None
        try:
            if not isinstance(value, str):
                raise ValueError(f"a link must be text, got {type(value).__name__}")
            return opened(pictures.recipe_of_link(value), photos)
        except ValueError as error:
            gr.Warning(f"The link cannot be opened: {error_text(error)}", duration=None)
            first, *others = names
            return [start, *(gr.skip() for _ in others), gr.Tabs(selected=first), first]

    shown = [*(visit.start for visit in visits), tabs, tab]
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    dropped = drop.upload(
        of_file,
        [drop, stored],
        [drop, *shown],
        js=in_browser(names, "return [file, read('photos') || []]", "file"),
        **private,
    )
    dropped.failure(lambda: None, None, drop, **AT_ONCE)
    followed = link.change(
        of_link,
        [link, stored],
        shown,
        js=in_browser(names, "return [link, kept(TABS[0])]", "link"),
        **private,
    )
    for event in (dropped, followed):
        event.success(None, tab, None, js=in_browser(names, "go(tab)", "tab"), **private)
    return link


def tab_of(recipe: Recipe, takes: Mapping[str, Takes]) -> str:
    """The tab that draws what has the recipe, which is anyone's; ValueError where none does."""
    drawn = models.as_drawn(recipe)
    if not all(isinstance(each.get("model"), str) for each in (recipe, drawn)):
        raise ValueError("the recipe does not say which model drew its picture")
    for name, is_taken in takes.items():
        if is_taken(recipe):
            return name
    model = str(drawn["model"])[:80]
    if recipe.get("pipeline") == "SinGANPipeline":
        raise ValueError(
            f"it was drawn by {model}, a network that a visitor trained: unpack its download and "
            "draw with genmodels.load(), or train it again in the Panorama tab"
        )
    raise ValueError(f"it was made by {model!r}, which is not on this page")
