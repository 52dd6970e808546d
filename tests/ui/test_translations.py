"""Translation on the page, without a browser: photos good and bad, two networks, many at once."""

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import genmodels
from genmodels.hub import recipe
from genmodels.ui.components import hints
from genmodels.ui.services import models, photos, translations
from genmodels.ui.services.translations import IN_GREY, THE_PHOTO, Dials
from tests.ui.test_app import client, toys  # noqa: F401  (Fixtures: the page on toy models.)
from tests.ui.test_panoramas import BAD, scene

COMIC, OTHER = "comic-pix2pix-toy", "comic-pix2pix-other-toy"
COLOURS = "colorize-pix2pix-toy"
FULLY = Dials(strength=1.0, detail=0.0)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "scene.png"
    scene(60, 44).save(path)
    return path


def translate(client, path, **asked):  # noqa: F811
    file = None if path is None else handle_file(path)
    return client.predict(file, **{"model": COMIC} | asked, api_name="/translate")


def test_a_task_is_offered_where_there_is_a_network_for_it(toys):  # noqa: F811
    found = translations.tasks()
    assert list(found) == ["Comic", "Colorize"]
    assert sorted(card.name for card in found["Comic"]) == sorted([COMIC, OTHER])


def test_the_api_gives_a_file_that_replays_from_the_photo(client, photo):  # noqa: F811
    (before, after), words, _, told = translate(client, photo, strength=0.6)
    assert "60 x 44 pixels" in words
    assert told["settings"]["strength"] == 0.6
    assert np.array_equal(np.asarray(Image.open(before)), np.asarray(Image.open(photo)))
    again = genmodels.replay(told, Image.open(photo))
    assert np.array_equal(np.asarray(again), np.asarray(Image.open(after)))


def test_what_is_saved_carries_its_recipe_and_the_mark(toys, photo):  # noqa: F811
    made = translations.translated(models.load, photo, COMIC, THE_PHOTO, FULLY)
    told = recipe.read(made.file)
    assert told == made.recipe
    assert told["generated"]
    assert b"compositeSynthetic" in Path(made.file).read_bytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_held_against_the_grey_photo_that_they_were_made_from(toys, tmp_path, mode):  # noqa: F811
    scene(60, 44).convert(mode).save(tmp_path / "photo.png")
    made = translations.translated(models.load, tmp_path / "photo.png", COLOURS, IN_GREY, FULLY)
    before, after = (np.asarray(Image.open(file)) for file in (made.before, made.file))
    assert before.shape[2] == len(mode)
    assert (before[..., 0] == before[..., 1]).all()
    assert (before[..., 0] == before[..., 2]).all()
    grey = np.asarray(Image.open(made.file).convert("L"), dtype=int)
    assert after.shape == before.shape
    assert np.abs(grey - before[..., 0]).max() <= 1


def test_colours_are_first_held_against_grey_and_shown_on_what_was_learnt(toys):  # noqa: F811
    (colours,), (comic, *_) = (translations.tasks()[title] for title in ("Colorize", "Comic"))
    assert [value for _, value in translations.comparisons(colours)] == [IN_GREY, THE_PHOTO]
    assert translations.comparisons(comic)[0][1] == THE_PHOTO
    assert translations.example(comic.name) == translations.FACES[0]
    assert (
        translations.example(colours.name) == translations.FACES[1]
    )  # Faces are among what it has learnt.
    assert translations.example("monet-pix2pix-toy") == photos.SCENES[0]


def test_one_network_is_held_against_another(toys, photo):  # noqa: F811
    made = translations.translated(models.load, photo, COMIC, OTHER, FULLY)
    other = translations.translated(models.load, photo, OTHER, THE_PHOTO, FULLY)
    assert np.array_equal(np.asarray(Image.open(made.before)), np.asarray(Image.open(other.file)))
    with pytest.raises(ValueError, match="model must be one of"):
        translations.translated(models.load, photo, COMIC, "../secrets", FULLY)


