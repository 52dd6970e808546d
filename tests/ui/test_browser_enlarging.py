"""The switch between enlarged pictures and pictures as drawn, as a visitor meets it."""

import json
import zipfile

import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels.hub import recipe
from genmodels.ui.components import enlarging
from tests.support.as_drawn import assert_is_of_a_new_visitor
from tests.support.looking import opened, pick, recipe_as_drawn, saved, seen

pytestmark = pytest.mark.browser

SIZES = "all => all.map(one => one.naturalWidth)"


def turned(page, to, before, count=8, gallery="cars-pictures"):
    page.get_by_label(to, exact=True).filter(visible=True).check()
    return seen(page, count, before=before, gallery=gallery)


def sizes(page, gallery="cars-pictures"):
    return set(page.locator(f"#{gallery} .grid-container img").evaluate_all(SIZES))


def portrait(page):
    return page.locator(".portrait img").filter(visible=True)


def png(page, folder):
    return saved(page, page.get_by_role("button", name="Download PNG").first, folder)


def test_the_switch_changes_the_size_of_all_that_is_shown_and_saved(visit, tmp_path):
    page = visit(is_new=True)
    large = seen(page)
    assert sizes(page) == {256}
    pick(page, 3)
    path = png(page, tmp_path)
    made = recipe.read(path)
    assert Image.open(path).size == (256, 256)
    assert (made["model"], made["settings"]) == ("upscaler-x4", {"factor": 4})
    assert Image.open(path).tobytes() == recipe.replay(path).tobytes()

    small = turned(page, "As drawn", large)
    assert sizes(page) == {64}
    expect(portrait(page)).to_have_attribute("src", small[3])  # The picked one stays.
    path = png(page, tmp_path)
    assert Image.open(path).size == (64, 64)
    assert recipe.read(path) == made["image"]["recipe"]

    assert turned(page, "Enlarged", small) == large
    expect(portrait(page)).to_have_attribute("src", large[3])
    archive = saved(page, page.get_by_role("button", name="Download all").first, tmp_path)
    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if name.endswith(".png")]
        assert {Image.open(files.open(name)).size for name in names} == {(256, 256)}
        told = json.loads(files.read("recipes.json"))
    assert {one["model"] for one in told} == {"upscaler-x4"}

    page.get_by_role("button", name="Draw 8 variations").first.click()
    variations = seen(page, gallery="cars-variations")
    assert sizes(page, "cars-variations") == {256}
    pick(page, 2, gallery="cars-variations")
    turned(page, "As drawn", large)
    small = seen(page, before=variations, gallery="cars-variations")
    assert sizes(page, "cars-variations") == {64}
    expect(portrait(page)).to_have_attribute("src", small[2])
    assert recipe_as_drawn(png(page, tmp_path))["settings"]["variation_strength"] == 0.3


def test_the_table_of_mixes_follows_its_own_switch(visit):
    page = visit("/?tab=mixing", is_new=True)
    table = seen(page, 25, gallery="mixes")
    assert sizes(page, "mixes") == {8, 256}
    assert_is_of_a_new_visitor(page, "mixing")
    turned(page, "As drawn", table, 25, "mixes")
    assert sizes(page, "mixes") == {8, 64}
    opened(page, "Cars")
    seen(page)
    assert sizes(page) == {256}


def test_a_reload_and_a_link_find_the_switch_as_it_was(visit):
    page = visit()
    small = seen(page)
    large = turned(page, "Enlarged", small)
    assert turned(page, "As drawn", large) == small
    expect(portrait(page)).to_have_attribute("src", small[0])
    link = page.locator("#cars-picked a").get_attribute("href")
    page.reload()
    assert seen(page) == small
    expect(page.get_by_label("As drawn").first).to_be_checked()

    other = visit("/" + link, is_new=True)
    assert seen(other, 1) == small[:1]
    expect(other.get_by_label("As drawn").first).to_be_checked()
    assert turned(other, "Enlarged", small[:1], 1) == large[:1]
    expect(portrait(other)).to_have_attribute("src", large[0])

    third = visit("/" + other.locator("#cars-picked a").get_attribute("href"))
    assert seen(third, 1) == large[:1]
    expect(third.get_by_label("Enlarged", exact=True).first).to_be_checked()
    expect(third.get_by_text("The same picture, pixel for pixel.")).to_be_visible()


def test_what_was_enlarged_never_takes_the_place_of_what_was_drawn_since(browser):
    page = browser.new_page()
    first, other = ({"model": "cars", "seed": seed, "settings": {}} for seed in (7, 8))
    large = {"model": "upscaler-x4", "seed": 7, "settings": {}, "image": {"recipe": first}}

    def put(told, remade, how="Enlarged"):
        given = ["shown", told, "made", remade, how]
        return page.evaluate(f"given => ({enlarging.PUT})(...given)", given)

    assert put([None, first], [None, large]) == ["made", [None, large]]
    assert put([None, large], [None, first], "As drawn") == ["made", [None, first]]
    for told in ([None, other], [first], [first, None], [None, first, first], None):
        assert put(told, [None, large]) == ["shown", told]
    assert put([None, first], None) == ["shown", [None, first]]
    # The switch was turned while they were made.
    assert put([None, first], [None, large], "As drawn") == ["shown", [None, first]]
    assert put([None, large], [None, first]) == ["shown", [None, large]]
    page.close()
