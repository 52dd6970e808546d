"""The card of a published model: what was measured when it was published, in words and tables.

`Card` has the sections of every card. What a task says in its own words, such as what its figures
were measured on, a subclass beside the task's `Evaluation` fills in.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from huggingface_hub import EvalResult, ModelCardData

from genmodels.hub.loading import pipeline_class
from genmodels.metrics.figures import Figure, interval_shown, reasons, shown
from genmodels.metrics.registry import headings
from training.judges.condition_accuracy import card_section


class Card:
    """README.md of a model's repo, from the facts in its run.json."""

    task: ClassVar[str]  # As the Hub calls it; it groups models by that.
    tag: ClassVar[str]  # The first of the Hub's tags; those of the pipeline's class follow.
    usage: ClassVar[str]  # Python after `import genmodels`; {model} is what `load` takes.
    alt: ClassVar[str] = "samples"  # What samples.png shows, in short.
    caption: ClassVar[str] = ""  # Below it.
    notice: ClassVar[str]  # What whoever shows its output must know.
    baseline: ClassVar[str] = "nothing done"  # What figures are held beside, if anything.
    digits: ClassVar[str] = ".3g"  # Number format of a figure in the table.

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def text(self, notes: Iterable[str] = ()) -> str:
        """The whole card, with more sections in Markdown at its end."""
        parts = [
            self._head(),
            self._figures(),
            self._conditions(),
            self._truncation(),
            self._worst(),
            self._memorization(),
            self._data(),
            self._training(),
            self._alarms(),
            *notes,
        ]
        return "\n\n".join(part.strip() for part in parts if part) + "\n"

    @property
    def panel(self) -> dict[str, Any]:
        """The figures by name: value, low and high, beside a baseline or real images."""
        panel: dict[str, Any] = self.facts["metrics"]
        return panel

    @property
    def measured_on(self) -> str:
        """The text above the table of figures."""
        raise NotImplementedError

    @property
    def images(self) -> str:
        """The noun for its training data, such as images."""
        return "images"

    @property
    def worst_caption(self) -> str:
        """What worst.png shows; empty where there is none."""
        return ""

    @property
    def metadata(self) -> ModelCardData:
        """What the Hub reads: licence, tags, and every figure as a result in `model-index`."""
        facts = self.facts
        results = [
            EvalResult(
                task_type=self.task,
                dataset_type="imagefolder",
                dataset_name=facts["data"]["name"],
                dataset_split="held-out",
                dataset_revision=facts["data"]["fingerprint"][:16],
                metric_type=name,
                metric_name=heading,
                metric_value=self.panel[name]["value"],
            )
            for name, heading in self._headings().items()
            if self.panel[name]["value"] is not None
        ]
        return ModelCardData(
            library_name="genmodels",
            license="other",
            license_name="see-card",
            tags=[self.tag, *pipeline_class(facts["pipeline"]).tags],
            pipeline_tag=self.task,
            model_name=facts["name"],
            eval_results=results or None,
        )

    def _headings(self) -> dict[str, str]:
        return {name: title for name, title in headings().items() if name in self.panel}

    def _head(self) -> str:
        facts = self.facts
        usage = self.usage.format(model=facts["config"]["push_to_hub"] or facts["name"])
        caption = f"\n\n{self.caption}" if self.caption else ""
        return f"""---
{self.metadata.to_yaml()}
---

# {facts["name"]}

{facts["summary"]}

![{self.alt}](samples.png){caption}

```python
import genmodels
{usage}
```"""

    def _figures(self) -> str:
        titles, panel = self._headings(), self.panel
        extra = {"baseline": self.baseline, "real_vs_real": "real"}
        extra = {
            part: words for part, words in extra.items() if any(part in panel[n] for n in titles)
        }
        rows = [self._row(title, panel[name], extra) for name, title in titles.items()]
        table = "\n".join([_row(["figure", "value", "95 % interval", *extra.values()]), *rows])
        table = table.replace("\n", f"\n{_row(['---'] * (3 + len(extra)))}\n", 1)
        return f"""## Figures

{self.measured_on}

{table}{reasons(titles, panel)}

`run.json` has all figures."""

    def _row(self, title: str, figure: Figure, extra: Iterable[str]) -> str:
        value = shown(figure.get("value"), self.digits)
        is_none = figure.get("value") is None
        others = [
            shown(figure.get(x), self.digits) if x in figure or is_none else "" for x in extra
        ]
        return _row([title, value, interval_shown(figure, self.digits), *others])

    def _conditions(self) -> str:
        followed = self.facts.get("conditions_followed")
        return card_section(followed) if followed else ""

    def _truncation(self) -> str:
        if not self.facts.get("truncation_sheet"):
            return ""
        levels = ", ".join(map(str, self.facts["truncation_sheet"]))
        return f"""## Truncation

The same seeds at truncation {levels}, from top to bottom: lower values give safer, more similar
pictures.

![samples at truncation {levels}](truncation.png)"""

    def _worst(self) -> str:
        if reason := self.facts.get("no_worst_samples"):
            return f"## Worst samples\n\nNone: {reason}."
        if not self.worst_caption:
            return ""
        return f"""## Worst samples

{self.worst_caption}

![worst samples](worst.png)"""

    def _memorization(self) -> str:
        found = self.facts.get("memorization")
        if not found:
            return ""
        if found["rate"] is None:
            return f"## Memorisation\n\nNot checked: {found['reason']}."
        rate, low, high = (f"{found[name]:.1%}" for name in ("rate", "low", "high"))
        return f"""## Memorisation

{rate} of {found["num_samples"]} samples are memorised (95 % interval {low} to {high}): nearer to
one of the {found["num_train"]} training images than 99 % of the {found["num_held_out"]} held-out
images are, by two kinds of features."""

    def _data(self) -> str:
        data, parent = self.facts["data"], self.facts["parent"]
        tuned = f"\n- Fine-tuned from `{parent}`." if parent else ""
        return f"""## Data and licence

- {data["name"]}: {data["num_train"]} {self.images} to train on, {data["num_held_out"]} held out,
  {data["num_skipped"]} left out. Fingerprint `{data["fingerprint"][:16]}`.
{self._repeats()}- {self.facts["licence"]}{tuned}
- {self.notice}"""

    def _repeats(self) -> str:
        """How many images are repeated within and across the splits."""
        counts = self.facts.get("repeats")
        if counts is None:  # Published before these were counted.
            return ""
        return (
            f"- {counts['trained_on']} of the {self.images.partition(' ')[0]} to train on are "
            "copies of another one, exact or mirrored. Of the held-out ones, "
            f"{counts['held_out_exact']} are copies of a training image and "
            f"{counts['held_out_near']} near-copies: if there are many, the figures are too good.\n"
        )

    def _training(self) -> str:
        facts, cost = self.facts, self.facts["cost"]
        before = facts.get("images_seen_by_parent")
        after = f", after {before:,} by its parent `{facts['parent']}`," if before else ""
        epochs = facts["images_seen"] / max(facts["data"]["num_train"], 1)
        return f"""## Training

{facts["images_seen"]:,} images seen{after} in {facts["steps"]:,} steps ({epochs:.1f} epochs),
{cost["seconds"] / 3600:.1f} hours on {cost["processes"]} x {cost["device"]}
({cost["images_per_second"]} images/s). {facts["parameters"]:,} parameters. Every flag is in
`run.json`.{self._decided()}"""

    def _alarms(self) -> str:
        """What went wrong in the training, each kind once, by its last alarm."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for alarm in self.facts.get("alarms") or ():
            by_kind.setdefault(alarm["kind"], []).append(alarm)
        if not by_kind:
            return ""
        lines = []
        for kind, alarms in by_kind.items():
            first, last = alarms[0], alarms[-1]
            when = f"at {first['images_seen']:,} images"
            if len(alarms) > 1:
                when = f"{len(alarms)} times, at {first['images_seen']:,} to "
                when += f"{last['images_seen']:,} images, last"
            lines.append(f"- `{kind}`, {when}: {last['message']}.")
        return "\n".join(["## Alarms during training", "", *lines])

    def _decided(self) -> str:
        """Further facts about the published weights."""
        text = ""
        if shares := self.facts.get("layer_shares"):
            words = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
            text += f"\n\nShare of the variety that each range of layers controls: {words}."
        if snapshot := self.facts.get("snapshot"):
            text += (
                "\n\nThe weights are of the best snapshot by texture, structure and coverage "
                f"on the held-out images, after {snapshot['images_seen']:,} images."
            )
        return text


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