def test_transparency_comes_back(toys, tmp_path):  # noqa: F811
    glass = scene(40, 30).convert("RGBA")
    glass.putalpha(Image.linear_gradient("L").resize((40, 30)))
    glass.save(tmp_path / "glass.png")
    made = translations.translated(models.load, tmp_path / "glass.png", COMIC, THE_PHOTO, FULLY)
    with Image.open(made.file) as picture:
        assert picture.mode == "RGBA"
        assert np.array_equal(picture.getchannel("A"), glass.getchannel("A"))


@pytest.mark.parametrize("name", [name for name in BAD if name != "one colour.png"])
def test_a_bad_photo_is_refused_with_a_reason_and_the_page_goes_on(client, name, tmp_path):  # noqa: F811
    make, reason = BAD[name]
    make(tmp_path / name)
    with pytest.raises(AppError, match=reason) as refused:
        translate(client, tmp_path / name)
    assert "/" not in str(refused.value)
    assert translate(client, None)[3]["generated"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"strength": 2}, "Strength must be a number from 0 to 1, got 2"),
        ({"detail": -1}, "Detail of the photo must be a number from 0 to 1, got -1"),
        ({"model": "cars-dcgan-toy"}, "choices|one of"),
        ({"against": "moon"}, "choices|one of"),
    ],
)
def test_settings_that_cannot_be_are_refused(client, photo, asked, reason):  # noqa: F811
    with pytest.raises(AppError, match=reason):
        translate(client, photo, **asked)


def test_another_model_is_refused_without_a_photo_too(client):  # noqa: F811
    with pytest.raises(AppError, match="Model must be one of"):
        translate(client, None, model="cars-stylegan2-toy")


def test_hints_that_are_no_list_are_refused(client, photo):  # noqa: F811
    with pytest.raises(AppError, match="Hints must be a list"):
        translate(client, photo, model=COLOURS, hints=5)


def test_colours_lose_no_detail_and_say_nothing_of_it(client, photo):  # noqa: F811
    cards = {card.name: card for own in translations.tasks().values() for card in own}
    assert translations.takes_detail(cards[COMIC])
    assert not translations.takes_detail(cards[COLOURS])
    assert translate(client, photo, detail=0.5)[3]["settings"]["detail"] == 0.5
    assert "detail" not in translate(client, photo, model=COLOURS, detail=0.5)[3]["settings"]


def test_many_photos_come_back_as_one_zip_with_their_recipes(toys, tmp_path):  # noqa: F811
    paths = []
    for seed in range(3):
        paths.append(str(tmp_path / f"{seed}.png"))
        scene(30 + seed, 24, seed).save(paths[-1])
    *told, (done, archive) = translations.many(models.load, paths, COMIC, FULLY)
    assert sorted({count for count, _ in told}) == [0, 1, 2]  # One comes again while it lasts.
    assert done == 3
    with zipfile.ZipFile(archive) as files:
        told = json.loads(files.read("recipes.json"))
        pictures = [f"{i + 1:02d}-{i}-{COMIC}.png" for i in range(3)]
        assert files.namelist() == [*pictures, "recipes.json"]
        for name, own in zip(pictures, told, strict=True):
            assert recipe.read(files.open(name)) == own


def test_too_many_photos_or_one_bad_one_are_refused_before_any_work(toys, photo, tmp_path):  # noqa: F811
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    for paths, reason in (
        ([], "1 to 30 photos at once, got 0"),
        ([str(photo)] * 31, "got 31"),
        ([str(photo), str(tmp_path / "paper.jpg")], r"paper\.jpg: not a readable"),
    ):
        with pytest.raises(ValueError, match=reason):
            list(translations.many(models.load, paths, COMIC, FULLY))


