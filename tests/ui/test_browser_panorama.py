"""The Panorama tab as a visitor meets it."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels.hub import recipe
from tests.support.looking import choose, saved, type_in
from tests.ui.test_panoramas import scene

pytestmark = pytest.mark.browser

DRAWN = 120_000  # Milliseconds that a drawing may take.
PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}


@pytest.fixture
def panorama(visit):
    """Opens the tab and waits for its first picture."""

    def open_tab(**options):
        page = visit("/?tab=panorama", **options)
        expect(page.locator("#panorama-words")).to_contain_text("seed 0", timeout=DRAWN)
        expect(page.locator("#panorama img")).to_be_visible()
        return page

    return open_tab


@pytest.fixture
def photo(tmp_path):
    """A small photo: sky, grass, a fence."""
    rng = np.random.default_rng(0)
    pixels = np.empty((60, 90, 3))
    pixels[:35], pixels[35:] = (120, 170, 220), (80, 140, 60)
    pixels[28:40, ::6] = (90, 60, 40)
    path = tmp_path / "fence.png"
    Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype("uint8")).save(
        path
    )
    return path


def draw(page):
    """Click Draw and wait for the end; what the page says then."""
    before = page.locator("#panorama-words").inner_text()
    page.locator("#draw-panorama").click()
    expect(page.locator("#panorama-words")).not_to_have_text(before, timeout=DRAWN)
    expect(page.locator("#panorama-words")).to_contain_text("pixels, seed", timeout=DRAWN)
    expect(page.locator("#draw-panorama")).to_be_visible()
    return page.locator("#panorama-words").inner_text()


def upload(page, path):
    """Bring a photo, which is drawn at once; what the page says then."""
    before = page.locator("#panorama-words").inner_text()
    shown = page.locator("#frame img").get_attribute("src")
    page.locator("#panorama-photo input[type=file]").set_input_files(path)
    expect(page.locator("#frame img")).not_to_have_attribute("src", shown)
    expect(page.locator("#panorama-words")).not_to_have_text(before, timeout=DRAWN)
    expect(page.locator("#panorama-words")).to_contain_text("pixels, seed", timeout=DRAWN)
    expect(page.locator("#draw-panorama")).to_be_visible()
    return page.locator("#panorama-words").inner_text()


def number(page, label, value):
    field = page.get_by_label(label, exact=True)
    type_in(field, value)


def drag(page, across):
    """Drag the photo in the frame so many of the screen's pixels to the right."""
    box = page.locator("#frame img").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y, steps=4)
    page.mouse.up()


def test_a_photo_is_drawn_in_every_way_where_it_was_dragged_and_by_seeds(panorama, photo, tmp_path):
    page = panorama()
    assert upload(page, photo).startswith("180 x 60 pixels")
    choose(page, "Size", "Exact pixels")
    number(page, "Width", 240)
    number(page, "Height", 64)
    expect(page.locator("#frame .frame")).to_have_attribute("style", re.compile(r"3\.75"))
    drag(page, 500)
    assert draw(page).startswith("240 x 64 pixels")
    button = page.get_by_role("button", name="Download PNG").filter(visible=True)
    path = saved(page, button, tmp_path)
    made = recipe.read(path)
    assert made["settings"]["left"] == 240 - made["image"]["width"]
    picture = np.asarray(Image.open(path))
    own = Image.open(photo).resize((96, 64), Image.Resampling.LANCZOS)
    assert (picture[:, -96:] == np.asarray(own)).all()
    expect(page.locator("#before-after img").first).to_be_visible()

    for way in ("Another shape", "A new picture", "360° strip"):
        page.get_by_label(way).check()
        draw(page)
    expect(page.locator(".strip")).to_be_visible()
    page.get_by_role("button", name="More").filter(visible=True).click()
    page.get_by_label("Use mirrored parts").uncheck()
    page.get_by_label("Extend the photo").check()
    words = draw(page)
    expect(page.locator(".strip")).to_be_hidden()

    seed = page.get_by_label("Seed", exact=True).filter(visible=True)
    first = seed.input_value()
    page.get_by_role("button", name="Random").filter(visible=True).click()
    expect(page.locator("#panorama-words")).not_to_have_text(words, timeout=DRAWN)
    expect(page.locator("#panorama-words")).to_contain_text("pixels, seed", timeout=DRAWN)
    assert seed.input_value() != first
    page.get_by_label("Keep").filter(visible=True).check()
    kept = seed.input_value()
    page.get_by_label("A new picture").check()
    assert f"seed {kept}" in draw(page)


