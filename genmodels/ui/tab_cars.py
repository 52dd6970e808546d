"""Cars: new ones from a model of the zoo, by body and year where the model knows them."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from genmodels.ui import models, pictures, widgets
from genmodels.ui.models import Card
from genmodels.ui.widgets import errors_told

USE = "cars"  # How the names of its models begin.
ANY = "any"
CONDITIONS = {"body": "Body", "year": "Model year"}
FIRST_BATCH, PSI = 8, 0.7
# Drawing is short and uses all cores: visitors take turns, and no one holds another up for long.
IN_TURN: dict[str, Any] = {"concurrency_id": "drawing", "concurrency_limit": 1}
AT_ONCE: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}


def build(load: Callable[[str], Any]) -> None:
    """Lay out the tab inside the open gr.Blocks; `load` gives a model's pipeline on first use."""
    cards = {card.name: card for card in models.cards(USE)}
    default = next(iter(cards.values()))
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            gallery = pictures.gallery()
            line = pictures.picked_line()
        with gr.Column():
            generate = gr.Button("Generate", variant="primary", size="lg")
            settings, seed_row = _controls(cards, default)
        with gr.Column():
            with gr.Accordion("Its recipe", open=False):
                recipe = gr.JSON(show_label=False, container=False, open=True, elem_id="recipe")
            with gr.Accordion("Draw a saved picture again", open=False):
                file = pictures.drop()
            with gr.Accordion("How it works, and what it cannot do", open=False):
                about = gr.Markdown(_about(default))
    recipes = gr.JSON(visible=False)

    @errors_told
    def cars_sample(
        model: str, num_images: int, seed: int, truncation_psi: float, body: str, year: int | str
    ) -> tuple[Any, Any]:
        """Draw new cars: a list of PNG files with their recipes inside, and a list of the recipes.

        Picture i uses seed + i. truncation_psi (StyleGAN2 only): 0 is the average car, 1 full
        variety. body and year: "any", or a value that the model has learnt.
        """
        options = _options(cards[model], truncation_psi, body, year)
        made = load(model)(num_images, seed=seed, **options)
        return pictures.captioned(made.images, made.recipes), made.recipes

    @errors_told
    def cars_open(request: gr.Request) -> tuple[Any, ...]:
        """What a visitor sees first: the picture of the link, or a batch of their own."""
        if "recipe" in request.query_params:
            return _replay(pictures.recipe_of_link(request.query_params["recipe"]), cards)
        first = (default.name, FIRST_BATCH, random.randrange(widgets.MAX_SEED), PSI, ANY, ANY)
        return *first, False, *cars_sample(*first)

    @errors_told
    def cars_replay(path: str) -> tuple[Any, ...]:
        """Draw a saved picture again, and set the controls to how it was made."""
        return *_replay(pictures.recipe_of_file(path), cards), None  # Room for the next file.

    drawn, everything = [gallery, recipes], [*settings, seed_row.kept, gallery, recipes]
    drawing = {"show_progress_on": gallery, **IN_TURN}
    within = {"api_visibility": "private", **drawing}
    batches = [
        seed_row.seed.submit(cars_sample, settings, drawn, api_name="cars_sample", **drawing),
        seed_row.draw_unless_kept(generate.click).then(cars_sample, settings, drawn, **within),
        seed_row.draw(seed_row.dice.click).then(cars_sample, settings, drawn, **within),
        gr.on(None, cars_open, None, everything, **within),
        file.upload(cars_replay, file, [*everything, file], **within),
    ]
    pictures.follow_picked(gallery, recipes, [*line, recipe], batches)
    model, _, _, *abilities = settings
    model.change(lambda name: _abilities(cards[name]), model, [model, *abilities, about], **AT_ONCE)


def _controls(cards: dict[str, Card], card: Card) -> tuple[list[Any], widgets.SeedRow]:
    """The controls, in the order of `cars_sample`, as the card's model needs them."""
    model = gr.Radio(
        [(one.label, one.name) for one in cards.values()],
        value=card.name,
        label="Model",
        info=card.facts["summary"],
    )
    num_images = gr.Slider(1, 16, FIRST_BATCH, step=1, label="Pictures", buttons=[])
    seed_row = widgets.seed_row()
    truncation_psi = gr.Slider(
        *(0, 1, PSI),
        step=0.05,
        label="Truncation",
        info="0: the average car. 1: full variety, and more failures.",
        visible=card.has_truncation,
        buttons=[],
    )
    with gr.Row():
        asked = [
            gr.Dropdown(
                [ANY, *models.choices(cards.values(), name)],
                value=ANY,
                label=label,
                visible=name in card.schema,
                min_width=120,
            )
            for name, label in CONDITIONS.items()
        ]
    return [model, num_images, seed_row.seed, truncation_psi, *asked], seed_row


def _abilities(card: Card) -> tuple[Any, ...]:
    """Controls for what the model can be asked for; a hidden condition must not stay asked for."""
    conditions = [
        gr.update(visible=True) if name in card.schema else gr.update(visible=False, value=ANY)
        for name in CONDITIONS
    ]
    model, psi = gr.update(info=card.facts["summary"]), gr.update(visible=card.has_truncation)
    return model, psi, *conditions, _about(card)


def _options(card: Card, truncation_psi: float, body: str, year: int | str) -> dict[str, Any]:
    """The arguments that the card's pipeline knows."""
    asked = {name: value for name, value in {"body": body, "year": year}.items() if value != ANY}
    if asked and not card.schema:
        raise ValueError(f"{card.label} takes no {' or '.join(asked)}: leave it at {ANY}")
    conditions = {"condition": asked} if card.schema else {}
    return conditions | ({"truncation_psi": truncation_psi} if card.has_truncation else {})


def _replay(recipe: dict[str, Any], cards: dict[str, Card]) -> tuple[Any, ...]:
    """The controls' values and the one picture of a recipe, which may be anyone's."""
    picture, remade = pictures.replay(recipe, list(cards))
    made = remade["settings"]
    asked = made.get("condition", {})
    year = round(asked["year"]) if "year" in asked else ANY
    if year not in models.choices(cards.values(), "year"):
        year = ANY  # In Python, years outside the data's can be asked for.
    settings = (remade["model"], 1, remade["seed"], made.get("truncation_psi", PSI))
    drawn = (pictures.captioned([picture], [remade]), [remade])
    return *settings, asked.get("body", ANY), year, True, *drawn


def _about(card: Card) -> str:
    text = Path(__file__).with_name("cars.md").read_text()
    return text.format(figures=card.figures, **card.facts)
