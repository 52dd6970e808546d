"""The tab "Check my images" in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.doctor.test_dataset import picture
from tests.support.looking import saved

pytestmark = pytest.mark.browser


def test_files_are_checked_and_the_clean_list_is_downloaded(visit, tmp_path):
    for name, seed in (("first.png", 1), ("second.png", 2), ("again.png", 1)):
        picture(seed).save(tmp_path / name)
    page = visit("/?tab=check")
    names = ("first.png", "second.png", "again.png")
    page.locator("#check-files input[type=file]").set_input_files([tmp_path / n for n in names])
    expect(page.locator("#check-files")).to_contain_text("second")
    page.locator("#check-go").click()
    # The page's first work: a process is started, and imports what it needs.
    verdict = page.locator("#check-verdict")
    expect(verdict).to_contain_text("2 different photographs", timeout=120_000)
    expect(verdict.locator("h2")).to_have_text("Stop")
    expect(page.locator("#check-table")).to_contain_text("Exact duplicates")
    expect(page.locator("#check-pictures img").first).to_be_visible()
    expect(page.locator("#check-pictures")).to_contain_text("again.png")
    button = page.get_by_role("button", name="Download the clean list")
    clean = saved(page, button, tmp_path).read_text().split()
    assert clean == ["again.png", "second.png"]
