"""What tabs share: the seed's row, and how errors are told."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import gradio as gr

from genmodels.ui.queues import LIGHT

P = ParamSpec("P")
T = TypeVar("T")

IN_TURN: dict[str, Any] = LIGHT.turns  # Drawing is short: no one holds another up for long.
AT_ONCE: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}

MAX_SEED = 2**31 - 1

# Run in the browser: drawing a number is no reason to ask the server.
_ROLL = f"() => Math.floor(Math.random() * {MAX_SEED})"
_ROLL_UNLESS_KEPT = f"(seed, kept) => kept ? seed : Math.floor(Math.random() * {MAX_SEED})"
_KEEP = "() => true"


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
        dice = gr.Button("Roll", size="md", scale=0, min_width=92, elem_classes="dice")
        kept = gr.Checkbox(label="Keep", scale=0, min_width=72)
    seed.input(None, None, kept, js=_KEEP)
    return SeedRow(seed, dice, kept)


def errors_told(handler: Callable[P, T]) -> Callable[P, T]:
    """The handler, telling a ValueError to the visitor; anything else is our fault and loud."""

    @functools.wraps(handler)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        with _telling():
            return handler(*args, **kwargs)

    @functools.wraps(handler)
    def told_on_the_way(*args: P.args, **kwargs: P.kwargs) -> Any:
        with _telling():
            yield from cast("Iterator[Any]", handler(*args, **kwargs))

    return told_on_the_way if inspect.isgeneratorfunction(handler) else told


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        text = str(error)
        raise gr.Error(text[:1].upper() + text[1:], print_exception=False) from error
