"""Loading, saving and publishing: strict, and safetensors only.

A repo is data, never code. Classes come from the lists in this file, a repo's own names only select
among them; configs are bounded and compared with the weights' header before anything is allocated;
nothing unpickles. `load` is the door for people, `HubModel` and `HubPipeline` are what it opens.
"""

import functools
import importlib
import inspect
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers import ConfigMixin, DiffusionPipeline, ModelMixin
from diffusers.utils import BaseOutput
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import nn

from genmodels import checks, weights
from genmodels.checks import (  # noqa: F401  (A family has all that it needs from here.)
    check_flag,
    check_image,
    check_range,
    check_resolution,
    check_whole,
    plain,
    quoted,
)
from genmodels.repo import check_is_no_pointer, known_as, read_json, resolve, upload

WEIGHTS = "diffusion_pytorch_model.safetensors"
CONFIG = "config.json"
INDEX = "model_index.json"
FLOATS = ("F64", "F32", "F16", "BF16")  # What a file may store a float in, by its own names.

# Every pipeline a repo may name, and where it lives.
PIPELINES = {
    "AutoencoderPipeline": "genmodels.pipelines.pipeline_autoencoder",
    "DCGANPipeline": "genmodels.pipelines.pipeline_dcgan",
    "Pix2PixPipeline": "genmodels.pipelines.pipeline_pix2pix",
    "SinGANPipeline": "genmodels.pipelines.pipeline_singan",
    "StyleGAN2Pipeline": "genmodels.pipelines.pipeline_stylegan2",
    "UpscalerPipeline": "genmodels.pipelines.pipeline_upscaler",
}
UPSCALER = "upscaler-x4"  # The embedded network that `HubPipeline.enlarge` takes by default.
# What draws without weights, by the name that `load` and recipes know.
ENGINES = {"patches": ("PatchPipeline", "genmodels.pipelines.pipeline_patches")}


def load(source: str | Path, *, revision: str | None = None, token: str | None = None) -> Any:
    """The pipeline of an embedded model, a local folder, or "user/repo[@revision]", in that order.

    "patches" is the engine that needs no weights.

    Errors: ValueError when there is no such model or it is not exactly what it says it is.
    """
    if source in ENGINES:
        engine, module = ENGINES[str(source)]
        return getattr(importlib.import_module(module), engine)()
    folder = resolve(source, revision=revision, token=token)
    name = _pipeline_named(read_json(folder / INDEX))
    if not isinstance(name, str) or name not in PIPELINES:
        raise ValueError(
            f"{source}: pipeline must be one of {', '.join(PIPELINES)}, got {quoted(name)}"
        )
    pipeline_class = getattr(importlib.import_module(PIPELINES[name]), name)
    pipeline = pipeline_class.from_pretrained(folder)
    pipeline.source = known_as(source, revision)
    return pipeline


