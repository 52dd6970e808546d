"""Hints for a network that colours: a colour is chosen, and drawn where it belongs."""

import json
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from genmodels.ui import photos
from genmodels.ui.widgets import errors_told

SIDE = 480  # Longer side of the photo as it is drawn on, in pixels.
MAX_HINTS = 200  # Dots on a board, fewer than a network takes: more would hide the photo.

Hint = tuple[int, int, str]  # Column and row in the photo, and a colour.

# The value is JSON: the colour that is chosen, and strokes, each a colour and its points from 0 to
# 1 across and down.
EMPTY = '{"colour": "#c0392b", "strokes": []}'

_HTML = """<div class="hints"><div class="row">
<label>Colour <input type="color" value="${JSON.parse(value).colour}"></label>
<button type="button" data-keep="-1">Undo</button>
<button type="button" data-keep="0">Clear</button>
</div>
<div class="board" style="--ratio: ${ratio}">
<img src="${photo}" alt="Your photo, to draw on" draggable="false">
${JSON.parse(value).strokes.map(([colour, points]) => points.map(([x, y]) =>
  '<i style="left: ' + 100 * x + '%; top: ' + 100 * y + '%; background: ' + colour + '"></i>'
).join('')).join('')}
</div></div>"""

# A stroke is points that are GAP apart; while it is drawn only dots are added, and the value, which
# draws the template anew, changes at its end.
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
    given: gr.JSON  # The hints; it changes with every stroke.
    emptied: Any  # The event after which another photo has no hints yet.


def build(photo: gr.File, default: str, *, visible: bool) -> Hints:
    """Lay it out inside an open tab, for the photo that is chosen there, or the default."""
    with gr.Accordion("Say which colour belongs where", open=False, visible=visible) as shown:
        gr.Markdown("Tap the photo where the colour belongs, or draw it.")
        board = gr.HTML(
            EMPTY, html_template=_HTML, js_on_load=_JS, elem_id="hint-board", photo="", ratio=1
        )
    hints = gr.JSON([], visible=False)

    @errors_told
    def laid(path: str | None) -> tuple[Any, list[Hint]]:
        return gr.HTML(value=EMPTY, **_grey(path or default)), []

    @errors_told
    def opened(path: str | None, value: str) -> tuple[Any, Any]:
        if read(value, (1, 1)):  # Folded to look at the picture, and back again.
            return gr.skip(), gr.skip()
        return laid(path)

    @errors_told
    def drawn(path: str | None, value: str) -> list[Hint]:
        return read(value, photos.size(path or default))

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    board.release(drawn, [photo, board], hints, **private)
    emptied = photo.change(laid, photo, [board, hints], **private)
    shown.expand(opened, [photo, board], [board, hints], **private)
    return Hints(shown, hints, emptied)


def read(value: str, size: tuple[int, int]) -> list[Hint]:
    """The hints of a board's value, which is anyone's, for a photo of (width, height).

    Errors: ValueError for another text, a place outside the photo, or too many points.
    """
    try:
        strokes = json.loads(value)["strokes"]
        points = [(float(x), float(y), str(code)) for code, own in strokes for x, y in own]
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        came = f"{value[:80]!r}"
        raise ValueError(f"strokes must be colours with their points, got {came}") from error
    if len(points) > MAX_HINTS:
        raise ValueError(f"a photo takes {MAX_HINTS} dots of colour at most, got {len(points)}")
    if not all(0 <= place < 1 for point in points for place in point[:2]):
        raise ValueError(f"a point must lie from 0 to below 1 in the photo, got {value[:80]!r}")
    return [(int(x * size[0]), int(y * size[1]), code) for x, y, code in points]


def _grey(path: str) -> dict[str, Any]:
    photo: Image.Image = photos.opened(path)
    return {
        "photo": photos.thumbnail(photo.convert("L"), SIDE),
        "ratio": photo.width / photo.height,
    }