def test_stop_brings_back_what_was_there_and_another_photo_stops_too(panorama, photo, tmp_path):
    page = panorama()
    button = page.get_by_role("button", name="Download PNG").filter(visible=True)
    words = page.locator("#panorama-words").inner_text()
    picture = page.locator("#panorama img").get_attribute("src")
    made = recipe.read(saved(page, button, tmp_path))
    choose(page, "Size", "Desktop 1920 x 1080")
    page.locator("#draw-panorama").click()
    expect(page.locator("#panorama-words")).to_have_text("Drawing ...", timeout=DRAWN)
    expect(button).to_have_count(0)  # What is shown is not finished.
    page.locator("#stop-panorama").click()
    expect(page.locator("#panorama-words")).to_have_text(words)
    expect(page.locator("#panorama img")).to_have_attribute("src", picture)
    assert recipe.read(saved(page, button, tmp_path)) == made
    expect(page.locator("#draw-panorama")).to_be_visible()
    expect(page.locator("#stop-panorama")).to_be_hidden()

    page.locator("#draw-panorama").click()
    expect(page.locator("#panorama-words")).to_have_text("Drawing ...", timeout=DRAWN)
    choose(page, "Size", "2 : 1")
    page.locator("#panorama-photo input[type=file]").set_input_files(photo)
    expect(page.locator("#panorama-words")).to_contain_text("120 x 60 pixels", timeout=DRAWN)
    assert recipe.read(saved(page, button, tmp_path))["image"]["width"] == 90
    expect(page.locator("#draw-panorama")).to_be_visible()
    choose(page, "Size", "4 : 1")
    assert draw(page).startswith("240 x 60")
    assert recipe.read(saved(page, button, tmp_path))["settings"]["width"] == 240


def test_a_panorama_says_its_size_and_why_before_it_is_drawn(panorama, tmp_path):
    page = panorama()
    shown = page.locator("#frame img").get_attribute("src")
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    page.locator("#panorama-photo input[type=file]").set_input_files(tmp_path / "paper.jpg")
    expect(page.get_by_text("Paper.jpg: not a readable")).to_be_visible()
    expect(page.locator("#frame img")).to_have_attribute("src", shown)

    told = page.locator("#panorama-size")
    expect(told).to_contain_text("Result: 1278 x 426 px. The example keeps its 640 x 426 px.")
    scene(1200, 800).save(tmp_path / "large.png")  # Which is wanted after one that was refused.
    page.locator("#panorama-photo input[type=file]").set_input_files(tmp_path / "large.png")
    expect(told).to_contain_text(
        "Result: 1296 x 432 px. Your photo (1200 x 800) is reduced to 648 x 432, because a picture "
        "of this shape is drawn 432 px high at most (choose Exact pixels for more)."
    )
    page.locator("#stop-panorama").click()
    type_in(page.get_by_label("number input for Scale of the photo"), "0.5")
    expect(told).to_contain_text("is reduced to 324 x 216, because a picture of this shape")
    expect(told).to_contain_text("and it is to take 50% of the room.")
    choose(page, "Size", "Exact pixels")
    page.get_by_label("Height", exact=True).fill("9")  # On the way to 900.
    expect(told).to_contain_text("height must be 16")
    page.get_by_label("Height", exact=True).fill("1600")
    page.get_by_label("Width", exact=True).fill("2400")
    expect(told).to_contain_text("Result: 2400 x 1600 px. Your photo keeps its 1200 x 800 px.")
    type_in(page.get_by_label("number input for Scale of the photo"), "1")
    expect(told).to_contain_text("Your photo (1200 x 800) is enlarged to 2400 x 1600")


def test_two_visitors_draw_at_once_and_each_gets_their_own(panorama, photo):
    first, second = panorama(), panorama()
    for page, way in ((first, "A new picture"), (second, "Another shape")):
        upload(page, photo)
        page.get_by_label(way).check()
    words = [page.locator("#panorama-words").inner_text() for page in (first, second)]
    for page in (first, second):
        page.locator("#draw-panorama").click()
    for page, before in zip((first, second), words, strict=True):
        expect(page.locator("#panorama-words")).not_to_have_text(before, timeout=DRAWN)
        expect(page.locator("#panorama-words")).to_contain_text("pixels, seed", timeout=DRAWN)
        seed = page.get_by_label("Seed", exact=True).filter(visible=True).input_value()
        expect(page.locator("#panorama-words")).to_contain_text(f"seed {seed}", timeout=DRAWN)


def test_a_phone_shows_the_picture_and_drags_the_photo(panorama):
    page = panorama(**PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    before = page.locator("#frame img").bounding_box()
    drag(page, -300)
    expect(page.locator("#frame img")).to_have_attribute("style", re.compile(r"left: 0%"))
    assert page.locator("#frame img").bounding_box()["x"] < before["x"]
