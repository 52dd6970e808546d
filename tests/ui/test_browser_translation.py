"""The Translation tab as a visitor meets it."""

import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from genmodels.hub import recipe
from tests.support.looking import saved, type_in
from tests.ui.test_panoramas import scene

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}


@pytest.fixture
def lab(visit):
    """Opens the tab and waits for its first picture."""

    def open_tab(**options):
        page = visit("/?tab=translation", **options)
        expect(page.locator("#translation-words")).to_contain_text("pixels", timeout=120_000)
        expect(page.locator("#translation img").first).to_be_visible()
        return page

    return open_tab


@pytest.fixture
def photo(tmp_path):
    scene(90, 60).save(tmp_path / "house.png")
    return tmp_path / "house.png"


def upload(page, path, size):
    page.locator("#translation-photo input[type=file]").set_input_files(path)
    expect(page.locator("#translation-words")).to_contain_text(size)


def picture(page, folder):
    """The PNG that the button gives, and its recipe."""
    path = saved(page, page.get_by_role("button", name="Download PNG").filter(visible=True), folder)
    return np.int16(np.asarray(Image.open(path))), recipe.read(path)


def addresses(page):
    return [one.get_attribute("src") for one in page.locator("#translation img").all()]


def test_an_uploaded_photo_is_translated_beside_itself_as_strongly_as_asked(lab, photo, tmp_path):
    page = lab()
    upload(page, photo, "90 x 60")
    whole, told = picture(page, tmp_path)
    assert whole.shape == (60, 90, 3)
    assert told["image"]["width"] == 90
    assert np.abs(whole - np.asarray(Image.open(photo))).mean() > 2
    shown = addresses(page)
    assert len(set(shown)) == 2

    type_in(page.get_by_label("number input for Strength").filter(visible=True), "0.5")
    page.locator("#translate").click()
    expect(page.locator("#translation img").last).not_to_have_attribute("src", shown[-1])
    half, told = picture(page, tmp_path)
    assert told["settings"]["strength"] == 0.5
    assert np.abs((whole + np.asarray(Image.open(photo))) / 2 - half).max() <= 1

    shown = addresses(page)
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    page.locator("#translation-photo input[type=file]").set_input_files(tmp_path / "paper.jpg")
    expect(page.get_by_text("Paper.jpg: not a readable")).to_be_visible()
    assert addresses(page) == shown
    # What was chosen last is what is shown, and the page is ready for the next photo.
    scene(2400, 1600).save(tmp_path / "large.png")
    upload(page, tmp_path / "large.png", "2400 x 1600")
    words = page.locator("#translation-words")
    page.get_by_label("Autoencoder, 128 px").check()
    page.wait_for_timeout(300)  # It is on its way ...
    page.get_by_label("Pix2Pix, 128 px").check()
    page.wait_for_timeout(300)
    page.get_by_label("Autoencoder, 128 px").check()  # ... and has not come back yet.
    page.wait_for_timeout(300)
    page.get_by_label("Pix2Pix, 128 px").check()
    expect(words).to_contain_text("Autoencoder")
    expect(words).to_contain_text("Pix2Pix")
    assert picture(page, tmp_path)[1]["model"] == "comic-pix2pix-128"


def test_examples_the_camera_and_several_photos_are_translated(lab, tmp_path):
    page = lab()
    shown = addresses(page)
    page.locator("#translation-examples .grid-container button").nth(2).click()
    expect(page.locator("#translation img").first).not_to_have_attribute("src", shown[0])

    line = page.locator("#translation .line")  # The handle between before and after.
    before = line.bounding_box()
    frame = page.locator("#translation img").first.bounding_box()
    y = frame["y"] + frame["height"] / 2
    page.mouse.move(before["x"] + before["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(frame["x"] + 30, y, steps=4)
    page.mouse.up()
    assert line.bounding_box()["x"] < before["x"] - 50

    shown = addresses(page)
    page.get_by_role("button", name="Camera").click()
    page.locator("#translation-camera").get_by_text("Access Webcam").click()
    page.wait_for_function("document.querySelector('#translation-camera video')?.videoWidth > 0")
    page.locator("#translation-camera").get_by_role("button", name="capture photo").click()
    expect(page.locator("#translation img").first).not_to_have_attribute("src", shown[0])
    expect(page.locator("#translation-words")).not_to_contain_text("256 x 256")

    page.get_by_role("button", name="Batch: several photos").click()
    paths = []
    for seed in range(3):
        paths.append(tmp_path / f"{seed}.png")
        scene(40, 30, seed).save(paths[-1])
    page.locator("#several input[type=file]").set_input_files(paths)
    uploaded = page.locator("#several").get_by_role("button", name="Remove this file")
    expect(uploaded).to_have_count(3)
    page.locator("#translate-several").click()
    expect(page.locator("#archive")).to_contain_text(re.compile(r"3-pictures"))
    with page.expect_download() as download:
        page.locator("#archive a").first.click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as files:
        assert sum(name.endswith(".png") for name in files.namelist()) == 3


def test_a_phone_has_room_for_all_tabs_the_picture_and_what_is_told(lab):
    page = lab(**PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    for name in ("Cars", "Style mixing", "Translation", "Panorama"):
        expect(page.get_by_role("tab", name=name).first).to_be_visible()
    box = page.locator("#translation img").first.bounding_box()
    assert box["width"] > 250
    page.get_by_role("button", name="Training progress").filter(visible=True).click()
    expect(page.locator("#translation-learning img")).to_be_visible()
    page.get_by_role("button", name="How it works, and its limits").filter(visible=True).click()
    expect(page.get_by_text("Limits.").filter(visible=True)).to_be_visible()
    expect(page.get_by_text("held-out pairs").filter(visible=True).first).to_be_visible()
