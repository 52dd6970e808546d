"""Shared by tabs: the seed row, and how errors are shown."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import gradio as gr
import pydantic

from genmodels.ui.server import messages
from genmodels.ui.server.queues import LIGHT

P = ParamSpec("P")
T = TypeVar("T")

IN_TURN: dict[str, Any] = LIGHT.turns  # Drawing is short: no one holds another up for long.
AT_ONCE: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}

MAX_SEED = 2**31 - 1

# Run in the browser: drawing a number is no reason to ask the server.
_ROLL = f"() => Math.floor(Math.random() * {MAX_SEED})"
_ROLL_UNLESS_KEPT = f"(seed, kept) => kept ? seed : Math.floor(Math.random() * {MAX_SEED})"
_KEEP = "() => true"

_STRICT = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)


class SeedRow(NamedTuple):
    """The seed, the dice that change it, and whether the next click on another button keeps it."""

    seed: gr.Number
    dice: gr.Button
    kept: gr.Checkbox

    def draw(self, trigger: Callable[..., Any]) -> Any:
        """On the trigger, put a new seed in place."""
        return trigger(None, None, self.seed, js=_ROLL)

    def draw_unless_kept(self, trigger: Callable[..., Any]) -> Any:
        """On the trigger, put a new seed in place unless it is to be kept."""
        return trigger(None, [self.seed, self.kept], self.seed, js=_ROLL_UNLESS_KEPT)


def seed_row() -> SeedRow:
    """A typed seed locks itself, or the next click would discard it."""
    with gr.Row(elem_classes="seed-row"):
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=110)
        dice = gr.Button("Random", size="md", scale=0, min_width=122, elem_classes="dice")
        kept = gr.Checkbox(label="Keep", scale=0, min_width=72)
    seed.input(None, None, kept, js=_KEEP)
    return SeedRow(seed, dice, kept)


def picked(things: Sequence[T], event: gr.SelectData) -> T:
    """Which of these was selected; ValueError for a number beyond, which anyone can send."""
    if not event.index < len(things):
        raise ValueError(f"there are {len(things)} to select from, got number {event.index}")
    return things[event.index]


def show_errors(handler: Callable[P, T]) -> Callable[P, T]:
    """Wrap a handler so that a ValueError is shown to the visitor; other errors are bugs.

    Its arguments are checked against their annotations first, since they are untrusted.
    """
    checked = pydantic.validate_call(config=_STRICT)(handler)
    names = list(inspect.signature(handler).parameters)

    @functools.wraps(handler)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _errors_as_messages(names):
            return checked(*args, **kwargs)

    @functools.wraps(handler)
    def run_generator(*args: P.args, **kwargs: P.kwargs) -> Any:
        with _errors_as_messages(names):
            yield from cast("Iterator[Any]", checked(*args, **kwargs))

    return run_generator if inspect.isgeneratorfunction(handler) else run


@contextmanager
def _errors_as_messages(names: list[str]) -> Iterator[None]:
    """Show a ValueError as a message; `names` are the handler's arguments in order."""
    try:
        yield
    except gr.Error:
        raise  # Already a message.
    except pydantic.ValidationError as error:
        raise messages.refusal(messages.misfit(error, names)) from error
    except ValueError as error:
        raise messages.refusal(str(error)) from error
