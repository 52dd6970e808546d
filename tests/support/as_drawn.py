"""What a browser keeps of a visitor who chose to see pictures as drawn.

Enlarging a first batch takes more time than all the rest of opening the page, so browser tests
begin as such a visitor, except for those about new visitors and about enlarging.
"""

import json
import random
from typing import Any

from genmodels import zoo
from genmodels.ui.services import models

MAX_SEED = 2**31 - 1
SUBJECTS = ("cars", "faces", "disasters")  # Tabs of pictures drawn from a seed.
# Run before each page: what the page has kept by itself since then stays.
SCRIPT = """for (const [tab, settings] of Object.entries(SETTINGS)) {
    const key = `genmodels-${tab}-settings`
    if (location.protocol.startsWith("http") && !sessionStorage.getItem(key))
        sessionStorage.setItem(key, JSON.stringify(settings))
}"""


def settings() -> dict[str, dict[str, Any]]:
    """By tabs, the values of all controls: those of a new visitor, but for the switch."""
    from genmodels.ui.components import condition_controls  # Brings gradio.

    kept: dict[str, dict[str, Any]] = {}
    for use in SUBJECTS:
        if any(name.startswith(f"{use}-") for name in zoo.names()):
            cards = {card.name: card for card in models.cards(use)}
            common = {"num_images": 8, "seed": _seed(), "truncation_psi": 0.7, "kept": False}
            conditions = condition_controls.of(cards).defaults
            kept[use] = common | conditions | {"model": next(iter(cards))}
    rows, columns = (", ".join(str(_seed()) for _ in range(4)) for _ in range(2))
    kept["mixing"] = {
        "model": kept["cars"]["model"], "row_seeds": rows, "column_seeds": columns,
        "truncation_psi": 0.8, "layers_taken": "middle", "first": 3, "last": 6, "size": 4,
    }  # fmt: skip
    return {tab: values | {"shown_as": "As drawn"} for tab, values in kept.items()}


def script() -> str:
    """JavaScript that has a browser keep the settings before it opens the page."""
    return SCRIPT.replace("SETTINGS", json.dumps(settings()))


def assert_is_of_a_new_visitor(page: Any, tab: str) -> None:
    """The page keeps just these settings of a new visitor, and shows their pictures enlarged."""
    kept = page.evaluate(f"JSON.parse(sessionStorage.getItem('genmodels-{tab}-settings'))")
    drawn = {name: kept[name] for name in kept if name.endswith(("seed", "seeds"))}
    assert kept == settings()[tab] | drawn | {"shown_as": "Enlarged"}


def _seed() -> int:
    return random.randrange(MAX_SEED)
