"""The embedded default models: each folder beside this file is exactly a Hub repo.

Knows names and facts only, so that a page can list the models without loading torch.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
# Pipelines without weights, which load by name like the embedded models: class and module.
ENGINES = {"patches": ("PatchPipeline", "genmodels.pipelines.pipeline_patches")}


def list_models() -> dict[str, str]:
    """The names of the embedded models, each with a one-line fact about it."""
    return {name: facts(name)["summary"] for name in names()}


def names() -> list[str]:
    """The names of the embedded models in alphabetical order."""
    return sorted(path.parent.name for path in FOLDER.glob("*/model_index.json"))


def networks() -> list[str]:
    """The names of embedded networks that draw nothing themselves, such as feature networks."""
    with_config = {path.parent.name for path in FOLDER.glob("*/config.json")}
    return sorted(with_config - set(names()))


def facts(name: str) -> dict[str, Any]:
    """What the training run recorded of a model: its run.json."""
    if name not in names():
        raise ValueError(f"name must be one of {', '.join(names())}, got {name!r}")
    return json.loads((FOLDER / name / "run.json").read_text())
