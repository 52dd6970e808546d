"""What is sent to the handlers: refused in a sentence unless their components can hold it."""

import base64
import io
import itertools

import pytest
from PIL import Image

from genmodels.hub import recipe
from tests.support.visitor import Visitor

HOLDS_FILES = ("file", "image", "gallery", "imageslider", "downloadbutton", "video")
FOREIGN = ("TIFF", "TGA", "JPEG2000", "PPM", "ICO", "PCX", "SGI", "ICNS", "DDS", "IM", "MSP")
# What no control of the page can hold, by kind.
WRONG = {
    "number": ["7", True, [], {}, "NaN", 1e308, 10**400, -1],
    "slider": ["7", True, None, [], {}, 1e308, 10**400, -1e9],
    "checkbox": ["yes", 1, None, [], {}],
    "radio": ["none of them", None, 7, [], {}, True],
    "dropdown": ["none of them", None, 7, {}, True, ["x"]],
    "textbox": [7, [], {}, True, "x" * 30_000, "half of \ud83d"],
    "html": [7, [], {}, True, "x" * 30_000, "half of \ud83d", "[" * 20_000],
    "file": ["/etc/passwd", 7, {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
    "image": ["/etc/passwd", 7, [], {}, {"path": None}, {"url": "data:image/png;base64,AAAA"}],
    "gallery": ["/etc/passwd", 7, [7], [{"image": {"path": "/etc/passwd"}}], [[]] * 200],
    "json": [
        "a folder",
        7,
        True,
        {"__type__": "update", "value": "<b>"},
        {"half of \ud83d": []},
        {"path": "http://127.0.0.1:1/x", "meta": {"_type": "gradio.FileData"}},
    ],
}


@pytest.fixture(scope="module")
def visitor(app_address):
    return Visitor(app_address)


def encoded(format_name):
    file = io.BytesIO()
    mode = "1" if format_name == "MSP" else "RGB"
    Image.new("RGB", (32, 32), "red").convert(mode).save(file, format_name)
    return file.getvalue()


def is_sentence(told):
    """Whether that is what a person is told: by the refusal, or by words among what is shown."""
    if isinstance(told, list):
        return any(map(is_sentence, told))
    if isinstance(told, dict):  # A report on images says why they cannot be read.
        return is_sentence(told.get("reasons"))
    return isinstance(told, str) and len(told) > 12 and told.isprintable() and "<" not in told


def test_no_endpoint_decodes_an_image_of_another_format_whatever_its_name(visitor):
    contents = {name: encoded(name) for name in FOREIGN}
    files = {name: visitor.upload(content) for name, content in contents.items()}
    formats, asked = itertools.cycle(FOREIGN), set()  # Each in its turn.
    for event in visitor.events:
        for place, component in enumerate(visitor.inputs(event)):
            if component["type"] not in HOLDS_FILES or not event["backend_fn"]:
                continue
            name = next(formats)
            address = f"data:image/png;base64,{base64.b64encode(contents[name]).decode()}"
            for way, file in (("upload", files[name]), ("URL", files[name] | {"url": address})):
                values = visitor.values(event)
                values[place] = file
                if component["type"] == "gallery":
                    values[place] = [{"image": file, "caption": None}]
                elif component["props"].get("file_count") == "multiple":
                    values[place] = [file]
                selected = {"index": 0, "value": None}
                told = visitor.call(event, values, event_data=selected)
                assert is_sentence(told), (event["api_name"], name, told)
                asked.add((name, way))
    assert asked == set(itertools.product(FOREIGN, ("upload", "URL")))


@pytest.mark.parametrize("kind", WRONG)
def test_what_a_control_cannot_hold_is_refused_in_a_sentence(visitor, kind):
    asked = 0
    for event in visitor.events:
        places = [i for i, one in enumerate(visitor.inputs(event)) if one["type"] == kind]
        if not places or not event["backend_fn"]:
            continue
        for wrong in WRONG[kind]:
            values = visitor.values(event)
            values[places[0]] = wrong
            told = visitor.call(event, values, event_data={"index": 0, "value": None})
            is_any_number = kind == "number" and wrong == -1  # Some may be below 0.
            assert is_sentence(told) or is_any_number, (event["api_name"], wrong, told)
            asked += 1
    assert asked


@pytest.mark.parametrize("data", [[], [None], {}, "x", None])
def test_lists_of_values_that_are_too_short_or_none_are_refused_in_a_sentence(visitor, data):
    assert is_sentence(visitor.call(visitor.event("cars_sample"), data))


@pytest.mark.parametrize(
    "chosen",
    [None, {}, [], "x", {"index": "0"}, {"index": -1, "value": 0}, {"index": 2**31, "value": 0}],
)
def test_an_event_that_says_not_what_was_selected_is_refused_in_a_sentence(visitor, chosen):
    told = [
        visitor.call(event, visitor.values(event), event_data=chosen)
        for event in visitor.events
        if event["targets"] and event["targets"][0][1] == "select" and event["collects_event_data"]
    ]
    assert len(told) >= 3
    assert all(map(is_sentence, told))


def test_no_handler_takes_a_picture_that_gradio_decodes_before(visitor):
    for event in visitor.events:
        for component in visitor.inputs(event):
            if component["type"] in ("image", "imageeditor", "imageslider"):
                assert component["props"].get("image_mode") is None


def test_a_strangers_link_puts_no_markup_on_the_page(visitor):
    forged = {"model": "<form action=//evil><input></form>", "weights_sha256": "0", "seed": 1}
    query = recipe.to_query({**forged, "settings": {}, "versions": {}})
    visitor.call(visitor.event("of_link"), [query, {"photos": []}])
    (told,) = visitor.warnings
    assert "&lt;form" in told
    assert is_sentence(told)
