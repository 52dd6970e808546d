"""What VAEs are measured by, beside their samples: the bound, in bits per channel of a pixel."""

from collections.abc import Mapping
from typing import Any

from training.publish.samples import SampleCard, SampleEvaluation
from training.runs.run import Run


class VariationalCard(SampleCard):
    """The card of a VAE."""

    @property
    def measured_on(self) -> str:
        """Also the bound, and at which temperature samples were drawn."""
        words = {"train": "training images", "held_out": "held-out images"}
        bits = " and ".join(
            f"{value:.3f} on {words[name]}" for name, value in self.facts["bits_per_dim"].items()
        )
        temperature = self.facts["metric_sampling"]["temperature"]
        return f"""The bound is {bits}, in bits per channel of a pixel: lower is better, and it
compares models on these images at this size only. Below, samples are drawn at temperature
{temperature}.

{super().measured_on}"""


class VariationalEvaluation(SampleEvaluation):
    """Evaluation of a pipeline that samples at a temperature."""

    name, card = "variational", VariationalCard

    def __init__(
        self,
        run: Run,  # Its data and held_out are of an `ImageFolder`.
        bits_per_dim: Mapping[str, float],  # On "train" and "held_out".
        temperature: float,  # Temperature of the measured samples.
    ) -> None:
        super().__init__(run, {"temperature": temperature})
        self.bits_per_dim = dict(bits_per_dim)

    @property
    def facts(self) -> dict[str, Any]:
        """Also the bound."""
        return super().facts | {"bits_per_dim": self.bits_per_dim}
