"""The app under many visitors: how long they wait, what they are refused, what it holds and keeps.

    python -m tests.load crowd photos queue refused bodies uploads shared   # Some 15 minutes.
    python -m tests.load soak --minutes 60 --report soak.json

Each scenario starts an app of its own on 127.0.0.1, prints figures and ends it.
"""

import argparse
import io
import json
import os
import random
import socket
import statistics
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from genmodels.ui.assets import ASSETS
from tests.hostile import cases
from tests.hostile.client import API, Answer, Function, Visitor
from tests.hostile.server import ROOT, Server, end_tidily

WAIT = 600  # Seconds that a visitor waits for an answer.
IDLE = 60  # Seconds after which memory and files should be back.
EVERY = 30  # Seconds between two measurements of a soak.
# What the second half of a soak may add.
FLAT = {
    "rss_mb": 200, "pss_mb": 200, "threads": 8, "fds": 16, "children": 2, "entries": 300,
    "disk_mb": 100,
}  # fmt: skip
SCENES = sorted((ASSETS / "scenes").glob("*.jpg"))

Figures = dict[str, Any]


class Watch:
    """The largest memory of the app's processes while it is open, in MB."""

    def __init__(self, server: Server):
        self.server, self.peak = server, 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, self.server.memory_mb())


def sample(visitor: Visitor, seed: int) -> Answer:
    """Eight new cars, as a click on Generate asks for."""
    function = visitor.named("cars_sample")
    data = visitor.data(function)
    data[2] = seed
    return visitor.join(function, data)


def mix(visitor: Visitor, rng: random.Random) -> Answer:
    """A table of style mixes."""
    function = visitor.named("style_mix")
    data = visitor.data(function)
    data[1:3] = (", ".join(str(rng.randrange(2**31)) for _ in range(4)) for _ in "rc")
    return visitor.join(function, data)


def panorama(
    visitor: Visitor, photo: Any, width: int, height: int, seed: int, **how: Any
) -> Answer:
    """A panorama from a photo."""
    function = visitor.named("panorama")
    data = visitor.data(function)
    data[0], data[2:5] = photo, [width, height, seed]
    return visitor.join(function, data, **how)


def translate(visitor: Visitor, photo: Any) -> Answer:
    """The photo, through the first network of the tab."""
    function = visitor.named("translate")
    data = visitor.data(function)
    data[0] = photo
    return visitor.join(function, data)


def train(visitor: Visitor, photo: Any, seconds: int, **how: Any) -> Answer:
    """A SinGAN on the photo, for that long."""
    function = visitor.named("training")
    data = visitor.data(function)
    data[0], data[2] = photo, seconds
    return visitor.join(function, data, **how)


def clicking(visitor: Visitor) -> Function:
    """The click on one of the cars."""
    shown = set(visitor.named("cars_sample").outputs)
    found = (one for one in visitor.functions if one.event == "select")
    return next(one for one in found if set(one.inputs) == shown)


def waits(answers: list[Answer]) -> Figures:
    """Seconds, and how many were refused."""
    seconds = sorted(one.seconds for one in answers if one.ok)
    refused = Counter(f"{one.status} {one.message}"[:60] for one in answers if not one.ok)
    figures: Figures = {"answers": len(seconds), "refused": sum(refused.values())}
    if seconds:
        p95 = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        figures |= {"p50_s": statistics.median(seconds), "p95_s": p95, "max_s": seconds[-1]}
    return figures | ({"why": dict(refused)} if refused else {})


def crowd(server: Server) -> Figures:
    """20 visitors who draw five batches each, beside one SinGAN training."""
    with visiting(server, 21) as (trainer, *visitors), ThreadPoolExecutor(21) as pool:
        assert sample(visitors[0], 0).ok  # The model is loaded.
        photo = trainer.uploaded("scene.jpg", SCENES[0].read_bytes())
        training = pool.submit(train, trainer, photo, 300, leave_after=200)
        time.sleep(10)
        numbers = range(len(visitors))
        told = pool.map(lambda n: [sample(visitors[n], 100 * n + i) for i in range(5)], numbers)
        answers = [one for own in told for one in own]
        is_beside = not training.done()
    return waits(answers) | {"training went on": is_beside}


