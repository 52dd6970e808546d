"""Style mixing as a visitor meets it."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.looking import pick, recipe_as_drawn, saved, seen, type_in

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}


@pytest.fixture
def mixing(visit):
    """Opens the tab; returns the page and its first table."""

    def open_tab(**options):
        page = visit("/?tab=mixing", **options)
        return page, seen(page, 25, gallery="mixes")

    return open_tab


def test_every_choice_of_layers_changes_the_cells_but_not_the_heads(mixing):
    page, table = mixing()
    heads = [1, 2, 3, 4, 5, 10, 15, 20]
    cells = [i for i in range(1, 25) if i not in heads]
    for name, taken in (("Coarse", "0 to 2"), ("Fine", r"7 to \d+"), ("Middle", "3 to 6")):
        page.get_by_label(name, exact=True).check()
        expect(page.locator(".layers")).to_contain_text(re.compile(f"Layers {taken} come"))
        changed = seen(page, 25, before=table, gallery="mixes")
        assert [changed[i] for i in heads] == [table[i] for i in heads]
        assert all(changed[i] != table[i] for i in cells)
        table = changed
    expect(page.get_by_label("number input for First layer")).to_be_hidden()
    page.get_by_label("Free", exact=True).check()
    first = page.get_by_label("number input for First layer")
    expect(first).to_be_visible()
    type_in(first, "0")
    expect(page.locator(".layers i.taken")).to_have_count(7)
    seen(page, 25, before=table, gallery="mixes")


def test_the_table_keeps_the_pictures_it_can_and_draws_what_is_typed(mixing, tmp_path):
    page, table = mixing()
    size = page.get_by_label("number input for Rows and columns")
    type_in(size, "2")
    small = seen(page, 9, gallery="mixes")
    assert small[1:3] == table[1:3]
    type_in(size, "6")
    large = seen(page, 49, gallery="mixes")
    assert large[1:3] == table[1:3]
    page.get_by_role("button", name="New pictures").click()
    rolled = seen(page, 49, before=large, gallery="mixes")
    assert not set(rolled[1:]) & set(large[1:])

    page.get_by_role("button", name="Model, seeds, truncation").click()
    type_in(page.get_by_label("Seeds of the rows"), "1, 2")
    seen(page, 21, gallery="mixes")
    type_in(page.get_by_label("Seeds of the columns"), "3, 4, 5")
    table = seen(page, 12, gallery="mixes")
    pick(page, 6, gallery="mixes", panel="mixing-detail")
    expect(page.locator("#mixing-picked")).to_contain_text("layers 3 to 6 of seed 4")
    button = page.get_by_role("button", name="Download PNG").filter(visible=True)
    made = recipe_as_drawn(saved(page, button, tmp_path))
    assert (made["seed"], made["settings"]["mix_seed"]) == (1, 4)
    type_in(page.get_by_label("number input for Truncation").filter(visible=True), "0.3")
    seen(page, 12, before=table, gallery="mixes")
    type_in(page.get_by_label("Seeds of the rows"), "one")
    expect(page.get_by_text("The rows need seeds")).to_be_visible()


def test_a_phone_holds_the_whole_table_and_a_cell_is_taken_further(mixing):
    page, _ = mixing(**PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    box = page.locator("#mixes .grid-container button").nth(24).bounding_box()
    assert box["width"] > 40
    assert box["y"] + box["height"] < 812
    page.locator("#mixes .grid-container button").nth(24).tap()
    expect(page.locator("#mixing-picked")).to_be_in_viewport()

    pick(page, 12, gallery="mixes", panel="mixing-detail")
    page.get_by_role("button", name="Draw 8 variations").filter(visible=True).click()
    seen(page, gallery="mixing-variations")
    page.get_by_role("tab", name="Film").filter(visible=True).click()
    for count, cell in enumerate((12, 18), 1):
        pick(page, cell, gallery="mixes", panel="mixing-detail")
        page.get_by_role("button", name="Add the selected picture").filter(visible=True).click()
        seen(page, count, gallery="mixing-stops")
    page.get_by_role("button", name="Create the film").filter(visible=True).click()
    expect(page.locator("#mixing-film video")).to_be_visible()
