"""gr.Blocks whose handlers see only what their components can hold, whoever sent it.

The page's own controls send nothing else; a call of the API can. What does not fit is refused in
a sentence, before Gradio or a handler acts on it: Gradio itself would fetch an address that stands
where a file should, decode any image that is written into one, and round NaN.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import anyio
import gradio as gr
import pydantic
from gradio.block_function import BlockFunction
from gradio.components import Component
from gradio.data_classes import GradioRootModel
from gradio.helpers import EventData
from gradio.state_holder import SessionState
from PIL import Image

from genmodels.ui.server import messages, work_folder
from genmodels.ui.server.messages import quoted

MAX_TEXT = 20_000  # Characters of a text box, or of an HTML component's value.
MAX_FILES = 64  # In one value.
MAX_DEPTH = 100  # Of lists and dicts in each other.

_SURROGATE = re.compile("[\ud800-\udfff]")

# What a handler raises that has a fault, or no memory or disk left.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class Blocks(gr.Blocks):
    """The page: see the module."""

    async def preprocess_data(
        self,
        block_fn: BlockFunction,
        inputs: list[Any],
        state: SessionState | None,
        explicit_call: bool = False,
    ) -> list[Any]:
        """As Gradio's, of values that have been checked."""
        state = state or SessionState(self)
        try:
            check(block_fn, inputs, state)
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except gr.Error as error:
            raise messages.refusal(error.message) from error
        except pydantic.ValidationError as error:
            raise messages.refusal(messages.misfit(error)) from error
        except ValueError as error:
            raise messages.refusal(str(error)) from error

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: Any, state: SessionState | None
    ) -> Any:
        """Like Gradio's, for pictures that are files: Gradio would rewrite one while it is read."""
        predictions = await anyio.to_thread.run_sync(_with_files, predictions)
        return await super().postprocess_data(block_fn, predictions, state)

    async def process_api(self, block_fn: BlockFunction | int, *args: Any, **given: Any) -> Any:
        """As Gradio's, of an event that has been checked."""
        block_fn = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        if block_fn.collects_event_data:
            check_event(given.get("event_data"))
        try:
            return await super().process_api(block_fn, *args, **given)
        except gr.Error:
            raise
        except _FAULTS as error:  # Loud in the log, but the visitor is told something, too.
            raise gr.Error(messages.FAULT) from error


def check(block_fn: BlockFunction, inputs: object, state: SessionState) -> None:
    """Raise `ValueError` unless each value is one that its component can hold."""
    blocks = block_fn.inputs
    if not isinstance(inputs, list) or len(inputs) < len(blocks):
        raise ValueError(f"data must be a list of {len(blocks)} values, got {quoted(inputs)}")
    _check_data(inputs)
    for block, value in zip(blocks, inputs, strict=False):  # More is ignored, as Gradio does.
        if isinstance(block, Component) and not block.stateful:
            current = state.get(block._id, block)  # As this visitor sees it.
            _check_value(current, value)


def check_event(event: EventData | None) -> None:
    """Raise an error that is told unless the event says which thing was selected."""
    data = None if event is None else event._data
    given = data if isinstance(data, dict) else {}
    index = given.get("index")
    if type(index) is not int or index < 0 or "value" not in given:
        raise messages.refusal(f"event_data must have an index and a value, got {quoted(data)}")


def _with_files(value: Any) -> Any:
    """What a handler gives, with the path of a PNG file in the place of each picture."""
    if isinstance(value, Image.Image):
        return work_folder.png(value, "picture")
    if isinstance(value, dict):
        return {name: _with_files(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_with_files(part) for part in value])
    return value


def _check_data(inputs: list[Any]) -> None:
    """Raise `ValueError` for what would not come back from a handler as it came in."""
    for part in _parts(inputs):
        if isinstance(part, str) and _SURROGATE.search(part):
            raise ValueError("text must be Unicode, got half of a character")
        if isinstance(part, dict) and "__type__" in part:
            raise ValueError(f"a value must not update its component, got {quoted(part)}")


