"""Style mixing: a table of pictures, each with the layers of its row's and of its column's."""

import random
import re
from collections.abc import Callable
from typing import Any

import gradio as gr

from genmodels.ui.assets import ASSETS
from genmodels.ui.components import address, detail_panel, enlarging, layers, widgets
from genmodels.ui.components.address import Start, Visit
from genmodels.ui.components.widgets import AT_ONCE, IN_TURN, show_errors
from genmodels.ui.services import models, pictures
from genmodels.ui.services.models import Card, Recipe

USE = "cars"
PSI, SIZE, MAX_SIZE = 0.8, 4, 6

# Run in the browser: lists of so many seeds, the old ones kept first or none of them.
_FIT = f"""(count, ...lists) => lists.map(list => {{
    const seeds = (list.match(/\\d+/g) || []).slice(0, count)
    while (seeds.length < count) seeds.push(Math.floor(Math.random() * {widgets.MAX_SEED}))
    return seeds.join(", ")
}})"""
_ROLL = f"(count, ...lists) => ({_FIT})(count, ...lists.map(() => ''))"


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: a picture that is mixed of two."""
    recipe = models.as_drawn(recipe)
    return recipe["model"] in _cards() and recipe["settings"].get("mix_seed") is not None


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside the open gr.Tab; `load` gives a model's pipeline on first use."""
    cards = _cards()
    default = next(iter(cards.values()))
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            table = pictures.gallery("mixes", SIZE + 1)
            shown_as = enlarging.switch(default)
        with gr.Column():
            roll = gr.Button("New pictures", variant="primary", size="lg")
            which = gr.Radio(layers.CHOICES, value="middle", label="Styles taken from the column")
            end = default.num_layers - 1
            first, last = (
                gr.Slider(0, end, min(layer, end), step=1, label=label, visible=False)
                for layer, label in ((3, "First layer"), (6, "Last layer"))
            )
            diagram = gr.HTML(layers.diagram(default, "middle", 3, 6), padding=False)
            size = gr.Slider(2, MAX_SIZE, SIZE, step=1, label="Rows and columns", buttons=[])
            with gr.Accordion("Model, seeds, truncation", open=False):
                model, rows, columns, truncation_psi = _settings(cards, default)
        with gr.Column():
            years = models.span(cards.values(), "year")
            sweeps = {"year": detail_panel.Sweep("Years", years)} if years else {}
            detail = detail_panel.build(load, "mixing", shown_as, sweeps)
            with gr.Accordion("How it works", open=False):
                gr.Markdown((ASSETS / "style_mixing.md").read_text())
    recipes = gr.JSON(visible=False)
    controls = {
        "model": model, "row_seeds": rows, "column_seeds": columns, "layers_taken": which,
        "first": first, "last": last, "truncation_psi": truncation_psi, "size": size,
        "shown_as": shown_as,
    }  # fmt: skip
    *inputs, _, _ = controls.values()  # The settings of a drawing: all but "size" and "shown_as".

    @show_errors
    def style_mix(
        model: str,
        row_seeds: str,
        column_seeds: str,
        layers_taken: str = "middle",
        first: int = 0,
        last: int = 0,
        truncation_psi: float = PSI,
    ) -> tuple[Any, Any]:
        """Mix styles: a table of PNG files, row by row, and the recipes.

        Seeds are up to six whole numbers with commas between. Above the table stand the columns'
        own pictures, at its left the rows'; the corner is empty. A cell is its row's picture, but
        with the layers of its column's that layers_taken says: coarse, middle, fine, or free for
        those from `first` to `last`.
        """
        seeds = _seeds(row_seeds, "rows"), _seeds(column_seeds, "columns")
        span = layers.span(cards[model], layers_taken, first, last)
        shown, records = _table(load(model), *seeds, span, truncation_psi)
        return gr.update(value=shown, columns=len(seeds[1]) + 1), records

    def fill(start: Start) -> tuple[Any, ...]:
        """The two pictures of a recipe and their mix, the table of before a reload, or another."""
        seeds = (", ".join(map(str, random.sample(range(widgets.MAX_SEED), SIZE))) for _ in "rc")
        first = (
            default.name,
            *seeds,
            "middle",
            min(3, end),
            min(6, end),
            PSI,
            SIZE,
            enlarging.ENLARGED,
        )
        values: dict[str, Any] = dict(zip(controls, first, strict=True))
        if start.recipe is not None:
            mixed, remade = pictures.again(load, start.recipe, list(cards))
            values |= _settings_of(models.as_drawn(remade), cards)
            values["shown_as"] = enlarging.of_recipe(remade)
        elif start.settings:
            address.check(controls, start.settings)
            values |= {name: start.settings[name] for name in controls}
        shown, records = style_mix(*list(values.values())[:-2])
        if start.recipe is not None:  # Its own may be of conditions that no seed here gives.
            pictures.report_difference(start.recipe, remade)
            shown["value"][-1:] = pictures.captioned([mixed], [remade])
            records[-1] = remade
        chosen = (values[name] for name in ("model", "layers_taken", "first", "last"))
        explained, *_ = explain(*chosen)
        free = {"visible": values["layers_taken"] == layers.FREE}
        filled = [
            gr.update(value=value, **(free if name in ("first", "last") else {}))
            for name, value in values.items()
        ]
        return *filled, explained, shown, records

    def explain(model: str, which: str, first: int, last: int) -> tuple[Any, ...]:
        card, is_free = cards[model], which == layers.FREE
        slider = gr.update(visible=is_free, maximum=card.num_layers - 1)
        return layers.diagram(card, which, first, last), slider, slider

    choice, lists = [model, which, first, last], [rows, columns]
    drawn = [table, recipes]
    live = {"show_progress": "minimal", "trigger_mode": "always_last", **IN_TURN}
    within = {"api_visibility": "private", **live}
    # What the visitor changes is drawn at once; what the page sets is drawn already.
    changes = [control.input for control in (model, which, first, last, truncation_psi)]
    seeded = [
        roll.click(None, [size, *lists], lists, js=_ROLL),
        size.input(None, [size, *lists], lists, js=_FIT),
    ]
    batches = [
        gr.on(
            [rows.submit, columns.submit], style_mix, inputs, drawn, api_name="style_mix", **live
        ),
        gr.on(changes, style_mix, inputs, drawn, **within),
        visit.opens(fill, [*controls.values(), diagram, *drawn], **live),
        *(event.then(style_mix, inputs, drawn, **within) for event in seeded),
    ]
    gr.on([control.input for control in choice], explain, choice, [diagram, first, last], **AT_ONCE)
    detail.follow(table, recipes, batches, opens_on=-1)
    visit.keep(controls)


