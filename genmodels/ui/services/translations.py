"""Image translation: the tasks, their networks, and translations of visitors' photos."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from genmodels import zoo
from genmodels.ui.assets import ASSETS
from genmodels.ui.server import work_folder
from genmodels.ui.services import models, photos, pictures, workers
from genmodels.ui.services.models import Card, Recipe

TASKS = {"comic": "Comic", "monet": "Monet", "colorize": "Colorize"}  # By how a name begins.
FACES = sorted((ASSETS / "faces").glob("*.jpg"))
MAX_FILES = 30  # Photos at once.
MEGABYTES = 900  # That one photo takes at most, whatever its size.
# What a picture is compared with, besides another network's; a colouring network sees the grey one.
THE_PHOTO, IN_GREY = "the photo", "the photo in grey"

Load = Callable[[str], Any]


class Dials(NamedTuple):
    """What a visitor can set."""

    strength: float = 1.0  # 0: the photo, 1: all that the network does.
    detail: float = 0.0  # How much comes back of what is finer than the network sees.
    hints: Sequence[Any] = ()  # Colours of places, for a network that predicts chroma.


class Made(NamedTuple):
    """A translated photo."""

    before: str  # Path of the picture to compare with.
    after: str  # ... of what became of it, both as large as a screen shows them.
    file: str  # Path of the PNG, of all pixels.
    recipe: Recipe
    seconds: float  # From the photo's file to the PNG.


def tasks() -> dict[str, list[Card]]:
    """The networks of each task, by its name for people; of the tasks for which there is one."""
    cards_by_task = {}
    for use, title in TASKS.items():
        if any(name.startswith(f"{use}-") for name in zoo.names()):
            cards_by_task[title] = models.cards(use)
    return cards_by_task


def translated(load: Load, path: str | Path | None, model: str, against: str, dials: Dials) -> Made:
    """A photo, or the example, through a network, beside it or what another network makes of it.

    ValueError for a photo that cannot be read, or a name that is no network's.
    """
    known = [card.name for cards in tasks().values() for card in cards]
    for name in {model, against} - {THE_PHOTO, IN_GREY, *known}:
        raise ValueError(f"model must be one of {', '.join(known)}, got {name!r}")
    arguments = (load, path or example(model), model, against, dials)
    return workers.result(_translated, *arguments, megabytes=MEGABYTES)


def each(load: Load, path: str | Path | None, dials: Dials) -> list[tuple[str, str]]:
    """A photo, or each task's example, through the first networks: files with captions."""
    models = {title: cards[0].name for title, cards in tasks().items()}
    paths = {title: path or example(name) for title, name in models.items()}
    return workers.result(_each, load, paths, models, dials, megabytes=MEGABYTES)


def example(model: str) -> Path:
    """The photo that a visitor sees first: of what the network has learnt. By how a name begins."""
    firsts = {"comic": FACES[0], "monet": photos.SCENES[0], "colorize": FACES[1]}
    return firsts[model.partition("-")[0]]


def comparisons(card: Card) -> list[tuple[str, str]]:
    """What a network's pictures can be held against, the first at first: labels and values."""
    (cards,) = (cards for cards in tasks().values() if card.name in {each.name for each in cards})
    others = [(other.label, other.name) for other in cards if other.name != card.name]
    grey = [("The photo in grey", IN_GREY)] if takes_hints(card) else []
    return [*grey, ("The photo", THE_PHOTO), *others]


def takes_hints(card: Card) -> bool:
    """Whether a network takes colour hints."""
    return card.facts.get("predicts") == "chroma"


def takes_detail(card: Card) -> bool:
    """Whether a network loses detail that the photo can give back; colours are laid over all."""
    return not takes_hints(card)


def many(
    load: Load, paths: Sequence[str], model: str, dials: Dials
) -> Iterator[tuple[int, str | None]]:
    """How many photos are done; at last the path of a ZIP of all, with their recipes.

    Errors: ValueError for too many of them, or one that cannot be read, which is named.
    """
    if not 1 <= len(paths) <= MAX_FILES:
        raise ValueError(f"bring 1 to {MAX_FILES} photos at once, got {len(paths)}")
    done: tuple[int, str | None] = (0, None)
    with tempfile.TemporaryDirectory(dir=work_folder.path()) as folder:
        arguments = (load, list(paths), model, dials, folder)
        for archive in workers.run(_many, *arguments, megabytes=MEGABYTES):
            done = done if archive is None else archive
            yield done


# What follows is done by processes of their own.


def _translated(
    load: Load, path: str | Path, model: str, against: str, dials: Dials
) -> Iterator[Made]:
    pipe = load(model)
    start = time.monotonic()
    photo = photos.opened(path, keep_alpha=True)
    picture, recipe = _through(pipe, photo, dials)
    file = pictures.saved(picture, recipe)
    seconds = time.monotonic() - start
    after = pictures.saved(photos.preview(picture), recipe)
    del picture  # As large as the photo, and there may be another.
    if against == THE_PHOTO:
        before = photo
    elif against == IN_GREY:
        before = photo.convert("LA" if photo.mode == "RGBA" else "L").convert(photo.mode)
    else:
        before, _ = _through(load(against), photo, dials)
    yield Made(_shown(before), after, file, recipe, seconds)


def _each(
    load: Load, paths: dict[str, str | Path], models: dict[str, str], dials: Dials
) -> Iterator[list[tuple[str, str]]]:
    files = []
    for title, name in models.items():
        photo = photos.opened(paths[title], keep_alpha=True)
        files.append((pictures.saved(*_through(load(name), photo, dials)), title))
    yield files


def _many(
    load: Load, paths: list[str], model: str, dials: Dials, folder: str
) -> Iterator[tuple[int, str | None]]:
    for path in paths:  # None is kept: thirty large photos would fill the memory.
        photos.opened(path, keep_alpha=True)
    pipe, files, recipes = load(model), [], []
    for number, path in enumerate(paths):
        yield number, None
        picture, recipe = _through(pipe, photos.opened(path, keep_alpha=True), dials)
        files.append(f"{folder}/{number}.png")
        picture.save(files[-1])
        recipes.append(recipe)
    names = [f"{Path(path).stem}-{model}" for path in paths]
    yield len(paths), pictures.zipped(files, recipes, names)


def _through(pipe: Any, photo: Image.Image, dials: Dials) -> tuple[Image.Image, Recipe]:
    hints = dials.hints if pipe.config.predicts == "chroma" else ()
    output = pipe(photo, strength=dials.strength, detail=dials.detail, hints=hints)
    return output.images[0], output.recipes[0]


def _shown(picture: Image.Image) -> str:
    return work_folder.png(photos.preview(picture), "photo")