def photos(server: Server) -> Figures:
    """Six photos of 23 megapixels at once: three panoramas, three translations."""
    content = large_photo(5900, 3900)
    before = server.memory_mb()
    with visiting(server, 6) as visitors, ThreadPoolExecutor(6) as pool, Watch(server) as watch:

        def ask(number: int) -> Answer:
            visitor = visitors[number]
            photo = visitor.uploaded(f"{number}.jpg", content)
            if number % 2:
                return translate(visitor, photo)
            return panorama(visitor, photo, 1024, 384, number)

        answers = list(pool.map(ask, range(6)))
    time.sleep(IDLE)
    memory = {"before_mb": before, "peak_mb": watch.peak, "after_mb": server.memory_mb()}
    return waits(answers) | memory


def queue(server: Server) -> Figures:
    """65 panoramas in the queue, then somebody who wants cars."""
    with visiting(server, 1) as (cars,), ThreadPoolExecutor(65) as pool:
        assert sample(cars, 0).ok
        visitors = [cars.another() for _ in range(65)]
        ask = lambda n: panorama(visitors[n], None, 1600, 400, n, leave_after=60)  # noqa: E731
        queued = [pool.submit(ask, number) for number in range(65)]
        time.sleep(10)
        answers = [sample(cars, seed) for seed in range(5)]
        told = [one.result() for one in queued]
    refused = [one for one in told if one.status >= 400]
    return waits(answers) | {
        "panoramas refused": len(refused),
        "say": str({one.message for one in refused}),
    }


def refused(server: Server) -> Figures:
    """A panorama of 16384 x 16384 pixels."""
    with visiting(server, 1) as (visitor,), Watch(server) as watch:
        panorama(visitor, None, 64, 48, 0)  # What is loaded on first use.
        watch.peak = before = server.memory_mb()
        answer = panorama(visitor, None, 16_384, 16_384, 0, leave_after=60)
        time.sleep(2)
    memory = {"before_mb": before, "peak_mb": watch.peak, "after_mb": server.memory_mb()}
    return memory | {"seconds": answer.seconds, "says": answer.message}


def bodies(server: Server) -> Figures:
    """Five bodies of 40 MB."""
    with visiting(server, 1) as (visitor,):
        assert sample(visitor, 0).ok
        function, before = visitor.named("cars_sample"), server.memory_mb()
        with Watch(server) as watch:
            data = visitor.data(function)
            data[4] = "x" * 40_000_000
            answers = [visitor.join(function, data) for _ in range(5)]
        time.sleep(IDLE)
        memory = {"before_mb": before, "peak_mb": watch.peak, "after_mb": server.memory_mb()}
    statuses = Counter(f"{one.status} {one.message}"[:80] for one in answers)
    return memory | {
        "largest answer_mb": max(one.size for one in answers) / 1e6,
        "say": dict(statuses),
    }


def uploads(server: Server) -> Figures:
    """A hundred uploads that are broken off after a megabyte."""
    before = server.measure()
    for _ in range(100):
        broken_upload(server)
    time.sleep(5)
    at_once = server.measure()
    time.sleep(IDLE)
    kept = server.measure()
    return {
        f"{key} {when}": measured[key] - before[key]
        for key in ("entries", "disk_mb", "fds")
        for when, measured in (("at once", at_once), ("after a minute", kept))
    }


def broken_upload(server: Server) -> None:
    """An upload whose visitor is gone after the first megabyte of ten."""
    head = (
        f"POST {API}/upload HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Content-Length: 10000000\r\n"
        "Content-Type: multipart/form-data; boundary=B\r\n\r\n--B\r\n"
        'Content-Disposition: form-data; name="files"; filename="photo.png"\r\n\r\n'
    )
    try:
        with socket.create_connection(("127.0.0.1", server.port), 20) as line:
            line.sendall(head.encode() + bytes(1_000_000))
    except OSError:
        return  # It closed first, as it may.


