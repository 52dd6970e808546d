"""The state of a training in one folder, as safetensors + JSON: whole or not there, never a pickle.

For trainings inside the package; scripts that keep several checkpoints have
`training.runs.checkpoint`.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from genmodels.hub import weights
from genmodels.hub.repo import read_json

RECORD = "state.json"


def save(
    folder: Path,  # Made when it does not exist.
    tensors: dict[str, Tensor],  # Every tensor of the state.
    record: dict[str, Any],  # What else there is to keep, JSON-able.
) -> None:
    """Replace the folder's state. Killed at any moment, it leaves the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "state.partial"
    weights.write({key: value.detach().contiguous() for key, value in tensors.items()}, partial)
    digest = weights.file_sha256(partial)
    path = folder / f"state-{digest[:16]}.safetensors"
    partial.replace(path)
    partial.write_text(json.dumps(record | {"tensors_sha256": digest}, indent=1))
    partial.replace(folder / RECORD)  # From here on the new state counts.
    for old in folder.glob("state-*.safetensors"):
        if old != path:
            old.unlink()


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The folder's tensors and record, None when it has none. ValueError when they are damaged."""
    if not (folder / RECORD).is_file():
        return None
    record = read_json(folder / RECORD)
    digest = str(record.pop("tensors_sha256", ""))
    path = folder / f"state-{digest[:16]}.safetensors"
    try:
        if not digest.isalnum():
            raise ValueError("its record holds no hash")
        return weights.read(path, digest), record
    except (OSError, SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): remove {folder} to start again") from error
