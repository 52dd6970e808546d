"""What comes back to the page: settings, keys of photos, recipes. All of it is anyone's."""

import json
import math

import gradio as gr
import pytest
from PIL import Image

from genmodels.hub.recipe import pixels_sha256
from genmodels.ui.components import address, hints, panorama_controls, saved_pictures
from genmodels.ui.components.address import Start
from genmodels.ui.services import panoramas, photos, uploads
from genmodels.ui.services.panoramas import Place
from genmodels.ui.tabs import panorama

CONTROLS = {
    "radio": gr.Radio(["a", 1]),
    "slider": gr.Slider(0, 1),
    "whole": gr.Number(precision=0, minimum=0),
    "tick": gr.Checkbox(),
    "text": gr.Textbox(),
}
FITTING = {"radio": "a", "slider": 0.5, "whole": 3, "tick": True, "text": ""}


def test_values_that_controls_can_have_are_taken():
    address.check(CONTROLS, FITTING)
    address.check(CONTROLS, FITTING | {"radio": 1, "slider": 1, "more": "is not looked at"})


@pytest.mark.parametrize(
    "value",
    [
        {"radio": "b"}, {"radio": True}, {"radio": ["a"]}, {"slider": 1.1}, {"slider": math.nan},
        {"slider": "0.5"}, {"slider": True}, {"whole": 2.5}, {"whole": -1}, {"whole": math.inf},
        {"tick": 1}, {"tick": None}, {"text": 5}, {"text": "x" * 20_001},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_its_control_cannot_have_is_refused_by_name(value):
    (name,) = value
    with pytest.raises(ValueError, match=f"setting {name} is not one of this page"):
        address.check(CONTROLS, FITTING | value)


def test_a_setting_that_is_missing_is_refused():
    with pytest.raises(ValueError, match="setting text"):
        address.check(CONTROLS, {name: FITTING[name] for name in list(FITTING)[:-1]})


def test_a_photo_is_found_by_its_key_until_it_is_gone(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")
    key = uploads.keep(str(tmp_path / "photo.png"))
    other = uploads.keep(str(tmp_path / "photo.png"))
    assert key != other
    assert uploads.path(key) == str(tmp_path / "photo.png")
    assert uploads.find(["unknown", key], lambda path: True) == (key, uploads.path(key))
    assert uploads.find([key], lambda path: False) is None
    (tmp_path / "photo.png").unlink()
    assert uploads.path(key) is None
    for guess in ("", str(tmp_path), "/etc/hostname"):
        assert uploads.path(guess) is None


def recipe_of(photo, where, mode="extend"):
    """As `panoramas.steps` writes it, without drawing."""
    is_kept = mode in panorama_controls.KEEPING
    width, height = panoramas.fitted(photo, where if is_kept else where._replace(share=1))
    settings = {"mode": mode, "width": where.width, "height": where.height, "mirror": False}
    if is_kept:
        settings["left"] = round((where.width - width) * where.across)
        settings["top"] = round((where.height - height) * where.down)
    image = {"sha256": "0" * 64, "width": width, "height": height}
    return {"image": image, "settings": settings, "seed": 3, "model": "patches"}


@pytest.mark.parametrize("photo", [(1280, 853), (853, 1280), (96, 60), (4000, 3000), (640, 426)])
@pytest.mark.parametrize("room", [(1296, 432), (1920, 1080), (333, 777)])
@pytest.mark.parametrize("share", [1, 0.75, 0.3, 0.05, 0.617])
def test_the_settings_of_a_recipe_put_the_photo_where_it_lay(photo, room, share):
    made = recipe_of(photo, Place(*room, share, 0.31, 0.77))
    values = panorama_controls.of_recipe(made, photo)
    place = Place(values["width"], values["height"], values["share"], *json.loads(values["place"]))
    again = recipe_of(photo, place)
    assert again["image"] == made["image"]
    assert again["settings"] == made["settings"]
    if share != 0.617 and share > 0.1:  # A step of the slider.
        assert values["share"] == share
    assert values["kept"]
    assert values["mirror"] is False


def test_without_the_photo_its_settings_are_known_nearly():
    made = recipe_of((1280, 853), Place(1296, 432, 0.5, 0.31, 0.77))
    values = panorama_controls.of_recipe(made, None)
    assert values["size"] == panorama_controls.EXACT
    assert values["share"] == 0.5
    assert panorama_controls.of_recipe(made, (1280, 853))["size"] == "3 : 1"


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"mode": "extend", "width": 100, "height": 100, "left": -1, "top": 0}},
        {"settings": {"mode": "extend", "width": "100", "height": 100}},
        {"settings": {"mode": "explode", "width": 100, "height": 100}},
        {"settings": {}},
        {"image": None},
        {"image": {"sha256": "", "width": 0, "height": 5}},
        {"image": {"sha256": "", "width": 5000, "height": 5000}},
    ],
    ids=str,
)
def test_a_recipe_that_no_visitor_could_have_made_is_refused(change):
    made = recipe_of((96, 60), Place(288, 96, 1, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"panorama|photo"):
        panorama_controls.of_recipe(made | change, (96, 60))


def test_what_is_drawn_again_after_a_reload_is_kept_until_it_is_there():
    with gr.Blocks():
        controls = panorama_controls.build()
    scene = photos.opened(photos.SCENES[0])
    recipe = recipe_of(scene.size, Place(240, 80, 1, 0.5, 0.5))
    size = (recipe["image"]["width"], recipe["image"]["height"])
    recipe["image"]["sha256"] = pixels_sha256(scene.resize(size, Image.Resampling.LANCZOS))
    recipe |= {"weights_sha256": "", "versions": {}}
    chosen = panorama_controls.DEFAULTS | {"size": "2 : 1", "width": 852, "height": 426}
    start = Start(settings=chosen, drawn=recipe)
    filled = panorama._filled(controls, start, {})
    assert recipe in filled  # For the browser, which may leave the page before it is drawn.


def test_a_board_of_colours_is_written_as_it_is_read():
    points = [(0, 0, "#c03020"), (59, 43, "#ffffff"), (31, 7, "#C0392B")]
    assert hints.read(hints.written(points, (60, 44)), (60, 44)) == points


@pytest.mark.parametrize("colour", ['red"><img src=x onerror=alert(1)>', "#12345", None, 5])
def test_a_colour_that_would_be_markup_is_refused(colour):
    strokes = [[colour, [[0.5, 0.5]]]]
    for state in (
        {"colour": "#c0392b", "strokes": strokes},
        {"colour": colour, "strokes": []},
    ):
        with pytest.raises(ValueError, match="a colour must be"):
            hints.read(json.dumps(state), (10, 10))


def test_a_picture_goes_to_the_tab_that_takes_it_and_others_are_named():
    takes = {
        "cars": lambda recipe: recipe["model"] == "cars",
        "panorama": lambda recipe: recipe["model"] == "patches",
    }
    assert saved_pictures.tab_of({"model": "patches"}, takes) == "panorama"
    with pytest.raises(ValueError, match="'x', which is not on this page"):
        saved_pictures.tab_of({"model": "x"}, takes)
    for nameless in ({}, {"model": 7}, {"model": "upscaler-x4", "image": {"recipe": {}}}):
        with pytest.raises(ValueError, match="does not say which model"):
            saved_pictures.tab_of(nameless, takes)
    trained = {"model": "singan-1a2b", "pipeline": "SinGANPipeline"}
    with pytest.raises(ValueError, match="singan-1a2b, a network that a visitor trained"):
        saved_pictures.tab_of(trained, takes)
