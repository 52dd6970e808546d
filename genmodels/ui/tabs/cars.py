"""Cars: new ones from a model of the zoo, by body and year where the model knows them."""

import random
from collections.abc import Callable
from typing import Any

import gradio as gr

from genmodels.ui.components import about, address, detail_panel, enlarging, side_by_side, widgets
from genmodels.ui.components.address import Start, Visit
from genmodels.ui.components.widgets import AT_ONCE, IN_TURN, show_errors
from genmodels.ui.services import models, pictures
from genmodels.ui.services.models import YEARS_BEYOND, Card, Recipe

USE = "cars"  # How the names of its models begin.
ANY = "any"
FIRST_BATCH, MAX_BATCH, PSI = 8, 16, 0.7


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: a car or a face, not mixed of two."""
    recipe = models.as_drawn(recipe)
    return recipe["model"] in _models() and recipe["settings"].get("mix_seed") is None


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside the open gr.Tab; `load` gives a model's pipeline on first use."""
    cards = {card.name: card for card in models.cards(USE)}
    default = next(iter(cards.values()))
    years = models.span_of_years(cards.values())
    assert years is not None, "cars have years"
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            gallery = pictures.gallery("pictures")
            shown_as = enlarging.switch(default)
        with gr.Column():
            generate = gr.Button("Generate", variant="primary", size="lg")
            controls, seed_row = _controls(cards, default, years)
        controls["shown_as"] = shown_as
        with gr.Column():
            detail = detail_panel.build(load, USE, shown_as, years)
            side_by_side.build(load)
            explained = about.build(default, USE)
    recipes = gr.JSON(visible=False)
    *settings, _, _ = controls.values()  # The settings of a drawing: all but "kept" and "shown_as".

    @show_errors
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
        condition = ({} if body == ANY else {"body": body}) | ({} if any_year else {"year": year})
        options = _options(cards[model], truncation_psi, condition)
        output = load(model)(num_images, seed=seed, **options)
        return pictures.captioned(output.images, output.recipes), output.recipes

    def fill(start: Start) -> tuple[Any, ...]:
        """The picture of a recipe, what was there before a reload, or a batch of the visitor's own.

        All controls, what is told of the model, and the pictures with their recipes.
        """
        seed = random.randrange(widgets.MAX_SEED)
        first = (
            default.name,
            FIRST_BATCH,
            seed,
            PSI,
            ANY,
            True,
            years[1],
            False,
            enlarging.ENLARGED,
        )
        values: dict[str, Any] = dict(zip(controls, first, strict=True))
        if start.recipe is not None:
            redrawn = [pictures.again(load, start.recipe, _models())]
            values |= _settings_of(models.as_drawn(redrawn[0][1]), cards, years)
            values["shown_as"] = enlarging.of_recipe(redrawn[0][1])
            pictures.report_difference(start.recipe, redrawn[0][1])
        else:
            if start.settings:
                address.check(controls, start.settings)
                values |= {name: start.settings[name] for name in controls}
            before = [models.as_drawn(recipe) for recipe in _batch(start.drawn)]
            redrawn = [pictures.again(load, recipe, _models()) for recipe in before]
        if redrawn:
            shown, records = [image for image, _ in redrawn], [recipe for _, recipe in redrawn]
            drawn: tuple[Any, Any] = pictures.captioned(shown, records), records
        else:
            drawn = cars_sample(*list(values.values())[:-2])
        card = cards[values["model"]]
        abilities = _abilities(card)
        filled = [gr.update(**abilities.get(k, {}) | {"value": v}) for k, v in values.items()]
        return *filled, about.film(card), about.text(card, USE), *drawn

    def another_model(name: str) -> list[Any]:
        card = cards[name]
        changes = [gr.update(**change) for change in _abilities(card).values()]
        return [*changes, about.film(card), about.text(card, USE)]

    drawn, model = [gallery, recipes], controls["model"]
    changed = [*(controls[name] for name in _abilities(default)), *explained]
    drawing = {"show_progress_on": gallery, **IN_TURN}
    within = {"api_visibility": "private", **drawing}
    another = model.input(another_model, model, changed, **AT_ONCE)
    batches = [
        seed_row.seed.submit(cars_sample, settings, drawn, api_name="cars_sample", **drawing),
        seed_row.draw_unless_kept(generate.click).then(cars_sample, settings, drawn, **within),
        seed_row.draw(seed_row.dice.click).then(cars_sample, settings, drawn, **within),
        another.then(cars_sample, settings, drawn, trigger_mode="always_last", **within),
        visit.opens(fill, [*controls.values(), *explained, *drawn], **drawing),
    ]
    detail.follow(gallery, recipes, batches)
    visit.keep(controls, drawn=recipes)


