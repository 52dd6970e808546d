"""Faces: new ones, with sliders for what their models have learnt of a face."""

from collections.abc import Callable
from typing import Any

from genmodels.ui.components import sampling
from genmodels.ui.components.address import Visit
from genmodels.ui.services.models import Recipe

SUBJECT = sampling.Subject(
    use="faces",
    thing="face",
    notes={
        "gender": "As the data's makers labelled it: a crude label, and nobody's identity.",
        "eye_openness": "0: the narrowest eyes of the data. 1: the widest.",
        "mouth_openness": "0: the most closed mouths of the data. 1: the most open.",
    },
    sweeps={"eye_openness": "Eyes", "mouth_openness": "Mouth"},
    is_live=True,
)


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: a face."""
    return sampling.takes(SUBJECT, recipe)


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside the open gr.Tab; `load` gives a model's pipeline on first use."""
    sampling.build(SUBJECT, load, visit)
