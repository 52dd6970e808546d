"""Recipes that come back from a page: anyone can send any, so each is checked whole.

A checked recipe is rebuilt from its valid parts, so that nothing else from it is kept, shown or
written.
"""

import functools
import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, Field, StringConstraints

from genmodels import zoo
from genmodels.data import conditions
from genmodels.ui.server import messages
from genmodels.ui.services import models, pictures
from genmodels.ui.services.models import Card, Recipe

MAX_SEED = 2**63 - 257  # The pipelines' own.
MAX_SETTINGS = 32
MAX_PICTURES = 64  # In a gallery.
MAX_SIDE = 2048  # Largest side of a picture drawn from a seed.

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+_-]{1,40}$")]


class _Versions(BaseModel, extra="forbid", strict=True):
    genmodels: _Version
    torch: _Version


class _Recipe(BaseModel, extra="forbid", strict=True):
    """What `genmodels.hub.recipe` makes of a picture that is drawn from a seed."""

    generated: Literal[True]
    pipeline: str
    model: str
    weights_sha256: _Sha256
    seed: int = Field(ge=0, le=MAX_SEED)
    settings: dict[str, Any] = Field(max_length=MAX_SETTINGS)
    versions: _Versions
    pixels_sha256: _Sha256


class _Drawn(BaseModel, extra="forbid", strict=True):
    """The picture that another one was made from."""

    sha256: _Sha256
    width: int = Field(ge=1, le=MAX_SIDE)
    height: int = Field(ge=1, le=MAX_SIDE)
    recipe: dict[str, Any]


class _Enlarged(_Recipe):
    """What it makes of one that is then enlarged."""

    image: _Drawn


def checked(recipe: object) -> Recipe:
    """A recipe that an embedded model can have made, or a ValueError that says why it is none.

    It is of a picture that is drawn from a seed, or of such a one enlarged.
    """
    drawn = models.as_drawn(recipe)
    if drawn is recipe:
        return _checked(recipe, _Recipe)
    whole, before = _checked(recipe, _Enlarged), _checked(drawn, _Recipe)
    return whole | {"image": whole["image"] | {"recipe": before}}


def _checked(recipe: object, kind: type[_Recipe]) -> Recipe:
    try:
        parsed = kind.model_validate(recipe)
    except pydantic.ValidationError as error:
        raise ValueError(f"the recipe does not fit: {messages.misfit(error)}") from error
    card = models.card(parsed.model)
    pipeline, weights, known, is_from_seed = _own(zoo.FOLDER / card.name)
    if (parsed.pipeline, parsed.weights_sha256) != (pipeline, weights):
        raise ValueError(f"the recipe is of another {card.name} than the one on this page")
    if is_from_seed != (kind is _Recipe):
        needed = "a seed alone" if is_from_seed else "a picture"
        raise ValueError(f"{card.label} draws from {needed}, and the recipe does not say so")
    unknown = sorted(set(parsed.settings) - known)
    if unknown:
        raise ValueError(f"{card.label} knows no settings {messages.quoted(unknown)}")
    return parsed.model_dump() | {
        "settings": {name: _setting(card, name, value) for name, value in parsed.settings.items()}
    }


def of_gallery(files: object, given: object) -> list[tuple[str, Recipe | None]]:
    """What a gallery shows: the files of pictures that hold these very recipes, and the recipes.

    None of a recipe is a place where it shows nothing. `ValueError` for all else: files and
    recipes both come from the page.
    """
    if not isinstance(files, list) or not isinstance(given, list) or len(files) != len(given):
        raise ValueError("a gallery must have a recipe for each of its pictures: draw them again")
    if len(files) > MAX_PICTURES:
        raise ValueError(f"a gallery shows {MAX_PICTURES} pictures at most, got {len(files)}")
    drawn = [
        (file, None if record is None else checked(record))
        for (file, _), record in zip(files, given, strict=True)
    ]
    for file, record in drawn:
        if record is not None and pictures.recipe_of_file(file) != record:
            raise ValueError("a picture of the gallery holds another recipe than its own")
    return drawn


@functools.lru_cache(maxsize=64)
def _own(folder: Path) -> tuple[str, str, frozenset[str], bool]:
    """An embedded model's pipeline class, the hash of its weights, its settings' names.

    At last, whether it draws from a seed alone.
    """
    pipe = models.load(folder.name)
    names = set(inspect.signature(type(pipe).__call__).parameters)
    # What is between two pictures is a frame of a film, which no gallery shows.
    setting_names = names - {"self", "image", "num_images", "seed", "toward", "toward_strength"}
    return type(pipe).__name__, pipe.weights_sha256, frozenset(setting_names), "image" not in names


def _setting(card: Card, name: str, value: Any) -> Any:
    """A setting's value, of a kind that the page can show; the pipeline knows its bounds."""
    if name.endswith("condition"):
        return _condition(card, value)
    if name == "mix_layers":
        last = card.num_layers - 1
        if not (isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value)):
            raise ValueError(f"mix_layers must be two whole numbers, got {messages.quoted(value)}")
        if not 0 <= value[0] <= value[1] <= last:
            raise ValueError(f"mix_layers must lie from 0 to {last}, got {messages.quoted(value)}")
        return list(value)
    if name.endswith("seed"):
        if type(value) is not int or not 0 <= value <= MAX_SEED:
            raise ValueError(
                f"{name} must be a whole number from 0 to {MAX_SEED}, got {messages.quoted(value)}"
            )
        return value
    is_number = type(value) in (int, float) and abs(value) < 1e6  # Which NaN is not.
    is_word = isinstance(value, str) and value.isidentifier() and len(value) <= 40
    if not (value is None or type(value) is bool or is_number or is_word):
        raise ValueError(f"{name} must be a number or a word, got {messages.quoted(value)}")
    return value


def _condition(card: Card, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a condition must be names and values, got {messages.quoted(value)}")
    conditions.encode(card.schema, value)  # Complains about what the model has not learnt.
    return dict(value)
