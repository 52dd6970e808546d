"""Panorama: one photo in, a picture of the wanted size out, from the photo's own patches."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from genmodels.ui.assets import ASSETS
from genmodels.ui.components import address, compare, panorama_controls, photo_frame, singan_trainer
from genmodels.ui.components.address import Start, Visit
from genmodels.ui.components.panorama_controls import DEFAULTS, KEEPING, Controls
from genmodels.ui.components.widgets import AT_ONCE, show_errors
from genmodels.ui.services import panoramas, photos, pictures, uploads
from genmodels.ui.services.models import Recipe
from genmodels.ui.services.panoramas import MODES, Place
from genmodels.ui.services.photos import SCENES

MODEL = "patches"
# A picture of some megapixels takes a while: drawing cars should not wait for it.
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "panorama", "concurrency_limit": 1}
BUSY = (gr.update(visible=False), gr.update(visible=True))  # The buttons that draw and stop.
IDLE = (gr.update(visible=True), gr.update(visible=False))
NOTHING = (None, "", gr.update(visible=False))  # Where there is no picture.


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: a panorama."""
    return recipe["model"] == MODEL


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside an open gr.Tab; `load` gives the engine."""
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            notice = gr.Markdown(visible=False, elem_id="panorama-notice")
            result = gr.Image(
                show_label=False,
                interactive=False,
                type="filepath",
                image_mode=None,  # It comes back as an input, and Gradio must not decode it.
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
            controls = panorama_controls.build()
        with gr.Column():
            with gr.Accordion("Before and after", open=True):
                pair, _ = compare.build("The photo in its place", "The panorama", "before-after")
            with gr.Accordion("Recipe", open=False):
                made_by = gr.JSON(show_label=False, container=False, open=True)
            singan_trainer.build(controls.source.photo, visit.job)
            with gr.Accordion("How it works", open=False):
                gr.Markdown((ASSETS / "panorama.md").read_text())
    by_name = gr.Button(visible=False)  # Nobody sees it: its click is the API's `/panorama`.
    key = gr.Textbox(visible=False)  # Key of the visitor's photo.
    wanted = gr.JSON(visible=False)  # The recipe of a saved picture that is to be drawn again.
    again = gr.JSON(visible=False)  # What the tab opens with, where the controls say otherwise.
    turn = gr.JSON(visible=False)  # Another one: another picture is to be drawn.
    current = gr.State({})  # Its turn, for a drawing to see whether it is still asked for.
    finished = gr.State(NOTHING)  # What was drawn last: picture, words and file.

    @show_errors
    def panorama(
        photo: str | None,
        mode: str = DEFAULTS["mode"],
        width: int = 1024,
        height: int = 384,
        seed: int = 0,
        share: float = 1.0,
        place: str = photo_frame.MIDDLE,
        mirror: bool = False,
        variety: float = 0.05,
        uniqueness: float = 0.4,
    ) -> Iterator[tuple[Any, ...]]:
        """Draw a panorama; it comes from coarse to fine, at last as a PNG file with its recipe.

        photo: an image file; none takes an example. share: how large the photo is in the picture,
        1 as large as fits; place: where it lies, "[across, down]", from 0 to 1 each.
        """
        start = time.monotonic()
        original = photos.opened(photo or SCENES[0])
        where = Place(width, height, share, *photo_frame.place(place))
        settings: dict[str, Any] = {"variety": variety}
        if MODES[mode] != "retarget":  # That keeps the photo's order: a mirror gives it no axis.
            settings["mirror"] = mirror
        if MODES[mode] in KEEPING:
            settings["uniqueness"] = uniqueness
        steps = panoramas.steps(load(MODEL), original, MODES[mode], where, seed, **settings)
        spent = "as drawn before"
        for picture, recipe in steps:
            if recipe is None:  # Not finished: there is nothing to download.
                hidden = gr.update(visible=False)
                yield picture, "Drawing ...", hidden, *(gr.skip() for _ in range(3))
                spent = f"{time.monotonic() - start:.1f} s"
        words = f"{width} x {height} pixels, seed {seed}, {spent}. "
        words += f"[Share link]({pictures.link(recipe)})"
        both = panoramas.before(original, recipe), picture
        done = gr.update(value=picture, visible=True)
        yield picture, words, done, recipe, both, _strip(picture, MODES[mode])

    @show_errors
    def drawn(
        turn: Any,
        current: Any,
        again: Any,
        photo: str | None,
        *given: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """What the controls ask for, or what the tab opens with, until another is asked for."""
        if again is not None:  # It was with the browser in between.
            _check_again(again)
            address.check(controls.drawn_by(), again["settings"])
            photo = uploads.path(again["photo"])
            given = tuple(again["settings"][name] for name in controls.drawn_by())
        for shown in panorama(photo, *given):
            if current != turn:
                return
            is_done = isinstance(shown[3], dict) and "model" in shown[3]
            yield *shown, *((shown[:3], *IDLE) if is_done else (gr.skip(), *BUSY))

    chosen = [controls.source.photo, *controls.drawn_by().values()]
    shown, last = [result, words, file, made_by, pair, strip], [result, words, file]
    running = {"show_progress": "minimal", "show_progress_on": result, **ONE_AT_A_TIME}
    by_name.click(panorama, chosen, shown, api_name="panorama", **running)

    buttons = [draw, stop]
    inputs, outputs = [turn, current, again, *chosen], [*shown, finished, *buttons]
    drawing = turn.change(drawn, inputs, outputs, api_visibility="private", **running)
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    drawing.success(pictures.settled, [wanted, made_by], [wanted, notice], **private)
    stop.click(None, None, None, cancels=drawing)
    # What failed or was stopped leaves what was drawn before.
    restored = [*last, *buttons]
    drawing.failure(lambda last: (*last, *IDLE), finished, restored, **AT_ONCE)

    def draw_after(event: Any) -> None:
        event(_begin, current, [*buttons, again, turn], **AT_ONCE)

    seed_row = controls.seed_row
    draw_after(seed_row.draw_unless_kept(draw.click).then)
    draw_after(seed_row.draw(seed_row.dice.click).then)
    draw_after(seed_row.seed.submit)

    @show_errors
    def brought(photo: str, wanted: Any, *given: Any) -> list[Any]:
        """Another photo: in the middle, or where it lay in the saved picture that wants it."""
        values = dict(zip(controls.named(), given, strict=True)) | {"place": photo_frame.MIDDLE}
        recipe = None if wanted is None else pictures.checked(wanted, [MODEL])
        if recipe is not None and panorama_controls.is_of(recipe, photo):
            values = panorama_controls.of_recipe(recipe, photos.size(photo))
        return [uploads.keep(photo), *panorama_controls.shown(photo, values)]

    bring = [controls.source.photo, wanted, *controls.named().values()]
    settled = [key, *controls.outputs()]
    for taken in controls.source.taken:
        draw_after(taken.success(brought, bring, settled, **private).success)
    empty = [*last, pair, strip, finished]
    state = [controls.source.photo, key, wanted, notice, made_by]
    visit.opens(
        functools.partial(_filled, controls),
        [*empty, *state, *controls.outputs(), *buttons, again, turn],
        [current],
        show_progress="hidden",
    )
    visit.keep(controls.named() | {"photo": key}, drawn=made_by)
    visit.keep_photo(key)


def _filled(controls: Controls, start: Start, current: Any) -> tuple[Any, ...]:
    """What the tab opens with: a recipe's picture, that of before a reload, or the first scene's.

    Nothing is drawn where the photo is not here: then the page says which one it needs.
    """
    values: dict[str, Any] = dict(DEFAULTS)
    key, photo, notice = "", None, None
    wanted, again, made_by = start.recipe, None, gr.skip()
    if start.recipe is not None:
        located = panorama_controls.photo_of(pictures.checked(start.recipe, [MODEL]), start.photos)
        size = None if located is None else photos.size(located[1] or SCENES[0])
        values = panorama_controls.of_recipe(start.recipe, size)
        key, photo = located or ("", None)
        notice = pictures.wanting(start.recipe) if located is None else None
        made_by = start.recipe if located is None else made_by
    elif start.settings:
        values = {name: start.settings.get(name) for name in DEFAULTS}
        key = str(start.settings.get("photo") or "")
        photo = uploads.path(key)
        notice = uploads.GONE if key and photo is None else None
        if start.drawn is not None and notice is None:
            again = _drawn_before(controls, start)
            if again is not None:
                made_by = start.drawn  # Kept while it is drawn again: the page may be left before.
            elif photo is None:
                wanted = made_by = start.drawn
                notice = pictures.wanting(wanted)
    if start.recipe is not None or start.settings:
        panorama_controls.check(controls, values)
    shown = panorama_controls.shown(photo, values)
    hidden, is_drawn = gr.update(visible=False), notice is None
    empty = [gr.skip()] * 6 if is_drawn else [*NOTHING, None, hidden, NOTHING]
    notice_update = gr.update(value=notice, visible=not is_drawn)
    *buttons, _, turn = _begin(current)
    if not is_drawn:
        buttons, turn = [*IDLE], gr.skip()
    return *empty, photo, key, wanted, notice_update, made_by, *shown, *buttons, again, turn


def _drawn_before(controls: Controls, start: Start) -> dict[str, Any] | None:
    """The photo's key and the settings of what was drawn before a reload, if its photo is here."""
    recipe = pictures.checked(start.drawn, [MODEL])
    located = panorama_controls.photo_of(recipe, start.photos)
    if located is None:
        return None
    values = panorama_controls.of_recipe(recipe, photos.size(located[1] or SCENES[0]))
    return {"photo": located[0], "settings": {name: values[name] for name in controls.drawn_by()}}


def _check_again(again: Any) -> None:
    """Check the browser's record of an earlier drawing: a photo's key and settings."""
    parts = again if isinstance(again, dict) else {}
    is_key = isinstance(parts.get("photo"), str | None)
    if not is_key or not isinstance(parts.get("settings"), dict):
        raise ValueError("what was drawn before cannot be read: press Draw")


def _begin(current: Any) -> tuple[Any, ...]:
    """Another turn, which ends the one before; what the tab opened with is no longer asked for."""
    current["begun"] = time.time()
    return *BUSY, None, dict(current)


def _strip(path: str, mode: str) -> Any:
    """A strip that goes round, for a picture whose ends meet."""
    if mode != "wrap":
        return gr.update(visible=False)
    style = f"background-image: url('gradio_api/file={path}')"
    return gr.update(value=f'<div class="strip" style="{style}"></div>', visible=True)