class HubModel(ModelMixin, ConfigMixin):
    """A network whose constructor arguments are its config (with `@register_to_config`)."""

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,  # An embedded model's name, a folder, or "user/repo[@revision]".
        *,
        subfolder: str = "",  # Where in it this network is, for a pipeline's component.
        revision: str | None = None,  # Branch, tag or commit on the Hub.
        token: str | None = None,  # For private repos.
    ) -> Self:
        """Load in eval mode and float32; anything missing, extra or mis-shaped is a ValueError."""
        folder = resolve(source, revision=revision, token=token) / subfolder
        config = _read_config(cls, folder / CONFIG)
        header = _read_header(folder / WEIGHTS)
        _compare(_expected(cls, config), header, f"{folder}:")
        # The caller's random numbers, default device and type are none of this network's business.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            model = cls(**config)
        nn.Module.float(model)
        with safe_open(folder / WEIGHTS, framework="pt", device="cpu") as file:
            model.load_state_dict({key: file.get_tensor(key) for key in header})
        broken = [key for key, t in model.state_dict().items() if not t.isfinite().all()]
        if broken:
            raise ValueError(f"{folder}: weights hold NaN or infinity: {', '.join(broken[:5])}")
        return model.eval()

    def save_pretrained(
        self,
        save_directory: str | Path,  # Made when it does not exist.
        *,
        dtype: torch.dtype | None = None,  # torch.float16 halves the file; None keeps all bits.
    ) -> None:
        """Write config.json and the weights, which `from_pretrained` reads back.

        Errors: ValueError when the network is no longer what its config says.
        """
        cls, found = weights.plain_class(self), weights.state(self)
        arguments = {key: self.config[key] for key in inspect.signature(cls).parameters}
        _compare(_expected(cls, arguments), _described(found), f"{cls.__name__}'s")
        self.save_config(save_directory)
        state = {
            key: tensor.to(dtype if tensor.is_floating_point() and dtype else tensor.dtype)
            .detach()
            .cpu()
            .contiguous()
            for key, tensor in found.items()
        }
        weights.write(state, Path(save_directory) / WEIGHTS, {"format": "pt"})

    def register_to_config(self, **kwargs: Any) -> None:
        """As ConfigMixin's; NumPy's numbers become Python's, which JSON knows."""
        super().register_to_config(**plain(kwargs))

    def to_json_string(self) -> str:
        """What config.json holds; a parametrized network is still one of its class."""
        config = json.loads(super().to_json_string())
        config["_class_name"] = weights.plain_class(self).__name__
        return json.dumps(config, indent=2, sort_keys=True) + "\n"

    # ModelMixin's own two import most of diffusers, to look for offloaded layers.

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(itertools.chain(self.parameters(), self.buffers())).device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in."""
        return next(itertools.chain(self.parameters(), self.buffers())).dtype

    def load_part(self, state: dict[str, torch.Tensor]) -> None:
        """Take the weights that are named and keep the others; a misfit is an error."""
        shapes = {name: list(value.shape) for name, value in self.state_dict().items()}
        for name, value in state.items():
            if shapes.get(name) != list(value.shape):
                raise ValueError(
                    f"{name} must be {shapes.get(name, 'absent')}, got {list(value.shape)}"
                )
        self.load_state_dict(state, strict=False)


@dataclass
class ImageOutput(BaseOutput):
    """What a pipeline returns: pictures, and the recipe that remakes each of them."""

    images: list[Image.Image]
    recipes: list[dict[str, Any]]


class HubPipeline(DiffusionPipeline):
    """Networks and the settings they are sampled with; subclasses name both in `__init__`.

    A subclass draws within `drawing`, takes `weights_sha256` before it, and checks its settings
    with the functions of `genmodels.checks`: then it draws whatever was done to its network, and
    leaves that as it is.
    """

    # Component name -> class: what a repo must contain, decided here and not by the repo.
    components_allowed: ClassVar[dict[str, type[HubModel]]] = {}
    source: str | None = None  # What recipes call it; None when it was built in memory.
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
        if _pipeline_named(index) != cls.__name__:
            raise ValueError(
                f"{source}: pipeline must be {cls.__name__}, got {quoted(_pipeline_named(index))}"
            )
        settings = {key: value for key, value in index.items() if not key.startswith("_")}
        components = {}
        for name, model_class in cls.components_allowed.items():
            expected = [model_class.__module__, model_class.__name__]
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

    def enlarge(
        self,
        image: Image.Image | Sequence[Image.Image] | ImageOutput,  # What it drew, or any other.
        factor: int = 4,  # How many times larger, 2 to 4.
        *,
        upscaler: str | Path = UPSCALER,  # A model of UpscalerPipeline, as `load` takes it.
    ) -> ImageOutput:
        """Pictures made larger by a network that invents detail; the recipes say both steps."""
        given = image.images if isinstance(image, ImageOutput) else image
        # The embedded one stays as it is; a folder or a repo may hold another network tomorrow.
        network = _own_upscaler() if upscaler == UPSCALER else _upscaler(upscaler)
        return network(given, factor=factor)

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
        found: dict[str, HubModel] = {}
        for name, model_class in self.components_allowed.items():
            component = getattr(self, name)
            network = weights.unwrapped(component) if isinstance(component, nn.Module) else None
            if not isinstance(network, model_class):
                wanted = f"{model_class.__module__}.{model_class.__name__}"
                raise ValueError(f"{name} must be a {wanted}, got {type(component).__name__}")
            found[name] = network
        return found

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
        kwargs.pop("silence_dtype_warnings", None)  # Of diffusers', which warns of half precision.
        for name in self.components_allowed:
            getattr(self, name).to(*args, **kwargs)
        return self

    @property
    def device(self) -> torch.device:
        """Where the networks are; the CPU without one."""
        return next((one.device for one in self.networks.values()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in; float32 without one."""
        return next((one.dtype for one in self.networks.values()), torch.float32)

    def register_to_config(self, **kwargs: Any) -> None:
        """As ConfigMixin's; NumPy's numbers become Python's, which JSON knows."""
        super().register_to_config(**plain(kwargs))

    def to_json_string(self) -> str:
        """What model_index.json holds.

        The class is named with its package: plain diffusers quotes that when it cannot load it. The
        components are those that `from_pretrained` builds, whatever is wrapped around them now.
        """
        index = json.loads(super().to_json_string())
        index["_class_name"] = f"genmodels.{type(self).__name__}"
        for name, model_class in self.components_allowed.items():
            index[name] = [model_class.__module__, model_class.__name__]
        return json.dumps(index, indent=2, sort_keys=True) + "\n"


