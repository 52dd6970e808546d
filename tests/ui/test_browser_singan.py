"""Training SinGAN on the page: watched, stopped, used, downloaded, and two visitors at once."""

import re
import secrets
import shutil

import pytest
from PIL import Image
from playwright.sync_api import expect

import genmodels
from tests.support.looking import saved, seen, type_in
from tests.ui.test_panoramas import scene

pytestmark = pytest.mark.browser

TRAINED = 90_000  # Milliseconds.


@pytest.fixture
def trainer(visit, tmp_path):
    """Opens the trainer on a small photo of the visitor's own: other photos at each try."""
    base = secrets.randbelow(10**6)

    def open_trainer(seed):
        page = visit("/?tab=panorama")
        photo = tmp_path / f"{seed}.png"
        scene(60, 40, base + seed).save(photo)
        shown = page.locator("#frame img").get_attribute("src")
        page.locator("#panorama-photo input[type=file]").set_input_files(photo)
        expect(page.locator("#frame img")).not_to_have_attribute("src", shown)
        page.get_by_role("button", name="Train a SinGAN").click()
        page.get_by_label("100", exact=True).check()
        return page

    return open_trainer


def use_what_is_there(page):
    """Wait for a preview, and end the training."""
    expect(page.locator("#training img")).to_be_visible(timeout=TRAINED)
    expect(page.locator("#training-words")).to_contain_text(re.compile(r"Size \d of \d"))
    page.locator("#finish").click()
    stopped = re.compile(r"Stopped at size \d of \d, step \d+ of \d+ after")
    expect(page.locator("#training-words")).to_contain_text(stopped, timeout=TRAINED)


def test_a_network_is_trained_stopped_sampled_and_downloaded(trainer, tmp_path):
    page = trainer(seed=1)
    page.locator("#train").click()
    use_what_is_there(page)
    expect(page.locator("#train")).to_be_visible()
    first = seen(page, 4, gallery="samples")
    assert len(set(first)) == 4
    page.locator("#sample").click()
    again = seen(page, 4, before=first, gallery="samples")
    page.get_by_label("Keep the photo's layout").check()
    page.get_by_label("number input for Width factor").fill("3")
    page.locator("#sample").click()
    seen(page, 4, before=again, gallery="samples")
    page.get_by_role("button", name="Film loop").click()
    page.get_by_label("WebP", exact=True).filter(visible=True).check()
    page.get_by_role("button", name="Create the film").filter(visible=True).click()
    button = page.locator("#singan-film").get_by_role("button", name="Download the film")
    with Image.open(saved(page, button, tmp_path)) as film:
        assert film.n_frames == 48
    archive = saved(page, page.locator("#network"), tmp_path)
    shutil.unpack_archive(archive, tmp_path)
    pipe = genmodels.load(tmp_path / archive.stem)
    assert pipe(seed=3).images[0].size == (60, 40)
    page.locator("#train").click()  # Stopped, it was no answer to what had been asked.
    expect(page.locator("#training-words")).to_contain_text(re.compile(r"Size \d of \d"))
    page.locator("#finish").click()
    expect(page.locator("#training-words")).to_contain_text("Stopped at", timeout=TRAINED)
    other = saved(page, page.locator("#network"), tmp_path)
    assert other.name != archive.name


def test_a_training_to_the_end_is_as_asked_for_and_kept_for_the_next_visitor(trainer):
    def train(page):
        # Far more than it takes: to keep to a limit, a busy machine would do fewer epochs.
        type_in(page.get_by_label("number input for Time limit (seconds)"), "120")
        page.get_by_role("button", name="Advanced settings").click()
        type_in(page.get_by_label("number input for Epochs"), "100")
        page.get_by_label("Optimizer").click()
        page.get_by_role("option", name="asgd").click()
        page.locator("#train").click()

    page = trainer(seed=2)
    train(page)
    expect(page.locator("#training-words")).to_contain_text("of 100", timeout=TRAINED)
    expect(page.locator("#training-words")).to_contain_text("Trained in", timeout=TRAINED)
    other = trainer(seed=2)
    train(other)
    expect(other.locator("#training-words")).to_contain_text("there already", timeout=TRAINED)
    expect(other.locator("#training")).to_be_hidden()
    seen(other, 4, gallery="samples")


def test_a_second_visitor_waits_and_a_training_is_found_again_after_a_reload(trainer):
    first, second = trainer(seed=3), trainer(seed=4)
    first.locator("#train").click()
    expect(first.locator("#training img")).to_be_visible(timeout=TRAINED)
    second.locator("#train").click()
    place = re.compile(r"Position 1, about \d+ (seconds|minute)")
    expect(second.locator("#training-words")).to_contain_text(place)
    first.reload()
    first.get_by_role("tab", name="Panorama").click()
    expect(first.locator("#training-words")).to_contain_text(re.compile(r"Size \d of \d"))
    expect(first.locator("#train")).to_be_hidden()
    use_what_is_there(first)
    seen(first, 4, gallery="samples")
    use_what_is_there(second)
    first.reload()
    first.get_by_role("tab", name="Panorama").click()
    expect(first.locator("#training-words")).to_contain_text("Stopped at")
    expect(first.locator("#network")).to_be_visible()
    expect(first.locator("#train")).to_be_visible()
