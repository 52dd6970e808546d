"""Panorama: one photo in, a picture of the wanted size out, from the photo's own patches."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import gradio as gr
from gradio.context import Context
from PIL import Image

from genmodels.ui import frame, panoramas, photos, singan_trainer, sources, widgets
from genmodels.ui.panoramas import MODES, SIZES, Place
from genmodels.ui.photos import SCENES
from genmodels.ui.widgets import AT_ONCE, errors_told

# A picture of some megapixels takes a while: nobody who draws cars should wait for it.
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "panorama", "concurrency_limit": 1}
EXACT = "Exact pixels"
FIRST_MODE, FIRST_SIZE = next(iter(MODES)), "3 : 1"


class Controls(NamedTuple):
    """What a visitor can set."""

    photo: gr.File
    place: gr.HTML
    mode: gr.Radio
    size: gr.Dropdown
    pixels: gr.Row
    width: gr.Number
    height: gr.Number
    share: gr.Slider
    seed_row: widgets.SeedRow
    mirror: gr.Checkbox
    variety: gr.Slider
    uniqueness: gr.Slider


def build(load: Callable[[str], Any]) -> None:
    """Lay out the tab inside an open gr.Tab; `load` gives the engine."""
    opened = cast("gr.Tab", Context.block)
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            result = gr.Image(
                show_label=False,
                interactive=False,
                type="filepath",
                format="png",
                buttons=["fullscreen"],
                alt_text="The panorama",
                elem_id="panorama",
            )
            strip = gr.HTML(visible=False, padding=False)
            words = gr.Markdown(elem_id="panorama-words")
            file = gr.DownloadButton("Download PNG", size="md", visible=False)
        with gr.Column():
            draw = gr.Button("Draw", variant="primary", size="lg", elem_id="draw-panorama")
            stop = gr.Button("Stop", size="lg", visible=False, elem_id="stop-panorama")
            controls = _controls()
        with gr.Column():
            with gr.Accordion("Before and after", open=True):
                slider = gr.ImageSlider(
                    show_label=False, interactive=False, type="filepath", elem_id="before-after"
                )
            with gr.Accordion("Its recipe", open=False):
                told = gr.JSON(show_label=False, container=False, open=True)
            singan_trainer.build(controls.photo)
            with gr.Accordion("How it works", open=False):
                gr.Markdown(Path(__file__).with_name("panorama.md").read_text())

    @errors_told
    def panorama(
        photo: str | None,
        mode: str = FIRST_MODE,
        width: int = 1024,
        height: int = 384,
        seed: int = 0,
        share: float = 1.0,
        place: str = frame.MIDDLE,
        mirror: bool = True,
        variety: float = 0.05,
        uniqueness: float = 0.4,
    ) -> Iterator[tuple[Any, ...]]:
        """Draw a panorama; it comes from coarse to fine, at last as a PNG file with its recipe.

        photo: an image file; none takes an example. share: how large the photo is in the picture,
        1 as large as fits; place: where it lies, "[across, down]", from 0 to 1 each.
        """
        start = time.monotonic()
        original = photos.opened(photo or SCENES[0])
        where = Place(width, height, share, *frame.place(place))
        settings: dict[str, Any] = {"mirror": mirror, "variety": variety}
        if MODES[mode] in ("extend", "wrap"):
            settings["uniqueness"] = uniqueness
        steps = panoramas.steps(load("patches"), original, MODES[mode], where, seed, **settings)
        spent = "drawn before"
        for picture, recipe in steps:
            if recipe is None:
                yield picture, "Drawing ...", *(gr.skip() for _ in range(4))
                spent = f"{time.monotonic() - start:.1f} s"
        told = f"{width} x {height} pixels, seed {seed}, {spent}"
        pair = panoramas.before(original, recipe), picture
        done = gr.update(value=picture, visible=True)
        yield picture, told, done, recipe, pair, _strip(picture, MODES[mode])

    def panorama_open(words: str) -> Iterator[tuple[Any, ...]]:
        """What a visitor sees first: the first scene, which is kept for the next visitor."""
        if words:
            return  # It is not the first time.
        size = panoramas.size_of(FIRST_SIZE, photos.opened(SCENES[0]).size)
        yield from panorama(None, FIRST_MODE, *size)

    _keep_in_frame(controls)
    chosen = [controls.photo, controls.mode, controls.width, controls.height]
    chosen += [controls.seed_row.seed, controls.share, controls.place]
    chosen += [controls.mirror, controls.variety, controls.uniqueness]
    shown = [result, words, file, told, slider, strip]
    running = {"show_progress": "minimal", "show_progress_on": result, **ONE_AT_A_TIME}
    within = {"api_visibility": "private", **running}
    seed_row = controls.seed_row
    seed_row.seed.submit(panorama, chosen, shown, api_name="panorama", **running)
    clicked = seed_row.draw_unless_kept(draw.click)
    rolled = seed_row.draw(seed_row.dice.click)
    drawings = []
    for chosen_seed in (clicked, rolled):
        begun = chosen_seed.then(_running, None, [draw, stop], **AT_ONCE)
        drawings.append(begun.then(panorama, chosen, shown, **within))
        drawings[-1].then(_idle, None, [draw, stop], **AT_ONCE)
    stop.click(_idle, None, [draw, stop], cancels=drawings, **AT_ONCE)
    opened.select(panorama_open, words, shown, **within)


def _controls() -> Controls:
    scene = Image.open(SCENES[0])  # Ours: it needs no check, and no torch.
    width, height = panoramas.size_of(FIRST_SIZE, scene.size)
    photo = sources.build(SCENES, "panorama")
    place = frame.build(scene, Place(width, height, 1, 0.5, 0.5))
    mode = gr.Radio(list(MODES), value=FIRST_MODE, show_label=False, container=False)
    size = gr.Dropdown([*SIZES, EXACT], value=FIRST_SIZE, label="Size")
    with gr.Row(visible=False) as pixels:
        columns = gr.Number(width, label="Width", precision=0, min_width=100)
        rows = gr.Number(height, label="Height", precision=0, min_width=100)
    share = gr.Slider(0.25, 1, 1, step=0.05, label="Size of the photo in it", buttons=[])
    seed_row = widgets.seed_row()
    with gr.Accordion("More", open=False):
        mirror = gr.Checkbox(True, label="Use mirrored parts of the photo, too")
        variety = gr.Slider(0, 1, 0.05, step=0.05, label="Variety", buttons=[])
        uniqueness = gr.Slider(
            0, 2, 0.4, step=0.1, label="Repeat less of what is there once", buttons=[]
        )
    chosen = (photo, place, mode, size, pixels, columns, rows, share)
    return Controls(*chosen, seed_row, mirror, variety, uniqueness)


def _keep_in_frame(controls: Controls) -> None:
    """The frame shows the photo, the size and the share, whichever of them changes."""
    photo, size, share = controls.photo, controls.size, controls.share
    pixels = [controls.width, controls.height]

    @errors_told
    def sized(photo: str | None, size: str, width: int, height: int, share: float) -> Any:
        original = photos.opened(photo or SCENES[0])
        asked: tuple[Any, Any] = gr.skip(), gr.skip()  # What is being typed must stay.
        if size != EXACT:
            asked = width, height = panoramas.size_of(size, original.size)
        where = Place(width, height, share, 0.5, 0.5)
        panoramas.check(where)
        return gr.update(visible=size == EXACT), *asked, frame.update(original, where)

    framed = [photo, size, *pixels, share]
    outputs = [controls.pixels, *pixels, controls.place]

    # Queued, as an error would not be told otherwise.
    told: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    for change in (photo.change, size.change, share.release, *(one.submit for one in pixels)):
        change(sized, framed, outputs, **told)


def _running() -> tuple[Any, Any]:
    return gr.update(visible=False), gr.update(visible=True)


def _idle() -> tuple[Any, Any]:
    return gr.update(visible=True), gr.update(visible=False)


def _strip(path: str, mode: str) -> Any:
    """A strip that goes round, for a picture whose ends meet."""
    if mode != "wrap":
        return gr.update(visible=False)
    style = f"background-image: url('gradio_api/file={path}')"
    return gr.update(value=f'<div class="strip" style="{style}"></div>', visible=True)
