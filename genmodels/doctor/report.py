"""What the dataset doctor says of a set of images: verdict, reasons, issues, the clean list."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Level = Literal["ok", "note", "caution", "stop"]
Verdict = Literal["go", "caution", "stop"]

VERDICTS: dict[Verdict, str] = {
    "go": "Nothing speaks against training on these images.",
    "caution": "Training will work, but look at the reasons first.",
    "stop": "Training on these images as they are would be wasted time.",
}


@dataclass(frozen=True)
class Issue:
    """One check: which images it concerns."""

    name: str  # As cleanvision calls it, where it has it: "exact_duplicates", "blurry".
    title: str
    level: Level
    summary: str  # In plain words, with what to do.
    images: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # Of these, what the clean list leaves out.
    groups: list[list[str]] = field(default_factory=list)  # Images of one photograph.


@dataclass(frozen=True)
class Cluster:
    """Pictures that are alike."""

    share: float  # Of all pictures.
    examples: list[str]  # The most typical ones.
    images: list[str]


@dataclass(frozen=True)
class Expectation:
    """How far the images will probably take a kind of model."""

    model: str
    band: str
    words: str


@dataclass(frozen=True)
class Report:
    """The result of `genmodels.doctor.dataset.check`."""

    verdict: Verdict
    reasons: list[str]  # For the verdict, the gravest first.
    num_images: int  # Readable ones.
    effective_images: int  # Different photographs among them.
    resolution: int  # Side in pixels that they were checked for.
    spread: float  # Mean cosine distance of two pictures' frozen features.
    issues: dict[str, Issue]  # Every check that ran, also those without a finding.
    clusters: list[Cluster]  # The largest first; one where the set is of one kind.
    expected: list[Expectation]
    clean: list[str]  # Names of the images to train on, for the scripts' `--files`.

    @property
    def found(self) -> list[Issue]:
        """The issues with a finding."""
        return [issue for issue in self.issues.values() if issue.level != "ok"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        text = json.dumps(self.as_dict(), indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8", errors="surrogateescape")

    def table(self) -> list[list[str]]:
        """The checks in rows: title, name, result, images concerned, images left out, summary."""
        return [
            [
                issue.title,
                issue.name,
                issue.level,
                str(len(issue.images)),
                str(len(issue.left_out)),
                issue.summary,
            ]
            for issue in self.issues.values()
        ]

    def markdown(self) -> str:
        """The report as a section of a card."""
        lines = [
            f"**{self.verdict.upper()}.** {VERDICTS[self.verdict]}",
            "",
            f"{self.num_images} readable images, {self.effective_images} different photographs, "
            f"checked for training at {self.resolution} px. The clean list has {len(self.clean)}.",
            "",
        ]
        lines += [f"- {reason}" for reason in self.reasons]
        lines += ["", "| check | result | images | |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {title} (`{name}`) | {level} | {count} | {summary} |"
            for title, name, level, count, _, summary in self.table()
        ]
        lines += ["", "| model | what to expect | |", "| --- | --- | --- |"]
        lines += [f"| {each.model} | {each.band} | {each.words} |" for each in self.expected]
        return "\n".join(lines) + "\n"
