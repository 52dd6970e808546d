"""Kinds of work: each has its own queue, so that drawing cars does not wait for a panorama.

Gradio queues events by their `concurrency_id` and shows everybody who waits their place and the
time. But it has one limit for all queues together, after which it answers 503 to everyone. `limit`
replaces that by one for each kind, and by a sentence.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr


class Kind(NamedTuple):
    """Work that takes turns."""

    name: str  # Its `concurrency_id`.
    plural: str  # What waits, for people.
    at_once: int  # How many run ...
    max_waiting: int  # ... and how many may wait for them.

    @property
    def turns(self) -> dict[str, Any]:
        """The arguments of an event of this kind."""
        return {"concurrency_id": self.name, "concurrency_limit": self.at_once}


LIGHT = Kind("light", "requests for pictures", 2, 200)  # Small networks, within the page's process.
ENLARGING = Kind("enlarging", "requests to enlarge pictures", 1, 200)  # Who draws does not wait.
TRANSLATION = Kind("translation", "photos", 1, 40)
BATCH = Kind("several", "batches of photos", 1, 10)
PANORAMA = Kind("panorama", "panoramas", 1, 24)
FILM = Kind("film", "films", 1, 24)
SAMPLING = Kind("sampling", "requests for pictures", 1, 24)  # From a network of the visitor's own.
CHECKING = Kind("checking", "sets of images", 1, 10)
_ALL = (LIGHT, ENLARGING, TRANSLATION, BATCH, PANORAMA, FILM, SAMPLING, CHECKING)
KINDS = {kind.name: kind for kind in _ALL}
OTHERS = Kind("", "requests", 1, 64)  # For events without a kind: each has its own queue.


def limit(page: gr.Blocks) -> None:
    """Refuse what comes when a kind's queue is full. To be called after `page.queue()`."""
    # The queue is not among what Gradio documents; all that is used of it is in this function, and
    # a test fills a queue. A validator of an event would be, but is shown as an input's mistake.
    queue: Any = page._queue
    push = queue.push

    async def push_or_refuse(body: Any, request: Any, username: str | None) -> Any:
        event = page.fns.get(body.fn_index)
        name = None if event is None else event.concurrency_id
        line = queue.event_queue_per_concurrency_id.get(name)
        if line is not None:
            kind = KINDS.get(str(name), OTHERS)
            if len(line.queue) >= kind.max_waiting:
                took = queue.process_time_per_fn
                spans = [took[queued.fn].avg_time for queued in line.queue if queued.fn in took]
                return False, full(kind, len(line.queue), spans), "error"
        return await push(body=body, request=request, username=username)

    queue.push = push_or_refuse


def full(kind: Kind, waiting: int, seconds: Sequence[float]) -> str:
    """The message for a full queue; `seconds` are the durations of some of the waiting events."""
    when = "later"
    if seconds:
        when = f"in {in_words(sum(seconds) / len(seconds) * waiting / kind.at_once)}"
    return f"{waiting} {kind.plural} are waiting already: try again {when}"


def in_words(seconds: float) -> str:
    """A time that is not known exactly."""
    if seconds < 50:
        return f"about {max(10, math.ceil(seconds / 10) * 10)} seconds"
    minutes = max(1, round(seconds / 60))
    return f"about {minutes} minute{'s' if minutes > 1 else ''}"
