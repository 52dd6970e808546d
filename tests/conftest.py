"""The running app, and a browser to visit it with."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support import as_drawn

ROOT = Path(__file__).parent.parent
# Debian's Chromium asks Google's servers this and that unless told not to.
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    # A camera that shows a test picture, and a visitor who lets the page see it.
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip
SHELL = "chromium-headless-shell"
os.environ["GENMODELS_NICENESS"] = "0"  # Or the page's heavy work would give way to other tests.
expect.set_options(timeout=20_000)  # A busy machine takes more than Playwright's 5 seconds.
GRADIOS_OWN = (
    "console warning: Method not implemented.",  # On every upload.
    "console error: AbortError: signal is aborted",  # When a page is left, as the next one.
    "console error: Unexpected error Connection errored out.",
)


def pytest_collection_modifyitems(items):
    """A test in a browser that fails is tried once more, and the summary says so.

    On a busy machine a click may come while the page is still being laid out. What fails twice is
    a fault.
    """
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def free_port():
    """A port that nobody listens on; Gradio's own search is no match for a second worker's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def app_address(tmp_path_factory):
    """Where `python app.py` with the embedded models answers."""
    port = free_port()
    folder = tmp_path_factory.mktemp("app")
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("GRADIO_SERVER_NAME", None)
    with (folder / "log.txt").open("w") as log:
        command = [sys.executable, "app.py"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        for line in process.stdout:  # Ends when the app does.
            if "Running on" in line:
                break
        else:
            pytest.fail((folder / "log.txt").read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


@pytest.fixture(scope="module")
def browser():
    """Playwright's own Chromium where it was downloaded, else the system's: the one without a
    window, where it is there, takes half the time."""
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path).exists()
        path = None if own else shutil.which(SHELL) or shutil.which("chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, app_address):
    """Opens the page as another visitor, who sees pictures as drawn; a new one sees them enlarged.

    At the end, nobody has seen an error or left 127.0.0.1.
    """
    contexts, complaints = [], []

    def open_page(query="", *, is_new=False, **options):
        context = browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **options})
        contexts.append(context)
        if not is_new:
            context.add_init_script(as_drawn.script())
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda line: complaints.append(f"console {line.type}: {line.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: check(request.url))
        page.goto(app_address + query)
        return page

    def check(url):
        if not url.startswith((f"{app_address}/", "data:", "blob:")):
            complaints.append(f"request: {url}")

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in complaints if not line.startswith(GRADIOS_OWN)] == []
