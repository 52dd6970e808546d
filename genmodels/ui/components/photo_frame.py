"""The frame of a panorama: the picture to be, with the photo in it, to drag where it should lie."""

import json
from typing import Any

import gradio as gr
from PIL import Image

from genmodels.ui.services import panoramas, photos
from genmodels.ui.services.panoramas import Place

_HTML = """<div class="frame" style="aspect-ratio: ${ratio}; --ratio: ${ratio}">
<img src="${photo}" alt="Your photo in the picture" draggable="false" tabindex="0"
  role="application" aria-label="Your photo in the picture: the arrow keys move it"
  style="width: ${100 * w}%; height: ${100 * h}%;
    left: ${100 * (1 - w) * JSON.parse(value)[0]}%; top: ${100 * (1 - h) * JSON.parse(value)[1]}%">
</div>"""

# Pointer events are a mouse's and a finger's. While it is dragged only the picture's style changes;
# the value, which redraws the template, changes at the end.
_JS = """
let from = null
const clamp = x => Math.min(1, Math.max(0, x))
const share = (at, size, room) => room - size > 1 ? clamp(at / (room - size)) : 0.5
element.addEventListener('pointerdown', event => {
  const image = event.target.closest('.frame img')
  if (!image) return
  event.preventDefault()
  from = {image, x: event.clientX - image.offsetLeft, y: event.clientY - image.offsetTop}
  image.setPointerCapture(event.pointerId)
})
element.addEventListener('pointermove', event => {
  if (!from) return
  const {image} = from, room = image.parentElement
  const x = share(event.clientX - from.x, image.offsetWidth, room.clientWidth)
  const y = share(event.clientY - from.y, image.offsetHeight, room.clientHeight)
  image.style.left = `${x * (room.clientWidth - image.offsetWidth)}px`
  image.style.top = `${y * (room.clientHeight - image.offsetHeight)}px`
  from.place = [x, y]
})
const drop = () => {
  const place = from && from.place
  from = null
  if (!place) return
  props.value = JSON.stringify(place.map(x => Math.round(1000 * x) / 1000))
  trigger('release')
}
element.addEventListener('pointerup', drop)
// By keyboard, in fiftieths of the room, ten times as far with Shift.
const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}
element.addEventListener('keydown', event => {
  const step = steps[event.key]
  if (!step || !event.target.matches('.frame img')) return
  event.preventDefault()
  const far = event.shiftKey ? 0.2 : 0.02, room = [1 - props.w, 1 - props.h]
  const moved = (x, i) => room[i] > 0 ? clamp(x + far * step[i]) : x
  from = {place: JSON.parse(props.value).map(moved)}
  drop()
})
"""

MIDDLE = "[0.5, 0.5]"  # Across and down, each from 0 to 1.


def build(photo: Image.Image, where: Place) -> gr.HTML:
    """The frame; its value is where the photo lies."""
    value = written(where)
    return gr.HTML(
        value, html_template=_HTML, js_on_load=_JS, elem_id="frame", **_shown(photo, where)
    )


def update(photo: Image.Image, where: Place) -> Any:
    """The frame with another photo, size or share."""
    return gr.HTML(value=written(where), **_shown(photo, where))


def written(where: Place) -> str:
    """The frame's value for a place, as `place` reads it."""
    return json.dumps([where.across, where.down])


def in_words(name: str, photo: tuple[int, int], where: Place, *, by_shape: bool) -> str:
    """How large the picture will be, and what becomes of the photo of (width, height), and why.

    `name` is what the photo is called; `by_shape` says that only a shape was asked for.
    """
    size = panoramas.fitted(photo, where)
    result = f"Result: {where.width} x {where.height} px. "
    original, put = (f"{width} x {height}" for width, height in (photo, size))
    if size == photo:
        return f"{result}{name} keeps its {original} px."
    if size > photo:
        return f"{result}{name} ({original}) is enlarged to {put}, to fill it."
    reasons = []
    if by_shape and photo[1] > panoramas.HEIGHT:
        reasons.append(
            f"a picture of this shape is drawn {panoramas.HEIGHT} px high at most (choose "
            "*Exact pixels* for more)"
        )
    if where.share < 1:
        reasons.append(f"it is to take {where.share:.0%} of the room")
    why = " and ".join(reasons) or "it must fit into the picture"
    return f"{result}{name} ({original}) is reduced to {put}, because {why}."


def _shown(photo: Image.Image, where: Place) -> dict[str, Any]:
    width, height = panoramas.fitted(photo.size, where)
    return {
        "photo": photos.thumbnail(photo),
        "ratio": where.width / where.height,
        "w": width / where.width,
        "h": height / where.height,
    }


def place(value: str) -> tuple[float, float]:
    """Across and down, from the frame's value, which is anyone's."""
    try:
        across, down = (float(part) for part in json.loads(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"the place must be two numbers from 0 to 1, got {value!r}") from error
    if not (0 <= across <= 1 and 0 <= down <= 1):
        raise ValueError(f"the place must be two numbers from 0 to 1, got {value!r}")
    return across, down
