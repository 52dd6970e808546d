"""What a visitor is told never becomes markup, a line of the log, or a copy of what came."""

import gradio as gr
import pytest

from genmodels.ui.components import widgets
from genmodels.ui.server import messages


def test_a_message_is_no_markup():
    told = messages.plain('it was made by <form action="//evil"><input></form> & co.')
    assert told == 'It was made by &lt;form action="//evil"&gt;&lt;input&gt;&lt;/form&gt; &amp; co.'


@pytest.mark.parametrize("sneaked", ["\n", "\r", "\x1b[2K", "\x00", "\u2028", "\u202e", "\x85"])
def test_a_message_is_one_line_of_what_can_be_printed(sneaked):
    told = messages.plain(f"got x{sneaked}ERROR: forged")
    assert told.isprintable()
    assert "x ERROR" in told.replace("x [2K", "x ")


@pytest.mark.parametrize(
    "text",
    [
        "the model must be one of a, b, got " + "x" * 9000,
        f"it was made by {'y' * 9000!r}, not here",
    ],
)
def test_a_message_quotes_at_most_200_characters_of_what_came(text):
    told = messages.plain(text)
    assert max(told.count("x"), told.count("y")) <= 202
    assert "..." in told


def test_what_cannot_be_quoted_is_named():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert messages.quoted(deep) == "a list too large to quote"
    assert messages.quoted(10**5000) == "a int too large to quote"
    assert len(messages.quoted("x" * 10**6)) <= 204


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("7", 0.5), "Seed must be a whole number, got '7'"),
        ((7, float("nan")), "Psi must be a finite number, got nan"),
        ((True, 0.5), "Seed must be a whole number, got True"),
        ((None, 0.5), "Seed must be a whole number, got None"),
        ((7, {"a": "<b>"}), "Psi must be a number, got {'a': '&lt;b&gt;'}"),
    ],
)
def test_a_handler_gets_what_its_annotations_say_or_refuses_in_a_sentence(given, told):
    @widgets.show_errors
    def draw(seed: int, psi: float):
        return seed, psi

    @widgets.show_errors
    def steps(seed: int, psi: float):
        yield seed, psi

    assert draw(7, 1) == (7, 1)
    assert list(steps(7, 0.5)) == [(7, 0.5)]
    for call in (draw, lambda *a: list(steps(*a))):
        with pytest.raises(gr.Error, match=told):
            call(*given)
