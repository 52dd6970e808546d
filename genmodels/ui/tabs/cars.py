"""Cars: new ones from a model of the zoo, by body and year where the model knows them."""

from collections.abc import Callable
from typing import Any

from genmodels.ui.components import sampling, side_by_side
from genmodels.ui.components.address import Visit
from genmodels.ui.services.models import Recipe

SUBJECT = sampling.Subject(
    use="cars",
    thing="car",
    labels={"year": "Model year"},
    notes={"year": "Past {last} the model has seen no cars: it extrapolates."},
    sweeps={"year": "Years"},
    below=side_by_side.build,
    guests=(side_by_side.FACES,),
)


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: a car, or a face of those beside them."""
    return sampling.takes(SUBJECT, recipe)


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside the open gr.Tab; `load` gives a model's pipeline on first use."""
    sampling.build(SUBJECT, load, visit)
