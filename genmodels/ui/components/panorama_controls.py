"""The controls of a panorama: the photo, the picture's size and position, kept consistent.

Values are named as the arguments of the tab's drawing, and `size` and `kept`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from genmodels.ui.components import address, photo_frame, sources, widgets
from genmodels.ui.components.sources import Source
from genmodels.ui.components.widgets import show_errors
from genmodels.ui.server import messages
from genmodels.ui.services import panoramas, photos, uploads
from genmodels.ui.services.models import Recipe
from genmodels.ui.services.panoramas import MODES, SIZES, Place
from genmodels.ui.services.photos import SCENES

EXACT = "Exact pixels"
KEEPING = ("extend", "wrap")  # What keeps the photo's own pixels where they lie.
SHARE_STEP = 0.05
DEFAULTS: dict[str, Any] = {
    "mode": next(iter(MODES)), "size": "3 : 1", "width": 0, "height": 0, "seed": 0, "share": 1,
    "place": photo_frame.MIDDLE, "mirror": False, "variety": 0.05, "uniqueness": 0.4, "kept": False,
}  # fmt: skip


class Controls(NamedTuple):
    """What a visitor can set."""

    source: Source
    place: gr.HTML
    mode: gr.Radio
    size: gr.Dropdown
    pixels: gr.Row  # Row with the width and the height, where these can be chosen.
    width: gr.Number
    height: gr.Number
    words: gr.Markdown  # How large the picture will be, and what becomes of the photo.
    share: gr.Slider
    seed_row: widgets.SeedRow
    mirror: gr.Checkbox
    variety: gr.Slider
    uniqueness: gr.Slider

    def drawn_by(self) -> dict[str, Any]:
        """The arguments of a drawing after the photo, in their order."""
        return {
            name: control for name, control in self.named().items() if name not in ("size", "kept")
        }

    def named(self) -> dict[str, Any]:
        """All that has a value, by name."""
        seeds = {"seed": self.seed_row.seed, "kept": self.seed_row.kept}
        return {name: getattr(self, name, None) or seeds[name] for name in DEFAULTS}

    def outputs(self) -> list[Any]:
        """What `shown` sets."""
        return [self.pixels, self.words, *self.named().values()]


def build() -> Controls:
    """Lay them out inside an open tab, for the first scene."""
    scene = Image.open(SCENES[0])  # Ours: it needs no check, and no torch.
    width, height = panoramas.size_of(DEFAULTS["size"], scene.size)
    where = Place(width, height, 1, 0.5, 0.5)
    source = sources.build(SCENES, "panorama")
    place = photo_frame.build(scene, where)
    mode = gr.Radio(
        list(MODES), value=DEFAULTS["mode"], label="Mode", show_label=False, container=False
    )
    size = gr.Dropdown([*SIZES, EXACT], value=DEFAULTS["size"], label="Size")
    with gr.Row(visible=False) as pixels:
        columns = gr.Number(width, label="Width", precision=0, min_width=100)
        rows = gr.Number(height, label="Height", precision=0, min_width=100)
    words = photo_frame.in_words("The example", scene.size, where, by_shape=True)
    told = gr.Markdown(words, elem_id="panorama-size", container=True)
    share = gr.Slider(SHARE_STEP, 1, 1, step=SHARE_STEP, label="Scale of the photo", buttons=[])
    seed_row = widgets.seed_row()
    with gr.Accordion("More", open=False):
        mirror = gr.Checkbox(False, label="Use mirrored parts")
        variety = gr.Slider(0, 1, 0.05, step=0.05, label="Variety", buttons=[])
        uniqueness = gr.Slider(0, 2, 0.4, step=0.1, label="Avoid repetition", buttons=[])
    chosen = (source, place, mode, size, pixels, columns, rows, told, share)
    controls = Controls(*chosen, seed_row, mirror, variety, uniqueness)
    _keep_in_step(controls)
    return controls


def shown(photo: str | None, values: Mapping[str, Any]) -> list[Any]:
    """What the controls show for a photo, or the first scene: `Controls.outputs`.

    Errors: ValueError for a size or a place that cannot be.
    """
    original = photos.opened(photo or SCENES[0])
    values = dict(values)
    is_exact = values["size"] == EXACT
    if not is_exact:
        values["width"], values["height"] = panoramas.size_of(values["size"], original.size)
    where = _place(values)
    name = "Your photo" if photo else "The example"
    lies = where if MODES[values["mode"]] in KEEPING else where._replace(share=1)
    words = photo_frame.in_words(name, original.size, lies, by_shape=_is_shape(values["size"]))
    set_to = dict(values) | {"place": photo_frame.update(original, where)}
    return [gr.update(visible=is_exact), words, *(set_to[name] for name in DEFAULTS)]


def of_recipe(recipe: Recipe, photo: tuple[int, int] | None) -> dict[str, Any]:
    """The values that draw a recipe's picture from a photo of (width, height), as far as known.

    Errors: ValueError for a picture that no visitor of this page could have drawn.
    """
    settings, image = recipe["settings"], recipe.get("image")
    modes = {mode: name for name, mode in MODES.items()}
    if image is None or settings.get("mode") not in modes:
        raise ValueError("the recipe of a panorama must say of what photo and in which way it is")
    size = (image["width"], image["height"])
    frame_size = (settings.get("width"), settings.get("height"))
    if not all(type(side) is int and side > 0 for side in (*size, *frame_size)):
        raise ValueError(f"a panorama and its photo must have pixels, got {frame_size} and {size}")
    names = [name for name in SIZES if photo and panoramas.size_of(name, photo) == frame_size]
    values = DEFAULTS | {
        "mode": modes[settings["mode"]],
        "size": names[0] if names else EXACT,
        "width": frame_size[0],
        "height": frame_size[1],
        "seed": recipe["seed"],
        "kept": True,
    }
    values |= {name: settings[name] for name in ("mirror", "variety") if name in settings}
    if settings["mode"] in KEEPING:
        values["uniqueness"] = settings.get("uniqueness", DEFAULTS["uniqueness"])
        spare = [room - side for room, side in zip(frame_size, size, strict=True)]
        at = [settings.get("left"), settings.get("top")]
        if not all(type(x) is int and 0 <= x <= most for x, most in zip(at, spare, strict=True)):
            raise ValueError(f"the photo must lie in the panorama, got {str(at)[:80]}")
        lies = [x / most if most else 0.5 for x, most in zip(at, spare, strict=True)]
        values |= {"place": str(lies), "share": _share(size, frame_size, photo or size)}
    elif photo and panoramas.fitted(photo, Place(*frame_size, 1, 0.5, 0.5)) != size:
        raise ValueError(f"a photo of {photo} pixels would not be read at {size}, as it was here")
    return values


def check(controls: Controls, values: Mapping[str, Any]) -> None:
    """ValueError for values that no visitor could have set."""
    address.check(controls.named(), values)
    panoramas.check(_place(values))


def photo_of(recipe: Recipe, keys: Sequence[str]) -> tuple[str, str | None] | None:
    """The key and the path of the photo of a recipe's panorama, of the visitor's or the scenes.

    The first scene has no path: it is what is drawn where there is no photo.
    """
    uploaded = uploads.find(keys, lambda path: is_of(recipe, path))
    if uploaded is not None:
        return uploaded
    scene = next((each for each in SCENES if is_of(recipe, str(each))), None)
    if scene is None:
        return None
    if scene == SCENES[0]:
        return "", None
    path = photos.copied(scene)
    return uploads.keep(path), path


def is_of(recipe: Recipe, path: str) -> bool:
    """Whether a recipe's panorama was drawn from the photo, which is resized before that."""
    from genmodels.hub.recipe import pixels_sha256  # Brings torch.

    try:
        of_recipe(recipe, photos.size(path))
    except ValueError:
        return False
    image = recipe["image"]
    photo = photos.opened(path).resize((image["width"], image["height"]), Image.Resampling.LANCZOS)
    return pixels_sha256(photo) == image["sha256"]


