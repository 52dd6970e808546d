"""A sample of the hostile cases; `python -m tests.hostile --all` tries all of them."""

import random

import pytest

from tests.hostile import checks, run, values
from tests.hostile.cases import Case
from tests.hostile.checks import KINDS
from tests.hostile.client import Answer

CHOICE = run.Choice(each=1)
OF_FOLDERS = ("hang", "unhandled", "bare", "internals", "long", "memory", "outside")


@pytest.fixture(scope="module")
def over_http(tmp_path_factory):
    """What came of one case of every group, against `python app.py` with the embedded models."""
    result = run.Result()
    run.http(result, tmp_path_factory.mktemp("hostile") / "app", CHOICE)
    return result


@pytest.fixture(scope="module")
def in_folders(tmp_path_factory):
    """What came of one model folder of every group."""
    result = run.Result()
    run.model_folders(result, tmp_path_factory.mktemp("hostile") / "folders", CHOICE)
    return result


def told(result, kind):
    return [f"{one.case}: {one.came}" for one in result.findings if one.kind == kind]


@pytest.mark.parametrize("kind", KINDS)
def test_no_request_brings_about(over_http, kind):
    assert over_http.tried > 100
    assert told(over_http, kind) == [], KINDS[kind]


@pytest.mark.parametrize("kind", OF_FOLDERS)
def test_no_model_folder_brings_about(in_folders, kind):
    assert in_folders.tried > 100
    assert told(in_folders, kind) == [], KINDS[kind]


SENTENCE = "Width must be 16 to 16384 pixels, got -1"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (None, Answer(200, message=SENTENCE)),
        (None, Answer(200, ok=True, kinds=["json"], outputs=[values.MARKUP])),
        (None, Answer(503, message="Queue is full. Max size is 64")),
        ("500", Answer(500, message=SENTENCE)),
        ("hang", Answer(200, is_late=True)),
        ("broken", Answer(0, message="no answer: RemoteProtocolError")),
        ("bare", Answer(200, message="")),
        ("bare", Answer(200, message="Error")),
        ("internals", Answer(200, message="'list' object has no attribute 'get'")),
        ("long", Answer(200, message=f"{SENTENCE} {'9' * 1000}")),
        ("markup", Answer(200, message=f"Width must be a number, got {values.MARKUP}")),
        ("markup", Answer(200, message=SENTENCE, toasts=[values.MARKUP])),
        ("markup", Answer(200, ok=True, kinds=["gallery"], outputs=[[{"caption": values.MARKUP}]])),
        ("markup", Answer(200, ok=True, kinds=["markdown"], outputs=["[x](javascript:hstl())"])),
        ("leak", Answer(200, ok=True, body="at /home/somebody/app.py")),
        ("large", Answer(200, ok=True, size=3 << 20)),
    ],
)
def test_a_fault_is_found_and_nothing_else_is(kind, answer):
    case = Case("a case", "a group", "run", ())
    found = checks.judged(case, answer, ["/home/somebody"])
    assert [one.kind for one in found] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (None, 'INFO: 127.0.0.1 - "POST /x" 200'),
        (None, "Traceback (most recent call last)\n  ...\ngradio.exceptions.Error: 'no'"),
        ("unhandled", "Traceback (most recent call last)\n  ...\nKeyError: 7"),
        ("flood", "9" * 100_000),
        ("forged", f"refused: {values.LINE}"),
    ],
)
def test_the_log_is_read(kind, text):
    found = checks.of_log(Case("a case", "a group", "run", ()), text)
    assert [one.kind for one in found] == ([kind] if kind else [])


def test_spoiled_values_are_the_same_for_a_seed():
    recipe = {"model": "cars", "settings": {"condition": {"year": 2000}}, "seed": 1}
    first, second = (
        dict(values.spoiled(recipe, values.TEXTS, random.Random(3), 30)) for _ in range(2)
    )
    assert first == second
    assert len(first) > 20
    assert recipe not in first.values()
