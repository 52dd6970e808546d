"""What every published model says of itself: run.json, and the film of its training."""

import copy
import inspect
import json
import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import genmodels
from genmodels.data import images
from genmodels.hub import repo
from genmodels.hub.pipelines import HubPipeline
from training.runs.disk import whole_file
from training.runs.held_out import repeats
from training.runs.run import Run

PRIVATE = {"out", "init_from", "card_notes"}  # Paths of a machine, as the folders of images are.
MAX_MOVED = 1e-4  # Share of values that half precision may move by more than one level.
MAX_FRAMES = 40
CAPTION = 18  # Height of a film's line of text, in pixels.

Draw = Callable[[HubPipeline], Sequence[Image.Image]]


def of_run(run: Run, pipeline: HubPipeline, **others: Any) -> dict[str, Any]:
    """The facts of a finished run, before anything is measured, and others beside them."""
    config = run.config
    family = type(pipeline).__name__.removesuffix("Pipeline")
    flags = json.loads((config.out / "config.json").read_text())
    for private in PRIVATE | config.image_folders:
        flags.pop(private, None)
    parent = run.parent or {}
    is_continued = parent.get("data_fingerprint") == run.data.fingerprint
    return {
        "name": name_of(run),
        "summary": config.summary or f"{family} at {config.resolution} px",
        "pipeline": type(pipeline).__name__,
        "resolution": config.resolution,
        "parameters": sum(
            p.numel() for network in pipeline.networks.values() for p in network.parameters()
        ),
        "weights_sha256": pipeline.weights_sha256,
        "steps": run.step,
        "images_seen": run.images_seen,
        "images_seen_by_parent": parent["images_seen"] if is_continued else None,
        "cost": {
            "seconds": round(run.seconds),
            "images_per_second": round(run.images_seen / max(run.seconds, 1), 1),
            "device": device_name(run.device),
            "processes": run.world,
        },
        "data": {
            "name": config.data_name or Path(config.data).name,
            "fingerprint": run.data.fingerprint,
            "held_out_fingerprint": run.held_out.fingerprint,
            "num_train": len(run.data),
            "num_held_out": len(run.held_out),
            "num_skipped": len(run.data.skipped),
        },
        "repeats": repeats(run.data, run.held_out),
        "alarms": run.alarms.lines,
        "licence": config.licence,
        "parent": parent.get("name"),
        **others,
        "config": flags,
        "versions": {
            "genmodels": genmodels.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "commit": _commit(),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def name_of(run: Run) -> str:
    """What the model is called."""
    return run.config.name or run.config.out.name


def storage_dtype(pipeline: HubPipeline, draw: Draw) -> torch.dtype | None:
    """Half precision, unless that moves a value by more than two of 256 levels, or more than a few
    by more than one.
    """
    before, after = (
        [np.asarray(picture, dtype=np.int16) for picture in draw(each)]
        for each in (pipeline, _rounded(pipeline))
    )
    moved = [np.abs(a - b) for a, b in zip(before, after, strict=True)]
    is_much = (
        max(m.max() for m in moved) > 2 or np.mean([(m > 1).mean() for m in moved]) > MAX_MOVED
    )
    return None if is_much else torch.float16


def film(
    sheets: Path,  # Folder of the run's sheets of samples, named by the images seen.
    target: Path,  # The film; a .webp is five times smaller than a .gif and has all colours.
    *,
    width: float,  # Share of the sheet that is shown, from its left ...
    height: float,  # ... and from its top.
    num_train: int,  # Images of an epoch.
    frames: int = MAX_FRAMES,  # How many of the sheets, at most.
) -> None:
    """The sheets of a run as an animation, each with how much had been seen by then."""
    paths = sorted(sheets.glob("*.png"))
    places = np.linspace(0, len(paths) - 1, min(len(paths), frames))
    shown = []
    for path in (paths[i] for i in sorted({round(place) for place in places})):
        try:
            sheet = images.open_rgb(path)
        except ValueError as error:
            print(f"the film lacks a sheet: {error}", flush=True)
            continue
        sheet = sheet.crop((0, 0, int(sheet.width * width), int(sheet.height * height)))
        seen = int(path.stem)
        shown.append(_captioned(sheet, f"epoch {seen / num_train:.0f}: {seen:,} images"))
    if not shown:
        print(f"there is no film: {sheets} holds no sheets", flush=True)
        return
    images.encode_animation(shown, target, fps=6, quality=70)


def seal(run: Run, folder: Path, facts: dict[str, Any]) -> None:
    """Write run.json, last and whole, as it vouches for all the others; push what is there."""
    with whole_file(folder / "run.json") as partial:
        partial.write_text(json.dumps(facts, indent=1) + "\n")
    run.print(f"{facts['name']} is in {folder}")
    if run.config.push_to_hub:
        address = repo.upload(folder, run.config.push_to_hub, private=run.config.private)
        run.print(f"published: {address}")


def device_name(device: torch.device) -> str:
    """The processor's or the GPU's name for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.get_num_threads()} threads)"


def _captioned(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text below."""
    whole = Image.new("RGB", (picture.width, picture.height + CAPTION), "white")
    whole.paste(picture)
    font = ImageFont.load_default(CAPTION * 0.7)
    ImageDraw.Draw(whole).text((2, picture.height + 2), text, fill="#333333", font=font)
    return whole


def _rounded(pipeline: HubPipeline) -> HubPipeline:
    """The pipeline with its weights rounded to half precision."""
    networks = copy.deepcopy(pipeline.networks)
    for network in networks.values():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    known = set(inspect.signature(type(pipeline)).parameters) - networks.keys()
    settings = {key: value for key, value in pipeline.config.items() if key in known}
    return type(pipeline)(**networks, **settings)


def _commit() -> str | None:
    """The repository's commit, when the script runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # No git here.
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