def _cards() -> dict[str, Card]:
    return {card.name: card for card in models.cards(USE) if card.num_layers}


def _settings(cards: dict[str, Card], card: Card) -> list[Any]:
    """What is seldom changed: the model, the rows' and the columns' seeds, the truncation."""
    choices = [(each.label, each.name) for each in cards.values()]
    return [
        gr.Radio(choices, value=card.name, label="Model"),
        gr.Textbox(label="Seeds of the rows", max_lines=1, info="Enter draws them."),
        gr.Textbox(label="Seeds of the columns", max_lines=1),
        gr.Slider(0, 1, PSI, step=0.05, label="Truncation", buttons=[]),
    ]


def _settings_of(recipe: Recipe, cards: dict[str, Card]) -> dict[str, Any]:
    """The controls' values for a table of one mixed picture and the two that it is mixed of."""
    settings = recipe["settings"]
    span = tuple(settings["mix_layers"])
    named = (
        name for name in layers.NAMED if layers.span(cards[recipe["model"]], name, 0, 0) == span
    )
    return {
        "model": recipe["model"],
        "row_seeds": str(recipe["seed"]),
        "column_seeds": str(settings["mix_seed"]),
        "layers_taken": next(named, layers.FREE),
        "first": span[0],
        "last": span[1],
        "truncation_psi": settings.get("truncation_psi", PSI),
    }


def _table(
    pipe: Any, rows: list[int], columns: list[int], span: tuple[int, int], truncation_psi: float
) -> tuple[list[tuple[str, str | None]], list[Recipe | None]]:
    """The pictures for the gallery, row by row after the columns' own, and their recipes."""
    settings = {"truncation_psi": truncation_psi}
    heads = [pipe(1, seed=seed, **settings) for seed in columns]
    cells = []
    for row in rows:
        cells.append(pipe(1, seed=row, **settings))
        for head, column in zip(heads, columns, strict=True):
            condition = head.recipes[0]["settings"]["condition"]
            mixed = {"mix_seed": column, "mix_condition": condition, "mix_layers": span}
            cells.append(pipe(1, seed=row, **mixed, **settings))
    outputs = [*heads, *cells]
    recipes = [output.recipes[0] for output in outputs]
    shown = pictures.captioned([output.images[0] for output in outputs], recipes)
    return [(pictures.nothing(), None), *shown], [None, *recipes]


def _seeds(text: str, what: str) -> list[int]:
    """The whole numbers in a list that a visitor typed."""
    if not re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*,?\s*", text):
        raise ValueError(f"the {what} need seeds, whole numbers with commas between, got {text!r}")
    seeds = [int(number) for number in re.findall(r"\d+", text)]
    if len(seeds) > MAX_SIZE:
        raise ValueError(f"there can be {MAX_SIZE} {what} at most, got {len(seeds)} seeds")
    return seeds
