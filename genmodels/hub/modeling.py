"""HubModel: networks that are loaded and saved strictly, as safetensors and JSON.

Configs are bounded and compared with the weights' header before anything is allocated; nothing
unpickles.
"""

import inspect
import itertools
import json
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import ConfigMixin, ModelMixin
from safetensors import SafetensorError, safe_open
from torch import nn

from genmodels.hub import checks, weights
from genmodels.hub.checks import plain, quoted
from genmodels.hub.repo import check_is_no_pointer, read_json, resolve

WEIGHTS = "diffusion_pytorch_model.safetensors"
CONFIG = "config.json"
FLOATS = ("F64", "F32", "F16", "BF16")  # What a file may store a float in, by its own names.


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
        cls, state = weights.plain_class(self), weights.state(self)
        arguments = {key: self.config[key] for key in inspect.signature(cls).parameters}
        _compare(_expected(cls, arguments), _described(state), f"{cls.__name__}'s")
        self.save_config(save_directory)
        state = {
            key: tensor.to(dtype if tensor.is_floating_point() and dtype else tensor.dtype)
            .detach()
            .cpu()
            .contiguous()
            for key, tensor in state.items()
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


def _read_config(cls: type[HubModel], path: Path) -> dict[str, Any]:
    """The constructor's arguments, known and of the right type."""
    config = read_json(path)
    if config.get("_class_name") != cls.__name__:
        actual = quoted(config.get("_class_name"))
        raise ValueError(f"{path}: must describe {cls.__name__}, got {actual}")
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    parameters = inspect.signature(cls).parameters
    for key, value in arguments.items():
        if key not in parameters:
            raise ValueError(f"{path}: {cls.__name__} has no argument {key!r}")
        default = parameters[key].default
        # JSON has one kind of number: an int will do for a float, but a bool is neither.
        kinds = (int, float) if type(default) is float else (type(default),)
        if type(value) not in kinds:
            wanted, actual = type(default).__name__, f"{type(value).__name__} {quoted(value)}"
            raise ValueError(f"{path}: {key} must be of type {wanted}, got {actual}")
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


def _compare(expected: dict[str, str], actual: dict[str, str], whose: str) -> None:
    problems = [f"missing {key}" for key in expected if key not in actual]
    problems += [f"unexpected {key}" for key in actual if key not in expected]
    problems += [
        f"{key} must be {expected[key]}, got {actual[key]}"
        for key in expected
        if key in actual and expected[key] != actual[key]
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        shown = "; ".join(checks.cut(problem) for problem in problems[:5])
        raise ValueError(f"{whose} weights do not fit: {shown}{more}")
