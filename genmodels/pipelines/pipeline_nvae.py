"""Sampling from NVAE, and changing what it is told of a picture."""

import random
import secrets
from collections.abc import Sequence
from itertools import groupby
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import register_to_config
from PIL import Image
from torch import Tensor

from genmodels.data import conditions, images
from genmodels.hub import recipe
from genmodels.hub.checks import check_range, check_whole, plain
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from genmodels.models import nvae
from genmodels.nn.threads import threads_for
from genmodels.pipelines import batches, sampling

MAX_SEED = 2**63 - 257
MIN_TEMPERATURE, MAX_TEMPERATURE = nvae.TEMPERATURES[0], nvae.TEMPERATURES[-1]


class NVAEPipeline(HubPipeline):
    """Draws images from a trained `nvae.NVAE`, on condition where it has learnt one.

    The same seed under another condition is the same noise, so that a face keeps its identity. A
    condition whose value is None is unknown, and the network decides. `edit` gives a photo other
    conditions. Each picture has a recipe of its own, whatever made it.
    """

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": nvae.NVAE}

    @register_to_config
    def __init__(
        self,
        generator: nvae.NVAE,
        conditions: dict[str, Any] | None = None,  # What c means: the schema of `conditions`.
    ) -> None:
        super().__init__()
        self.register_modules(generator=generator)
        self.schema = conditions or {}
        _check_schema(self.schema, self.networks["generator"].c_dim)


def _check_schema(schema: dict[str, Any], c_dim: int) -> None:
    """The schema may come from a repo that nobody vouches for."""
    conditions.check(schema)
    size = conditions.size(schema) + len(schema)
    if size != c_dim:
        raise ValueError(f"conditions must describe c_dim = {c_dim} numbers, got {size}")
