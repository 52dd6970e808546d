"""Films of pictures: through a condition or from picture to picture, and their player.

Each film is made in a separate process, which ends when its visitor leaves.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw, ImageFont

from genmodels.ui.components.widgets import IN_TURN, show_errors
from genmodels.ui.server import work_folder
from genmodels.ui.server.queues import FILM
from genmodels.ui.services import models, pictures, workers
from genmodels.ui.services import recipes as page_recipes
from genmodels.ui.services.models import Recipe, Span

FORMATS = ("MP4", "GIF", "WebP")
FPS = 16
SIDE = 384  # Side of a saved frame; the model's own pixels are in the pictures' files.
FRAMES_PER_STEP = {True: 4, False: 2}  # Of a slider of whole numbers, such as years, or of others.
MAX_STOPS = 8  # Most pictures in one film.
MEGABYTES = 400  # Memory limit for making a film.

# Progress from 0 to 1 and its description, or None for no change; finally the film's path.
Making = Iterator[tuple[float, str] | str | None]


@dataclass(frozen=True)
class Panel:
    """The controls of one kind of film."""

    button: gr.Button
    inputs: list[Any]
    draw: Callable[..., Making]  # From the values of the inputs.


def sweep(load: Callable[[str], Any], recipe: gr.JSON, name: str, span: Span) -> Panel:
    """The selected picture, number by number of a condition; whole numbers go on past the data."""
    if span.last > span.high:
        gr.Markdown(f"The model has seen nothing after {span.high}: what follows is a guess.")
    with gr.Row():
        limits: dict[str, Any] = {
            "minimum": span.low,
            "maximum": span.last,
            "step": span.step,
            "buttons": [],
            "min_width": 200,
        }
        start = gr.Slider(**limits, value=span.low, label="From")
        end = gr.Slider(**limits, value=span.last, label="To")
    kind, button = format_and_button()

    @show_errors
    def draw(recipe: Recipe | None, start: float, end: float, kind: str) -> Making:
        arguments = (load, _picked(recipe), name, start, end, kind)
        yield from workers.run(_sweep, *arguments, megabytes=MEGABYTES)

    return Panel(button, [recipe, start, end, kind], draw)


def journey(load: Callable[[str], Any], recipe: gr.JSON, elem_id: str) -> Panel:
    """From picked picture to picked picture and back to the first."""
    stops = gr.JSON([], visible=False)
    chosen = pictures.gallery(elem_id, MAX_STOPS, visible=False)
    with gr.Row():
        add = gr.Button("Add the selected picture", size="md", min_width=150)
        clear = gr.Button("Start over", size="md", min_width=110, scale=0)
    seconds = gr.Slider(
        1,
        4,
        2,
        step=0.5,
        label="Seconds per transition",
        info="Add two or more pictures. The film returns to the first.",
        buttons=[],
    )
    kind, button = format_and_button()

    @show_errors
    def add_stop(recipe: Recipe | None, stops: list[Recipe]) -> tuple[Any, Any]:
        stops = _checked([*stops, _picked(recipe)])
        if len({stop["model"] for stop in stops}) > 1:
            raise ValueError("the pictures of a film must be by one model: start over for another")
        again = [load(stop["model"])(1, seed=stop["seed"], **stop["settings"]) for stop in stops]
        shown = pictures.captioned([output.images[0] for output in again], stops)
        return gr.update(value=shown, visible=True), stops

    @show_errors
    def draw(stops: list[Recipe], seconds: float, kind: str) -> Making:
        if len(stops) < 2:
            raise ValueError("a film needs two or more pictures: pick one, add it, pick another")
        arguments = (load, _checked(stops), seconds, kind)
        yield from workers.run(_journey, *arguments, megabytes=MEGABYTES)

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    add.click(add_stop, [recipe, stops], [chosen, stops], **private, **IN_TURN)
    clear.click(
        lambda: (gr.update(value=[], visible=False), []),
        None,
        [chosen, stops],
        queue=False,
        **private,
    )
    return Panel(button, [stops, seconds, kind], draw)


def show(panels: Sequence[Panel], elem_id: str) -> None:
    """The player that the panels' films share; out of sight until there is a film.

    An MP4 has a time line; what has none is a picture that moves.
    """
    hidden: dict[str, Any] = {"show_label": False, "interactive": False, "visible": False}
    with gr.Column(elem_id=elem_id, elem_classes="film"):
        video = gr.Video(**hidden, autoplay=True, loop=True, buttons=[])
        picture = gr.Image(
            **hidden, type="filepath", image_mode=None, buttons=[], alt_text="The film"
        )
        file = gr.DownloadButton("Download the film", size="md", visible=False)

    def play(path: str) -> tuple[Any, ...]:
        is_video = path.endswith(".mp4")
        return (
            gr.update(value=path if is_video else None, visible=is_video),
            gr.update(value=None if is_video else path, visible=not is_video),
            gr.update(value=path, visible=True),
        )

    for panel in panels:

        def draw_and_play(*values: Any, panel: Panel = panel) -> Iterator[tuple[Any, ...]]:
            progress, progress_made = gr.Progress(), (0.0, "Beginning")
            for update in panel.draw(*values):
                if isinstance(update, str):
                    yield play(update)
                    return
                progress_made = update or progress_made
                progress(*progress_made)
                yield gr.skip(), gr.skip(), gr.skip()

        panel.button.click(
            draw_and_play,
            panel.inputs,
            [video, picture, file],
            api_visibility="private",
            show_progress_on=panel.button,
            **FILM.turns,
        )


def _sweep(
    load: Callable[[str], Any], recipe: Recipe, name: str, start: float, end: float, kind: str
) -> Making:
    """In a process of its own: one picture, number by number of a condition."""
    card = models.card(recipe["model"])
    span = models.span([card], name)
    if span is None:
        raise ValueError(f"{card.label} knows no {models.title(name).lower()}")
    if not (span.low <= start <= span.last and span.low <= end <= span.last):
        raise ValueError(f"it goes from {span.low} to {span.last}, got {start} to {end}")
    count = max(round(abs(end - start) / span.step) * FRAMES_PER_STEP[span.is_whole], 1)
    values = [start + (end - start) * i / count for i in range(count + 1)]
    yield 0.0, f"Drawing {len(values)} frames"
    pipe = load(recipe["model"])
    output = pipe.sweep(seed=recipe["seed"], name=name, values=values, **recipe["settings"])
    yield 0.5, f"Writing the {kind}"
    captions = [_caption(name, value, span) for value in values]
    yield shoot(output.images, output.recipes, kind, captions)


def _caption(name: str, value: float, span: Span) -> str:
    if not span.is_whole:
        return f"{models.title(name)} {value:.2f}"
    return f"{round(value)}" + (", a guess" if round(value) > span.high else "")


def _journey(load: Callable[[str], Any], stops: list[Recipe], seconds: float, kind: str) -> Making:
    """In a process of its own: from picture to picture, and back to the first."""
    frames, recipes = [], []
    pipe = load(stops[0]["model"])
    for number, pair in enumerate(zip(stops, [*stops[1:], stops[0]], strict=True)):
        yield 0.7 * number / len(stops), f"Drawing {number + 1} of {len(stops)}"
        film = pipe.interpolate(recipes=pair, frames=round(seconds * FPS))
        frames += film.images[:-1]  # The last is the next pair's first.
        recipes += film.recipes[:-1]
    yield 0.7, f"Writing the {kind}"
    yield shoot(frames, recipes, kind)


def shoot(
    frames: Sequence[Image.Image],
    recipes: Sequence[Recipe],  # One per frame.
    kind: str,  # One of FORMATS.
    captions: Sequence[str] = (),  # One per frame, written on a strip below it; none: no strip.
) -> str:
    """The path of the film."""
    from genmodels.data import images
    from genmodels.hub import recipe  # Brings torch.

    if kind not in FORMATS:
        raise ValueError(f"the format must be one of {', '.join(FORMATS)}, got {kind!r}")
    shown = [images.enlarge(frame, SIDE) for frame in frames]
    if captions:
        shown = [_subtitled(*pair) for pair in zip(shown, captions, strict=True)]
    key = hashlib.sha256(json.dumps([list(recipes), list(captions)]).encode()).hexdigest()
    name = f"{recipes[0]['model']}-film.{kind.lower()}"
    metadata: dict[str, Any] = {"comment": recipe.film(recipes), "xmp": recipe.XMP}
    return work_folder.written_once(
        key, name, lambda path: images.encode_animation(shown, path, FPS, **metadata)
    )


def _picked(recipe: Recipe | None) -> Recipe:
    """What a page says was picked, as it was drawn: checked, as anyone can send anything."""
    if recipe is None:
        raise ValueError("pick a picture first")
    return models.as_drawn(page_recipes.checked(recipe))


def _checked(stops: list[Recipe]) -> list[Recipe]:
    """The pictures, as drawn, that a page says a film passes through, if they can be."""
    if len(stops) > MAX_STOPS:
        raise ValueError(f"a film passes through {MAX_STOPS} pictures at most, got {len(stops)}")
    return [_picked(stop) for stop in stops]


def format_and_button() -> tuple[gr.Radio, gr.Button]:
    """Which of FORMATS, and the button that makes the film."""
    with gr.Row(elem_classes="way"):
        kind = gr.Radio(FORMATS, value=FORMATS[0], label="Format", min_width=240)
        return kind, gr.Button("Create the film", size="md", min_width=130, scale=0)


def _subtitled(frame: Image.Image, text: str) -> Image.Image:
    """The frame with a line of text on a strip below it."""
    height = frame.height // 10 // 2 * 2  # Even, as H.264 wants it.
    frame_with_text = Image.new("RGB", (frame.width, frame.height + height), "#18382d")
    frame_with_text.paste(frame)
    middle = (frame.width / 2, frame.height + height / 2)
    font = ImageFont.load_default(height * 0.55)
    ImageDraw.Draw(frame_with_text).text(middle, text, fill="white", font=font, anchor="mm")
    return frame_with_text
