"""Cars beside anime faces: what one network makes of two sets, and the numbers that say why."""

import random
from collections.abc import Callable
from typing import Any

import gradio as gr

from genmodels.ui.components import widgets
from genmodels.ui.components.widgets import IN_TURN, show_errors
from genmodels.ui.services import models, pictures

CARS, FACES = "cars-dcgan-64", "anime-dcgan-64"  # One network, trained alike.
NOTES = "Are cars harder than anime faces?"  # The section of the faces' card.
COUNT = 8


def is_there() -> bool:
    """Whether the zoo has both."""
    return models.is_there(CARS) and models.is_there(FACES)


def build(load: Callable[[str], Any]) -> None:
    """Lay it out inside the open tab, if the zoo has both."""
    if not is_there():
        return
    with gr.Accordion("Compare cars and anime faces", open=False) as fold:
        with gr.Row():
            galleries = [pictures.gallery(f"beside-{name}") for name in (CARS, FACES)]
        again = gr.Button("Draw both again", size="md")
        gr.Markdown(models.card(FACES).sections.get(NOTES, ""))

    @show_errors
    def draw_both() -> list[Any]:
        seed = random.randrange(widgets.MAX_SEED)
        both = [load(name)(COUNT, seed=seed) for name in (CARS, FACES)]
        return [pictures.captioned(output.images, output.recipes) for output in both]

    for event in (fold.expand, again.click):
        event(draw_both, None, galleries, api_visibility="private", **IN_TURN)
