"""The page by keyboard, with words for pictures, and on the whole screen."""

import pytest
from playwright.sync_api import expect

from tests.support.looking import drawn, opened, seen

pytestmark = pytest.mark.browser

LAPTOP = {"viewport": {"width": 1366, "height": 768}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
# Where a picture's pixels are: with `object-fit: contain` they do not fill the element's box.
SHOWN = """image => {
  const box = image.getBoundingClientRect(), fit = getComputedStyle(image).objectFit
  const natural = image.naturalWidth / image.naturalHeight
  const isWide = box.width / box.height > natural
  const width = fit == 'contain' && isWide ? box.height * natural : box.width
  const height = fit == 'contain' && !isWide ? box.width / natural : box.height
  const x = box.x + (box.width - width) / 2, y = box.y + (box.height - height) / 2
  const isCut = fit == 'cover' && Math.abs(box.width / box.height - natural) > 0.01
  return {x, y, width, height, natural, isCut, room: [innerWidth, innerHeight]}
}"""

GROWN = """[...document.querySelectorAll('.block.fullscreen')]
  .every(block => block.getAnimations().every(one => one.playState == 'finished'))"""


def check_fills_the_screen(image):
    shown = image.evaluate(SHOWN)
    width, height = shown["room"]
    assert not shown["isCut"]
    assert shown["x"] >= -1
    assert shown["y"] >= -1
    assert shown["x"] + shown["width"] <= width + 1
    assert shown["y"] + shown["height"] <= height + 1
    assert shown["width"] / shown["height"] == pytest.approx(shown["natural"], rel=0.02)
    assert shown["width"] > 0.97 * width or shown["height"] > 0.97 * height


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_fullscreen_shows_the_whole_picture_in_every_tab(visit, screen):
    page = visit(**screen)
    for tab, panel in (("Cars", "#cars-detail"), ("Style mixing", "#mixing-detail")):
        opened(page, tab)
        image = page.locator(f"{panel} .portrait img")
        expect(image).to_be_visible()
        button = page.locator(f"{panel} .portrait").get_by_role("button", name="Fullscreen")
        button.click()
        image = page.locator(".block.fullscreen img")
        expect(image).to_be_visible()
        page.wait_for_function(GROWN)
        check_fills_the_screen(image)
        page.keyboard.press("Escape")
        expect(page.locator(".block.fullscreen")).to_have_count(0)
    for tab, pair in (("Translation", "#translation"), ("Panorama", "#before-after")):
        opened(page, tab)
        drawn(page, tab.lower())
        page.locator(f"{pair} .whole").click()
        for image in page.locator(f"{pair} img").all():
            check_fills_the_screen(image)
        page.keyboard.press("Escape")
        expect(page.locator(".compare:popover-open")).to_have_count(0)
        expect(page.locator(f"{pair} .whole")).to_be_focused()
    page.locator("#panorama").get_by_role("button", name="Fullscreen").click()
    image = page.locator(".block.fullscreen img")
    expect(image).to_be_visible()
    page.wait_for_function(GROWN)
    check_fills_the_screen(image)


def test_everything_that_takes_the_keyboard_shows_it_and_is_moved_by_it(visit):
    page = visit()
    seen(page)
    page.locator("body").click(position={"x": 1, "y": 1})
    for _ in range(25):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, parseFloat(outlineWidth)])"
            "(getComputedStyle(document.activeElement))"
        )
        assert outline[0] == "solid"
        assert outline[1] >= 2

    opened(page, "Translation")
    drawn(page, "translation")
    handle = page.locator("#translation").get_by_role("slider")
    line = page.locator("#translation .line")
    before = line.bounding_box()["x"]
    handle.focus()
    page.keyboard.press("ArrowRight")
    further = line.bounding_box()["x"]
    assert further > before + 3
    page.keyboard.press("PageDown")
    assert line.bounding_box()["x"] < before
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert line.evaluate("one => getComputedStyle(one, '::after').outlineStyle") == "solid"
    words = [image.get_attribute("alt") for image in page.locator("#translation img").all()]
    assert words == ["Before", "After"]

    opened(page, "Panorama")
    drawn(page, "panorama")
    photo = page.locator("#frame img")
    before = photo.bounding_box()["x"]
    photo.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
        expect(photo).to_be_focused()
    assert photo.bounding_box()["x"] > before + 20
    page.keyboard.press("ArrowUp")  # It is as high as the picture.
    assert "top: 0%" in photo.get_attribute("style")
