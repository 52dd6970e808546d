"""Cases are tried one after another, so that what goes wrong belongs to one of them."""

import random
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hostile import cases, checks, folders
from tests.hostile.checks import Finding
from tests.hostile.client import Visitor
from tests.hostile.server import ROOT, START_SECONDS, Server

SECONDS = 120  # For a case; the slowest honest work takes 10 on an idle machine.
LOG_EVERY = 100


@dataclass
class Result:
    """What came of a run."""

    tried: int = 0
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    slowest: list[tuple[float, str]] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)  # What the server took at first, ...
    after: dict[str, float] = field(default_factory=dict)  # ... and at the end.

    def told(self, number: int, start: float) -> str:
        """How far it is."""
        seconds = time.monotonic() - start
        return f"{self.tried} of {number}, {len(self.findings)} findings, {seconds:.0f} s"


@dataclass(frozen=True)
class Choice:
    """Which cases are tried."""

    each: int | None = None  # Of a group; None: all.
    only: str = ""  # A pattern that is found in their names.
    seed: int = 0

    def of(self, found: Sequence[Any], group: Callable[[Any], str]) -> list[Any]:
        """The same for a seed."""
        groups = defaultdict(list)
        for one in found:
            if re.search(self.only, one.name):
                groups[group(one)].append(one)
        rng = random.Random(self.seed)
        each = self.each or len(found)
        return [one for own in groups.values() for one in rng.sample(own, min(each, len(own)))]


def http(
    result: Result,  # To be filled.
    base: Path,  # A folder that is not there yet.
    choice: Choice,
    *,
    port: int | None = None,
    source: Path = ROOT,  # Of the app's code.
    log: Callable[[str], object] = lambda _: None,
) -> None:
    """Everything over HTTP, against an app of its own."""
    start = time.monotonic()
    with Server(base, port, source) as server:
        place = cases.settle(server, Visitor(server.address, START_SECONDS), choice.seed)
        visitor, found = place.visitor, list(cases.every(place))
        visitor.timeout = visitor.http.timeout = SECONDS
        todo = choice.of(found, lambda case: case.group)
        result.before, read = server.measure(), server.log.stat().st_size
        for result.tried, case in enumerate(todo, 1):
            answer = case.send(visitor)
            result.findings += checks.judged(case, answer, server.secrets())
            text = server.log.read_bytes()[read:]
            read += len(text)
            result.findings += checks.of_log(case, text.decode("utf-8", "replace"))
            if "canary" in case.sent or result.tried % LOG_EVERY == 0:
                changed = server.changed()
                result.findings += [Finding("outside", case.name, case.sent, at) for at in changed]
            result.slowest = sorted([*result.slowest, (answer.seconds, case.name)])[-15:]
            if result.tried % LOG_EVERY == 0:
                log(f"{result.told(len(todo), start)}, {server.memory_mb():.0f} MB")
        result.findings += _afterwards(server)
        result.after = server.measure()
    result.seconds = time.monotonic() - start


def _afterwards(server: Server) -> Iterator[Finding]:
    """The server draws, for somebody who comes now, and holds no more than it may."""
    for path in server.changed():
        yield Finding("outside", "afterwards", "", path)
    visitor = Visitor(server.address, SECONDS)
    answer = visitor.play(visitor.named("cars_sample"))
    if not answer.ok:
        yield Finding("dead", "afterwards", "cars_sample", f"{answer.status} {answer.message}")
    kept = server.memory_mb()
    if kept > checks.MAX_RSS_MB:
        yield Finding("memory", "afterwards", "", f"{kept:.0f} MB")


def model_folders(
    result: Result,  # To be filled.
    base: Path,  # A folder that is not there yet.
    choice: Choice,
    *,
    log: Callable[[str], object] = lambda _: None,
) -> None:
    """Folders and names that `genmodels.load` must refuse or draw from, in this process."""
    start, at, canary = time.monotonic(), base / "spoilt", base / "canary"
    canary.mkdir(parents=True)
    made = folders.tiny(base / "tiny")
    todo = choice.of(list(folders.every(choice.seed)), lambda case: case.group)
    for result.tried, case in enumerate(todo, 1):
        shutil.rmtree(at, ignore_errors=True)
        if case.spoil:
            case.spoil(shutil.copytree(made[case.family], at))
        result.findings += folders.tried(case, at if case.spoil else case.source)
        for path in canary.iterdir():
            result.findings.append(Finding("outside", case.name, case.name, str(path)))
        if result.tried % LOG_EVERY == 0:
            log(result.told(len(todo), start))
    result.seconds = time.monotonic() - start
