"""A queue for each kind of work: none holds up another, and a full one says so."""

import threading
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import httpx
import pytest
from gradio_client import Client

import app
from genmodels.ui.server import queues
from genmodels.ui.server.queues import LIGHT, OTHERS, PANORAMA, Kind
from tests.conftest import free_port


class Page:
    """A page with a heavy kind of work that waits for the test, and a light one."""

    def __init__(self):
        self.begun, self.goes_on = threading.Event(), threading.Event()
        with gr.Blocks(analytics_enabled=False) as self.blocks:
            button, out = gr.Button(), gr.Textbox()
            button.click(self.heavy, None, out, api_name="heavy", **PANORAMA.turns)
            button.click(lambda: "light", None, out, api_name="light", **LIGHT.turns)
        self.blocks.queue()
        queues.limit(self.blocks)
        _, self.address, _ = self.blocks.launch(
            server_port=free_port(), prevent_thread_lock=True, quiet=True, ssr_mode=False
        )

    def heavy(self):
        self.begun.set()
        assert self.goes_on.wait(60)
        return "heavy"

    def join(self, name):
        """The answer of the server to one who wants to stand in line."""
        names = {event.api_name: number for number, event in self.blocks.fns.items()}
        asked = {"data": [], "fn_index": names[name], "session_hash": "visitor"}
        return httpx.post(f"{self.address}gradio_api/queue/join", json=asked)


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setitem(queues.KINDS, PANORAMA.name, PANORAMA._replace(max_waiting=2))
    page = Page()
    yield page
    page.goes_on.set()
    page.blocks.close()


def test_a_full_queue_refuses_in_words_and_other_kinds_go_on(page):
    client = Client(page.address, verbose=False)
    with ThreadPoolExecutor(3) as visitors:
        jobs = [visitors.submit(client.predict, api_name="/heavy")]
        assert page.begun.wait(20)
        jobs += [visitors.submit(client.predict, api_name="/heavy") for _ in range(2)]
        line = page.blocks._queue.event_queue_per_concurrency_id[PANORAMA.name].queue
        for _ in range(200):
            if len(line) == 2:
                break
            client.predict(api_name="/light")  # It takes a while until both stand in line.
        refused = page.join("heavy")
        assert refused.status_code == 400
        assert refused.json()["detail"] == "2 panoramas are waiting already: try again later"
        assert client.predict(api_name="/light") == "light"
        page.goes_on.set()
        assert [job.result() for job in jobs] == ["heavy"] * 3
    assert page.join("heavy").status_code == 200


def test_the_sentence_says_when_to_come_again():
    told = queues.full(PANORAMA, 24, [8.0, 7.0])
    assert told == "24 panoramas are waiting already: try again in about 3 minutes"
    assert queues.full(PANORAMA, 24, []) == "24 panoramas are waiting already: try again later"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "about 10 seconds"),
        (31, "about 40 seconds"),
        (55, "about 1 minute"),
        (200, "about 3 minutes"),
    ],
)
def test_a_time_is_told_about(seconds, words):
    assert queues.in_words(seconds) == words


def test_heavy_and_light_work_of_the_page_stand_in_different_queues():
    kinds = {}
    for event in app.build().fns.values():
        if event.queue and event.fn is not None:
            kinds.setdefault(event.concurrency_id, set()).add(event.fn.__name__)
    named = {name: kinds[name] for name in queues.KINDS}
    assert {"cars_sample", "style_mix", "vary"} <= named["light"]
    assert {"translate", "translate_all"} <= named["translation"]
    assert named["film"] == {"draw_and_play"}
    assert "panorama" in named["panorama"]
    assert named["checking"] == {"check_images"}
    heavy = {"translate", "translate_all", "all_of_them", "panorama", "draw_and_play", "sampled"}
    assert not named["light"] & heavy


def test_there_is_no_limit_for_all_kinds_together():
    page = app.build()
    assert page._queue.max_size is None
    assert sum(kind.max_waiting for kind in queues.KINDS.values()) > 200
    assert isinstance(OTHERS, Kind)
