"""alarms.jsonl: what the training doctor has said of a run, a line of JSON each."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genmodels.doctor.training import Alarm
from training.runs.disk import whole_file

FILE = "alarms.jsonl"


class AlarmRecord:
    """The alarms of one run, in its folder. `lines`: kind, message, evidence, advice, images_seen.

    To be resumed before any is added: a run goes on from its checkpoint, and what came after that
    will come again.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / FILE
        self.lines: list[dict[str, Any]] = []

    def resume(self, images_seen: int) -> None:
        """Read those of a run that goes on from here."""
        texts = self._path.read_text().splitlines() if self._path.is_file() else []
        lines = [json.loads(text) for text in texts]
        self.lines = [line for line in lines if line["images_seen"] <= images_seen]

    def add(self, alarm: Alarm, images_seen: int) -> None:
        """Keep one, unless it is there already: a step that is done again says the same."""
        line = {"images_seen": images_seen, **asdict(alarm), "advice": alarm.advice}
        if line in self.lines:
            return
        self.lines.append(line)
        with whole_file(self._path) as partial:
            partial.write_text("".join(json.dumps(each) + "\n" for each in self.lines))

    def since(self, images_seen: int) -> bool:
        """Whether there was one later than that."""
        return any(line["images_seen"] > images_seen for line in self.lines)

    @property
    def counts(self) -> dict[str, float]:
        """How many there were of each kind so far, for the log: {"alarms/collapse": 2}."""
        return {f"alarms/{k}": n for k, n in Counter(line["kind"] for line in self.lines).items()}
