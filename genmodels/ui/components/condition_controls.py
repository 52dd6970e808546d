"""Controls for the conditions that models know: a list of classes, or a slider of numbers.

A class condition has one control. A condition of numbers has two: whether any number will do, and
the number, which counts if not.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from genmodels.ui.services import models
from genmodels.ui.services.models import Card, Span

ANY = "any"
FEW = 5  # So many classes lie side by side; more are in a list that folds out.


@dataclass(frozen=True)
class Conditions:
    """What any of the models knows, as controls by their names in the order of the API."""

    cards: Mapping[str, Card]
    classes: Mapping[str, Mapping[str, Any]]  # By condition: the values by their text.
    spans: Mapping[str, Span]  # By condition.

    @property
    def defaults(self) -> dict[str, Any]:
        """The controls' values that ask for nothing."""
        values: dict[str, Any] = {}
        for name in models.condition_names(self.cards.values()):
            if name in self.classes:
                values[name] = ANY
            else:
                span = self.spans[name]
                values |= {f"any_{name}": True, name: _number(span, span.high)}
        return values

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The arguments of an endpoint that takes the controls' values."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return [
            inspect.Parameter(name, kind, default=value, annotation=type(value))
            for name, value in self.defaults.items()
        ]

    def build(self, card: Card, labels: Mapping[str, str], notes: Mapping[str, str]) -> Any:
        """Lay the controls out, as the card's model needs them; labels and notes by condition."""
        controls: dict[str, Any] = {}
        for name, value in self.defaults.items():
            if name not in self.classes and name not in self.spans:
                continue  # Whether any number will do: it is laid out with its number.
            visible, label = name in card.schema, labels.get(name, models.title(name))
            shown: dict[str, Any] = {"value": value, "label": label, "visible": visible}
            if name in self.classes:
                texts = [ANY, *self.classes[name]]
                kind = gr.Radio if len(texts) - 1 <= FEW else gr.Dropdown
                controls[name] = kind(texts, **shown, info=notes.get(name))
                continue
            span = self.spans[name]
            number = gr.Slider(
                *(span.low, span.last),
                **shown,
                step=span.step,
                info=notes.get(name, "").format(last=span.high) or None,
                buttons=[],
                elem_id=f"condition-{name}",
            )
            anything = gr.Checkbox(True, label=f"Any {label.lower()}", visible=visible)
            number.input(None, None, anything, js="() => false")  # Who moves it wants the number.
            controls |= {f"any_{name}": anything, name: number}
        return controls

    def visibility(self, card: Card) -> dict[str, dict[str, Any]]:
        """What the card's model changes of controls; a hidden one must not stay asked for."""
        changes: dict[str, dict[str, Any]] = {}
        for name, value in self.defaults.items():
            condition = name.removeprefix("any_") if name not in self.classes else name
            if condition in card.schema:
                changes[name] = {"visible": True}
            else:
                changes[name] = {"visible": False, "value": value}
        return changes

    def asked(self, card: Card, values: Sequence[Any]) -> dict[str, Any]:
        """The condition that the controls' values ask for. ValueError if the model lacks it."""
        given = dict(zip(self.defaults, values, strict=True))
        condition: dict[str, Any] = {}
        for name, texts in self.classes.items():
            if given[name] != ANY:
                condition[name] = texts.get(given[name], given[name])
        for name in self.spans:
            if not given[f"any_{name}"]:
                condition[name] = given[name]
        unknown = [name for name in condition if name not in card.schema]
        if unknown:
            raise ValueError(f"{card.label} takes no {' or '.join(unknown)}: leave it at {ANY}")
        return condition

    def settings_of(self, condition: Mapping[str, Any]) -> dict[str, Any]:
        """The controls' values that ask for a recipe's condition, as far as they can."""
        values = self.defaults
        for name, value in condition.items():
            if name in self.classes:
                values[name] = str(value)
                continue
            span = self.spans[name]
            if span.low <= value <= span.last:
                values |= {f"any_{name}": False, name: _number(span, value)}
        return values


def of(cards: Mapping[str, Card]) -> Conditions:
    """The conditions that any of the models knows."""
    classes, spans = {}, {}
    for name in models.condition_names(cards.values()):
        span = models.span(cards.values(), name)
        if span is None:
            known = models.choices(cards.values(), name)
            classes[name] = {str(value): value for value in known}
        else:
            spans[name] = span
    return Conditions(cards, classes, spans)


def _number(span: Span, value: float) -> float:
    return round(value) if span.is_whole else round(float(value), 3)
