"""The card of a published model that translates: what `publish_pairs` measured, in words."""

from typing import Any

TITLES = {  # The figures of `pair_figures.figures`, and which way is better.
    "psnr": "PSNR, mean over pictures, dB (higher)",
    "psnr_of_mean": "PSNR of the mean squared error, dB (higher)",
    "ssim": "SSIM, 11 px Gaussian window (higher)",
    "mse": "mean squared error, grey levels squared (lower)",
    "chroma_error": "distance in colour (CIE a and b), 2 is just seen (lower)",
    "swd": "texture: sliced Wasserstein distance of patches, x1000 (lower)",
}


def card(facts: dict[str, Any], notes: list[str]) -> str:
    """README.md of the repo, from the facts in run.json and more sections in Markdown."""
    parts = [_head(facts), _figures(facts), _worst(), _data(facts), _training(facts), *notes]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _head(facts: dict[str, Any]) -> str:
    return f"""---
library_name: genmodels
license: other
license_name: see-card
tags: [image-to-image, {facts["pipeline"].removesuffix("Pipeline").lower()}]
pipeline_tag: image-to-image
---

# {facts["name"]}

{facts["summary"]}

![held-out pairs: source, output, target](samples.png)

Held-out pairs that the network never saw: sources, what it makes of them, targets.

```python
import genmodels
from genmodels import images

photo = images.open_rgb("photo.jpg")
genmodels.load("{facts["config"]["push_to_hub"] or facts["name"]}")(photo).images[0]
```"""


def _figures(facts: dict[str, Any]) -> str:
    panel = facts["metrics"]
    rows = []
    for key, title in TITLES.items():
        figure = panel[key]
        interval = f"{figure['low']:.3g} to {figure['high']:.3g}" if "low" in figure else ""
        rows.append(f"| {title} | {figure['value']:.4g} | {interval} | {figure['baseline']:.4g} |")
    table = "\n".join(rows)
    return f"""## Figures

{panel["n"]} held-out pairs at {facts["resolution"]} px, with 95 % intervals over pictures.
*Nothing done* is the source itself, held against the target.

| figure | value | 95 % interval | nothing done |
| --- | --- | --- | --- |
{table}"""


def _worst() -> str:
    return """## Worst samples

The held-out pairs with the largest squared error: sources, what it makes of them, targets.

![worst samples](worst.png)"""


def _data(facts: dict[str, Any]) -> str:
    data = facts["data"]
    parent = f"\n- Fine-tuned from `{facts['parent']}`." if facts["parent"] else ""
    return f"""## Data and licence

- {data["name"]}: {data["num_train"]} pairs to train on, {data["num_held_out"]} held out,
  {data["num_skipped"]} unreadable. Fingerprint `{data["fingerprint"][:16]}`.
- {facts["licence"]}{parent}
- What it makes carries a recipe and a mark that says that it is partly synthetic. Do not present
  it as an untouched photograph."""


def _training(facts: dict[str, Any]) -> str:
    cost = facts["cost"]
    epochs = facts["images_seen"] / facts["data"]["num_train"]
    return f"""## Training

{facts["images_seen"]:,} pairs seen ({epochs:.0f} epochs) in {facts["steps"]:,} steps,
{cost["seconds"] / 3600:.1f} hours on {cost["processes"]} x {cost["device"]}
({cost["images_per_second"]} pairs/s). {facts["parameters"]:,} parameters. Every flag is in
`run.json`."""
