"""`/healthz`: whether the page still draws, for a host that would restart it.

A queue that has stopped still takes events, and nothing else shows it. So an event that does
nothing goes through it, by the same addresses as a visitor's.
"""

import asyncio
import time
from typing import Any

import gradio as gr
import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse

NAME = "still_there"  # The handler that does nothing.
SECONDS = 20.0  # In which it must have gone through.
KEPT_SECONDS = 15.0  # For which an answer stands, however often one asks.
MAX_WAIT = 1800.0  # Seconds that an event may have waited where the queue is full.


def build() -> None:
    """Add the handler to the page that is being built."""

    def still_there() -> None:
        """Nothing."""

    gr.on(
        [],
        still_there,
        None,
        None,
        api_name=NAME,
        api_visibility="private",
        concurrency_id=NAME,
        concurrency_limit=4,
        show_progress="hidden",
    )


class Health:
    """The last answer, and the next."""

    def __init__(self) -> None:
        self._answer: tuple[float, dict[str, Any]] | None = None
        self._asking = asyncio.Lock()

    async def answer(self, request: Request) -> JSONResponse:
        """200 or 503, with the reason in JSON."""
        async with self._asking:
            if self._answer is None or time.monotonic() - self._answer[0] > KEPT_SECONDS:
                self._answer = time.monotonic(), await _look(request.app)
        state = self._answer[1]
        return JSONResponse(state, 200 if state["draws"] else 503, {"cache-control": "no-store"})


async def _look(app: Any) -> dict[str, Any]:
    page = app.get_blocks()
    waits = _longest_wait(page)
    state: dict[str, Any] = {"draws": True, "longest_wait_seconds": round(waits, 1)}
    start = time.monotonic()
    try:
        async with asyncio.timeout(SECONDS):
            reason = await _through(app, page)
    except TimeoutError:
        reason = f"an event that does nothing did not end within {SECONDS:.0f} seconds"
    if reason == "full":
        reason = (
            "" if waits < MAX_WAIT else f"the queue is full, and stands for {waits:.0f} seconds"
        )
    state["seconds"] = round(time.monotonic() - start, 3)
    return state if not reason else state | {"draws": False, "reason": reason}


async def _through(app: Any, page: gr.Blocks) -> str:
    """Send the event through the queue; what was wrong, or nothing."""
    (index,) = (fn._id for fn in page.fns.values() if fn.api_name == NAME)
    body = {"data": [], "fn_index": index, "session_hash": f"health-{time.monotonic_ns()}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        joined = await client.post("/gradio_api/queue/join", json=body)
        if joined.status_code == 503 and not page._queue.stopped:
            return "full"
        if joined.status_code != 200:
            return f"the queue takes no event: {joined.json().get('detail')}"
        session = {"session_hash": str(body["session_hash"])}
        answer = await client.get("/gradio_api/queue/data", params=session)
    return "" if '"success":true' in answer.text else "an event that does nothing failed"


def _longest_wait(page: gr.Blocks) -> float:
    """Seconds that the oldest of the waiting events has waited."""
    queues = page._queue.event_queue_per_concurrency_id.values()
    waiting = [event.enqueue_time for queue in queues for event in queue.queue]
    return time.monotonic() - min(waiting) if waiting else 0.0
