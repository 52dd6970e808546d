"""Disasters: new scenes of fire, flood and earthquake, by kind."""

from collections.abc import Callable
from typing import Any

from genmodels.ui.components import sampling
from genmodels.ui.components.address import Visit
from genmodels.ui.services.models import Recipe

SUBJECT = sampling.Subject(use="disasters", thing="scene", is_live=True)


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: a scene of a disaster."""
    return sampling.takes(SUBJECT, recipe)


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside the open gr.Tab; `load` gives a model's pipeline on first use."""
    sampling.build(SUBJECT, load, visit)
