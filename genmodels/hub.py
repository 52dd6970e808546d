"""Loading, saving and publishing: strict, and safetensors only.

A repo is data, never code. Classes come from the lists in this file, a repo's own names only select
among them; configs are bounded and compared with the weights' header before anything is allocated;
nothing unpickles. `load` is the door for people, `HubModel` and `HubPipeline` are what it opens.
"""

import functools
import hashlib
import importlib
import inspect
import json
import os
import re
import reprlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers import ConfigMixin, DiffusionPipeline, ModelMixin
from diffusers.utils import BaseOutput
from huggingface_hub import HfApi, get_token, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import httpx
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from genmodels import zoo

WEIGHTS = "diffusion_pytorch_model.safetensors"
CONFIG = "config.json"
INDEX = "model_index.json"
DOWNLOADED = ["*.safetensors", "*.json", "*.md", "*.png"]  # Never code, never pickles.
MAX_JSON_BYTES = 1 << 20
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
    name = read_json(folder / INDEX).get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:
        came = reprlib.repr(name)  # Nobody vouches for its length either.
        raise ValueError(f"{source}: pipeline must be one of {', '.join(PIPELINES)}, got {came}")
    pipeline_class = getattr(importlib.import_module(PIPELINES[name]), name)
    pipeline = pipeline_class.from_pretrained(folder)
    pipeline.source = _pinned(source, revision)
    return pipeline


def resolve(source: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """The local folder of a model; "user/repo[@revision]" is downloaded to the Hub's cache."""
    name = _pinned(source, revision)
    if name in zoo.names():
        return zoo.FOLDER / name
    if os.path.isdir(name):  # noqa: PTH112  (Path's raises when a name is too long.)
        return Path(name)
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@(\w[\w./-]*))?", name)
    if match is None or ".." in name:
        raise ValueError(
            "a model is an embedded one "
            f'({", ".join(zoo.names())}), a folder, or "user/repo[@revision]", got "{name}"'
        )
    repo_id, revision = match.groups()
    try:
        folder = snapshot_download(
            repo_id, revision=revision, token=token, allow_patterns=DOWNLOADED
        )
    except LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"{source} is not in the cache and the Hub cannot be reached: {error}"
        ) from error
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled) as error:
        raise ValueError(f"{source} is neither a folder nor a repo to be had: {error}") from error
    except (httpx.HTTPError, OSError) as error:
        raise ConnectionError(f"{source} could not be downloaded, try again: {error}") from error
    return Path(folder)


def upload(
    folder: str | Path,  # Everything in it becomes the repo's content, in one commit.
    repo_id: str,  # "user/name"; made when it does not exist.
    *,
    private: bool = False,  # Whether a new repo is private.
    message: str = "Upload with genmodels",  # The commit's message.
    token: str | None = None,  # Default: the one `hf auth login` or HF_TOKEN left.
) -> str:
    """Publish a folder and return the commit's address. Calling it again completes a broken upload.

    Errors: ValueError when the token or the name is refused, ConnectionError when the Hub or the
    way to it failed; the folder is untouched either way.
    """
    retry = f"Nothing is lost: the files are in {folder}; run the same again."
    if token is None and get_token() is None:
        raise ValueError(f"no token: run `hf auth login` or set HF_TOKEN. {retry}")
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise ValueError(
                f"the Hub refused the token for {repo_id} ({status}): it must be valid and allowed "
                f"to write there; see `hf auth whoami`. {retry}"
            ) from error
        if status is not None and status < 500:
            raise ValueError(f"the Hub refused {repo_id} ({status}): {error}. {retry}") from error
        raise ConnectionError(f"the Hub failed ({status}). {retry}") from error
    except HFValidationError as error:
        raise ValueError(f'repo_id must be "user/name", got "{repo_id}": {error}') from error
    except (httpx.HTTPError, OSError, json.JSONDecodeError) as error:
        # JSON: a gateway's error page, where the client expects the answer to the card's check.
        raise ConnectionError(f"the connection to the Hub broke: {error}. {retry}") from error
    return commit.commit_url