def shared(server: Server) -> Figures:
    """240 reads of one ZIP and 240 of one picture, while others click on and draw the same."""
    with visiting(server, 8) as visitors:
        first = visitors[0]
        function = first.named("cars_sample")
        first.values[function.inputs[2]] = 7
        assert first.play(function).ok
        click = clicking(first)
        shown = first.join(click, first.data(click))
        archive, picture = _path(shown.outputs, ".zip"), _path(first.data(click), ".png")
        for one in visitors[1:]:
            one.values = dict(first.values)
        over = threading.Event()

        def disturb(visitor: Visitor) -> None:
            while not over.is_set():
                visitor.join(click, visitor.data(click))
                sample(visitor, 7)

        with ThreadPoolExecutor(8) as pool:
            for visitor in visitors[:4]:
                pool.submit(disturb, visitor)
            read = lambda n: _is_whole(visitors[4 + n % 4], (archive, picture)[n % 2])  # noqa: E731
            whole = list(pool.map(read, range(480)))
            over.set()
    return {
        "broken ZIPs": 240 - sum(whole[::2]),
        "broken pictures": 240 - sum(whole[1::2]),
        "of": 240,
    }


def _path(value: Any, suffix: str) -> str:
    """The first path in it that ends so."""
    if isinstance(value, dict) and str(value.get("path", "")).endswith(suffix):
        return value["path"]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((found for part in parts if (found := _path(part, suffix))), "")


def _is_whole(visitor: Visitor, path: str) -> bool:
    """Whether a file can be read as what it is."""
    try:
        content = visitor.http.get(f"{API}/file={path}").raise_for_status().content
        if path.endswith(".zip"):
            return zipfile.ZipFile(io.BytesIO(content)).testzip() is None
        Image.open(io.BytesIO(content)).load()
    except (OSError, zipfile.BadZipFile, SyntaxError, ValueError, httpx.HTTPError):
        return False
    return True


def soak(server: Server, minutes: float, seed: int) -> Figures:
    """Traffic of all kinds for so long; whether memory, files, threads and children stay flat."""
    start, samples = time.monotonic(), []
    over, done = threading.Event(), Counter[str]()
    with visiting(server, 9) as visitors, ThreadPoolExecutor(9) as pool:
        place = cases.settle(server, visitors[0], seed)
        hostile = list(cases.every(place))
        large = large_photo(3000, 2000)
        work = _kinds_of_work(server, visitors, hostile, large, random.Random(seed))

        def keep_on(name: str, act: Callable[[], Answer | None], pause: float) -> None:
            while not over.is_set():
                answer = act()
                is_fine = answer is None or answer.ok
                done[f"{name}{'' if is_fine else ' refused'}"] += 1
                over.wait(pause)

        for name, (act, pause) in work.items():
            pool.submit(keep_on, name, act, pause)
        while time.monotonic() - start < 60 * minutes:
            time.sleep(EVERY)
            samples.append({"minute": (time.monotonic() - start) / 60} | server.measure())
            print(
                "  " + ", ".join(f"{key} {value:.0f}" for key, value in samples[-1].items()),
                flush=True,
            )
        over.set()
    time.sleep(IDLE)
    return judged(samples) | {
        "done": dict(done),
        "afterwards": server.measure(),
        "samples": samples,
    }


