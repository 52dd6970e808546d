"""The zoo as the page sees it: facts without torch, and pipelines that load on first use."""

import functools
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genmodels
from genmodels import conditions, zoo

MAX_LOADED = 4  # Pipelines kept in memory; the one that was unused for longest makes room.

_loading = threading.Lock()


@dataclass(frozen=True)
class Card:
    """What the page says of one embedded model."""

    name: str  # As `genmodels.load` knows it.
    family: str  # DCGAN, StyleGAN2.
    facts: dict[str, Any]  # The run.json of its training.
    schema: conditions.Schema  # The conditions that it takes; empty if none.
    figures: str  # Its measured figures: a section of the model card, Markdown.

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.family}, {self.facts['resolution']} px"

    @property
    def has_truncation(self) -> bool:
        """Whether its samples can be pulled towards the average."""
        return self.family == "StyleGAN2"


def cards(use: str) -> list[Card]:
    """The embedded models for one use, "cars" say, the most capable first."""
    found = [_card(name) for name in zoo.names() if name.startswith(f"{use}-")]
    if not found:
        raise ValueError(f"{zoo.FOLDER} must hold a model whose name starts with {use}-, has none")
    return sorted(found, key=lambda card: (-len(card.schema), -card.facts["resolution"]))


def choices(cards: Iterable[Card], condition: str) -> list[Any]:
    """What any of the models can be asked for under a condition; of numbers, the whole ones."""
    known = [card.schema[condition] for card in cards if condition in card.schema]
    spans = [entry.get("values") or range(entry["min"], entry["max"] + 1) for entry in known]
    return sorted({value for span in spans for value in span})


def load(name: str) -> Any:
    """The pipeline of an embedded model. What a visitor names is never looked up elsewhere."""
    if name not in zoo.names():
        raise ValueError(f"model must be one of {', '.join(zoo.names())}, got {name!r}")
    with _loading:  # Two visitors who ask for one model wait for one loading.
        return _load(name)


def warm_up(use: str) -> None:
    """Load the first model for a use and draw once, so that the first visitor need not wait."""
    load(cards(use)[0].name)(1, seed=0)


@functools.lru_cache(maxsize=MAX_LOADED)
def _load(name: str) -> Any:
    return genmodels.load(name)


def _card(name: str) -> Card:
    folder = zoo.FOLDER / name
    index = json.loads((folder / "model_index.json").read_text())
    return Card(
        name=name,
        family=index["_class_name"].removesuffix("Pipeline"),
        facts=zoo.facts(name),
        schema=index.get("conditions") or {},
        figures=_section(folder / "README.md", "Figures"),
    )


def _section(path: Path, heading: str) -> str:
    """What stands under a heading of a Markdown file."""
    return path.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0].strip()