def read_json(path: Path) -> dict[str, Any]:
    """The object in a small JSON file that nobody vouches for."""
    if not path.is_file():
        raise ValueError(f"{path.parent} must hold {path.name}, which it does not")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} must be at most {MAX_JSON_BYTES} bytes")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5000 digits.
        raise ValueError(f"{path} must be JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def check_resolution(resolution: int, low: int, high: int) -> None:
    """A side that a network of halvings can have: a power of two between `low` and `high`."""
    fits = type(resolution) is int and low <= resolution <= high
    if not fits or resolution.bit_count() != 1:
        raise ValueError(f"resolution must be a power of two, {low} to {high}, got {resolution!r}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """A number within bounds, which NaN is not; `name` is for the message."""
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low} to {high}, got {value!r}")


def check_whole(name: str, value: int, low: int, high: int) -> None:
    """A whole number within bounds; `name` is for the message."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")


def check_image(image: torch.Tensor, channels: int, multiple: int) -> None:
    """A batch of images [N, channels, H, W] whose sides are multiples of `multiple`."""
    if image.ndim != 4 or image.shape[1] != channels:
        raise ValueError(f"image must be [N, {channels}, H, W], got {list(image.shape)}")
    height, width = image.shape[2:]
    fits = [max(multiple, -(-side // multiple) * multiple) for side in (height, width)]
    if fits != [height, width]:
        raise ValueError(
            f"height and width must be multiples of {multiple}, got {height} x {width}: "
            f"{fits[0]} x {fits[1]} would do"
        )


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
        with torch.device("meta"):  # Costs no memory, whatever the config asks for.
            expected = {key: _describe(t) for key, t in cls(**config).state_dict().items()}
        _compare(expected, header, folder)
        model = cls(**config)
        with safe_open(folder / WEIGHTS, framework="pt") as weights:
            model.load_state_dict({key: weights.get_tensor(key) for key in header})
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
        """Write config.json and the weights, which `from_pretrained` reads back."""
        self.save_config(save_directory)
        state = {
            key: tensor.to(dtype if tensor.is_floating_point() and dtype else tensor.dtype)
            .detach()
            .cpu()
            .contiguous()
            for key, tensor in self.state_dict().items()
        }
        save_file(state, Path(save_directory) / WEIGHTS, metadata={"format": "pt"})

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
    """Networks and the settings they are sampled with; subclasses name both in `__init__`."""

    # Component name -> class: what a repo must contain, decided here and not by the repo.
    components_allowed: ClassVar[dict[str, type[HubModel]]] = {}
    source: str | None = None  # What it was loaded from; None when it was built in memory.

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
        if index.get("_class_name") != cls.__name__:
            raise ValueError(
                f"{source}: pipeline must be {cls.__name__}, got {index.get('_class_name')!r}"
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
            raise ValueError(f"{source}: {INDEX} holds unknown settings {sorted(unknown)}")
        pipeline = cls(**components, **settings)
        pipeline.source = _pinned(source, revision)
        return pipeline

    def save_pretrained(
        self,
        save_directory: str | Path,  # Made when it does not exist.
        *,
        dtype: torch.dtype | None = None,  # torch.float16 halves the files; None keeps all bits.
    ) -> None:
        """Write model_index.json and one folder per component."""
        self.save_config(save_directory)
        for name in self.components_allowed:
            getattr(self, name).save_pretrained(Path(save_directory) / name, dtype=dtype)

    def enlarge(
        self,
        image: Image.Image | Sequence[Image.Image] | ImageOutput,  # What it drew, or any other.
        factor: int = 4,  # How many times larger, 2 to 4.
        *,
        upscaler: str | Path = "upscaler-x4",  # A model of UpscalerPipeline, as `load` takes it.
    ) -> ImageOutput:
        """Pictures made larger by a network that invents detail; the recipes say both steps."""
        given = image.images if isinstance(image, ImageOutput) else image
        return _upscaler(str(upscaler))(given, factor=factor)

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

    @functools.cached_property
    def weights_sha256(self) -> str:
        """Hash of the weights as they compute, however they are stored; taken once."""
        digest = hashlib.sha256()
        for name in sorted(self.components_allowed):
            for key, tensor in sorted(getattr(self, name).state_dict().items()):
                digest.update(f"{name}.{key}{list(tensor.shape)}".encode())
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@functools.lru_cache(maxsize=1)
def _upscaler(source: str) -> Any:
    pipeline = load(source)
    if type(pipeline).__name__ != "UpscalerPipeline":
        raise ValueError(f"{source} must be an UpscalerPipeline, got {type(pipeline).__name__}")
    return pipeline


def _read_config(cls: type[HubModel], path: Path) -> dict[str, Any]:
    """The constructor's arguments, known and of the right type."""
    config = read_json(path)
    if config.get("_class_name") != cls.__name__:
        raise ValueError(f"{path}: must describe {cls.__name__}, got {config.get('_class_name')!r}")
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    parameters = inspect.signature(cls).parameters
    for key, value in arguments.items():
        if key not in parameters:
            raise ValueError(f"{path}: {cls.__name__} has no argument {key!r}")
        default = parameters[key].default
        # JSON has one kind of number: an int will do for a float, but a bool is neither.
        kinds = (int, float) if type(default) is float else (type(default),)
        if type(value) not in kinds:
            wanted, came = type(default).__name__, f"{type(value).__name__} {reprlib.repr(value)}"
            raise ValueError(f"{path}: {key} must be of type {wanted}, got {came}")
    return arguments


def _pinned(source: str | Path, revision: str | None) -> str:
    """What a recipe may name the model by, so that a replay finds the same revision."""
    return f"{source}@{revision}" if revision else str(source)


def _describe(tensor: torch.Tensor) -> str:
    """What a network needs, in the words that `_read_header` has for what a file holds."""
    return f"{'float' if tensor.is_floating_point() else 'I64'} {list(tensor.shape)}"


def _read_header(path: Path) -> dict[str, str]:
    """Name -> "float [64, 3, 4, 4]", from a safetensors file's header alone."""
    if not path.is_file():
        raise ValueError(
            f"{path.parent} must hold {path.name}: only safetensors are read, never pickles"
        )
    try:
        with safe_open(path, framework="pt") as weights:
            slices = {key: weights.get_slice(key) for key in weights.keys()}  # noqa: SIM118
            kinds = {key: s.get_dtype() for key, s in slices.items()}
            return {
                key: f"{'float' if kinds[key] in FLOATS else kinds[key]} {s.get_shape()}"
                for key, s in slices.items()
            }
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or truncated: {error}") from error


def _compare(expected: dict[str, str], came: dict[str, str], folder: Path) -> None:
    problems = [f"missing {key}" for key in expected if key not in came]
    problems += [f"unexpected {key}" for key in came if key not in expected]
    problems += [
        f"{key} must be {expected[key]}, got {came[key]}"
        for key in expected
        if key in came and expected[key] != came[key]
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{folder}: weights do not fit: {'; '.join(problems[:5])}{more}")
