"""Translating pictures with the autoencoder."""

from typing import ClassVar

from genmodels.hub.modeling import HubModel
from genmodels.models import autoencoder
from genmodels.pipelines.translation import TranslationPipeline


class AutoencoderPipeline(TranslationPipeline):
    """Runs a trained `autoencoder.Generator` on pictures of any size."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": autoencoder.Generator}
    tags = ("autoencoder",)
