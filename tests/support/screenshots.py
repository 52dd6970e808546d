"""The README's pictures, made anew: a screenshot of each tab, a sheet of results, and a film.

    python -m tests.support.screenshots     (or `make screenshots`)

Starts the app on a free port with the embedded models, and writes JPEG files and a WebP into docs/.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import Page, sync_playwright

import genmodels
from genmodels.data import images
from genmodels.ui.assets import ASSETS
from tests.conftest import CHROMIUM_FLAGS, SHELL, free_port

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LAPTOP = {"width": 1366, "height": 900}
MINUTE = 60_000  # Milliseconds.
SIDE, GAP = 200, 6  # Pixels of a picture on the sheet, and between two.
COLUMNS = 6
FRAME = 90  # Milliseconds.
FILMED = (10, 40, 70)  # Seed of the first car of each film.


def main() -> None:
    """Write every picture."""
    _save(_results(), "results")
    _save(_mirrors(), "panoramas")
    first, *others = _film()
    settings = {"quality": 70, "method": 6, "duration": FRAME, "loop": 0}
    first.save(DOCS / "cars.webp", save_all=True, append_images=others, **settings)
    with tempfile.TemporaryDirectory() as folder:
        port = str(free_port())
        environment = os.environ | {
            "GRADIO_SERVER_PORT": port,
            "GRADIO_TEMP_DIR": folder,
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert app.stdout is not None
            next(line for line in app.stdout if "Running on" in line)
            _tabs(f"http://127.0.0.1:{port}/")
        finally:
            app.terminate()
            app.wait()


def _tabs(address: str) -> None:
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path).exists()
        path = None if own else shutil.which(SHELL) or shutil.which("chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        page = chromium.new_page(viewport=LAPTOP)
        page.set_default_timeout(2 * MINUTE)
        for tab in ("cars", "mixing", "translation", "panorama"):
            page.goto(f"{address}?tab={tab}")
            _wait_for(page, tab)
            page.wait_for_timeout(1000)  # Fonts and the last layout.
            _save(Image.open(io.BytesIO(page.screenshot())), tab)
        chromium.close()


def _wait_for(page: Page, tab: str) -> None:
    """Until the tab's pictures are there."""
    if tab in ("cars", "mixing"):
        page.locator(".grid-container img").filter(visible=True).nth(7).wait_for()
        page.wait_for_function(
            """() => [...document.querySelectorAll(".grid-container img")]
                .filter(one => one.checkVisibility() && one.naturalWidth > 8)
                .every(one => one.naturalWidth > 200)"""
        )
    elif tab == "translation":
        page.get_by_role("button", name="Download PNG").filter(visible=True).wait_for()
    else:
        page.locator("#panorama-words", has_text="pixels").wait_for()


def _results() -> Image.Image:
    """Cars, comics and paintings beside their photos, and two panoramas."""
    studio = genmodels.load("cars-stylegan2-studio-64")
    cars = studio.enlarge(studio(num_images=COLUMNS, seed=40, truncation_psi=0.7), 4).images
    faces = [images.open_rgb(path) for path in sorted((ASSETS / "faces").glob("*"))[:1]]
    scene = images.open_rgb(ASSETS / "scenes" / "stonehenge.jpg")
    row = []
    for photo, name in ((faces[0], "comic-pix2pix-128"), (scene, "monet-pix2pix-128")):
        row += [photo, genmodels.load(name)(photo).images[0]]
    row += [ImageOps.grayscale(scene), genmodels.load("colorize-pix2pix-128")(scene).images[0]]
    wide = COLUMNS * SIDE + (COLUMNS - 1) * GAP
    half = (wide - GAP) // 2
    patches = genmodels.load("patches")
    panoramas = [
        patches.extend(
            photo, width=photo.height * half // SIDE, height=photo.height, seed=0
        ).images[0]
        for photo in (scene, images.open_rgb(ASSETS / "scenes" / "angkorwat.jpg"))
    ]
    sheet = Image.new("RGB", (wide, 3 * SIDE + 2 * GAP), "white")
    for y, pictures in enumerate((cars, row)):
        for x, picture in enumerate(pictures):
            square = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(square, (x * (SIDE + GAP), y * (SIDE + GAP)))
    for x, picture in enumerate(panoramas):
        strip = picture.resize((half, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(strip, (x * (half + GAP), 2 * (SIDE + GAP)))
    return sheet


def _mirrors() -> Image.Image:
    """Each scene twice as wide, with mirrored patches above and without below."""
    patches, wide, gap = genmodels.load("patches"), 2 * COLUMNS * SIDE // 5, GAP
    rows = []
    for mirror in (True, False):
        row = []
        for path in sorted((ASSETS / "scenes").glob("*")):
            photo = images.open_rgb(path)
            photo.thumbnail((2 * SIDE, SIDE))
            size = {"width": 2 * photo.width, "height": photo.height}
            (picture,) = patches.extend(photo, seed=0, mirror=mirror, **size).images
            row.append(picture.resize((wide, round(wide * picture.height / picture.width))))
        rows.append(row)
    height = max(picture.height for row in rows for picture in row)
    sheet = Image.new("RGB", (3 * wide + 2 * gap, 2 * height + gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * (wide + gap), y * (height + gap)))
    return sheet


def _film() -> list[Image.Image]:
    """Three cars beside each other that turn into others, and back into the first."""
    pipe = genmodels.load("cars-stylegan2-studio-64")
    rows = []
    for first in FILMED:
        seeds = [*range(first, first + 3), first]
        frames = pipe.interpolate(seeds=seeds, frames=10)
        rows.append(pipe.enlarge(frames, 4).images[:-1])
    films = []
    for pictures in zip(*rows, strict=True):
        frame = Image.new("RGB", (len(rows) * 256 + (len(rows) - 1) * GAP, 256), "white")
        for i, picture in enumerate(pictures):
            frame.paste(picture.convert("RGB"), (i * (256 + GAP), 0))
        films.append(frame)
    return films


def _save(picture: Image.Image, name: str) -> None:
    picture.convert("RGB").save(DOCS / f"{name}.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
