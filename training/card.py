"""The card of a published model: what `publish` measured, in words and tables."""

from typing import Any

from genmodels.figures import Figure, interval_shown, reasons, shown, undefined

TITLES = {  # The figures of `metrics.panel` that lead the card, and which way is better.
    "swd": "texture: sliced Wasserstein distance of patches, x1000 (lower)",
    "random_kid": "structure: kernel distance of random features (lower)",
    "open_nsfw_kid": "content: KID, open_nsfw features, which nothing here trains with (lower)",
    "density": "density among held-out images (near 1)",
    "coverage": "coverage of the held-out images (higher)",
    "colour_L_wasserstein": "brightness: 1-D Wasserstein distance of L* (lower)",
    "ms_ssim_diversity": "sameness: MS-SSIM of random pairs (as low as real)",
    "duplicates": "near-duplicates among the samples (lower)",
    "closer_to_train_pixels": "chance to lie closer to a training image (0.5 is healthy)",
    "copies_features": "copies of a training image (0)",
}


def card(facts: dict[str, Any], notes: list[str]) -> str:
    """README.md of the repo, from the facts in run.json and more sections in Markdown."""
    parts = [
        _head(facts),
        _figures(facts),
        obedience(facts["conditions_followed"]) if facts.get("conditions_followed") else "",
        _truncation(facts),
        _worst(facts),
        _data(facts),
        _training(facts),
        *notes,
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _head(facts: dict[str, Any]) -> str:
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
```"""


def _figures(facts: dict[str, Any]) -> str:
    panel = undefined(TITLES, "published before it was measured") | facts["metrics"]
    psi = facts["metric_sampling"].get("truncation_psi")
    at = "" if psi is None else f" at truncation {psi}"
    rows = "\n".join(_figure_row(title, panel[key]) for key, title in TITLES.items())
    return f"""## Figures

{panel["n"]} samples{at} against {panel["n"]} held-out images at {facts["resolution"]} px, with
95 % intervals. *Real* is the same figure between training and held-out photographs, the value of a
perfect model. None of these is FID; they compare models on this data at this resolution only.

| figure | value | 95 % interval | real |
| --- | --- | --- | --- |
{rows}{reasons(TITLES, panel)}

`run.json` has the whole panel."""


def _figure_row(title: str, figure: Figure) -> str:
    value, real = (shown(figure.get(key), ".3g") for key in ("value", "real_vs_real"))
    return f"| {title} | {value} | {interval_shown(figure, '.3g')} | {real} |"


def obedience(followed: dict[str, Any]) -> str:
    """The card's section on what `judge.conditions_followed` found."""
    rows, verdicts = [], []
    for name, figures in followed["conditions"].items():
        if "evenly" in figures:
            kinds = {
                "evenly": "seen as asked, each value asked for as often (higher)",
                "by_frequency": "seen as asked, asked for as often as in the data (higher)",
            }
        else:
            kinds = {
                "spearman": "rank correlation of asked and seen (higher)",
                "mean_absolute_error": "asked minus seen, in the mean without sign (lower)",
            }
        rows += [_obedience_row(f"{name}: {words}", figures[key]) for key, words in kinds.items()]
        verdicts.append(f"- {name}: {_verdict(figures[next(iter(kinds))])}")
    table, said = "\n".join(rows), "\n".join(verdicts)
    return f"""## How well it obeys

A small network that has never seen a generated picture learnt these labels from the training images
and says what it sees in {followed["num_samples"]} samples. It errs on real images too: *real* is
what it says of {followed["num_held_out"]} held-out ones, and what to expect of a model that obeys
perfectly. *Chance* is a model that does not listen. Intervals of 95 %.

| condition | samples | real | chance |
| --- | --- | --- | --- |
{table}

{said}"""


def _obedience_row(title: str, figure: dict[str, Any]) -> str:
    real = "no labels"
    if figure["real"] is not None:
        real = "{real:.2f} ({real_low:.2f} to {real_high:.2f})".format(**figure)
    samples = "{value:.2f} ({low:.2f} to {high:.2f})".format(**figure)
    return f"| {title} | {samples} | {real} | {figure['chance']:.2f} |"


def _verdict(figure: dict[str, Any]) -> str:
    """One honest sentence on a figure of which more is better."""
    if figure["real"] is None:
        return "the held-out images carry no labels, so nobody knows how well the judge sees."
    if figure["real_low"] <= figure["chance"]:
        return "the judge cannot tell it on real images either, so its figures say nothing."
    if figure["low"] <= figure["chance"]:
        return "no sign that the model listens."
    share = (figure["value"] - figure["chance"]) / (figure["real"] - figure["chance"])
    if share >= 1:
        return "as clear to the judge as in real images, or clearer."
    return f"{share:.0%} of the way from chance to real images."


def _truncation(facts: dict[str, Any]) -> str:
    if not facts.get("truncation_sheet"):
        return ""
    shown = ", ".join(map(str, facts["truncation_sheet"]))
    return f"""## Truncation

The same seeds at truncation {shown}, from top to bottom: less is safer and more alike.

![samples at truncation {shown}](truncation.png)"""


def _worst(facts: dict[str, Any]) -> str:
    if reason := facts.get("no_worst_samples"):
        return f"""## Worst samples

None: {reason}."""
    count = facts.get("num_samples") or facts["metrics"]["n"]
    return f"""## Worst samples

The 16 of {count} samples that are least like any held-out image.

![worst samples](worst.png)"""


def _data(facts: dict[str, Any]) -> str:
    data = facts["data"]
    parent = f"\n- Fine-tuned from `{facts['parent']}`." if facts["parent"] else ""
    return f"""## Data and licence

- {data["name"]}: {data["num_train"]} images to train on, {data["num_held_out"]} held out,
  {data["num_skipped"]} left out. Fingerprint `{data["fingerprint"][:16]}`.
{repeats(facts, "images")}- {facts["licence"]}{parent}
- Its pictures are generated: they carry a recipe and a mark that says so. Do not present them as
  photographs."""


def repeats(facts: dict[str, Any], kind: str) -> str:
    """The card's line on what a split of pictures that repeat each other is worth."""
    told = facts.get("repeats")
    if told is None:  # Published before these were counted.
        return ""
    return (
        f"- {told['trained_on']} of the {kind} to train on repeat another of them, to the pixel or "
        f"mirrored. Of those held out {told['held_out_exact']} repeat one that is trained on, and "
        f"{told['held_out_near']} more do nearly: where these are many, the figures flatter.\n"
    )


def _training(facts: dict[str, Any]) -> str:
    cost, before = facts["cost"], facts.get("images_seen_by_parent")
    after = f", after {before:,} by its parent `{facts['parent']}`," if before else ""
    shares = facts.get("layer_shares")
    decided = ""
    if shares:
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        decided = (
            f"\n\nHow much of the variety of its pictures each range of layers decides: {told}."
        )
    snapshot = facts.get("snapshot")
    if snapshot:
        decided += (
            "\n\nPublished is the best snapshot of the run by texture, structure and coverage on "
            f"the held-out images, that after {snapshot['images_seen']:,} images."
        )
    return f"""## Training

{facts["images_seen"]:,} images seen{after} in {facts["steps"]:,} steps,
{cost["seconds"] / 3600:.1f} hours on {cost["processes"]} x {cost["device"]}
({cost["images_per_second"]} images/s). {facts["parameters"]:,} parameters. Every flag is in
`run.json`.{decided}"""
