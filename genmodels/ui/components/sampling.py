"""What a tab of pictures drawn from a seed shows, by the conditions that its models know.

Cars, faces and disasters are such tabs; each says what is its own in a `Subject`.
"""

import inspect
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from genmodels.ui.components import (
    about,
    address,
    condition_controls,
    detail_panel,
    enlarging,
    widgets,
)
from genmodels.ui.components.address import Start, Visit
from genmodels.ui.components.condition_controls import Conditions
from genmodels.ui.components.widgets import AT_ONCE, IN_TURN, show_errors
from genmodels.ui.services import models, pictures
from genmodels.ui.services.models import Card, Recipe

FIRST_BATCH, MAX_BATCH, PSI = 8, 16, 0.7

# What every model takes; then come the conditions, then what only the page has.
_COMMON = ("model", "num_images", "seed", "truncation_psi")
_PAGE_ONLY = ("kept", "shown_as")


@dataclass(frozen=True)
class Subject:
    """What a tab is about."""

    use: str  # How the names of its models begin, and those of the tab's elements.
    thing: str  # One of them, for people: "car".
    labels: Mapping[str, str] = field(default_factory=dict)  # Of conditions, where not their names.
    notes: Mapping[str, str] = field(default_factory=dict)  # Below a condition's control.
    sweeps: Mapping[str, str] = field(
        default_factory=dict
    )  # Films through a condition: tab titles.
    is_live: bool = False  # Whether a changed condition is drawn at once, from the same seed.
    below: Callable[[Callable[[str], Any]], None] | None = None  # Lays out more, below the rest.
    guests: tuple[str, ...] = ()  # Models whose pictures it shows beside its own.


def takes(subject: Subject, recipe: Recipe) -> bool:
    """Whether the tab draws what has the recipe: a picture of one seed, not mixed of two."""
    recipe = models.as_drawn(recipe)
    return recipe["model"] in _models(subject) and recipe["settings"].get("mix_seed") is None


