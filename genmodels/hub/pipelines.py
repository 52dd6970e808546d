"""Pipelines: what draws pictures with recipes, from networks or without any."""

import inspect
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image
from torch import nn

from genmodels.data.conditions import Schema
from genmodels.hub import weights
from genmodels.hub.checks import plain, quoted
from genmodels.hub.modeling import HubModel
from genmodels.hub.repo import known_as, read_json, resolve, upload

INDEX = "model_index.json"
UPSCALER = "upscaler-x4"  # The embedded network that `enlarge` takes by default.


@dataclass
class ImageOutput(BaseOutput):
    """What a pipeline returns: pictures, and the recipe that remakes each of them."""

    images: list[Image.Image]
    recipes: list[dict[str, Any]]


class ImagePipeline:
    """What draws pictures, each with its recipe. One that has no weights needs nothing else."""

    source: str | None = None  # What recipes call it; None when it was built in memory.
    schema: Schema | None = None  # What its conditions may be, if it takes any.

    def __call__(self, *args: Any, **kwargs: Any) -> ImageOutput:
        """New pictures. Every pipeline has arguments of its own."""
        raise NotImplementedError

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights as they compute now, however they are stored."""
        return weights.sha256({})

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return torch.float32

    def enlarge(
        self,
        image: Image.Image | Sequence[Image.Image] | ImageOutput,  # What it drew, or any other.
        factor: int = 4,  # How many times larger, 2 to 4.
        *,
        upscaler: str | Path = UPSCALER,  # A model of UpscalerPipeline, as `load` takes it.
    ) -> ImageOutput:
        """Pictures made larger by a network that invents detail; the recipes say both steps."""
        from genmodels.hub.loading import upscaler_pipeline  # Which knows the pipelines.

        given = image.images if isinstance(image, ImageOutput) else image
        return upscaler_pipeline(upscaler)(given, factor=factor)


class HubPipeline(ImagePipeline, DiffusionPipeline):
    """Networks and the settings they are sampled with; subclasses name both in `__init__`.

    A subclass draws within `drawing`, takes `weights_sha256` before it, and checks its settings
    with the functions of `genmodels.hub.checks`: then it draws whatever was done to its network,
    and leaves that as it is.
    """

    # Component name -> class: what a repo must contain, decided here and not by the repo.
    components_allowed: ClassVar[dict[str, type[HubModel]]] = {}
    tags: ClassVar[tuple[str, ...]] = ()  # Tags of its models on the Hub, besides the task's.
    _hashed: tuple[bytes, str] = (b"", "")  # The fingerprint of the weights and their hash.

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,  # An embedded model's name, a folder, or "user/repo[@revision]".
        *,
        revision: str | None = None,  # Branch, tag or commit on the Hub.
        token: str | None = None,  # For private repos.
    ) -> Self:
        """Load every component strictly; a ValueError names what does not fit."""
        folder = resolve(source, revision=revision, token=token)
        index = read_json(folder / INDEX)
        if class_named(index) != cls.__name__:
            raise ValueError(
                f"{source}: pipeline must be {cls.__name__}, got {quoted(class_named(index))}"
            )
        settings = {key: value for key, value in index.items() if not key.startswith("_")}
        components = {}
        for name, model_class in cls.components_allowed.items():
            expected = _component(model_class)
            if settings.pop(name, None) != expected:
                raise ValueError(f"{source}: {name} must be {expected} in {INDEX}")
            components[name] = model_class.from_pretrained(folder, subfolder=name)
        unknown = set(settings) - set(inspect.signature(cls).parameters)
        if unknown:
            raise ValueError(f"{source}: {INDEX} holds unknown settings {quoted(sorted(unknown))}")
        pipeline = cls(**components, **settings)
        pipeline.source = known_as(source, revision)
        return pipeline

    def save_pretrained(
        self,
        save_directory: str | Path,  # Made when it does not exist.
        *,
        dtype: torch.dtype | None = None,  # torch.float16 halves the files; None keeps all bits.
    ) -> None:
        """Write model_index.json and one folder per component."""
        self.save_config(save_directory)
        for name, network in self.networks.items():
            network.save_pretrained(Path(save_directory) / name, dtype=dtype)

    def push_to_hub(
        self,
        repo_id: str,  # "user/name"; made when it does not exist.
        *,
        private: bool = False,  # Whether a new repo is private.
        token: str | None = None,  # Default: the one `hf auth login` or HF_TOKEN left.
    ) -> str:
        """Publish the pipeline's files, keeping the repo's card; returns the commit's address."""
        folder = tempfile.mkdtemp(prefix="genmodels-")
        self.save_pretrained(folder)
        address = upload(folder, repo_id, private=private, token=token)
        shutil.rmtree(folder)  # Only now: a failed upload names it as where the files are.
        return address

    @property
    def networks(self) -> dict[str, HubModel]:
        """The components by name, without what was wrapped around them."""
        networks: dict[str, HubModel] = {}
        for name, model_class in self.components_allowed.items():
            component = getattr(self, name)
            network = weights.unwrapped(component) if isinstance(component, nn.Module) else None
            if not isinstance(network, model_class):
                wanted = f"{model_class.__module__}.{model_class.__name__}"
                raise ValueError(f"{name} must be a {wanted}, got {type(component).__name__}")
            networks[name] = network
        return networks

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights as they compute now, however they are stored."""
        networks = self.networks
        known, now = self._hashed, weights.fingerprint(networks)
        if known[0] != now:
            known = self._hashed = now, weights.sha256(networks)
        return known[1]

    @contextmanager
    def drawing(self) -> Iterator[Any]:
        """The first component as it draws: in eval mode, without gradients or autocast.

        Nothing is changed by it: not the network's mode, nor anything of the caller's. Errors:
        ValueError for a network that cannot draw as it is.
        """
        for name, network in self.networks.items():
            weights.check_usable(name, network)
        component = getattr(self, next(iter(self.components_allowed)))
        with ambient(self.device):
            yield weights.at_rest(component)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or convert the networks, as `torch.nn.Module.to`."""
        kwargs.pop("silence_dtype_warnings", None)  # diffusers' warning about fp16.
        for name in self.components_allowed:
            getattr(self, name).to(*args, **kwargs)
        return self

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(iter(self.networks.values())).device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return next(iter(self.networks.values())).dtype

    def register_to_config(self, **kwargs: Any) -> None:
        """As ConfigMixin's; NumPy's numbers become Python's, which JSON knows."""
        super().register_to_config(**plain(kwargs))

    def to_json_string(self) -> str:
        """What model_index.json holds.

        The class is named with its package: plain diffusers quotes that when it cannot load it. The
        components are those that `from_pretrained` builds, whatever is wrapped around them now.
        """
        index = json.loads(super().to_json_string())
        for name, value in index.items():
            if isinstance(value, dict):  # Of conditions the order counts, and diffusers sorts them.
                index[name] = self.config[name]
        index["_class_name"] = f"genmodels.{type(self).__name__}"
        for name, model_class in self.components_allowed.items():
            index[name] = _component(model_class)
        return json.dumps(dict(sorted(index.items())), indent=2) + "\n"


@contextmanager
def ambient(device: torch.device) -> Iterator[None]:
    """What pictures are drawn in, whatever the caller has set: see `HubPipeline.drawing`."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if torch.get_default_device().type != "cpu":  # Noise is drawn there, on every device.
            stack.enter_context(torch.device("cpu"))
        yield


def class_named(index: dict[str, Any]) -> Any:
    """The class that a model_index.json names; up to version 0.4 it stood without the package."""
    name = index.get("_class_name")
    return name.removeprefix("genmodels.") if isinstance(name, str) else name


def _component(model_class: type[HubModel]) -> list[str]:
    """How an index names a component: ["genmodels.models.FAMILY", class].

    The module of a class is not recorded, so that it can be moved.
    """
    return [".".join(model_class.__module__.split(".")[:3]), model_class.__name__]
