"""The card of a published model that translates: what was measured when it was, in words."""

from typing import Any

from genmodels.metrics.figures import interval_shown, reasons, shown
from training.publish.card import repeats

TITLES = {  # The figures of `pair_figures.figures`, and which way is better.
    "psnr": "PSNR, mean over pictures, dB (higher)",
    "psnr_of_mean": "PSNR of the mean squared error, dB (higher)",
    "ssim": "SSIM, 11 px Gaussian window (higher)",
    "mse": "mean squared error, grey levels squared (lower)",
    "chroma_error": "distance in colour (CIE a and b), 2 is just seen (lower)",
    "swd": "texture: sliced Wasserstein distance of patches, x1000 (lower)",
}
UNPAIRED_TITLES = {  # The figures of `unpaired_figures.figures`.
    "swd": "texture: sliced Wasserstein distance of patches, x1000 (lower)",
    "colour": "colours: Wasserstein distance in CIE Lab, 2 is just seen (lower)",
    "kept": "SSIM of its grey with the photograph's (higher: more of the picture stays)",
}


def card(facts: dict[str, Any], notes: list[str]) -> str:
    """README.md of the repo, from the facts in run.json and more sections in Markdown."""
    is_paired = "psnr" in facts["metrics"]
    measured = [_figures(facts)] if is_paired else [_unpaired_figures(facts)]
    if is_paired and facts["metrics"]["n"]:
        measured.append(_worst())
    parts = [_head(facts, is_paired), *measured, _data(facts, is_paired), _training(facts), *notes]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _head(facts: dict[str, Any], is_paired: bool) -> str:
    shown = "Held-out pairs that the network never saw: sources, what it makes of them, targets."
    if not is_paired:
        shown = "Photographs that the network never saw, and what it makes of them."
    return f"""---
library_name: genmodels
license: other
license_name: see-card
tags: [image-to-image, {facts["pipeline"].removesuffix("Pipeline").lower()}]
pipeline_tag: image-to-image
---

# {facts["name"]}

{facts["summary"]}

![held-out pictures and what it makes of them](samples.png)

{shown}

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
        if key in panel:  # Cards of before have no texture of flat pictures.
            value, nothing = (shown(panel[key].get(x), ".4g") for x in ("value", "baseline"))
            rows.append(f"| {title} | {value} | {interval_shown(panel[key], '.4g')} | {nothing} |")
    table = "\n".join(rows)
    return f"""## Figures

{panel["n"]} held-out pairs at {facts["resolution"]} px, with 95 % intervals over pictures.
*Nothing done* is the source itself, held against the target.

| figure | value | 95 % interval | nothing done |
| --- | --- | --- | --- |
{table}{reasons(TITLES, panel)}"""


def _unpaired_figures(facts: dict[str, Any]) -> str:
    panel = facts["metrics"]
    made, nothing, real = panel["made"], panel["nothing_done"], panel["real"]
    rows = []
    for key, title in UNPAIRED_TITLES.items():
        if key not in made:
            continue
        others = [shown(panel[key]["value"], ".3g") for panel in (nothing, real) if key in panel]
        cells = [shown(made[key]["value"], ".3g"), interval_shown(made[key], ".3g"), *others]
        cells += [""] * (4 - len(cells))
        rows.append(f"| {title} | {' | '.join(cells)} |")
    table = "\n".join(rows)
    return f"""## Figures

{made["n"]} held-out photographs at {facts["resolution"]} px, translated, against
{made["n_targets"]} pictures of the wanted kind that were held out too, with 95 % intervals; the
distances are of as many of the ones as of the others.
*Nothing done* are the photographs themselves, *real* pictures of the kind that were trained on.

| figure | value | 95 % interval | nothing done | real |
| --- | --- | --- | --- | --- |
{table}{reasons(UNPAIRED_TITLES, made)}"""


def _worst() -> str:
    return """## Worst samples

The held-out pairs with the largest squared error: sources, what it makes of them, targets.

![worst samples](worst.png)"""


def _data(facts: dict[str, Any], is_paired: bool) -> str:
    data = facts["data"]
    kind = "pairs" if is_paired else "photographs"
    if not is_paired:
        kind += f" and {facts['num_targets']} pictures of the wanted kind"
    parent = f"\n- Fine-tuned from `{facts['parent']}`." if facts["parent"] else ""
    return f"""## Data and licence

- {data["name"]}: {data["num_train"]} {kind} to train on, {data["num_held_out"]} held out,
  {data["num_skipped"]} left out. Fingerprint `{data["fingerprint"][:16]}`.
{repeats(facts, kind.partition(" ")[0])}- {facts["licence"]}{parent}
- What it makes carries a recipe and a mark that says that it is partly synthetic. Do not present
  it as an untouched photograph."""


def _training(facts: dict[str, Any]) -> str:
    cost = facts["cost"]
    epochs = facts["images_seen"] / facts["data"]["num_train"]
    seen = facts["images_seen_by_parent"]
    before = f" (and before that {seen:,} by `{facts['parent']}`)" if seen else ""
    return f"""## Training

{facts["images_seen"]:,} pictures seen ({epochs:.0f} epochs) in {facts["steps"]:,} steps{before},
{cost["seconds"] / 3600:.1f} hours on {cost["processes"]} x {cost["device"]}
({cost["images_per_second"]} pictures/s). {facts["parameters"]:,} parameters. Every flag is in
`run.json`."""
