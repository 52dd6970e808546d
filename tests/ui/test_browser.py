"""The page as a visitor meets it, with the embedded models."""

import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels.hub import recipe
from tests.support.as_drawn import assert_is_of_a_new_visitor
from tests.support.looking import pick, recipe_as_drawn, saved, seen, spread, type_in

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}
IMAGES = "#cars-pictures .grid-container img"
# Contrast (WCAG 2) of an element's text with the first opaque background behind it.
CONTRAST = """element => {
    const numbers = color => color.match(/[\\d.]+/g).map(Number)
    const light = color => numbers(color).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
    let behind = element
    while (numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement
    const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
        .map(light).sort((x, y) => y - x)
    return (a + 0.05) / (b + 0.05)
}"""


def generate(page):
    page.get_by_role("button", name="Generate").click()


def test_two_new_visitors_at_once_find_and_draw_pictures_of_their_own(visit):
    pages = [visit(is_new=True), visit(is_new=True)]
    firsts = [seen(page) for page in pages]
    assert len({*firsts[0], *firsts[1]}) == 16
    assert min(spread(pages[0])) > 60
    expect(pages[0].locator("#cars-picked")).to_contain_text(re.compile(r"Seed \d+, drawn by"))
    assert_is_of_a_new_visitor(pages[0], "cars")
    bold = "[...document.fonts].filter(f => f.status == 'loaded' && f.weight == 700).length"
    assert pages[0].evaluate(bold) >= 1  # The font of the wheel.
    assert pages[0].evaluate("getComputedStyle(document.querySelector('h1')).fontWeight") == "700"

    for page in pages:
        page.locator(".shown-as").get_by_label("As drawn").filter(visible=True).check()
    small = [seen(page, before=first) for page, first in zip(pages, firsts, strict=True)]
    for page in pages:
        generate(page)
    seconds = [seen(page, before=first) for page, first in zip(pages, small, strict=True)]
    assert not {*small[0], *seconds[0]} & {*small[1], *seconds[1]}
    assert not set(small[0]) & set(seconds[0])


def test_what_is_asked_for_is_drawn_and_another_model_offers_what_it_can(visit):
    page = visit()
    first = seen(page)
    conditions = [
        page.get_by_label("Body"),
        page.locator("#condition-year"),
        page.get_by_label("Any model"),
    ]
    for control in [*conditions, page.get_by_label("Truncation").first]:
        expect(control).to_be_visible()
    expect(page.get_by_label("Any model year")).to_be_checked()
    page.get_by_label("Body").click()
    page.get_by_role("option", name="suv").click()
    page.get_by_label("Keep").check()
    generate(page)
    second = seen(page, before=first)
    expect(page.locator(IMAGES).first).to_have_attribute("alt", re.compile(r"^suv, \d{4}$"))

    type_in(page.get_by_label("number input for Model year"), "1999")
    expect(page.get_by_label("Any model year")).not_to_be_checked()
    generate(page)
    asked = seen(page, before=second)
    expect(page.locator(IMAGES).first).to_have_attribute("alt", "suv, 1999")

    type_in(page.get_by_label("number input for Model year"), "2020")
    generate(page)
    guessed = seen(page, before=asked)
    expect(page.locator(IMAGES).first).to_have_attribute("alt", "suv, 2020 (a guess)")

    page.get_by_label("DCGAN, 64 px").first.check()
    for control in [*conditions, page.get_by_label("Truncation").first]:
        expect(control).to_be_hidden()
    seen(page, before=guessed)  # It draws at once.
    expect(page.locator(IMAGES).first).to_have_attribute("alt", re.compile(r"^seed \d+$"))


