"""The switch between enlarged pictures and pictures as drawn, and what it does to galleries.

Pictures are drawn and shown first, and are enlarged in a turn of their own, so that nobody waits
for that. A gallery's recipes are always those of the pictures that it shows.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import gradio as gr

from genmodels.ui.components.widgets import show_errors
from genmodels.ui.server.queues import ENLARGING
from genmodels.ui.services import models, pictures, recipes
from genmodels.ui.services.models import Card, Recipe

ENLARGED, AS_DRAWN = "Enlarged", "As drawn"

_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# Run in the browser: what was made takes the place of what is shown, unless that is of others by
# now, or the switch was turned meanwhile.
PUT = f"""(files, told, made, remade, how) => {{
    const isEnlarged = one => one?.model == "{models.UPSCALER}"
    const drawn = one => isEnlarged(one) && one.image?.recipe || one
    const named = one => one && [drawn(one).model, drawn(one).seed, drawn(one).settings]
    const which = list => JSON.stringify((list || []).map(named))
    const isAsAsked = remade && remade.some(isEnlarged) == (how == "{ENLARGED}")
    return isAsAsked && which(told) == which(remade) ? [made, remade] : [files, told]
}}"""


def switch(card: Card) -> gr.Radio:
    """Lay out the switch, in sight where the model's pictures are small."""
    return gr.Radio(
        [ENLARGED, AS_DRAWN],
        value=ENLARGED,
        label="Show pictures",
        info="Enlarged: four times larger, with detail added by an upscaler.",
        visible=card.is_small,
        elem_classes="shown-as",
    )


def of_recipe(recipe: Recipe) -> str:
    """How the switch stands for a picture that has the recipe."""
    return AS_DRAWN if models.as_drawn(recipe) is recipe else ENLARGED


def follow(
    load: Callable[[str], Any],
    switch: gr.Radio,
    gallery: gr.Gallery,
    records: gr.JSON,  # The recipes, one per picture.
    drawn: Sequence[Any],  # Events after which the gallery shows pictures as drawn.
) -> list[Any]:
    """Show the gallery's pictures as the switch says, after each event and when it is turned.

    Returns the events after which they are shown so.
    """

    @show_errors
    def show(records: Any, how: Literal["Enlarged", "As drawn"]) -> tuple[Any, Any]:
        if not records or all(r is None or _is_shown(r, how) for r in _list(records)):
            return None, None
        files: list[Any] = []
        again: list[Recipe | None] = []
        for record in _list(records):
            file, recipe = (pictures.nothing(), None) if record is None else _as(load, record, how)
            files.append((file, None if recipe is None else models.in_words(recipe)))
            again.append(recipe)
        return files, again

    drawn_again, new_records = gr.Gallery(visible=False, format="png"), gr.JSON(visible=False)
    shown, ready = [gallery, records], [drawn_again, new_records]
    event: dict[str, Any] = {
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": gallery,
        "trigger_mode": "always_last",
        **ENLARGING.turns,
    }
    triggers = [switch.input, *(done.success for done in drawn)]
    events = [trigger(show, [records, switch], ready, **event) for trigger in triggers]
    inputs = [*shown, *ready, switch]
    return [done.success(None, inputs, shown, js=PUT, **_PRIVATE) for done in events]


def _list(records: Any) -> list[Any]:
    """The recipes that a page says a gallery shows; None where it shows nothing."""
    if not isinstance(records, list) or len(records) > recipes.MAX_PICTURES:
        raise ValueError(f"a gallery shows {recipes.MAX_PICTURES} pictures at most")
    return [None if record is None else recipes.checked(record) for record in records]


def _is_shown(recipe: Recipe, how: str) -> bool:
    is_small = models.card(models.as_drawn(recipe)["model"]).is_small
    return of_recipe(recipe) == (how if is_small else AS_DRAWN)


def _as(load: Callable[[str], Any], recipe: Recipe, how: str) -> tuple[str, Recipe]:
    drawn = models.as_drawn(recipe)
    enlarge = how == ENLARGED and models.card(drawn["model"]).is_small
    return pictures.redrawn(load, drawn, enlarge=enlarge)
