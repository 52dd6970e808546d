"""Cars: new ones from a model of the zoo, by body and year where the model knows them."""

import random
from collections.abc import Callable
from typing import Any

import gradio as gr

from genmodels.ui import about, closer, models, pictures, side_by_side, widgets
from genmodels.ui.models import YEARS_BEYOND, Card, Recipe
from genmodels.ui.widgets import AT_ONCE, IN_TURN, errors_told

USE = "cars"  # How the names of its models begin.
ANY = "any"
FIRST_BATCH, PSI = 8, 0.7


def build(load: Callable[[str], Any]) -> None:
    """Lay out the tab inside the open gr.Blocks; `load` gives a model's pipeline on first use."""
    cards = {card.name: card for card in models.cards(USE)}
    default = next(iter(cards.values()))
    years = models.span_of_years(cards.values())
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            gallery = pictures.gallery("pictures")
        with gr.Column():
            generate = gr.Button("Generate", variant="primary", size="lg")
            settings, seed_row = _controls(cards, default, years)
        with gr.Column():
            close_up = closer.build(load, USE, years)
            side_by_side.build(load)
            with gr.Accordion("Draw a saved picture again", open=False):
                file = pictures.drop()
            told = about.build(default, USE)
    recipes = gr.JSON(visible=False)

    @errors_told
    def cars_sample(
        model: str,
        num_images: int,
        seed: int,
        truncation_psi: float = PSI,
        body: str = ANY,
        any_year: bool = True,
        year: int = years[1],
    ) -> tuple[Any, Any]:
        """Draw new cars: a list of PNG files with their recipes inside, and a list of the recipes.

        Picture i uses seed + i. truncation_psi (StyleGAN2 only): 0 is the average car, 1 full
        variety. body: "any" or a type that the model has learnt; year counts if any_year is false.
        """
        asked = ({} if body == ANY else {"body": body}) | ({} if any_year else {"year": year})
        options = _options(cards[model], truncation_psi, asked)
        made = load(model)(num_images, seed=seed, **options)
        return pictures.captioned(made.images, made.recipes), made.recipes

    @errors_told
    def cars_open(request: gr.Request) -> tuple[Any, ...]:
        """What a visitor sees first: the picture of the link, or a batch of their own."""
        if "recipe" in request.query_params:
            return _replay(pictures.recipe_of_link(request.query_params["recipe"]), cards, years)
        first = (default.name, FIRST_BATCH, random.randrange(widgets.MAX_SEED))
        return *first, PSI, ANY, True, years[1], False, *cars_sample(*first)

    @errors_told
    def cars_replay(path: str) -> tuple[Any, ...]:
        """Draw a saved picture again, and set the controls to how it was made."""
        return *_replay(pictures.recipe_of_file(path), cards, years), None  # Room for the next.

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
    close_up.follow(gallery, recipes, batches)
    model, _, _, *abilities = settings
    changed = [model, *abilities, *told]
    model.change(lambda name: _abilities(cards[name]), model, changed, **AT_ONCE)


def _controls(
    cards: dict[str, Card], card: Card, years: tuple[int, int]
) -> tuple[list[Any], widgets.SeedRow]:
    """The controls, in the order of `cars_sample`, as the card's model needs them."""
    model = gr.Radio(
        [(one.label, one.name) for one in cards.values()],
        value=card.name,
        label="Model",
        info=card.facts["summary"],
    )
    num_images = gr.Slider(1, 16, FIRST_BATCH, step=1, label="Pictures", buttons=[])
    bodies = [ANY, *models.choices(cards.values(), "body")]
    body = gr.Dropdown(bodies, value=ANY, label="Body", visible="body" in card.schema)
    year = gr.Slider(
        *(years[0], years[1] + YEARS_BEYOND, years[1]),
        step=1,
        label="Model year",
        info=f"Past {years[1]} it has seen no car and extrapolates: a guess at the next ones.",
        visible="year" in card.schema,
        buttons=[],
        elem_id="year",
    )
    any_year = gr.Checkbox(True, label="Any model year", visible="year" in card.schema)
    year.input(None, None, any_year, js="() => false")  # Who chooses a year wants it.
    seed_row = widgets.seed_row()
    truncation_psi = gr.Slider(
        *(0, 1, PSI),
        step=0.05,
        label="Truncation",
        info="0: the average car. 1: full variety, and more failures.",
        visible=card.has_truncation,
        buttons=[],
    )
    return [model, num_images, seed_row.seed, truncation_psi, body, any_year, year], seed_row


def _abilities(card: Card) -> tuple[Any, ...]:
    """Controls for what the model can be asked for; a hidden condition must not stay asked for."""
    has_body, has_year = "body" in card.schema, "year" in card.schema
    return (
        gr.update(info=card.facts["summary"]),
        gr.update(visible=card.has_truncation),
        gr.update(visible=True) if has_body else gr.update(visible=False, value=ANY),
        gr.update(visible=True) if has_year else gr.update(visible=False, value=True),
        gr.update(visible=has_year),
        about.film(card),
        about.text(card, USE),
    )


def _options(card: Card, truncation_psi: float, asked: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the card's pipeline knows."""
    unknown = [name for name in asked if name not in card.schema]
    if unknown:
        raise ValueError(f"{card.label} takes no {' or '.join(unknown)}: leave it at {ANY}")
    conditions = {"condition": asked} if card.schema else {}
    return conditions | ({"truncation_psi": truncation_psi} if card.has_truncation else {})


def _replay(recipe: Recipe, cards: dict[str, Card], years: tuple[int, int]) -> tuple[Any, ...]:
    """The controls' values and the one picture of a recipe, which may be anyone's."""
    picture, remade = pictures.replay(recipe, list(cards))
    made = remade["settings"]
    asked = made.get("condition", {})
    year = round(asked.get("year", years[1]))
    is_on_slider = "year" in asked and years[0] <= year <= years[1] + YEARS_BEYOND
    settings = (remade["model"], 1, remade["seed"], made.get("truncation_psi", PSI))
    conditions = (asked.get("body", ANY), not is_on_slider, year if is_on_slider else years[1])
    drawn = (pictures.captioned([picture], [remade]), [remade])
    return *settings, *conditions, True, *drawn
