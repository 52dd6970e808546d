"""The page as a visitor meets it, with the embedded models."""

import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels.hub import recipe
from tests.support.looking import (
    pick,
    recipe_as_drawn,
    saved,
    seen,
    shown_as_drawn,
    spread,
    type_in,
)

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


def test_a_first_batch_is_there_without_a_click(visit):
    page = shown_as_drawn(visit())
    assert len(set(seen(page))) == 8
    assert min(spread(page)) > 60
    expect(page.locator("#cars-picked")).to_contain_text(re.compile(r"Seed \d+, drawn by"))


def test_another_model_draws_other_pictures_and_offers_what_it_can(visit):
    page = shown_as_drawn(visit())
    first = seen(page)
    conditions = [
        page.get_by_label("Body"),
        page.locator("#condition-year"),
        page.get_by_label("Any model"),
    ]
    for control in [*conditions, page.get_by_label("Truncation").first]:
        expect(control).to_be_visible()
    page.get_by_label("Body").click()
    page.get_by_role("option", name="suv").click()
    page.get_by_label("Keep").check()
    generate(page)
    second = seen(page, before=first)
    expect(page.locator(IMAGES).first).to_have_attribute("alt", re.compile(r"^suv, \d{4}$"))

    page.get_by_label("DCGAN, 64 px").first.check()
    for control in [*conditions, page.get_by_label("Truncation").first]:
        expect(control).to_be_hidden()
    seen(page, before=second)  # It draws at once.
    expect(page.locator(IMAGES).first).to_have_attribute("alt", re.compile(r"^seed \d+$"))


def test_a_kept_seed_draws_the_same_pictures_and_the_dice_draw_others(visit):
    page = shown_as_drawn(visit())
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
    seen(page, 3, before=rolled)


def test_a_typed_seed_is_drawn_on_enter_and_kept(visit):
    page = shown_as_drawn(visit())
    first = seen(page)
    type_in(page.get_by_label("Seed").first, "7")
    seen(page, before=first)
    expect(page.locator("#cars-picked")).to_contain_text("Seed 7, drawn by")
    expect(page.get_by_label("Keep")).to_be_checked()


def test_a_chosen_year_is_asked_for_and_one_past_the_data_is_called_a_guess(visit):
    page = shown_as_drawn(visit())
    first = seen(page)
    expect(page.get_by_label("Any model year")).to_be_checked()
    type_in(page.get_by_label("number input for Model year"), "1999")
    expect(page.get_by_label("Any model year")).not_to_be_checked()
    page.get_by_label("Keep").check()
    generate(page)
    asked = seen(page, before=first)
    expect(page.locator(IMAGES).first).to_have_attribute("alt", re.compile(r", 1999$"))

    type_in(page.get_by_label("number input for Model year"), "2020")
    generate(page)
    seen(page, before=asked)
    expect(page.locator(IMAGES).first).to_have_attribute("alt", re.compile(r", 2020 \(a guess\)$"))


def test_truncation_decides_how_much_the_pictures_differ(visit, tmp_path):
    page = shown_as_drawn(visit())
    first = seen(page)
    page.get_by_label("Keep").check()
    distances = []
    for psi in ("0", "1"):
        type_in(page.get_by_label("number input for Truncation").first, psi)
        generate(page)
        first = seen(page, before=first)
        # The files follow with the large picture.
        expect(page.locator("#cars-detail .portrait img")).to_have_attribute("src", first[0])
        archive = saved(page, page.get_by_role("button", name="Download all").first, tmp_path)
        with zipfile.ZipFile(archive) as files:
            names = [name for name in files.namelist() if name.endswith(".png")]
            shots = [np.asarray(Image.open(files.open(name)), dtype=float) for name in names]
            assert len(json.loads(files.read("recipes.json"))) == len(shots) == 8
        distances.append(np.std(shots, axis=0).mean())
    assert distances[0] < 0.7 * distances[1]


def test_a_saved_picture_and_a_link_bring_it_back_to_another_visitor(visit, tmp_path):
    page = visit()
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

    third = visit("/" + page.locator("#cars-picked a").get_attribute("href"))
    assert seen(third, 1) == first[2:3]


def test_what_was_not_made_here_is_refused_in_words(visit, tmp_path):
    page = shown_as_drawn(visit())
    seen(page)
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    page.get_by_role("button", name="Open a saved picture").click()
    page.locator("#replay input[type=file]").set_input_files(tmp_path / "photo.png")
    expect(page.get_by_text("the image holds no recipe")).to_be_visible()

    broken = visit("/?recipe=nonsense")
    expect(broken.get_by_text("the link holds no recipe")).to_be_visible()
    generate(broken)
    seen(broken)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_pictures_first_and_never_scrolls_sideways(visit, scheme):
    page = visit(color_scheme=scheme, **PHONE)
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
    texts = ["h1", ".masthead p", ".colophon p", "#cars-picked p", ".prose td", "button.primary"]
    for text in [*texts, "button[role=tab]", ".dice", "label:has(input[type=radio]) span"]:
        assert page.locator(text).first.evaluate(CONTRAST) >= 4.5, text


def test_two_visitors_at_once_get_pictures_of_their_own(visit):
    pages = [visit(), visit()]
    firsts = [seen(page) for page in pages]
    assert not set(firsts[0]) & set(firsts[1])
    for page in pages:
        generate(page)
    seconds = [seen(page, before=first) for page, first in zip(pages, firsts, strict=True)]
    assert not set(seconds[0]) & set(seconds[1])


def test_headings_are_set_in_the_font_of_the_wheel(visit):
    page = shown_as_drawn(visit())
    seen(page)
    bold = "[...document.fonts].filter(f => f.status == 'loaded' && f.weight == 700).length"
    assert page.evaluate(bold) >= 1
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontWeight") == "700"