@contextmanager
def ambient(device: torch.device) -> Iterator[None]:
    """What pictures are drawn in, whatever the caller has set: see `HubPipeline.drawing`."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if torch.get_default_device().type != "cpu":  # Noise is drawn there, on every device.
            stack.enter_context(torch.device("cpu"))
        yield


def _pipeline_named(index: dict[str, Any]) -> Any:
    """The class that a model_index.json names; up to version 0.4 it stood without the package."""
    name = index.get("_class_name")
    return name.removeprefix("genmodels.") if isinstance(name, str) else name


@functools.lru_cache(maxsize=1)
def _own_upscaler() -> Any:
    return _upscaler(UPSCALER)


def _upscaler(source: str | Path) -> Any:
    pipeline = load(source)
    if type(pipeline).__name__ != "UpscalerPipeline":
        raise ValueError(f"{source} must be an UpscalerPipeline, got {type(pipeline).__name__}")
    return pipeline


def _read_config(cls: type[HubModel], path: Path) -> dict[str, Any]:
    """The constructor's arguments, known and of the right type."""
    config = read_json(path)
    if config.get("_class_name") != cls.__name__:
        came = quoted(config.get("_class_name"))
        raise ValueError(f"{path}: must describe {cls.__name__}, got {came}")
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    parameters = inspect.signature(cls).parameters
    for key, value in arguments.items():
        if key not in parameters:
            raise ValueError(f"{path}: {cls.__name__} has no argument {key!r}")
        default = parameters[key].default
        # JSON has one kind of number: an int will do for a float, but a bool is neither.
        kinds = (int, float) if type(default) is float else (type(default),)
        if type(value) not in kinds:
            wanted, came = type(default).__name__, f"{type(value).__name__} {quoted(value)}"
            raise ValueError(f"{path}: {key} must be of type {wanted}, got {came}")
    return arguments


def _expected(cls: type[HubModel], config: dict[str, Any]) -> dict[str, str]:
    """Name -> "float [64, 3, 4, 4]" of every weight that a config asks for."""
    with torch.device("meta"):  # Costs no memory, whatever the config asks for.
        return _described(cls(**config).state_dict())


def _described(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """Name -> "float [64, 3, 4, 4]", in the words that `_read_header` has for a file."""
    return {
        key: f"{'float' if tensor.is_floating_point() else 'I64'} {list(tensor.shape)}"
        for key, tensor in state.items()
    }


def _read_header(path: Path) -> dict[str, str]:
    """Name -> "float [64, 3, 4, 4]", from a safetensors file's header alone."""
    if not path.is_file():
        raise ValueError(
            f"{path.parent} must hold {path.name}: only safetensors are read, never pickles"
        )
    check_is_no_pointer(path)
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            kinds = {key: s.get_dtype() for key, s in slices.items()}
            return {
                key: f"{'float' if kinds[key] in FLOATS else kinds[key]} {s.get_shape()}"
                for key, s in slices.items()
            }
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or truncated: {error}") from error


def _compare(expected: dict[str, str], came: dict[str, str], whose: str) -> None:
    problems = [f"missing {key}" for key in expected if key not in came]
    problems += [f"unexpected {key}" for key in came if key not in expected]
    problems += [
        f"{key} must be {expected[key]}, got {came[key]}"
        for key in expected
        if key in came and expected[key] != came[key]
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        shown = "; ".join(checks.cut(problem) for problem in problems[:5])
        raise ValueError(f"{whose} weights do not fit: {shown}{more}")
