"""The page: an explicit list of tabs, and how they are served. `python app.py` opens it.

Neither torch nor diffusers is imported before the page is up; a thread then gets them and the first
model ready, so that the first picture does not wait either.
"""

import os
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import gradio as gr

import genmodels
from genmodels.ui.components import address, saved_pictures, theme
from genmodels.ui.server import asgi, health, queues, uploads_limit, work_folder
from genmodels.ui.server.blocks import Blocks
from genmodels.ui.services import models, workers
from genmodels.ui.tabs import (
    cars,
    check_images,
    disasters,
    faces,
    panorama,
    style_mixing,
    translation,
)


class Tab(NamedTuple):
    """One tab of the page."""

    title: str
    build: Callable[[Callable[[str], Any], address.Visit], None]
    takes: saved_pictures.Takes  # Whether a saved picture is from here.
    use: str | None = None  # It is there if the zoo has a model for this.


TABS = {  # By the name in an address.
    "cars": Tab("Cars", cars.build, cars.takes),
    "faces": Tab("Faces", faces.build, faces.takes, faces.SUBJECT.use),
    "disasters": Tab("Disasters", disasters.build, disasters.takes, disasters.SUBJECT.use),
    "mixing": Tab("Style mixing", style_mixing.build, style_mixing.takes),
    "translation": Tab("Translation", translation.build, translation.takes),
    "panorama": Tab("Panorama", panorama.build, panorama.takes),
    "check": Tab("Check my images", check_images.build, check_images.takes),
}

MASTHEAD = f"""
<div class="masthead">{theme.ICON.read_text()}<div>
<h1>genmodels</h1>
<p>Small generative models on two CPU cores. Every picture contains the recipe that reproduces
it.</p>
</div></div>
"""

COLOPHON = f"""
<div class="colophon">
<p>Every picture is generated, and says so in its file.</p>
<p>genmodels {genmodels.__version__} · torch {version("torch")} · gradio {version("gradio")}</p>
</div>
"""


def build() -> gr.Blocks:
    """The whole page, without a model."""
    with Blocks(title="genmodels", analytics_enabled=False) as page:
        gr.HTML(MASTHEAD, padding=False)
        present = {
            name: tab for name, tab in TABS.items() if tab.use is None or models.has(tab.use)
        }
        visits = [address.Visit(name, list(present)) for name in present]
        with gr.Tabs(overflow_behavior="wrap") as tabs:  # All in sight, on a phone too.
            for visit, tab in zip(visits, present.values(), strict=True):
                with gr.Tab(tab.title, id=visit.tab) as shown:
                    tab.build(models.load, visit)
                visit.follow(shown)
        takes = {name: tab.takes for name, tab in present.items()}
        link = saved_pictures.build(tabs, visits, takes)
        gr.HTML(COLOPHON, padding=False)
        address.follow(page, tabs, link, visits)
        health.build()
    page.queue()
    queues.limit(page)
    return page


def _get_ready() -> None:
    models.warm_up(cars.SUBJECT.use)
    workers.keep_ready()


def main() -> None:
    """Serve the page until the process ends; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT move it."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    # Gradio goes through the last 10,000 requests after each one, for a page that is not shown.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
    is_hosted = "SPACE_ID" in os.environ or "GRADIO_SERVER_NAME" in os.environ
    work_folder.begin()
    page = build()
    page.launch(
        server_name=None if is_hosted else "127.0.0.1",  # None: as the environment says.
        prevent_thread_lock=True,
        theme=theme.make(),
        css_paths=theme.CSS,
        favicon_path=theme.ICON,
        footer_links=["api"],
        ssr_mode=False,
        share=False,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        strict_cors=True,
        max_file_size=uploads_limit.MAX_FILE,
        state_session_capacity=200,
        app_kwargs=asgi.app_kwargs(page),
    )
    threading.Thread(target=_get_ready, daemon=True).start()
    page.block_thread()


if __name__ == "__main__":
    main()
