"""Translating pictures with pix2pix."""

from typing import ClassVar

from genmodels.hub.modeling import HubModel
from genmodels.models import pix2pix
from genmodels.pipelines.translation import TranslationPipeline


class Pix2PixPipeline(TranslationPipeline):
    """Runs a trained `pix2pix.Generator` on pictures of any size."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": pix2pix.Generator}
    tags = ("pix2pix",)
