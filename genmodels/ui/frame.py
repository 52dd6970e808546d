"""The frame of a panorama: the picture to be, with the photo in it, to drag where it should lie."""

import json
from typing import Any

import gradio as gr
from PIL import Image

from genmodels.ui import panoramas, photos
from genmodels.ui.panoramas import Place

_HTML = """<div class="frame" style="aspect-ratio: ${ratio}; --ratio: ${ratio}">
<img src="${photo}" alt="Your photo in the picture" draggable="false"
  style="width: ${100 * w}%; height: ${100 * h}%;
    left: ${100 * (1 - w) * JSON.parse(value)[0]}%; top: ${100 * (1 - h) * JSON.parse(value)[1]}%">
</div>"""

# Pointer events are a mouse's and a finger's. While it is dragged only the picture's style changes;
# the value, which draws the template anew, changes at the end.
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
element.addEventListener('pointerup', () => {
  const place = from && from.place
  from = null
  if (!place) return
  props.value = JSON.stringify(place.map(x => Math.round(1000 * x) / 1000))
  trigger('release')
})
"""

MIDDLE = "[0.5, 0.5]"  # Across and down, each from 0 to 1.


def build(photo: Image.Image, where: Place) -> gr.HTML:
    """The frame; its value is where the photo lies, in the middle at first."""
    return gr.HTML(
        MIDDLE, html_template=_HTML, js_on_load=_JS, elem_id="frame", **_shown(photo, where)
    )


def update(photo: Image.Image, where: Place) -> Any:
    """The frame with another photo, size or share, and the photo in the middle again."""
    return gr.HTML(value=MIDDLE, **_shown(photo, where))


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
    except (TypeError, ValueError) as error:
        raise ValueError(f"the place must be two numbers from 0 to 1, got {value!r}") from error
    if not (0 <= across <= 1 and 0 <= down <= 1):
        raise ValueError(f"the place must be two numbers from 0 to 1, got {value!r}")
    return across, down
