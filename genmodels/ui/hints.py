"""Hints for a network that colours: a colour is chosen, and tapped where it belongs."""

from typing import Any, NamedTuple

import gradio as gr
from PIL import Image, ImageDraw

from genmodels.ui import photos
from genmodels.ui.widgets import AT_ONCE, errors_told

SIDE = 480  # Longer side of the photo as it is tapped, in pixels.
DOT = 6  # Radius of a hint's dot.
FIRST = "#c0392b"
MAX_HINTS = 100

Hint = tuple[int, int, str]  # Column and row in the photo, and a colour.


class Hints(NamedTuple):
    """What a tab needs of it."""

    shown: gr.Accordion  # To be hidden where no network listens.
    given: gr.JSON  # The hints; it changes with every tap.
    emptied: Any  # The event after which another photo has no hints yet.


def build(photo: gr.File, default: str, *, visible: bool) -> Hints:
    """Lay it out inside an open tab, for the photo that is chosen there, or the default."""
    with gr.Accordion("Say which colour belongs where", open=False, visible=visible) as shown:
        colour = gr.ColorPicker(FIRST, label="Colour", elem_id="hint-colour")
        gr.Markdown("Tap the photo where it belongs.")
        board = gr.Image(
            show_label=False, interactive=False, buttons=[], elem_id="hint-board", alt_text="Photo"
        )
        clear = gr.Button("Take all colours away", size="md")
    hints = gr.JSON([], visible=False)

    @errors_told
    def laid(path: str | None) -> tuple[Image.Image, list[Hint]]:
        return drawn(photos.opened(path or default), []), []

    @errors_told
    def tapped(
        path: str | None, colour: str, hints: list[Hint], event: gr.SelectData
    ) -> tuple[Image.Image, list[Hint]]:
        original = photos.opened(path or default)
        hints = [*hints, placed(original, event.index, colour)]
        if len(hints) > MAX_HINTS:
            raise ValueError(f"a photo takes {MAX_HINTS} hints at most")
        return drawn(original, hints), hints

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    board.select(tapped, [photo, colour, hints], [board, hints], **private)
    emptied = photo.change(laid, photo, [board, hints], **private)
    for event in (clear.click, shown.expand):
        event(laid, photo, [board, hints], **private)
    shown.collapse(lambda: [], None, hints, **AT_ONCE)
    return Hints(shown, hints, emptied)


def placed(photo: Image.Image, at: list[int], colour: str) -> Hint:
    """The hint of a tap at (column, row) of the small photo; ValueError for no colour of ours."""
    red, green, blue = rgb(colour)
    scale = _scale(photo)
    column, row = (
        min(int(place / scale), side - 1) for place, side in zip(at, photo.size, strict=True)
    )
    return column, row, f"#{red:02x}{green:02x}{blue:02x}"


def rgb(colour: str) -> tuple[int, int, int]:
    """A browser's colour, "#c0392b" or "rgba(192, 57, 43, 1)", as three levels."""
    text = colour.strip().removeprefix("rgba").removeprefix("rgb").strip("()")
    try:
        if text.startswith("#"):
            levels = [int(text[i : i + 2], 16) for i in (1, 3, 5)]
        else:
            levels = [round(float(part)) for part in text.split(",")[:3]]
    except ValueError as error:
        raise ValueError(f'a colour must be like "#c0392b", got {colour!r}') from error
    if len(levels) != 3 or not all(0 <= level <= 255 for level in levels):
        raise ValueError(f'a colour must be like "#c0392b", got {colour!r}')
    return levels[0], levels[1], levels[2]


def drawn(photo: Image.Image, hints: list[Hint]) -> Image.Image:
    """The photo, small and grey, with a dot for each hint."""
    scale = _scale(photo)
    small = photo.convert("L").resize([max(1, round(side * scale)) for side in photo.size])
    board = small.convert("RGB")
    draw = ImageDraw.Draw(board)
    for column, row, colour in hints:
        x, y = (column + 0.5) * scale, (row + 0.5) * scale
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=colour, outline="white", width=2)
    return board


def _scale(photo: Image.Image) -> float:
    return SIDE / max(photo.size)
