"""Two pictures of one size over each other, and a handle that says how much is seen of each.

The handle is a range input: a mouse, a finger and the arrow keys move it. That of Gradio's
ImageSlider takes a mouse alone, and its pictures have no words.
"""

from typing import NamedTuple

import gradio as gr

_HTML = """<figure class="compare" ${value ? '' : 'hidden'}>
<div class="pair">
<img class="before" src="${value ? value[0] : ''}" alt="${before}" draggable="false">
<img class="after" src="${value ? value[1] : ''}" alt="${after}" draggable="false">
<input type="range" min="0" max="100" step="any" aria-label="How much of each: ${before}, ${after}">
<span class="line"></span>
</div>
<button type="button" class="whole" aria-label="Fullscreen" title="Fullscreen"></button>
</figure>"""

# The pictures fill the screen as a popover, which no ancestor can cut or displace.
_JS = """
const figure = () => element.querySelector('.compare')
const place = () =>
  element.style.setProperty('--at', `${element.querySelector('input').value}%`)
element.addEventListener('input', place)
element.addEventListener('load', event => {
  const {naturalWidth, naturalHeight} = event.target
  if (naturalWidth) element.style.setProperty('--ratio', naturalWidth / naturalHeight)
}, true)
element.addEventListener('keydown', event => {
  const range = event.target, step = {ArrowLeft: -2, ArrowRight: 2, ArrowDown: -2, ArrowUp: 2,
    PageDown: -10, PageUp: 10}[event.key]
  if (range.type != 'range' || !step) return
  event.preventDefault()
  range.value = Number(range.value) + step
  place()
})
element.addEventListener('click', event => {
  if (!event.target.closest('.whole')) return
  const shown = figure(), isOpen = shown.matches(':popover-open')
  if (isOpen) return shown.hidePopover()
  shown.popover = 'auto'
  shown.showPopover()
  element.querySelector('input').focus()
})
element.addEventListener('toggle', event => {
  if (event.newState != 'closed') return
  figure().removeAttribute('popover')
  element.querySelector('.whole').focus()
}, true)
"""


class Compare(NamedTuple):
    """What a tab needs of it."""

    pair: gr.ImageSlider  # Out of sight: takes the two pictures, and gives them to the API.
    shown: gr.HTML


def build(before: str, after: str, elem_id: str) -> Compare:
    """Lay it out; `before` and `after` say what each picture is, to those who cannot see it."""
    pair = gr.ImageSlider(
        visible="hidden",
        interactive=False,
        type="filepath",
        format="png",
        image_mode=None,  # Or Gradio would decode it.
    )
    shown = gr.HTML(
        html_template=_HTML, js_on_load=_JS, before=before, after=after, elem_id=elem_id
    )
    urls = "pair => [pair && pair[0] ? pair.map(picture => picture.url) : null]"
    pair.change(None, pair, shown, js=urls, api_visibility="private")
    return Compare(pair, shown)