def build(subject: Subject, load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside the open gr.Tab; `load` gives a model's pipeline on first use."""
    use = subject.use
    cards = {card.name: card for card in models.cards(use)}
    default = next(iter(cards.values()))
    conditions = condition_controls.of(cards)
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            gallery = pictures.gallery(f"{use}-pictures")
            shown_as = enlarging.switch(default)
        with gr.Column():
            generate = gr.Button("Generate", variant="primary", size="lg")
            controls, seed_row = _controls(subject, conditions, default)
        controls["shown_as"] = shown_as
        with gr.Column():
            sweeps = {
                name: detail_panel.Sweep(title, conditions.spans[name])
                for name, title in subject.sweeps.items()
                if name in conditions.spans
            }
            detail = detail_panel.build(load, use, shown_as, sweeps)
            if subject.below is not None:
                subject.below(load)
            explained = about.build(default, use)
    recipes = gr.JSON(visible=False)
    inputs = [control for name, control in controls.items() if name not in _PAGE_ONLY]

    @show_errors
    def sample(
        model: str,
        num_images: int,
        seed: int,
        truncation_psi: float = PSI,
        *asked: str | bool | int | float,
    ) -> tuple[Any, Any]:
        if model not in cards:
            raise ValueError(f"model must be one of {', '.join(cards)}, got {model[:200]!r}")
        card = cards[model]
        condition = conditions.asked(card, asked or tuple(conditions.defaults.values()))
        options: dict[str, Any] = {"condition": condition} if card.schema else {}
        if card.has_truncation:
            options["truncation_psi"] = truncation_psi
        output = load(model)(num_images, seed=seed, **options)
        return pictures.captioned(output.images, output.recipes), output.recipes

    def fill(start: Start) -> tuple[Any, ...]:
        """The picture of a recipe, what was there before a reload, or a batch of the visitor's own.

        All controls, the text on the model, and the pictures with their recipes.
        """
        first = (default.name, FIRST_BATCH, random.randrange(widgets.MAX_SEED), PSI)
        values: dict[str, Any] = dict(zip(_COMMON, first, strict=True)) | conditions.defaults
        values |= {"kept": False, "shown_as": enlarging.ENLARGED}
        if start.recipe is not None:
            remade = [pictures.again(load, start.recipe, _models(subject))]
            values |= _settings_of(models.as_drawn(remade[0][1]), conditions)
            values["shown_as"] = enlarging.of_recipe(remade[0][1])
            pictures.report_difference(start.recipe, remade[0][1])
        else:
            if start.settings:
                address.check(controls, start.settings)
                values |= {name: start.settings[name] for name in controls}
            before = [models.as_drawn(recipe) for recipe in _batch(start.drawn)]
            remade = [pictures.again(load, recipe, _models(subject)) for recipe in before]
        if remade:
            shown, records = [path for path, _ in remade], [recipe for _, recipe in remade]
            drawn: tuple[Any, Any] = pictures.captioned(shown, records), records
        else:
            drawn = sample(*(value for name, value in values.items() if name not in _PAGE_ONLY))
        card = cards[values["model"]]
        abilities = _abilities(conditions, card)
        filled = [
            gr.update(**abilities.get(name, {}) | {"value": value})
            for name, value in values.items()
        ]
        return *filled, about.film(card), about.text(card, use), *drawn

    def another_model(name: str) -> list[Any]:
        card = cards[name]
        changes = [gr.update(**change) for change in _abilities(conditions, card).values()]
        return [*changes, about.film(card), about.text(card, use)]

    endpoint = _documented(sample, subject, conditions)
    drawn, model = [gallery, recipes], controls["model"]
    changed = [*(controls[name] for name in _abilities(conditions, default)), *explained]
    drawing = {"show_progress_on": gallery, **IN_TURN}
    within = {"api_visibility": "private", **drawing}
    always_last = {"trigger_mode": "always_last", **within}
    another = model.input(another_model, model, changed, **AT_ONCE)
    batches = [
        seed_row.seed.submit(endpoint, inputs, drawn, api_name=f"{use}_sample", **drawing),
        seed_row.draw_unless_kept(generate.click).then(sample, inputs, drawn, **within),
        seed_row.draw(seed_row.dice.click).then(sample, inputs, drawn, **within),
        another.then(sample, inputs, drawn, **always_last),
        visit.opens(fill, [*controls.values(), *explained, *drawn], **drawing),
    ]
    if subject.is_live:
        batches += [
            (control.release if isinstance(control, gr.Slider) else control.input)(
                sample, inputs, drawn, **always_last
            )
            for control in (controls[name] for name in conditions.defaults)
        ]
    detail.follow(gallery, recipes, batches)
    visit.keep(controls, drawn=recipes)


def _controls(
    subject: Subject, conditions: Conditions, card: Card
) -> tuple[dict[str, Any], widgets.SeedRow]:
    """The controls, in the order of the endpoint, as the card's model needs them."""
    model = gr.Radio(
        [(each.label, each.name) for each in conditions.cards.values()],
        value=card.name,
        label="Model",
        info=card.facts["summary"],
    )
    num_images = gr.Slider(1, MAX_BATCH, FIRST_BATCH, step=1, label="Pictures", buttons=[])
    asked = conditions.build(card, subject.labels, subject.notes)
    seed_row = widgets.seed_row()
    truncation_psi = gr.Slider(
        0,
        1,
        PSI,
        step=0.05,
        label="Truncation",
        info=f"0: the average {subject.thing}. 1: full variety, with more failures.",
        visible=card.has_truncation,
        buttons=[],
    )
    common = (model, num_images, seed_row.seed, truncation_psi)
    return dict(zip(_COMMON, common, strict=True)) | asked | {"kept": seed_row.kept}, seed_row


def _documented(
    sample: Callable[..., Any], subject: Subject, conditions: Conditions
) -> Callable[..., Any]:
    """The handler as the API shows it: with the conditions' names, for the models that are here."""

    def endpoint(*values: Any) -> Any:
        return sample(*values)

    known = inspect.signature(sample).parameters
    common = [known[name] for name in _COMMON]
    signature = inspect.Signature([*common, *conditions.parameters])
    endpoint.__name__ = f"{subject.use}_sample"
    endpoint.__signature__ = signature  # type: ignore[attr-defined]
    endpoint.__doc__ = f"""Draw new {subject.use}: PNG files with recipes inside, and the recipes.

    Picture i uses seed + i. truncation_psi (StyleGAN2 only): 0 is the average {subject.thing}, 1
    full variety. A class is "{condition_controls.ANY}" or one that the model has learnt; a number
    counts if its any_ is false.
    """
    return endpoint


def _abilities(conditions: Conditions, card: Card) -> dict[str, dict[str, Any]]:
    """What the model changes of controls; a hidden condition must not stay asked for."""
    return {
        "model": {"info": card.facts["summary"]},
        "truncation_psi": {"visible": card.has_truncation},
        **conditions.visibility(card),
        "shown_as": {"visible": card.is_small},
    }


def _models(subject: Subject) -> list[str]:
    """The models whose pictures the tab shows."""
    guests = [name for name in subject.guests if models.is_there(name)]
    return [*(card.name for card in models.cards(subject.use)), *guests]


def _batch(drawn: Any) -> list[Any]:
    """The recipes that a browser kept, untrusted: as many as a batch can have."""
    if drawn is None:
        return []
    if not isinstance(drawn, list) or len(drawn) > MAX_BATCH:
        raise ValueError(f"a batch has {MAX_BATCH} pictures at most")
    return drawn


def _settings_of(recipe: Recipe, conditions: Conditions) -> dict[str, Any]:
    """The controls' values that draw the picture of a recipe, as far as they can."""
    if recipe["model"] not in conditions.cards:
        return {}
    settings = recipe["settings"]
    return {
        "model": recipe["model"],
        "num_images": 1,
        "seed": recipe["seed"],
        "truncation_psi": settings.get("truncation_psi", PSI),
        "kept": True,
    } | conditions.settings_of(settings.get("condition", {}))
