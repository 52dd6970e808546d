"""The embedded models for the page: facts without torch, and pipelines loaded on first use."""

import functools
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels
from genmodels import zoo
from genmodels.data import conditions

MAX_LOADED = 5  # Pipelines kept in memory; the one that was unused for longest makes room.
UPSCALER = "upscaler-x4"  # What enlarges pictures.
SMALL = 200  # Pixels of a side; smaller pictures are enlarged unless a visitor wants them as drawn.
YEARS_BEYOND = 8  # How far past the last year of its data a model may be asked to guess.

Recipe = dict[str, Any]

_loading = threading.Lock()


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


def cards(use: str) -> list[Card]:
    """The embedded models for one use, "cars" say, the most capable first."""
    available = [card(name) for name in zoo.names() if name.startswith(f"{use}-")]
    if not available:
        raise ValueError(f"{zoo.FOLDER} must hold a model whose name starts with {use}-, has none")
    order = {c.name: (len(c.schema), c.facts["resolution"], c.name) for c in available}
    return sorted(available, key=lambda card: order[card.name], reverse=True)


def choices(cards: Iterable[Card], condition: str) -> list[Any]:
    """What any of the models can be asked for under a condition; of numbers, the whole ones."""
    known = [card.schema[condition] for card in cards if condition in card.schema]
    spans = [entry.get("values") or range(entry["min"], entry["max"] + 1) for entry in known]
    return sorted({value for span in spans for value in span})


def span_of_years(cards: Iterable[Card]) -> tuple[int, int] | None:
    """The first year that any of the models has seen, and the last; None if none knows years."""
    years = choices(cards, "year")
    return (years[0], years[-1]) if years else None


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
    words = []
    for name, value in conditions.items():
        last = schema[name].get("max")
        is_guess = last is not None and value > last
        text = f"{value:.0f}" if isinstance(value, float) else str(value)
        words.append(f"{text} (a guess)" if is_guess else text)
    if "mix_seed" in settings:
        words.append(
            "layers {} to {} of seed {}".format(*settings["mix_layers"], settings["mix_seed"])
        )
    return ", ".join(words) or f"seed {recipe['seed']}"


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