def _keep_in_step(controls: Controls) -> None:
    """The frame and the words follow the photo, the way, the size and the share."""
    named = controls.named()

    @show_errors
    def moved(photo: str | None, *given: Any) -> list[Any]:
        values = dict(zip(named, given, strict=True))
        try:
            updates = shown(photo, values)
        except ValueError as error:  # A number that is still being typed.
            return [gr.skip(), messages.plain(str(error)), *(gr.skip() for _ in named)]
        if values["size"] == EXACT:
            return updates[:2] + [
                updates[2 + i] if n == "place" else gr.skip() for i, n in enumerate(named)
            ]
        moving = ("width", "height", "place")
        return updates[:2] + [
            updates[2 + i] if n in moving else gr.skip() for i, n in enumerate(named)
        ]

    changes = [controls.mode.input, controls.size.input, controls.share.input]
    gr.on(
        [*changes, controls.width.input, controls.height.input],
        moved,
        [controls.source.photo, *named.values()],
        controls.outputs(),
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )


def _place(values: Mapping[str, Any]) -> Place:
    where = Place(
        values["width"], values["height"], values["share"], *photo_frame.place(values["place"])
    )
    panoramas.check(where)
    return where


def _is_shape(size: str) -> bool:
    """Whether a size says how wide for its height, and not how many pixels."""
    return size != EXACT and max(SIZES[size]) < 100


def _share(size: tuple[int, int], room: Sequence[int], photo: tuple[int, int]) -> float:
    """How large a photo is in a picture if it is to come out at a size: a step if one fits."""
    whole = min(room[0] / photo[0], room[1] / photo[1])
    low, high = (
        limit((a + half) / b for a, b in zip(size, photo, strict=True)) / whole
        for limit, half in ((max, -0.5), (min, 0.5))
    )
    steps = [round(SHARE_STEP * i, 2) for i in range(1, round(1 / SHARE_STEP) + 1)]
    for share in (*(step for step in steps if low <= step <= high), min(1.0, (low + high) / 2)):
        if share > 0 and panoramas.fitted(photo, Place(room[0], room[1], share, 0.5, 0.5)) == size:
            return share
    raise ValueError(f"a photo of {photo} pixels does not come out at {size} in {tuple(room)}")
