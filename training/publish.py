"""From a finished run to a Hub repo: weights, config, card, run.json, sheets of samples.

Everything on the card is measured here, on images that were held out.
"""

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import genmodels
from genmodels import hub, images, metrics
from genmodels.hub import HubModel, HubPipeline
from training.run import Run

MAX_EVALUATED = 2_000  # Images per side of the metrics; more costs minutes and changes little.
TITLES = {  # The figures of `metrics.panel` that lead the card, and which way is better.
    "swd": "texture: sliced Wasserstein distance of patches, x1000 (lower)",
    "random_kid": "structure: kernel distance of random features (lower)",
    "density": "density among held-out images (near 1)",
    "coverage": "coverage of the held-out images (higher)",
    "colour_L_wasserstein": "brightness: 1-D Wasserstein distance of L* (lower)",
    "ms_ssim_diversity": "sameness: MS-SSIM of random pairs (as low as real)",
    "duplicates": "near-duplicates among the samples (lower)",
    "closer_to_train_pixels": "chance to lie closer to a training image (0.5 is healthy)",
    "copies_features": "copies of a training image (0)",
}


def publish(
    run: Run,
    pipeline: HubPipeline,  # Holds the EMA weights.
    discriminator: HubModel,  # Published beside them, so that others can fine-tune.
    *,
    sampling: dict[str, Any] | None = None,  # Settings of the pipeline for the metrics.
) -> Path:
    """Write the repo's folder, `out/model`, and push it when the command says so.

    What stands there of these very weights is not measured again: to push is cheap to repeat.
    """
    folder = run.config.out / "model"
    if not run.is_main:
        return folder
    name = run.config.name or run.config.out.name
    pipeline.save_pretrained(folder, dtype=_storage_dtype(pipeline))
    discriminator.save_pretrained(folder / "discriminator", dtype=torch.float16)
    published = type(pipeline).from_pretrained(folder)
    facts = _facts(run, name, published, sampling or {})
    panel = _known_metrics(folder / "run.json", facts)
    if panel is None:
        panel = _measure(run, published, sampling or {}, folder)
    facts["metrics"] = panel
    (folder / "README.md").write_text(_card(facts))
    partial = run.config.out / "run.partial"  # Last and whole: it vouches for all the others.
    partial.write_text(json.dumps(facts, indent=1) + "\n")
    partial.replace(folder / "run.json")
    run.print(f"{name} is in {folder}")
    if run.config.push_to_hub:
        address = hub.upload(folder, run.config.push_to_hub, private=run.config.private)
        run.print(f"published: {address}")
    return folder