def _controls(
    cards: dict[str, Card], card: Card, years: tuple[int, int]
) -> tuple[dict[str, Any], widgets.SeedRow]:
    """The controls, in the order of `cars_sample`, as the card's model needs them."""
    model = gr.Radio(
        [(each.label, each.name) for each in cards.values()],
        value=card.name,
        label="Model",
        info=card.facts["summary"],
    )
    num_images = gr.Slider(1, MAX_BATCH, FIRST_BATCH, step=1, label="Pictures", buttons=[])
    bodies = [ANY, *models.choices(cards.values(), "body")]
    body = gr.Dropdown(bodies, value=ANY, label="Body", visible="body" in card.schema)
    year = gr.Slider(
        years[0],
        years[1] + YEARS_BEYOND,
        years[1],
        step=1,
        label="Model year",
        info=f"Past {years[1]} the model has seen no cars: it extrapolates.",
        visible="year" in card.schema,
        buttons=[],
        elem_id="year",
    )
    any_year = gr.Checkbox(True, label="Any model year", visible="year" in card.schema)
    year.input(None, None, any_year, js="() => false")  # Who chooses a year wants it.
    seed_row = widgets.seed_row()
    truncation_psi = gr.Slider(
        0,
        1,
        PSI,
        step=0.05,
        label="Truncation",
        info="0: the average car. 1: full variety, with more failures.",
        visible=card.has_truncation,
        buttons=[],
    )
    return {
        "model": model,
        "num_images": num_images,
        "seed": seed_row.seed,
        "truncation_psi": truncation_psi,
        "body": body,
        "any_year": any_year,
        "year": year,
        "kept": seed_row.kept,
    }, seed_row


def _abilities(card: Card) -> dict[str, dict[str, Any]]:
    """What the model changes of controls; a hidden condition must not stay asked for."""
    has_body, has_year = "body" in card.schema, "year" in card.schema
    return {
        "model": {"info": card.facts["summary"]},
        "truncation_psi": {"visible": card.has_truncation},
        "body": {"visible": True} if has_body else {"visible": False, "value": ANY},
        "any_year": {"visible": True} if has_year else {"visible": False, "value": True},
        "year": {"visible": has_year},
        "shown_as": {"visible": card.is_small},
    }


def _options(card: Card, truncation_psi: float, condition: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the card's pipeline knows."""
    unknown = [name for name in condition if name not in card.schema]
    if unknown:
        raise ValueError(f"{card.label} takes no {' or '.join(unknown)}: leave it at {ANY}")
    conditions = {"condition": condition} if card.schema else {}
    return conditions | ({"truncation_psi": truncation_psi} if card.has_truncation else {})


def _models() -> list[str]:
    """Models whose pictures this tab shows: the cars, and the faces beside them."""
    names = [card.name for card in models.cards(USE)]
    return [*names, side_by_side.FACES] if side_by_side.is_there() else names


def _batch(drawn: Any) -> list[Any]:
    """The recipes that a browser kept, which are anyone's: as many as a batch can have."""
    if drawn is None:
        return []
    if not isinstance(drawn, list) or len(drawn) > MAX_BATCH:
        raise ValueError(f"a batch has {MAX_BATCH} pictures at most")
    return drawn


def _settings_of(recipe: Recipe, cards: dict[str, Card], years: tuple[int, int]) -> dict[str, Any]:
    """The controls' values that draw the picture of a recipe, as far as they can."""
    if recipe["model"] not in cards:
        return {}
    settings = recipe["settings"]
    condition = settings.get("condition", {})
    year = round(condition.get("year", years[1]))
    is_on_slider = "year" in condition and years[0] <= year <= years[1] + YEARS_BEYOND
    return {
        "model": recipe["model"],
        "num_images": 1,
        "seed": recipe["seed"],
        "truncation_psi": settings.get("truncation_psi", PSI),
        "body": condition.get("body", ANY),
        "any_year": not is_on_slider,
        "year": year if is_on_slider else years[1],
        "kept": True,
    }
