"""What a visitor made is there again: after another tab, a reload, Back, a link, a saved file."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels.hub import recipe
from tests.support.looking import choose, drawn, opened, pick, recipe_as_drawn, saved, seen, type_in
from tests.ui.test_panoramas import scene

pytestmark = pytest.mark.browser

TABS = ("Cars", "Style mixing", "Translation", "Panorama")
SAME = "The same picture, pixel for pixel."
MISSING = "made from a photo of 96 x 60 pixels"


@pytest.fixture
def photo(tmp_path):
    scene(96, 60).save(tmp_path / "own.png")
    return tmp_path / "own.png"


def work_in_cars(page, _):
    first = seen(page)
    page.get_by_label("Body").click()
    page.get_by_role("option", name="suv").click()
    page.get_by_label("number input for Pictures").fill("3")
    type_in(page.get_by_label("Seed").first, "7")
    seen(page, 3, before=first)


def state_of_cars(page):
    expect(page.get_by_label("Body")).to_have_value("suv")
    expect(page.get_by_label("Seed").first).to_have_value("7")
    expect(page.get_by_label("Keep").first).to_be_checked()
    return seen(page, 3)


def work_in_mixing(page, _):
    seen(page, 25, gallery="mixes")
    page.get_by_role("button", name="Model, seeds, truncation").click()
    type_in(page.get_by_label("Seeds of the rows"), "1, 2")
    seen(page, 15, gallery="mixes")
    table = seen(page, 15, gallery="mixes")
    page.get_by_label("Fine", exact=True).check()
    seen(page, 15, before=table, gallery="mixes")


def state_of_mixing(page):
    expect(page.get_by_label("Fine", exact=True)).to_be_checked()
    expect(page.locator(".layers")).to_contain_text("Layers 7 to")
    return seen(page, 15, gallery="mixes")


def work_in_translation(page, photo):
    drawn(page, "translation")
    page.locator("#translation-photo input[type=file]").set_input_files(photo)
    expect(page.locator("#translation-words")).to_contain_text("96 x 60")
    page.get_by_label("Autoencoder, 128 px").check()
    expect(page.locator("#translation-words")).to_contain_text("Autoencoder")


def state_of_translation(page):
    expect(page.locator("#translation-words")).to_contain_text("Autoencoder, 128 px, 96 x 60")
    expect(page.get_by_label("Autoencoder, 128 px")).to_be_checked()
    return [one.get_attribute("src") for one in page.locator("#translation img").all()]


def work_in_panorama(page, photo):
    drawn(page, "panorama")
    page.locator("#panorama-photo input[type=file]").set_input_files(photo)
    expect(page.locator("#panorama-words")).to_contain_text("180 x 60 pixels", timeout=60_000)
    page.get_by_label("A new picture").check()
    type_in(page.get_by_label("Seed", exact=True).filter(visible=True), "5")
    expect(page.locator("#panorama-words")).to_contain_text("seed 5", timeout=60_000)
    expect(page.locator("#stop-panorama")).to_be_hidden(timeout=60_000)  # Nothing is under way.
    choose(page, "Size", "2 : 1")  # Chosen, and not drawn yet.
    expect(page.locator("#panorama-size")).to_contain_text("Result: 120 x 60 px")


def state_of_panorama(page):
    expect(page.locator("#panorama-words")).to_contain_text("180 x 60 pixels, seed 5")
    expect(page.locator("#panorama-size")).to_contain_text("Result: 120 x 60 px. Your photo")
    expect(page.get_by_label("A new picture")).to_be_checked()
    expect(page.get_by_label("Size", exact=True)).to_have_value("2 : 1")
    return page.locator("#panorama img").get_attribute("src")


WORK = {
    "Cars": (work_in_cars, state_of_cars),
    "Style mixing": (work_in_mixing, state_of_mixing),
    "Translation": (work_in_translation, state_of_translation),
    "Panorama": (work_in_panorama, state_of_panorama),
}


def test_every_tab_is_as_it_was_left_after_the_others_and_after_a_reload(visit, photo):
    page, before = visit(), {}
    for tab in TABS:
        work, state = WORK[tab]
        opened(page, tab)
        work(page, photo)
        before[tab] = state(page)
    for tab in TABS:
        opened(page, tab)
        assert WORK[tab][1](page) == before[tab]
    for tab in TABS:
        opened(page, tab)
        page.reload()
        selected(page, tab)
        assert WORK[tab][1](page) == before[tab]


def test_back_and_forward_go_through_the_tabs_and_come_back_from_elsewhere(visit, photo):
    page = visit()
    work_in_cars(page, photo)
    before = state_of_cars(page)
    for tab in TABS[1:]:
        opened(page, tab)
    drawn(page, "panorama")
    assert page.url.endswith("?tab=panorama")
    for tab in ("Translation", "Style mixing", "Cars"):
        page.go_back()
        selected(page, tab)
    page.go_forward()
    selected(page, "Style mixing")
    page.go_back()
    page.goto("about:blank")
    page.go_back()
    selected(page, "Cars")
    assert state_of_cars(page) == before


def test_a_mix_comes_back_in_its_table_by_link_and_by_file(visit, tmp_path):
    page = visit("/?tab=mixing")
    seen(page, 25, gallery="mixes")
    pick(page, 12, gallery="mixes", panel="mixing-detail")
    address = "/" + page.locator("#mixing-picked a").get_attribute("href")
    file = download(page, tmp_path)
    made = recipe_as_drawn(file)
    cell = seen(page, 25, gallery="mixes")[12]

    other = visit(address)
    selected(other, "Style mixing")
    assert seen(other, 4, gallery="mixes")[3] == cell
    expect(other.get_by_text(SAME)).to_be_visible()
    expect(other.locator(".layers")).to_contain_text("Layers 3 to 6")
    assert other.url.endswith("?tab=mixing")  # A reload keeps what is changed from now on.

    third = visit()
    seen(third)
    open_file(third, file)
    selected(third, "Style mixing")
    assert seen(third, 4, gallery="mixes")[3] == cell
    third.get_by_role("button", name="Model, seeds, truncation").click()
    expect(third.get_by_label("Seeds of the rows")).to_have_value(str(made["seed"]))
    expect(third.get_by_label("Seeds of the columns")).to_have_value(
        str(made["settings"]["mix_seed"])
    )


def test_a_translated_photo_comes_back_to_its_visitor_and_asks_another_for_it(
    visit, photo, tmp_path
):
    page = visit("/?tab=translation")
    work_in_translation(page, photo)
    type_in(page.get_by_label("number input for Strength").filter(visible=True), "0.5")
    page.locator("#translate").click()
    file = download(page, tmp_path, lambda made: made["settings"]["strength"] == 0.5)
    shown = state_of_translation(page)

    opened(page, "Cars")
    open_file(page, file)
    selected(page, "Translation")
    expect(page.get_by_text(SAME)).to_be_visible()
    assert state_of_translation(page) == shown

    other = visit("/" + page.locator("#translation-words a").get_attribute("href"))
    selected(other, "Translation")
    expect(other.locator("#translation-notice")).to_contain_text(MISSING)
    expect(other.locator("#translation img").first).to_be_hidden()
    strength = other.get_by_label("number input for Strength").filter(visible=True)
    expect(strength).to_have_value("0.5")
    other.reload()
    expect(other.locator("#translation-notice")).to_contain_text(MISSING)
    other.locator("#translation-photo input[type=file]").set_input_files(photo)
    expect(other.get_by_text(SAME)).to_be_visible()
    expect(other.locator("#translation-notice")).to_be_hidden()
    assert state_of_translation(other) == shown


def test_a_panorama_comes_back_to_its_visitor_and_asks_another_for_its_photo(
    visit, photo, tmp_path
):
    page = visit("/?tab=panorama")
    drawn(page, "panorama")
    page.locator("#panorama-photo input[type=file]").set_input_files(photo)
    expect(page.locator("#panorama-words")).to_contain_text("180 x 60 pixels", timeout=60_000)
    share = page.get_by_label("number input for Scale of the photo")
    type_in(share, "0.75")
    page.locator("#frame img").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.locator("#draw-panorama").click()
    file = download(page, tmp_path, lambda made: made["image"]["height"] == 45)
    made = recipe.read(file)

    opened(page, "Cars")
    open_file(page, file)
    selected(page, "Panorama")
    expect(page.get_by_text(SAME)).to_be_visible(timeout=60_000)
    assert recipe.read(download(page, tmp_path)) == made

    other = visit("/" + page.locator("#panorama-words a").get_attribute("href"))
    selected(other, "Panorama")
    expect(other.locator("#panorama-notice")).to_contain_text("made from a photo of 72 x 45 pixels")
    expect(other.locator("#panorama img")).to_have_count(0)
    other.locator("#panorama-photo input[type=file]").set_input_files(photo)
    expect(other.get_by_text(SAME)).to_be_visible(timeout=60_000)
    expect(other.locator("#panorama-notice")).to_be_hidden()
    expect(other.get_by_label("number input for Scale of the photo")).to_have_value("0.75")
    picture = np.asarray(Image.open(download(other, tmp_path)))
    assert np.array_equal(picture, np.asarray(Image.open(file)))


def test_what_cannot_be_opened_says_why_and_the_page_goes_on(visit, photo):
    page = visit("/?recipe=nonsense")
    expect(page.get_by_text("The link holds no recipe")).to_be_visible()
    seen(page)
    open_file(page, photo)
    expect(page.get_by_text("The image holds no recipe")).to_be_visible()
    page.evaluate("""() => {
      const kept = JSON.parse(sessionStorage.getItem('genmodels-cars-settings'))
      sessionStorage.setItem('genmodels-cars-settings', JSON.stringify({...kept, model: 'a/b'}))
    }""")
    page.reload()  # What a browser keeps is checked before it is used.
    expect(page.get_by_text(re.compile("setting model is not one of this page"))).to_be_visible()
    seen(page)
    strange = recipe.to_query(
        {
            "model": "<b>someone</b>/model",
            "weights_sha256": "",
            "seed": 0,
            "settings": {},
            "versions": {},
        }
    )
    other = visit(f"/?recipe={strange}")
    expect(other.get_by_text(re.compile("<b>someone</b>/model.*not on this page"))).to_be_visible()
    seen(other)


def test_an_address_opens_its_tab_and_no_other_and_a_photo_that_is_gone_is_asked_for(visit, photo):
    page = visit("/?tab=translation")
    drawn(page, "translation")
    selected(page, "Translation")
    assert page.locator("#cars-pictures img").count() == 0
    work_in_translation(page, photo)
    page.evaluate("""() => {
      const kept = JSON.parse(sessionStorage.getItem('genmodels-translation-settings'))
      kept.photo = 'another'
      sessionStorage.setItem('genmodels-translation-settings', JSON.stringify(kept))
    }""")
    page.reload()
    expect(page.locator("#translation-notice")).to_contain_text("not on the server any more")
    expect(page.locator("#translation img").first).to_be_hidden()
    expect(page.get_by_label("Autoencoder, 128 px")).to_be_checked()
    page.locator("#translation-photo input[type=file]").set_input_files(photo)
    expect(page.locator("#translation-words")).to_contain_text("96 x 60")
    expect(page.locator("#translation-notice")).to_be_hidden()


def selected(page, tab):
    expect(page.get_by_role("tab", name=tab).first).to_have_attribute("aria-selected", "true")


def open_file(page, path):
    button = page.get_by_role("button", name="Open a saved picture")
    if "open" not in button.get_attribute("class").split():
        button.click()
    page.locator("#replay input[type=file]").set_input_files(path)


def download(page, folder, is_it=lambda made: True):
    """The file that is shown, once its recipe is the one."""
    button = page.get_by_role("button", name="Download PNG").filter(visible=True)
    for _ in range(50):
        path = saved(page, button, folder)
        if is_it(recipe.read(path)):
            return path
        page.wait_for_timeout(300)
    raise AssertionError(f"no such picture: {recipe.read(path)}")