def test_strokes_are_hints_at_their_places_in_the_photo():
    strokes = [["#c0392b", [[0, 0], [0.5, 0.25]]], ["#00ff00", [[0.9999, 0.9999]]]]
    value = json.dumps({"colour": "#000000", "strokes": strokes})
    hints_of = [(0, 0, "#c0392b"), (480, 150, "#c0392b"), (959, 599, "#00ff00")]
    assert hints.read(value, (960, 600)) == hints_of
    assert hints.read(hints.EMPTY, (960, 600)) == []
    for strokes in ("dots", [["#c0392b", [[0.5]]]], [["#c0392b", 3]], 3):
        with pytest.raises(ValueError, match="strokes must be colours with their points"):
            hints.read(json.dumps({"strokes": strokes}), (960, 600))
    for x in (-0.1, 1, math.nan):
        with pytest.raises(ValueError, match="must lie from 0 to below 1"):
            hints.read(json.dumps({"strokes": [["#c0392b", [[x, 0]]]]}), (960, 600))
    with pytest.raises(ValueError, match="200 dots of colour at most, got 201"):
        hints.read(json.dumps({"strokes": [["#c0392b", [[0, 0]] * 201]]}), (960, 600))
    for value in ("{", "[" * 100_000, '{"strokes": [["#c0392b", [[' + "9" * 400 + ", 0]]]]}"):
        with pytest.raises(ValueError, match="strokes must be") as raised:
            hints.read(value, (960, 600))
        assert len(str(raised.value)) < 200


def test_hints_reach_the_network_that_listens_and_no_other(client, photo):  # noqa: F811
    given = [[5, 6, "#c0392b"]]
    told = translate(client, photo, model="colorize-pix2pix-toy", hints=given)[3]
    assert told["settings"]["hints"] == given
    assert "hints" not in translate(client, photo, hints=given)[3]["settings"]
    with pytest.raises(AppError, match="hint's column must be"):
        translate(client, photo, model="colorize-pix2pix-toy", hints=[[99, 6, "#c0392b"]])


def test_a_photo_goes_through_every_task(toys, photo):  # noqa: F811
    made = translations.each(models.load, photo, FULLY)
    assert [title for _, title in made] == ["Comic", "Colorize"]
    assert len({Path(file).read_bytes() for file, _ in made}) == 2


def test_without_a_photo_every_task_takes_what_it_has_learnt(toys):  # noqa: F811
    for (file, _), own in zip(
        translations.each(models.load, None, FULLY), translations.tasks().values(), strict=True
    ):
        assert Image.open(file).size == Image.open(translations.example(own[0].name)).size


def test_of_many_photos_nothing_but_the_zip_stays(toys, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    (tmp_path / "gradio").mkdir()
    paths = []
    for seed in range(2):
        scene(40, 30, seed).save(tmp_path / f"{seed}.png")
        paths.append(str(tmp_path / f"{seed}.png"))
    *_, (_, archive) = translations.many(models.load, paths, COMIC, FULLY)
    left = [path for path in (tmp_path / "gradio").rglob("*") if path.is_file()]
    assert left == [Path(archive)]


def test_a_large_photo_is_shown_smaller_and_saved_whole(toys, tmp_path):  # noqa: F811
    scene(2400, 300).save(tmp_path / "wide.png")
    made = translations.translated(models.load, tmp_path / "wide.png", COMIC, THE_PHOTO, FULLY)
    shown = [Image.open(file) for file in (made.before, made.after)]
    assert [picture.size for picture in shown] == [(1600, 200)] * 2
    assert Image.open(made.file).size == (2400, 300)
    assert recipe.read(made.after)["generated"]


def test_what_is_shown_carries_its_recipe_and_the_mark_too(client, tmp_path):  # noqa: F811
    for width in (60, 2400):  # As it is, and smaller.
        scene(width, 120).save(tmp_path / "photo.png")
        (_, after), _, _, told = translate(client, tmp_path / "photo.png")
        assert recipe.read(after) == told
        assert b"compositeSynthetic" in Path(after).read_bytes()


def test_a_strip_is_refused_in_words(toys, tmp_path):  # noqa: F811
    Image.new("RGB", (16, 321)).save(tmp_path / "strip.png")
    with pytest.raises(ValueError, match="20 times as long as it is wide at most, got 16 x 321"):
        translations.translated(models.load, tmp_path / "strip.png", COMIC, THE_PHOTO, FULLY)
