"""What a family says of itself when a run of it is published; it writes nothing else for that."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from genmodels.hub.pipelines import HubPipeline
from training.publish.card import Card


class Evaluation(ABC):
    """How a finished run is measured, and the card that tells of it."""

    name: ClassVar[str]  # Stored in run.json, so that a card can be rewritten.
    card: ClassVar[type[Card]]

    @property
    def facts(self) -> dict[str, Any]:
        """Facts for run.json that are known before anything is measured."""
        return {}

    @abstractmethod
    def draw(self, pipeline: HubPipeline) -> Sequence[Image.Image]:
        """A few pictures, which weights in half precision must not change to be published so."""

    @abstractmethod
    def measure(
        self,
        pipeline: HubPipeline,  # As it was published.
        folder: Path,  # Folder of the repo: for samples.png, worst.png and progress.webp.
        earlier: dict[str, Any],  # Facts of the same weights on the same data; often empty.
    ) -> dict[str, Any]:
        """Draw the folder's pictures; the facts for run.json, "metrics" among them."""

    @classmethod
    def completed(
        cls,
        facts: dict[str, Any],  # As an older version published them.
        folder: Path,  # Folder of the published model.
        data: Path,  # Images that it learnt from ...
        held_out: Path,  # ... and images that it did not.
    ) -> dict[str, Any]:
        """The facts with what has come since, as far as it can be had without the run."""
        return facts
