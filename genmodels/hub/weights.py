"""A network's weights as they compute, whatever was wrapped around it or done to it since.

People compile a network, average it, parametrize its layers, write into `.data`: the hash in a
recipe and the file on disk follow what draws, not what was loaded.
"""

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # That networks compute in.
WRAPPED = ("_orig_mod", "module")  # What torch.compile and DataParallel or AveragedModel wrap.
ROW = 512  # Numbers of eight bytes that are added up at a time.


def unwrapped(network: nn.Module) -> Any:
    """The network inside the wrappers of torch.compile, DataParallel, AveragedModel and such."""
    for name in WRAPPED:
        inner = network._modules.get(name)
        if inner is not None:
            return unwrapped(inner)
    return network


def plain_class(network: nn.Module) -> type:
    """The network's class; torch makes a new one of it when a weight of its own is parametrized."""
    return type(network).__mro__[int(parametrize.is_parametrized(network))]


def state(network: nn.Module) -> dict[str, Tensor]:
    """As `state_dict` of the plain network: without wrappers, parametrizations computed."""
    network = unwrapped(network)
    tensors = {
        key: value
        for key, value in network.state_dict().items()
        if "parametrizations" not in key.split(".")
    }
    for path, module in network.named_modules():
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:
                tensors[f"{path}.{name}".lstrip(".")] = getattr(module, name).detach()
    return tensors


def at_rest(network: nn.Module) -> nn.Module:
    """The network in eval mode: itself, or a twin of the same tensors, so that it stays as it is.

    A twin is of the plain network, since a wrapper would call the one that it wraps.
    """
    if not any(module.training for module in network.modules()):
        return network
    return _twin(unwrapped(network))


def check_usable(name: str, network: nn.Module) -> None:
    """Weights of one type that networks compute in, on one device; `name` is for the message."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    floats = [value for value in tensors if value.is_floating_point() or value.is_complex()]
    for words, kinds in (
        ("device", {value.device for value in floats}),
        ("type", {value.dtype for value in floats}),
    ):
        if len(kinds) > 1:
            raise ValueError(
                f"{name} must have all its weights of one {words}, got "
                f"{', '.join(sorted(map(str, kinds)))}: move the pipeline with .to(...)"
            )
    for value in floats[:1]:
        if value.device.type == "meta":
            raise ValueError(f"{name} has no weights: it is on the meta device")
        if value.dtype not in DTYPES:
            allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            raise ValueError(f"{name} must be of type {allowed}, got {value.dtype}")


def sha256(networks: Mapping[str, nn.Module]) -> str:
    """Hash of the weights as they compute, however they are stored."""
    digest = hashlib.sha256()
    for name, network in sorted(networks.items()):
        for key, value in sorted(state(network).items()):
            digest.update(f"{name}.{key}{list(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fingerprint(networks: Mapping[str, nn.Module]) -> bytes:
    """What changes whenever the weights do, several times as quick to have as their hash.

    The bits of each tensor, as whole numbers, added up row by row. Versions that torch counts would
    not do: they miss what is written through `.data`, NumPy or another view.
    """
    digest = hashlib.blake2b()
    for name, network in sorted(networks.items()):
        for key, value in sorted(state(network).items()):
            description = f"{name}.{key}{value.shape}{value.stride()}{value.dtype}{value.device}"
            digest.update(description.encode())
            bits = _in_memory_order(value.detach()).view(torch.uint8).cpu().numpy()
            whole = len(bits) // (8 * ROW) * 8 * ROW
            if whole:
                digest.update(bits[:whole].view(np.int64).reshape(-1, ROW).sum(1).data)
            digest.update(bits[whole:].data)
    return digest.digest()


def write(
    tensors: dict[str, Tensor],  # Contiguous, none of them sharing memory.
    path: Path,
    metadata: dict[str, str] | None = None,  # For the file's header.
) -> None:
    """A safetensors file, whole or not there, which others may read as the umask says.

    `save_file` alone lets nobody but the owner read, not even the group of a shared folder.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch()
        mode = partial.stat().st_mode & 0o777
        save_file(tensors, partial, metadata)
        partial.chmod(mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file. ValueError if it is not the one with that hash."""
    if file_sha256(path) != sha256:
        raise ValueError("its content is not what was written")
    return load_file(path)


def _in_memory_order(value: Tensor) -> Tensor:
    """The numbers [n], without a copy where they lie side by side, in whatever order."""
    if value.is_contiguous():
        return value.view(-1)
    if value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last):
        return value.permute(0, 2, 3, 1).view(-1)
    return value.flatten()


def _twin(module: nn.Module) -> nn.Module:
    twin = object.__new__(type(module))  # Parametrized modules refuse to be copied.
    twin.__dict__.update(module.__dict__)
    twin.__dict__["_modules"] = {
        name: None if child is None else _twin(child) for name, child in module._modules.items()
    }
    twin.__dict__["training"] = False
    return twin
