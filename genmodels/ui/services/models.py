"""The embedded models for the page: facts without torch, and pipelines loaded on first use."""

import functools
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import genmodels
from genmodels import zoo
from genmodels.data import conditions

MAX_LOADED = 5  # Pipelines kept in memory; the one that was unused for longest makes room.
UPSCALER = "upscaler-x4"  # What enlarges pictures.
SMALL = 200  # Pixels of a side; smaller pictures are enlarged unless a visitor wants them as drawn.
YEARS_BEYOND = 8  # How far past the last year of its data a model may be asked to guess.

Recipe = dict[str, Any]

_loading = threading.Lock()


class Span(NamedTuple):
    """The numbers of a condition."""

    low: float
    high: float
    is_whole: bool  # As years are.

    @property
    def step(self) -> float:
        """Between two numbers on a slider."""
        return 1 if self.is_whole else round((self.high - self.low) / 20, 3)

    @property
    def last(self) -> float:
        """How far a model may be asked to guess: years go on past the data."""
        return self.high + YEARS_BEYOND if self.is_whole else self.high


@dataclass(frozen=True)
class Card:
    """An embedded model, as the page shows it."""

    name: str  # As `genmodels.load` knows it.
    family: str  # Name in labels, such as DCGAN or StyleGAN2.
    facts: dict[str, Any]  # The run.json of its training.
    schema: conditions.Schema  # The conditions that it takes; empty if none.
    generator: dict[str, Any]  # The config of its generator; empty if it has none.
    sections: dict[str, str]  # The model card by its headings, Markdown.

    @property
    def label(self) -> str:
        """For people: the family, what else the name says, and the size."""
        extra = [word for word in self.name.split("-")[1:-1] if word != self.family.lower()]
        return f"{' '.join([self.family, *extra])}, {self.facts['resolution']} px"

    @property
    def has_truncation(self) -> bool:
        """Whether its samples can be pulled towards the average."""
        return self._has_styles

    @property
    def is_small(self) -> bool:
        """Whether its pictures are so small that they are enlarged to be shown."""
        return self.facts["resolution"] < SMALL

    @property
    def num_layers(self) -> int:
        """How many layers take a style of their own; 0 where there are no styles to mix."""
        # Two at each resolution from 4 px on.
        return 2 * (self.facts["resolution"].bit_length() - 2) if self._has_styles else 0

    @property
    def _has_styles(self) -> bool:
        """Whether its generator draws from styles w, which have an average and a layer each."""
        return "w_dim" in self.generator


def card(name: str) -> Card:
    """What the page says of an embedded model."""
    if name not in zoo.names():
        raise ValueError(f"model must be one of {', '.join(zoo.names())}, got {name!r}")
    return _card(zoo.FOLDER / name)


def is_there(name: str) -> bool:
    """Whether the zoo has the model."""
    return name in zoo.names()


def has(use: str) -> bool:
    """Whether the zoo has a model for the use."""
    return any(name.startswith(f"{use}-") for name in zoo.names())


def cards(use: str) -> list[Card]:
    """The embedded models for one use, "cars" say, the most capable first."""
    available = [card(name) for name in zoo.names() if name.startswith(f"{use}-")]
    if not available:
        raise ValueError(f"{zoo.FOLDER} must hold a model whose name starts with {use}-, has none")
    order = {c.name: (len(c.schema), c.facts["resolution"], c.name) for c in available}
    return sorted(available, key=lambda card: order[card.name], reverse=True)


def condition_names(cards: Iterable[Card]) -> list[str]:
    """What any of the models can be asked for, in the order of the first that knows it."""
    return list(dict.fromkeys(name for card in cards for name in card.schema))


def choices(cards: Iterable[Card], condition: str) -> list[Any]:
    """The classes that any of the models knows under a condition; none for one of numbers."""
    known = [card.schema[condition] for card in cards if condition in card.schema]
    return sorted({value for entry in known for value in entry.get("values", [])})


def span(cards: Iterable[Card], condition: str) -> Span | None:
    """The numbers that any of the models has seen under a condition; None for one of classes."""
    known = [card.schema[condition] for card in cards if condition in card.schema]
    known = [entry for entry in known if "min" in entry]
    if not known:
        return None
    low, high = min(entry["min"] for entry in known), max(entry["max"] for entry in known)
    return Span(
        low, high, all(type(entry[end]) is int for entry in known for end in ("min", "max"))
    )


def load(name: str) -> Any:
    """The pipeline of an embedded model. What a visitor names is never looked up elsewhere."""
    if name not in zoo.ENGINES:  # Which have no weights, and so no card.
        card(name)
    with _loading:  # Two visitors who ask for one model wait for one loading.
        return _load(name)


def as_drawn(recipe: Any) -> Any:
    """The recipe of the picture before it was enlarged; what is of no enlarged one stays itself.

    It may be anyone's, and need be no recipe at all.
    """
    if not isinstance(recipe, dict) or recipe.get("model") != UPSCALER:
        return recipe
    image = recipe.get("image")
    before = image.get("recipe") if isinstance(image, dict) else None
    return recipe if before is None else before


def in_words(recipe: Recipe) -> str:
    """What a picture was asked to be, or else its seed; a guess beyond the data is called one."""
    recipe = as_drawn(recipe)
    settings, schema = recipe["settings"], card(recipe["model"]).schema
    conditions = settings.get("condition", {})
    words = [
        _value_in_words(name, entry, conditions[name])
        for name, entry in schema.items()
        if name in conditions
    ]
    if "mix_seed" in settings:
        words.append(
            "layers {} to {} of seed {}".format(*settings["mix_layers"], settings["mix_seed"])
        )
    return ", ".join(words) or f"seed {recipe['seed']}"


def _value_in_words(name: str, entry: dict[str, Any], value: Any) -> str:
    if "values" in entry:
        return str(value)
    text = f"{value:.0f}" if type(entry["max"]) is int else f"{title(name).lower()} {value:.2f}"
    return f"{text} (a guess)" if value > entry["max"] else text


def title(condition: str) -> str:
    """A condition's name for people."""
    return condition.replace("_", " ").capitalize()


def warm_up(use: str) -> None:
    """Load the first model for a use and draw once, so that the first visitor need not wait."""
    first = cards(use)[0]
    output = load(first.name)(1, seed=0)
    if first.is_small:
        load(UPSCALER)(output.images)


@functools.lru_cache(maxsize=MAX_LOADED)
def _load(name: str) -> Any:
    return genmodels.load(name)


@functools.lru_cache(maxsize=64)
def _card(folder: Path) -> Card:
    index = json.loads((folder / "model_index.json").read_text())
    config = folder / "generator" / "config.json"
    parts = (folder / "README.md").read_text().split("\n## ")[1:]
    return Card(
        name=folder.name,
        family=index["_class_name"].removeprefix("genmodels.").removesuffix("Pipeline"),
        facts=zoo.facts(folder.name),
        schema=index.get("conditions") or {},
        generator=json.loads(config.read_text()) if config.is_file() else {},
        sections={head: text.strip() for head, _, text in (p.partition("\n") for p in parts)},
    )
