"""The detail panel, in the browser: its variations, its years, films, downloads."""

import re

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.looking import pick, recipe_as_drawn, saved, seen, type_in

pytestmark = pytest.mark.browser


def films(page):
    return page.locator("#cars-film")


def make_film(page, folder, kind="MP4"):
    panel = page.get_by_role("tabpanel").filter(visible=True).last
    panel.get_by_label(kind, exact=True).check()
    panel.get_by_role("button", name="Create the film").click()
    button = films(page).get_by_role("button", name="Download the film")
    expect(button).to_be_visible()
    shown = films(page).locator("video" if kind == "MP4" else "img")
    expect(shown).to_have_attribute("src", re.compile(rf"film\.{kind.lower()}$"))
    return saved(page, button, folder)


def frames_of(path):
    if path.suffix == ".mp4":
        with av.open(str(path)) as film:
            return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    with Image.open(path) as film:
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            frames.append(np.asarray(film.convert("RGB")))
        return frames


def test_a_picture_has_variations_as_strong_as_asked_and_a_film_passes_through_chosen_ones(
    visit, tmp_path
):
    page = visit()  # Pictures as drawn, as films are.
    seen(page)
    pick(page, 1)
    button = page.get_by_role("button", name="Download PNG").first
    own = recipe_as_drawn(saved(page, button, tmp_path))
    type_in(page.get_by_label("number input for Variation strength").first, "0.5")
    page.get_by_role("button", name="Draw 8 variations").first.click()
    variations = seen(page, gallery="cars-variations")
    assert len(set(variations)) == 8
    pick(page, 4, gallery="cars-variations")
    made = recipe_as_drawn(saved(page, button, tmp_path))
    assert made["seed"] == own["seed"]
    assert made["settings"]["variation_strength"] == 0.5

    page.get_by_role("tab", name="Film").first.click()
    stops = []
    for number in (0, 3, 5):
        pick(page, number)
        stops.append(saved(page, button, tmp_path))
        page.get_by_role("button", name="Add the selected picture").first.click()
        seen(page, len(stops), gallery="cars-stops")
    type_in(page.get_by_label("number input for Seconds per transition").first, "1")
    frames = frames_of(make_film(page, tmp_path))
    assert len(frames) == 3 * 16
    for frame, stop in zip(frames[::16], stops, strict=True):
        picture = np.float32(Image.open(stop).resize((384, 384), Image.Resampling.LANCZOS))
        assert np.abs(frame - picture).mean() < 6  # H.264 keeps no pixel as it was.
    page.get_by_role("button", name="Start over").first.click()
    page.get_by_role("button", name="Create the film").filter(visible=True).click()
    expect(page.get_by_text("A film needs two or more pictures")).to_be_visible()


def test_a_car_goes_through_the_years_in_a_film_of_every_format(visit, tmp_path):
    page = visit()
    seen(page)
    page.get_by_role("tab", name="Years").first.click()
    for label, year in (("From", 2008), ("To", 2014)):
        type_in(page.get_by_label(f"number input for {label}").first, year)
    for kind in ("MP4", "GIF", "WebP"):
        frames = frames_of(make_film(page, tmp_path, kind))
        assert len(frames) == 6 * 4 + 1
        first, last = np.float32(frames[0]), np.float32(frames[-1])
        assert first.shape[1] == 384 < first.shape[0]  # A strip below says the year.
        assert np.abs(first[:384] - last[:384]).mean() > 1
        assert np.abs(first[384:] - last[384:]).mean() > 1


def test_the_plainest_network_has_all_but_years_and_stands_beside_anime_faces(visit, tmp_path):
    page = visit()
    first = seen(page)
    page.get_by_role("button", name="Training progress").click()
    learning = page.locator("#cars-learning img")
    expect(learning).to_be_visible()
    before = learning.get_attribute("src")
    page.get_by_label("DCGAN, 64 px").first.check()
    expect(learning).not_to_have_attribute("src", before)
    seen(page, before=first)
    expect(page.get_by_role("tab", name="Years").first).to_be_disabled()
    page.get_by_role("button", name="Draw 8 variations").first.click()
    seen(page, gallery="cars-variations")
    page.get_by_role("tab", name="Film").first.click()
    for number in (0, 1):
        pick(page, number)
        page.get_by_role("button", name="Add the selected picture").first.click()
        seen(page, number + 1, gallery="cars-stops")
    assert len(frames_of(make_film(page, tmp_path))) == 2 * 32

    page.get_by_role("button", name="Compare cars and anime faces").click()
    galleries = ("beside-cars-dcgan-64", "beside-anime-dcgan-64")
    both = [seen(page, gallery=name) for name in galleries]
    page.get_by_role("button", name="Draw both again").click()
    for name, before in zip(galleries, both, strict=True):
        seen(page, before=before, gallery=name)