def _check_value(block: Component, value: Any) -> None:
    name = getattr(block, "label", None) or block.elem_id or type(block).__name__
    for part in _dicts(value):
        if {"path", "meta"} <= set(part):  # Gradio takes it for a file, wherever it stands.
            _check_file(name, part)
    match block:
        case gr.Number() | gr.Slider():
            _check_number(name, block, value)
        case gr.Checkbox():
            _expect(type(value) is bool, name, "true or false", value)
        case gr.Radio() | gr.Dropdown():
            choices = [choice for _, choice in block.choices]
            chosen = value if isinstance(value, list) and _takes_many(block) else [value]
            shown = ", ".join(map(str, choices))
            _expect(
                all(_is_among(part, choices) for part in chosen), name, f"one of {shown}", value
            )
        case gr.Textbox() | gr.HTML():
            is_text = isinstance(value, str) and len(value) <= MAX_TEXT
            _expect(value is None or is_text, name, f"text of {MAX_TEXT} characters at most", value)
        case gr.JSON():  # Gradio would read a text as JSON, and fail when it is given back.
            is_json = value is None or isinstance(value, dict | list)
            _expect(is_json, name, "a list or an object", value)
        case _ if block.data_model is not None:
            _check_files(name, block, value)


def _takes_many(block: Component) -> bool:
    """Whether several choices of a dropdown can be made at once."""
    return bool(getattr(block, "multiselect", False))


def _check_number(name: str, block: gr.Number | gr.Slider, value: Any) -> None:
    if value is None and isinstance(block, gr.Number):
        return  # An empty field; the handler says whether it needs one.
    low = -math.inf if block.minimum is None else block.minimum
    high = math.inf if block.maximum is None else block.maximum
    whole = "whole number" if block.precision == 0 else "number"
    bounds = f" from {low} to {high}" if math.isfinite(high) else ""
    is_number = type(value) in (int, float) and abs(value) < 1e18  # Which NaN is not.
    fits = is_number and low <= value <= high
    if fits and block.precision == 0:
        fits = value == int(value)
    _expect(fits, name, f"a {whole}{bounds}", value)


def _check_files(name: str, block: Component, value: Any) -> None:
    """Check a component that holds files: every value that could be a file is one."""
    if value is None:
        return
    is_list = isinstance(block.data_model, type) and issubclass(block.data_model, GradioRootModel)
    _expect(isinstance(value, list if is_list else dict), name, "uploaded files", value)
    parts = value if is_list else [value]
    _expect(len(parts) <= MAX_FILES, name, f"{MAX_FILES} files at most", value)
    for part in parts:
        for entry in _dicts(part):
            if {"path", "url"} & set(entry) or (entry is value and isinstance(block, gr.Image)):
                _check_file(name, entry)


def _check_file(name: str, file: dict[str, Any]) -> None:
    """A file that lies in the work folder, which then counts as used now.

    Elsewhere it is no business of a visitor's; nor does the server fetch it from an address, or
    out of the text of one.
    """
    path, url = file.get("path"), file.get("url")
    expected = "a file that was brought to this page, or drawn on it, a short while ago"
    _expect(isinstance(file.get("meta"), dict), name, expected, file)
    _expect(not str(url).startswith("data:") and not file.get("is_stream"), name, expected, url)
    _expect(work_folder.own(path) is not None, name, expected, path)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (part for part in _parts(value) if isinstance(part, dict))


def _parts(value: Any, depth: int = 0) -> Iterator[Any]:
    """The value, and all that it holds; the names in a dict, too."""
    if depth > MAX_DEPTH:
        raise ValueError("a value is nested too deeply")
    yield value
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _parts(part, depth + 1)


def _is_among(value: Any, choices: list[Any]) -> bool:
    """Whether a value is one of the choices, of the same type: 1 is not True."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _expect(fits: bool, name: str, expected: str, value: Any) -> None:
    if not fits:
        raise ValueError(f"{name} must be {expected}, got {quoted(value)}")
