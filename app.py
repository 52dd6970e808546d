"""The page: an explicit list of tabs, and how they are served. `python app.py` opens it.

Neither torch nor diffusers is imported before the page is up; a thread then gets them and the first
model ready, so that the first picture does not wait either.
"""

import os
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gradio as gr

import genmodels
from genmodels.ui import (
    health,
    models,
    server,
    tab_cars,
    tab_panorama,
    tab_style_mixing,
    tab_translation,
    theme,
    uploads_limit,
    work_folder,
)
from genmodels.ui.blocks import Blocks

TABS: dict[str, Callable[[Callable[[str], Any]], None]] = {
    "Cars": tab_cars.build,
    "Style mixing": tab_style_mixing.build,
    "Translation": tab_translation.build,
    "Panorama": tab_panorama.build,
}

MASTHEAD = f"""
<div class="masthead">{theme.ICON.read_text()}<div>
<h1>genmodels</h1>
<p>Small networks that draw what never was, on two CPU cores. Every picture carries the recipe that
draws it again.</p>
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
        for name, tab in TABS.items():
            with gr.Tab(name):
                tab(models.load)
        gr.HTML(COLOPHON, padding=False)
        health.build()
    return page.queue(max_size=64)


def main() -> None:
    """Serve the page until the process ends; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT move it."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    # A thread that waits by spinning takes the core from the one it waits for: on a busy machine a
    # picture took 0.2 s instead of 0.01 s. Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
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
        app_kwargs=server.app_kwargs(page),
    )
    threading.Thread(target=models.warm_up, args=(tab_cars.USE,), daemon=True).start()
    page.block_thread()


if __name__ == "__main__":
    main()
