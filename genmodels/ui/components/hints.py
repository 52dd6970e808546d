"""Hints for a network that colours: a colour is chosen, and drawn where it belongs."""

import json
import re
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from genmodels.ui.components.widgets import show_errors
from genmodels.ui.services import photos

SIDE = 480  # Longer side of the photo as it is drawn on, in pixels.
MAX_HINTS = 200  # Dots on a board, fewer than a network takes: more would hide the photo.

Hint = tuple[int, int, str]  # Column and row in the photo, and a colour.

# The value is JSON: the colour that is chosen, and strokes, each a colour and its points from 0 to
# 1 across and down.
COLOUR = "#c0392b"
EMPTY = json.dumps({"colour": COLOUR, "strokes": []})

_HTML = """<div class="hints"><div class="row">
<label>Colour <input type="color" value="${JSON.parse(value).colour}"></label>
<button type="button" data-keep="-1">Undo</button>
<button type="button" data-keep="0">Clear</button>
</div>
<div class="board" style="--ratio: ${ratio}" tabindex="0" role="application"
  aria-label="Your photo, to draw on: the arrow keys move the ring, Enter puts a dot">
<img src="${photo}" alt="" draggable="false"><b></b>
${JSON.parse(value).strokes.map(([colour, points]) => points.map(([x, y]) =>
  '<i style="left: ' + 100 * x + '%; top: ' + 100 * y + '%; background: ' + colour + '"></i>'
).join('')).join('')}
</div></div>"""

# A stroke is points that are GAP apart; while it is drawn only dots are added, and the value, which
# redraws the template, changes at its end.
_JS = """
const GAP = 14
let stroke = null
const clamp = x => Math.min(0.9999, Math.max(0, x))
const round = x => Math.round(10000 * x) / 10000
const keep = change => {
  const state = JSON.parse(props.value)
  change(state)
  props.value = JSON.stringify(state)
}
const add = event => {
  const box = stroke.board.querySelector('img').getBoundingClientRect()
  const x = clamp((event.clientX - box.left) / box.width)
  const y = clamp((event.clientY - box.top) / box.height)
  const last = stroke.points.at(-1)
  if (last && Math.hypot((x - last[0]) * box.width, (y - last[1]) * box.height) < GAP) return
  stroke.points.push([round(x), round(y)])
  const dot = document.createElement('i')
  dot.style.cssText = `left: ${100 * x}%; top: ${100 * y}%; background: ${stroke.colour}`
  stroke.board.append(dot)
}
element.addEventListener('pointerdown', event => {
  const board = event.target.closest('.board')
  if (!board) return
  event.preventDefault()
  board.setPointerCapture(event.pointerId)
  stroke = {board, colour: element.querySelector('input').value, points: []}
  add(event)
})
element.addEventListener('pointermove', event => stroke && add(event))
for (const name of ['pointerup', 'pointercancel']) element.addEventListener(name, () => {
  if (!stroke) return
  const {colour, points} = stroke
  stroke = null
  keep(state => state.strokes.push([colour, points]))
  trigger('release')
})
// By keyboard: a ring, moved in hundredths of the photo, ten at once with Shift.
const ring = [0.5, 0.5]
const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}
element.addEventListener('keydown', event => {
  if (!event.target.matches('.board')) return
  const step = steps[event.key]
  if (step) for (const i of [0, 1])
    ring[i] = clamp(ring[i] + step[i] * (event.shiftKey ? 0.1 : 0.01))
  else if (event.key == 'Enter' || event.key == ' ') {
    const colour = element.querySelector('input').value
    keep(state => state.strokes.push([colour, [ring.map(round)]]))
    trigger('release')
  } else return
  event.preventDefault()
  for (const [name, x] of [['--x', ring[0]], ['--y', ring[1]]])
    element.style.setProperty(name, `${100 * x}%`)
})
element.addEventListener('change', event => {
  if (event.target.type == 'color') keep(state => state.colour = event.target.value)
})
element.addEventListener('click', event => {
  const button = event.target.closest('[data-keep]')
  if (!button) return
  keep(state => state.strokes = state.strokes.slice(0, Number(button.dataset.keep)))
  trigger('release')
})
"""


class Hints(NamedTuple):
    """What a tab needs of it."""

    shown: gr.Accordion  # To be hidden where no network listens.
    board: gr.HTML  # Its value is what was drawn, for `read`.
    given: gr.JSON  # The hints.
    drawn: Any  # The event after a stroke, when they are given.


def build(photo: gr.File, default: str, *, visible: bool) -> Hints:
    """Lay it out inside an open tab, for the photo that is chosen there, or the default."""
    with gr.Accordion("Color hints", open=False, visible=visible) as shown:
        gr.Markdown(
            "Tap the photo where the colour belongs, or draw it. By keyboard: the arrow keys move "
            "the ring, Enter puts a dot."
        )
        board = gr.HTML(
            EMPTY, html_template=_HTML, js_on_load=_JS, elem_id="hint-board", photo="", ratio=1
        )
    hints = gr.JSON([], label="Hints", visible=False)

    @show_errors
    def opened(path: str | None, value: str) -> Any:
        read(value, photos.size(path or default))  # Which goes back to the page as it is.
        return on(path or default, value)

    @show_errors
    def drawn(path: str | None, value: str) -> list[Hint]:
        return read(value, photos.size(path or default))

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    stroke = board.release(drawn, [photo, board], hints, **private)
    shown.expand(opened, [photo, board], board, **private)
    return Hints(shown, board, hints, stroke)


def on(path: str, value: str = EMPTY) -> Any:
    """The board on another photo, with what is drawn there."""
    photo: Image.Image = photos.opened(path)
    return gr.update(
        value=value,
        photo=photos.thumbnail(photo.convert("L"), SIDE),
        ratio=photo.width / photo.height,
    )


def written(hints: list[Hint], size: tuple[int, int]) -> str:
    """The board's value for hints in a photo of (width, height), as `read` reads it."""
    strokes = [
        [code, [[(column + 0.5) / size[0], (row + 0.5) / size[1]]]] for column, row, code in hints
    ]
    return json.dumps(json.loads(EMPTY) | {"strokes": strokes})


def read(value: str, size: tuple[int, int]) -> list[Hint]:
    """The hints of a board's value, which is anyone's, for a photo of (width, height).

    Errors: ValueError for another text, a place outside the photo, or too many points.
    """
    try:
        state = json.loads(value)
        points = [
            (float(x), float(y), code) for code, places in state["strokes"] for x, y in places
        ]
        codes = [state.get("colour", COLOUR), *(code for _, _, code in points)]
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        actual = f"{value[:80]!r}"
        raise ValueError(f"strokes must be colours with their points, got {actual}") from error
    if len(points) > MAX_HINTS:
        raise ValueError(f"a photo takes {MAX_HINTS} dots of colour at most, got {len(points)}")
    for code in codes:  # The board writes them into the page.
        if not isinstance(code, str) or not re.fullmatch("#[0-9a-fA-F]{6}", code):
            raise ValueError(f'a colour must be as "#c03020", got {str(code)[:80]!r}')
    if not all(0 <= place < 1 for point in points for place in point[:2]):
        raise ValueError(f"a point must lie from 0 to below 1 in the photo, got {value[:80]!r}")
    return [(int(x * size[0]), int(y * size[1]), code) for x, y, code in points]
