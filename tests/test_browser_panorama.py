"""The Panorama tab as a visitor meets it."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels import recipe
from tests.looking import saved, type_in

pytestmark = pytest.mark.browser

DRAWN = 60_000  # Milliseconds that a drawing may take.
PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}


@pytest.fixture
def panorama(visit):
    """Opens the tab and waits for its first picture."""

    def open_tab(**options):
        page = visit(**options)
        page.get_by_role("tab", name="Panorama").click()
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
    shown = page.locator("#frame img").get_attribute("src")
    page.locator("#panorama-photo input[type=file]").set_input_files(path)
    expect(page.locator("#frame img")).not_to_have_attribute("src", shown)


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


def test_an_uploaded_photo_is_drawn_at_exact_pixels_where_it_was_dragged(panorama, photo, tmp_path):
    page = panorama()
    upload(page, photo)
    page.get_by_label("Size", exact=True).click()
    page.get_by_role("option", name="Exact pixels").click()
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


def test_every_way_draws_and_a_strip_goes_round(panorama, photo):
    page = panorama()
    upload(page, photo)
    for way in ("Another shape", "A new picture", "360° strip"):
        page.get_by_label(way).check()
        draw(page)
    expect(page.locator(".strip")).to_be_visible()
    page.get_by_role("button", name="More").filter(visible=True).click()
    page.get_by_label("Use mirrored parts").uncheck()
    page.get_by_label("Extend the photo").check()
    draw(page)
    expect(page.locator(".strip")).to_be_hidden()


def test_the_dice_draw_and_a_kept_seed_stays(panorama, photo):
    page = panorama()
    upload(page, photo)
    draw(page)
    seed = page.get_by_label("Seed", exact=True).filter(visible=True)
    first = seed.input_value()
    words = page.locator("#panorama-words").inner_text()
    page.get_by_role("button", name="Roll").filter(visible=True).click()
    expect(page.locator("#panorama-words")).not_to_have_text(words, timeout=DRAWN)
    expect(page.locator("#panorama-words")).to_contain_text("pixels, seed", timeout=DRAWN)
    assert seed.input_value() != first
    page.get_by_label("Keep").filter(visible=True).check()
    kept = seed.input_value()
    page.get_by_label("A new picture").check()
    assert f"seed {kept}" in draw(page)


def test_a_scene_is_taken_and_a_drawing_can_be_stopped(panorama):
    page = panorama()
    shown = page.locator("#frame img").get_attribute("src")
    page.locator("#panorama-examples .grid-container button").nth(2).click()
    expect(page.locator("#frame img")).not_to_have_attribute("src", shown)
    page.get_by_label("Size", exact=True).click()
    page.get_by_role("option", name="Desktop 1920 x 1080").click()
    expect(page.locator("#frame .frame")).to_have_attribute("style", re.compile(r"1\.77"))
    page.locator("#draw-panorama").click()
    page.locator("#stop-panorama").click()
    expect(page.locator("#draw-panorama")).to_be_visible(timeout=DRAWN)
    page.get_by_label("Size", exact=True).click()
    page.get_by_role("option", name="2 : 1").click()
    expect(page.locator("#frame .frame")).to_have_attribute("style", re.compile(r"ratio: 2;"))
    assert "pixels, seed" in draw(page)


def test_a_file_that_is_no_photo_is_refused_and_the_photo_stays(panorama, tmp_path):
    page = panorama()
    shown = page.locator("#frame img").get_attribute("src")
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    page.locator("#panorama-photo input[type=file]").set_input_files(tmp_path / "paper.jpg")
    expect(page.get_by_text("Paper.jpg: not a readable")).to_be_visible()
    expect(page.locator("#frame img")).to_have_attribute("src", shown)
    expect(page.locator("#panorama-photo input[type=file]")).to_be_attached()  # Ready for the next.


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
