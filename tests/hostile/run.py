"""Cases are sent one after another, so that what goes wrong belongs to one of them."""

import random
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hostile import cases, checks, folders
from tests.hostile.checks import Finding
from tests.hostile.client import Visitor
from tests.hostile.server import ROOT, Server

SECONDS = 60  # For a case; the slowest honest work of this size takes 20.
LOG_EVERY = 100
Log = Callable[[str], object]


@dataclass
class Result:
    """What came of a run."""

    tried: int = 0
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    slowest: list[tuple[float, str]] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)  # What the server took at first, ...
    after: dict[str, float] = field(default_factory=dict)  # ... and at the end.


def sample(found: Iterable[Any], group: Callable[[Any], str], each: int, seed: int) -> list[Any]:
    """Some of every group, the same for a seed."""
    groups = defaultdict(list)
    for one in found:
        groups[group(one)].append(one)
    rng = random.Random(seed)
    return [one for own in groups.values() for one in rng.sample(own, min(each, len(own)))]


def http(
    result: Result,  # To be filled.
    base: Path,  # A folder that is not there yet.
    *,
    each: int | None = None,  # Cases of a group; None: all.
    only: str = "",  # A pattern for their names.
    seed: int = 0,
    port: int | None = None,
    source: Path = ROOT,  # Of the app's code.
    log: Log = lambda _: None,
) -> None:
    """Everything over HTTP, against an app of its own."""
    start = time.monotonic()
    with Server(base, port, source) as server:
        visitor = Visitor(server.address, SECONDS)
        todo = [
            one
            for one in cases.every(cases.settle(server, visitor, seed))
            if re.search(only, one.name)
        ]
        if each is not None:
            todo = sample(todo, lambda one: one.group, each, seed)
        result.before, read = server.measure(), server.log.stat().st_size
        for result.tried, case in enumerate(todo, 1):
            answer = case.send(visitor)
            result.findings += checks.judged(case, answer, server)
            text = server.log.read_bytes()[read:]
            read += len(text)
            result.findings += checks.of_log(case, text.decode("utf-8", "replace"))
            if "canary" in case.sent or result.tried % LOG_EVERY == 0:
                changed = server.changed()
                result.findings += [
                    Finding("outside", case.name, case.sent[:2000], path) for path in changed
                ]
            result.slowest = sorted([*result.slowest, (answer.seconds, case.name)])[-15:]
            if result.tried % LOG_EVERY == 0:
                spent, number = time.monotonic() - start, len(result.findings)
                log(
                    f"{result.tried} of {len(todo)}, {number} findings, {spent:.0f} s, {server.measure()['rss_mb']:.0f} MB"
                )
        result.findings += _afterwards(server)
        result.after = server.measure()
    result.seconds = time.monotonic() - start


def _afterwards(server: Server) -> Iterator[Finding]:
    """The server draws, for somebody who comes now, and holds no more than it may."""
    for path in server.changed():
        yield Finding("outside", "afterwards", "", path)
    visitor = Visitor(server.address, SECONDS)
    answer = visitor.play(visitor.named("cars_open"))
    if not answer.ok:
        yield Finding("dead", "afterwards", "cars_open", f"{answer.status} {answer.message}")
    kept = server.measure()["rss_mb"]
    if kept > checks.MAX_RSS_MB:
        yield Finding("memory", "afterwards", "", f"{kept:.0f} MB")


def model_folders(
    result: Result,  # To be filled.
    base: Path,  # A folder that is not there yet.
    *,
    each: int | None = None,
    only: str = "",
    seed: int = 0,
    log: Log = lambda _: None,
) -> None:
    """Folders and names that `genmodels.load` must refuse or draw from, in this process."""
    start = time.monotonic()
    base.mkdir(parents=True)
    made = folders.tiny(base / "tiny")
    kept = base / "canary"
    kept.mkdir()
    todo: list[tuple[str, Callable[[], object]]] = []

    def spoilt(family: str, spoil: folders.Spoil) -> None:
        at = base / "spoilt"
        shutil.rmtree(at, ignore_errors=True)
        spoil(shutil.copytree(made[family], at))
        folders.load_and_draw(at)

    for family, name, spoil in folders.cases(seed):
        todo.append((f"{family} {name}", lambda f=family, s=spoil: spoilt(f, s)))
    todo += [
        (f"load {name}", lambda v=value: folders.load_and_draw(v))
        for name, value in folders.names().items()
    ]
    todo = [one for one in todo if re.search(only, one[0])]
    if each is not None:
        todo = sample(todo, lambda one: re.sub(r"[\d.]+|=.*", "", one[0])[:32], each, seed)
    for result.tried, (name, load) in enumerate(todo, 1):
        result.findings += folders.tried(name, load, lambda: [str(path) for path in kept.iterdir()])
        if result.tried % LOG_EVERY == 0:
            log(f"{result.tried} of {len(todo)} folders, {len(result.findings)} findings")
    result.seconds = time.monotonic() - start
