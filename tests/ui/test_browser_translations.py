"""The Translation tab with several tasks and networks, which the test makes: toys."""

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels.hub import recipe
from tests.support.looking import saved, seen
from tests.ui.test_app import client, toys  # noqa: F401  (Fixtures: the page on toy models.)
from tests.ui.test_panoramas import scene

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_address(client):  # noqa: F811
    """The page with toys instead of the embedded models."""
    return client.src.rstrip("/")


@pytest.fixture
def lab(visit, tmp_path):
    """Opens the tab on a photo of the visitor's own."""
    page = visit("/?tab=translation")
    # The page's first work: a process is started, and imports what it needs.
    expect(page.locator("#translation-words")).to_contain_text("256 x 256", timeout=120_000)
    scene(96, 60).save(tmp_path / "own.png")
    page.locator("#translation-photo input[type=file]").set_input_files(tmp_path / "own.png")
    expect(page.locator("#translation-words")).to_contain_text("96 x 60")
    return page


def made(page, folder):
    path = saved(page, page.get_by_role("button", name="Download PNG").filter(visible=True), folder)
    return np.int16(np.asarray(Image.open(path))), recipe.read(path)


def after(page):
    return page.locator("#translation img").last.get_attribute("src")


def test_all_tasks_are_done_at_once_and_networks_are_held_against_each_other(lab, tmp_path):
    lab.locator("#translate-all").click()
    assert len(set(seen(lab, 2, gallery="every-task"))) == 2
    expect(lab.locator("#every-task")).to_contain_text("Comic")
    expect(lab.locator("#every-task")).to_contain_text("Colorize")
    before = after(lab)
    lab.locator("#every-task .grid-container button").nth(1).click()
    expect(lab.get_by_label("Colorize", exact=True)).to_be_checked()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    assert made(lab, tmp_path)[1]["model"] == "colorize-pix2pix-toy"
    scene(80, 60, 3).save(tmp_path / "other.png")
    lab.locator("#translation-photo input[type=file]").set_input_files(tmp_path / "other.png")
    expect(lab.locator("#translation-words")).to_contain_text("80 x 60")
    expect(lab.locator("#every-task")).to_be_hidden()

    before = after(lab)
    lab.get_by_label("Comic", exact=True).check()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    shown = lab.locator("#translation img").first.get_attribute("src")
    lab.get_by_label("Compare with").click()
    options = lab.get_by_role("option")
    expect(options).to_have_count(2)
    options.nth(1).click()
    expect(lab.locator("#translation img").first).not_to_have_attribute("src", shown)
    before = after(lab)
    lab.get_by_label("Colorize", exact=True).check()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    assert made(lab, tmp_path)[1]["model"] == "colorize-pix2pix-toy"
    lab.get_by_label("Compare with").click()
    expect(lab.get_by_role("option")).to_have_count(2)
    expect(lab.get_by_role("option")).to_contain_text(["The photo in grey", "The photo"])


def test_a_colour_is_put_by_keyboard_drawn_where_it_belongs_and_taken_away_again(lab, tmp_path):
    expect(lab.get_by_role("button", name="Color hints")).to_be_hidden()
    before = after(lab)
    lab.get_by_label("Colorize", exact=True).check()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    plain, told = made(lab, tmp_path)
    assert "hints" not in told["settings"]
    lab.get_by_role("button", name="Color hints").click()
    board = lab.locator("#hint-board img")
    expect(board).to_be_visible()
    before = after(lab)
    lab.locator("#hint-board .board").focus()
    lab.keyboard.press("Shift+ArrowRight")
    lab.keyboard.press("ArrowUp")
    lab.keyboard.press("Enter")
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    expect(lab.locator("#hint-board i")).to_have_count(1)
    expect(lab.locator("#hint-board .board")).to_be_focused()
    ((column, row, _),) = made(lab, tmp_path)[1]["settings"]["hints"]
    assert (column, row) == (57, 29)
    before = after(lab)
    lab.locator("#hint-board").get_by_role("button", name="Clear").click()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)

    before = after(lab)
    box = board.bounding_box()
    board.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.5})
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    hinted, told = made(lab, tmp_path)
    ((column, row, colour),) = told["settings"]["hints"]
    assert abs(column - 24) <= 2
    assert abs(row - 30) <= 2
    assert colour == "#c0392b"
    fold = lab.get_by_role("button", name="Color hints")
    for _ in range(2):  # Folded to see the picture, and back: what was drawn stays.
        fold.click()
    expect(board).to_be_visible()
    expect(lab.locator("#hint-board i")).to_have_count(1)
    lab.locator("#translate").click()
    lab.wait_for_timeout(300)
    assert made(lab, tmp_path)[1]["settings"]["hints"] == told["settings"]["hints"]
    change = np.abs(hinted - plain).sum(axis=2)
    assert change[26:35, 20:29].max() > 0
    lab.locator("#hint-board input").fill("#2040ff")
    before, box = after(lab), board.bounding_box()
    lab.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.2)
    lab.mouse.down()
    lab.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.2, steps=20)
    lab.mouse.up()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    first, *stroke = made(lab, tmp_path)[1]["settings"]["hints"]
    assert first == [column, row, colour]
    assert len(stroke) >= 3  # A dot every 14 pixels of the screen.
    assert {(row, colour) for _, row, colour in stroke} == {(12, "#2040ff")}
    assert abs(stroke[-1][0] - 86) < 15
    before = after(lab)
    lab.locator("#hint-board").get_by_role("button", name="Undo").click()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    assert np.array_equal(made(lab, tmp_path)[0], hinted)
    before = after(lab)
    lab.locator("#hint-board").get_by_role("button", name="Clear").click()
    expect(lab.locator("#translation img").last).not_to_have_attribute("src", before)
    assert np.array_equal(made(lab, tmp_path)[0], plain)