def test_a_seed_is_typed_kept_or_thrown_and_truncation_says_how_much_pictures_differ(
    visit, tmp_path
):
    page = visit()
    first = seen(page)
    seed = page.get_by_label("Seed").first
    before = seed.input_value()
    page.get_by_label("Keep").check()
    page.get_by_label("number input for Pictures").fill("3")
    generate(page)
    assert seen(page, 3) == first[:3]
    expect(seed).to_have_value(before)

    page.get_by_role("button", name="Random").click()
    rolled = seen(page, 3, before=first[:3])
    expect(seed).not_to_have_value(before)
    assert not set(rolled) & set(first)

    page.get_by_label("Keep").uncheck()
    generate(page)
    others = seen(page, 3, before=rolled)
    type_in(seed, "7")  # Drawn on Enter, and kept.
    seen(page, 3, before=others)
    expect(page.locator("#cars-picked")).to_contain_text("Seed 7, drawn by")
    expect(page.get_by_label("Keep")).to_be_checked()

    page.get_by_label("number input for Pictures").fill("8")
    generate(page)
    shown, distances = seen(page), []
    for psi in ("0", "1"):
        type_in(page.get_by_label("number input for Truncation").first, psi)
        generate(page)
        shown = seen(page, before=shown)
        # The files follow with the large picture.
        expect(page.locator("#cars-detail .portrait img")).to_have_attribute("src", shown[0])
        archive = saved(page, page.get_by_role("button", name="Download all").first, tmp_path)
        with zipfile.ZipFile(archive) as files:
            names = [name for name in files.namelist() if name.endswith(".png")]
            shots = [np.asarray(Image.open(files.open(name)), dtype=float) for name in names]
            assert len(json.loads(files.read("recipes.json"))) == len(shots) == 8
        distances.append(np.std(shots, axis=0).mean())
    assert distances[0] < 0.7 * distances[1]


def test_a_saved_picture_brings_itself_back_to_another_visitor(visit, tmp_path):
    page = visit(is_new=True)
    first = seen(page)
    pick(page, 2)
    seed = int(page.get_by_label("Seed").first.input_value()) + 2
    expect(page.locator("#cars-picked")).to_contain_text(f"Seed {seed}, drawn by")
    path = saved(page, page.get_by_role("button", name="Download PNG").first, tmp_path)
    made = recipe_as_drawn(path)
    assert path.name == f"{made['model']}-seed-{made['seed']}-enlarged.png"
    assert np.array_equal(np.asarray(recipe.replay(path)), np.asarray(Image.open(path)))

    other = visit()
    theirs = seen(other)
    other.get_by_role("button", name="Open a saved picture").click()
    other.locator("#replay input[type=file]").set_input_files(path)
    assert seen(other, 1, before=theirs) == first[2:3]
    expect(other.get_by_text("The same picture, pixel for pixel.")).to_be_visible()
    expect(other.get_by_label("Seed").first).to_have_value(str(made["seed"]))


def test_a_phone_shows_pictures_first_and_never_scrolls_sideways(visit):
    page = visit(color_scheme="dark", **PHONE)
    seen(page)
    box = page.locator(IMAGES).first.bounding_box()
    assert box["y"] < 400
    assert box["width"] == pytest.approx(box["height"], abs=1)  # Nothing of it is cut off.
    assert page.get_by_role("button", name="Generate").bounding_box()["y"] < 812
    for name in ("Recipe", "Open a saved picture", "How it works"):
        page.get_by_role("button", name=name).first.click()
    for name in ("Variations", "Years", "Film"):
        expect(page.get_by_role("tab", name=name).first).to_be_visible()
    expect(page.locator("#cars-recipe")).to_contain_text("weights_sha256")
    expect(page.get_by_text("Limits.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    check_contrasts(page)
    page.emulate_media(color_scheme="light")
    expect(page.locator("body.dark")).to_have_count(0)
    page.wait_for_function(
        "!document.getAnimations().some(one => one instanceof CSSTransition)"  # Of colours.
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    check_contrasts(page)


def check_contrasts(page):
    texts = ["h1", ".masthead p", ".colophon p", "#cars-picked p", ".prose td", "button.primary"]
    for text in [*texts, "button[role=tab]", ".dice", "label:has(input[type=radio]) span"]:
        assert page.locator(text).first.evaluate(CONTRAST) >= 4.5, text