def _kinds_of_work(
    server: Server,
    visitors: list[Visitor],
    hostile: list[cases.Case],
    large: bytes,
    rng: random.Random,
) -> dict[str, tuple[Callable[[], Answer | None], float]]:
    """What is done in a soak, and for how many seconds one rests after it."""
    small = SCENES[0].read_bytes()

    def played(visitor: Visitor, *names: str) -> Answer:
        for name in names:
            answer = visitor.play(visitor.named(name))
        return answer

    def bad() -> Answer:
        return rng.choice(hostile).send(visitors[0])

    def trained() -> Answer | None:
        visitor = visitors[1].another()
        photo = visitor.uploaded("scene.jpg", rng.choice(SCENES).read_bytes())
        train(visitor, photo, rng.choice((20, 60)), leave_after=rng.uniform(2, 30))
        visitor.http.close()
        return None

    def opened() -> Answer:
        visitor = visitors[2].another()
        answer = mix(visitor, rng)
        visitor.http.close()
        return answer

    def film() -> Answer:
        played(visitors[3], "cars_sample")
        visitors[3].play(clicking(visitors[3]))
        return played(visitors[3], "draw_and_play")

    def broken() -> None:
        broken_upload(server)

    return {
        "hostile": (bad, 0.5),
        "samples": (lambda: sample(visitors[4], rng.randrange(2**31)), 1),
        "mixes": (lambda: mix(visitors[5], rng), 5),
        "films": (film, 15),
        "translations": (lambda: translate(visitors[6], visitors[6].uploaded("a.jpg", large)), 10),
        "panoramas": (
            lambda: panorama(
                visitors[7], visitors[7].uploaded("a.jpg", small), 640, 240, rng.randrange(2**31)
            ),
            10,
        ),
        "trainings": (trained, 5),
        "broken uploads": (broken, 5),
        "visits": (opened, 3),
    }


def judged(samples: list[Figures]) -> Figures:
    """What the second half added, by the line that fits it best, and whether that is little."""
    half = samples[len(samples) // 2 :]
    minutes = np.array([one["minute"] for one in half])
    added = {}
    for key in FLAT:
        slope = np.polyfit(minutes, [one[key] for one in half], 1)[0]
        added[key] = float(slope * (minutes[-1] - minutes[0]))
    grown = [key for key, value in added.items() if value > FLAT[key]]
    peak = max(one["rss_mb"] for one in samples)
    return {
        "added": added,
        "verdict": f"grows: {', '.join(grown)}" if grown else "flat",
        "peak_mb": peak,
    }


def large_photo(width: int, height: int) -> bytes:
    """A JPEG of smooth colours with some noise, as a camera's."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).resize((width, height))
    noise = rng.integers(-6, 7, (height, width, 1), np.int16)
    pixels = np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()


@contextmanager
def visiting(server: Server, number: int) -> Iterator[list[Visitor]]:
    """So many visitors, who leave at the end."""
    first = Visitor(server.address, WAIT)
    visitors = [first, *(first.another() for _ in range(number - 1))]
    yield visitors
    for visitor in visitors:
        visitor.http.close()


SCENARIOS: dict[str, Callable[[Server], Figures]] = {
    one.__name__: one for one in (crowd, photos, queue, refused, bodies, uploads, shared)
}


def main() -> None:
    """Run the scenarios that are named, and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("scenarios", nargs="+", choices=[*SCENARIOS, "soak"])
    parser.add_argument("--minutes", type=float, default=60, help="of the soak")
    parser.add_argument("--seed", type=int, default=0, help="of the soak")
    parser.add_argument("--port", type=int, help="of the app; default: any that is free")
    parser.add_argument("--source", type=Path, default=ROOT, help="root of the app's code")
    parser.add_argument("--report", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    end_tidily()
    report = {}
    for name in options.scenarios:
        load = os.getloadavg()[0]
        print(f"{name}: {(soak if name == 'soak' else SCENARIOS[name]).__doc__} (load {load:.1f})")
        with (
            tempfile.TemporaryDirectory() as base,
            Server(Path(base) / "app", options.port, options.source) as server,
        ):
            figures = (
                soak(server, options.minutes, options.seed)
                if name == "soak"
                else SCENARIOS[name](server)
            )
        report[name] = {"load": load} | figures
        for key, value in figures.items():
            if key != "samples":
                print(
                    f"  {key:22} {value:.2f}" if isinstance(value, float) else f"  {key:22} {value}"
                )
        if options.report:
            options.report.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