def _known_metrics(path: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """The figures that an earlier command measured of the same weights on the same images."""
    if not path.is_file():
        return None
    earlier = json.loads(path.read_text())
    keys = ("weights_sha256", "data", "metric_sampling")
    is_current = earlier["metrics"]["metric_version"] == metrics.METRIC_VERSION
    is_same = all(earlier[key] == facts[key] for key in keys)
    return earlier["metrics"] if is_current and is_same else None


def _measure(
    run: Run, published: HubPipeline, sampling: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """The panel of figures; also draws the sheets of samples and the film of the run."""
    run.print("measuring on held-out images ...")
    count = min(len(run.held_out), MAX_EVALUATED)
    samples = [
        image
        for first in range(0, count, 250)
        for image in published(min(250, count - first), seed=1_000_000 + first, **sampling).images
    ]
    held_out, train = run.held_out.images[:count], run.data.images
    images.grid(published(32, seed=0).images, 8).save(folder / "samples.png")
    neighbours = metrics.nearest_neighbours(images.from_pil(samples), train, held_out)["features"]
    strangest = np.argsort(-neighbours.held_out_distance)[:16]
    images.grid([samples[i] for i in strangest], 8).save(folder / "worst.png")
    # Beside the repo and not in it: whoever may train on photographs may not always publish them.
    twins = train[neighbours.train_index[neighbours.worst]]
    pairs = torch.cat([images.from_pil([samples[i] for i in neighbours.worst]), twins])
    images.grid(pairs, len(twins)).save(run.config.out / "nearest.png")
    _film(run.config.out / "samples", folder / "progress.gif")
    return metrics.panel(images.from_pil(samples), held_out, train, seed=0)


def _storage_dtype(pipeline: HubPipeline) -> torch.dtype | None:
    """Half precision, unless that moves a pixel by more than one of its 256 levels."""
    half = _rounded(pipeline)
    for seed in range(4):
        before, after = (
            np.asarray(p(1, seed=seed).images[0], dtype=np.int16) for p in (pipeline, half)
        )
        if np.abs(before - after).max() > 1:
            return None
    return torch.float16


def _rounded(pipeline: HubPipeline) -> HubPipeline:
    """The pipeline with its weights rounded to half precision."""
    generator = type(pipeline.generator)(**_arguments(pipeline.generator))
    state = pipeline.generator.state_dict()
    generator.load_state_dict(
        {k: v.half().to(v.dtype) if v.is_floating_point() else v for k, v in state.items()}
    )
    settings = {k: v for k, v in pipeline.config.items() if k == "conditions"}
    return type(pipeline)(generator.eval(), **settings)


def _arguments(model: HubModel) -> dict[str, Any]:
    return {key: value for key, value in model.config.items() if not key.startswith("_")}


def _facts(
    run: Run,
    name: str,
    pipeline: HubPipeline,
    sampling: dict[str, Any],
) -> dict[str, Any]:
    config = run.config
    family = type(pipeline).__name__.removesuffix("Pipeline")
    flags = json.loads((config.out / "config.json").read_text())
    for private in ("data", "held_out", "out", "init_from"):  # Paths of a machine are private.
        flags.pop(private, None)
    return {
        "name": name,
        "summary": config.summary or f"{family} at {config.resolution} px",
        "pipeline": type(pipeline).__name__,
        "resolution": config.resolution,
        "parameters": sum(p.numel() for p in pipeline.generator.parameters()),
        "weights_sha256": pipeline.weights_sha256,
        "steps": run.step,
        "images_seen": run.images_seen,
        "cost": {
            "seconds": round(run.seconds),
            "images_per_second": round(run.images_seen / max(run.seconds, 1), 1),
            "device": _device_name(run.device),
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
        "licence": config.licence,
        "parent": _parent_name(getattr(config, "init_from", None)),
        "metric_sampling": sampling,
        "config": flags,
        "versions": {
            "genmodels": genmodels.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "commit": _commit(),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _parent_name(source: str | None) -> str | None:
    """What a fine-tuned model came from; of a folder its model's name, not its path."""
    if source is None or not Path(source).is_dir():
        return source
    record = Path(source) / "run.json"
    return json.loads(record.read_text())["name"] if record.is_file() else Path(source).name


def _card(facts: dict[str, Any]) -> str:
    data, cost, panel = facts["data"], facts["cost"], facts["metrics"]
    rows = "\n".join(
        "| {title} | {value:.3g} | {low:.3g} to {high:.3g} | {real_vs_real:.3g} |".format(
            title=title, **panel[key]
        )
        for key, title in TITLES.items()
    )
    psi = facts["metric_sampling"].get("truncation_psi")
    at = "" if psi is None else f" at truncation {psi}"
    parent = f"\n- Fine-tuned from `{facts['parent']}`." if facts["parent"] else ""
    return f"""---
library_name: genmodels
license: other
license_name: see-card
tags: [image-generation, gan, {facts["pipeline"].removesuffix("Pipeline").lower()}]
pipeline_tag: unconditional-image-generation
---

# {facts["name"]}

{facts["summary"]}

![samples](samples.png)

```python
import genmodels

genmodels.load("{facts["config"]["push_to_hub"] or facts["name"]}")(num_images=4, seed=7).images
```

## Figures

{panel["n"]} samples{at} against {panel["n"]} held-out images at {facts["resolution"]} px, with
95 % intervals. *Real* is the same figure between training and held-out photographs, the value of a
perfect model. None of these is FID; they compare models on this data at this resolution only.

| figure | value | 95 % interval | real |
| --- | --- | --- | --- |
{rows}

`run.json` has the whole panel.

## Worst samples

The 16 of {panel["n"]} samples that are least like any held-out image.

![worst samples](worst.png)

## Data and licence

- {data["name"]}: {data["num_train"]} images to train on, {data["num_held_out"]} held out,
  {data["num_skipped"]} unreadable. Fingerprint `{data["fingerprint"][:16]}`.
- {facts["licence"]}{parent}
- Its pictures are generated: they carry a recipe and a mark that says so. Do not present them as
  photographs.

## Training

{facts["images_seen"]:,} images seen in {facts["steps"]:,} steps, {cost["seconds"] / 3600:.1f} hours
on {cost["processes"]} x {cost["device"]} ({cost["images_per_second"]} images/s).
{facts["parameters"]:,} parameters. Every flag is in `run.json`.
"""


def _film(sheets: Path, target: Path) -> None:
    """The first quarter of each sheet of the run, as an animation of at most 40 frames."""
    paths = sorted(sheets.glob("*.png"))
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, min(len(paths), 40))})
    frames = [images.open_rgb(paths[i]) for i in chosen]
    quarters = [frame.crop((0, 0, frame.width // 2, frame.height // 2)) for frame in frames]
    images.encode_animation(quarters, target, fps=6)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({torch.get_num_threads()} threads)"


def _commit() -> str | None:
    """The repository's commit, when the script runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None if answer.returncode == 0 else None
