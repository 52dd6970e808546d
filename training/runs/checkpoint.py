"""Resume state as safetensors + JSON: written atomically, verified on reading, the newest k kept.

A checkpoint is a folder `step_00001000` with `state.safetensors` (every tensor) and `state.json`
(every number, and the hash of the tensors' file). It appears under its name only when complete.
accelerate's own `save_state` pickles optimizers and random states, so this module is used.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.optim import Optimizer

from genmodels.hub import weights

TENSORS = "state.safetensors"
NUMBERS = "state.json"


class Stateful(Protocol):
    """A network, or anything else with a flat state of tensors and numbers."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


def save(
    folder: Path,  # Where the checkpoints of a run are.
    step: int,  # How many steps the state has behind it.
    objects: dict[str, Stateful | Optimizer],  # What to keep, by name.
    counters: dict[str, Any],  # Other JSON-able facts, given back by `load`.
    *,
    keep: int,  # How many of the newest checkpoints stay.
) -> None:
    """Write one checkpoint. On OSError (a full disk) the older ones are all still there."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for name, thing in objects.items():
        for key, value in _flat_state(thing).items():
            if isinstance(value, Tensor):
                # Its own copy: tied or strided storage is nothing that safetensors takes.
                tensors[f"{name}.{key}"] = value.detach().cpu().contiguous().clone()
            else:
                numbers[f"{name}.{key}"] = value
    target = folder / f"step_{step:08d}"
    partial = folder / f".{target.name}.partial"
    for left in folder.glob(".step_*.partial"):  # By a kill.
        shutil.rmtree(left, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        weights.write(tensors, partial / TENSORS)
        record = {"step": step, "sha256": weights.file_sha256(partial / TENSORS)}
        record |= {"counters": counters, "numbers": numbers}
        (partial / NUMBERS).write_text(json.dumps(record, indent=1))
        for path in partial.iterdir():
            _flush(path)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OSError(
            f"checkpoint of step {step} could not be written to {folder} ({error}); "
            f"the newest one kept is {newest(folder) or 'none'}"
        ) from error
    # Whatever is newer was passed over as damaged when this run resumed.
    retained = [old for old in steps(folder) if old <= step][-keep:]
    for old in set(steps(folder)) - set(retained):
        shutil.rmtree(folder / f"step_{old:08d}")


def load(folder: Path, objects: dict[str, Stateful | Optimizer]) -> dict[str, Any] | None:
    """Restore the newest sound checkpoint and return its counters with its "step"; None if none.

    A damaged one is passed over aloud. Errors: ValueError when a sound one does not fit `objects`,
    or when there are some and none is sound; OSError when one is there and cannot be read.
    """
    damaged = []
    for step in reversed(steps(folder)):
        path = folder / f"step_{step:08d}"
        try:
            record = json.loads((path / NUMBERS).read_text())
            if record["step"] != step:
                raise ValueError(f"it says that it is of step {record['step']}")
            tensors = weights.read(path / TENSORS, record["sha256"])
            state = {**tensors, **record["numbers"]}
            counters = {"step": record["step"], **record["counters"]}
        except (FileNotFoundError, ValueError, KeyError, TypeError, SafetensorError) as error:
            print(f"{path} is damaged ({error}); falling back to the one before", flush=True)
            damaged.append(path.name)
            continue
        for name, thing in objects.items():
            prefix = f"{name}."
            part = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            _restore(name, thing, part, path)
        return counters
    if damaged:
        raise ValueError(
            f"all checkpoints in {folder} are damaged ({', '.join(damaged)}); nothing was changed. "
            "Restore one of them from a copy, or choose another --out, or move them away to begin "
            "again from step 0"
        )
    return None


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, oldest first."""
    folders = folder.glob("step_" + "[0-9]" * 8)
    return sorted(int(path.name.removeprefix("step_")) for path in folders)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint's folder."""
    all_steps = steps(folder)
    return folder / f"step_{all_steps[-1]:08d}" if all_steps else None


def _flat_state(thing: Stateful | Optimizer) -> dict[str, Any]:
    """An optimizer's moments by parameter number; its settings belong to the command."""
    if not isinstance(thing, Optimizer):
        return thing.state_dict()
    state = thing.state_dict()["state"]
    return {f"{i}.{key}": value for i, slots in state.items() for key, value in slots.items()}


def _restore(name: str, thing: Stateful | Optimizer, part: dict[str, Any], path: Path) -> None:
    try:
        if isinstance(thing, Optimizer):
            slots: dict[int, dict[str, Any]] = {}
            for key, value in part.items():
                index, slot = key.split(".", 1)
                slots.setdefault(int(index), {})[slot] = value
            groups = thing.state_dict()["param_groups"]
            thing.load_state_dict({"state": slots, "param_groups": groups})
            for parameter, moments in thing.state.items():
                for slot, value in moments.items():
                    if value.ndim:  # In its parameter's layout: another is slower, and may round.
                        moments[slot] = torch.empty_like(parameter).copy_(value)
        else:
            thing.load_state_dict(part)
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{path} does not fit this command's {name}: {error}") from error


def _flush(path: Path) -> None:
    """Down to the disk, so that a power cut cannot leave a name without its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
