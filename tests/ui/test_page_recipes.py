"""Recipes, galleries and file names that come back from a page, which anyone can forge."""

import copy
import json
import re
import threading
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

import genmodels
from genmodels.ui.components import detail_panel
from genmodels.ui.server import work_folder
from genmodels.ui.services import models, pictures, recipes

MODEL = "cars-dcgan-64"
FORGED = {
    "another model": {"model": "someone/model"},
    "a path": {"model": "/tmp/somewhere/x"},
    "a way up": {"model": "../../x"},
    "markup": {"model": "<form action=//evil><input name=password></form>"},
    "a long name": {"model": "x" * 10**6},
    "no name": {"model": None},
    "another pipeline": {"pipeline": "StyleGAN2Pipeline"},
    "other weights": {"weights_sha256": "0" * 64},
    "a hash that is none": {"pixels_sha256": "../x"},
    "a seed below": {"seed": -1},
    "a seed that is true": {"seed": True},
    "a seed as text": {"seed": "7"},
    "no settings": {"settings": None},
    "unknown settings": {"settings": {"device": "cuda"}},
    "a number of pictures": {"settings": {"num_images": 256}},
    "markup in a setting": {"settings": {"variation_strength": "<b>x</b>"}},
    "NaN": {"settings": {"variation_strength": float("nan")}},
    "a huge setting": {"settings": {"variation_seed": 10**400}},
    "markup in a version": {"versions": {"genmodels": "<b>", "torch": "1\nERROR forged"}},
    "a key more": {"text": "x" * 10**6},
    "not generated": {"generated": False},
}


@pytest.fixture(scope="module")
def drawn():
    return genmodels.load(MODEL)(3, seed=7)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "work"))
    return tmp_path


def everything(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_recipe_of_ours_comes_back_as_it_was_and_through_a_browser(drawn):
    for recipe in drawn.recipes:
        assert recipes.checked(copy.deepcopy(recipe)) == recipe
        assert recipes.checked(json.loads(json.dumps(recipe))) == recipe


def test_a_mix_with_conditions_is_one_of_ours_too():
    pipe = genmodels.load("cars-stylegan2-64")
    mixed = pipe(1, seed=1, mix_seed=2, mix_layers="coarse").recipes[0]
    assert recipes.checked(json.loads(json.dumps(mixed))) == mixed
    for changed in (
        {"mix_layers": [0]},
        {"mix_layers": [0, 99]},
        {"mix_layers": "<b>"},
        {"condition": {"body": "<b>", "year": 2000}},
        {"condition": {"body": "suv"}},
        {"condition": []},
        {"mix_condition": {"body": "suv", "year": float("inf")}},
        {"mix_seed": "x"},
    ):
        with pytest.raises(ValueError, match=r".+"):
            recipes.checked({**mixed, "settings": {**mixed["settings"], **changed}})


@pytest.fixture(scope="module")
def enlarged(drawn):
    return genmodels.load("upscaler-x4")(drawn.images[0], seed=7).recipes[0]


def test_an_enlarged_picture_of_ours_is_one_of_ours_too(drawn, enlarged):
    assert recipes.checked(json.loads(json.dumps(enlarged))) == enlarged
    assert models.as_drawn(enlarged) == drawn.recipes[0]
    assert models.as_drawn(drawn.recipes[0]) is drawn.recipes[0]


@pytest.mark.parametrize("changed", FORGED.values(), ids=FORGED)
def test_an_enlarged_picture_is_refused_where_either_step_is_forged(enlarged, changed):
    before = enlarged["image"]["recipe"] | changed
    for forged in (
        enlarged | changed,
        enlarged | {"image": enlarged["image"] | {"recipe": before}},
    ):
        with pytest.raises(ValueError, match=r".+"):
            recipes.checked(forged)


def test_what_is_enlarged_is_a_picture_drawn_from_a_seed_and_nothing_else(drawn, enlarged):
    image = enlarged["image"]
    for forged in (
        {key: value for key, value in enlarged.items() if key != "image"},
        enlarged | {"image": {key: image[key] for key in ("sha256", "width", "height")}},
        enlarged | {"image": image | {"recipe": enlarged}},
        enlarged | {"image": image | {"width": 10**9}},
        enlarged | {"image": [image]},
        drawn.recipes[0] | {"image": image},
    ):
        with pytest.raises(ValueError, match=r".+"):
            recipes.checked(forged)


@pytest.mark.parametrize("changed", FORGED.values(), ids=FORGED)
def test_a_forged_recipe_is_refused_and_writes_nothing(drawn, folder, changed):
    forged = {**drawn.recipes[0], **changed}
    files = [(file, None) for file, _ in pictures.captioned(drawn.images, drawn.recipes)]
    before = everything(folder)
    with pytest.raises(ValueError, match=r".+"):
        recipes.checked(forged)
    with pytest.raises(ValueError, match=r".+"):
        detail_panel._portrait(files, [*drawn.recipes[:2], forged], 0)
    assert everything(folder) == before


@pytest.mark.parametrize("came", [None, 7, "x", [], {}, [[[]]]])
def test_what_is_no_recipe_at_all_is_refused(came):
    with pytest.raises(ValueError, match="the recipe does not fit"):
        recipes.checked(came)


def test_the_message_about_a_forged_recipe_is_short_and_no_markup(drawn):
    forged = {**drawn.recipes[0], "model": "<form>" * 10**5}
    _, _, clicked = looking()
    with pytest.raises(gr.Error) as refused:
        clicked.fn(None, None, gr.SelectData(None, {"index": 0, "value": 0}))
    assert "<" not in refused.value.message
    with pytest.raises(gr.Error) as refused:
        told = [forged]
        clicked.fn([("x", None)], told, gr.SelectData(None, {"index": 0, "value": 0}))
    assert "<" not in refused.value.message
    assert len(refused.value.message) < 1500


def test_a_gallery_shows_only_pictures_that_hold_their_own_recipes(drawn, folder):
    shown = pictures.captioned(drawn.images, drawn.recipes)
    assert recipes.of_gallery(shown, drawn.recipes)[2] == (shown[2][0], drawn.recipes[2])
    Image.new("RGB", (8, 8)).save(folder / "other.png")
    swapped = [shown[1], shown[0], shown[2]]
    for files in (swapped, shown[:2], [*shown[:2], (str(folder / "other.png"), None)], None, "x"):
        with pytest.raises(ValueError, match=r".+"):
            recipes.of_gallery(files, drawn.recipes)
    with pytest.raises(ValueError, match="at most"):
        recipes.of_gallery(shown * 100, drawn.recipes * 100)


@pytest.mark.parametrize("index", [3, -4, 10**30])
def test_a_picture_that_is_not_in_the_gallery_cannot_be_picked(drawn, folder, index):
    shown = pictures.captioned(drawn.images, drawn.recipes)
    with pytest.raises(ValueError, match="shows 3 pictures"):
        detail_panel._portrait(shown, drawn.recipes, index)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a" * 64, "../x.zip"),
        ("a" * 64, "/tmp/x.zip"),
        ("a" * 64, ".hidden"),
        ("a" * 64, "a\nb.zip"),
        ("a" * 64, "x" * 300),
        ("..", "x.zip"),
        ("a" * 64 + "/../..", "x.zip"),
    ],
)
def test_a_file_is_named_by_a_hash_and_a_plain_name_or_not_written(folder, key, name):
    with pytest.raises(ValueError, match="a hash and a plain name"):
        work_folder.written_once(key, name, lambda path: path.write_text("x"))
    assert everything(folder) == []


def test_a_file_is_written_once_and_whole_while_others_read_it(folder):
    content, broken, written = b"x" * 500_000, [], []
    stop = threading.Event()

    def write(path):
        with path.open("wb") as file:
            for start in range(0, len(content), 1000):
                file.write(content[start : start + 1000])
        written.append(path)

    def read():
        while not stop.is_set():
            for file in (folder / "work").glob("*/film.mp4"):
                if file.read_bytes() != content:
                    broken.append(file)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for thread in readers:
        thread.start()
    for key in (f"{number:064x}" for number in range(20)):
        writers = [
            threading.Thread(target=work_folder.written_once, args=(key, "film.mp4", write))
            for _ in range(4)
        ]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        work_folder.written_once(key, "film.mp4", lambda path: path.write_bytes(b"another"))
    stop.set()
    for thread in readers:
        thread.join()
    assert broken == []
    files = everything(folder)
    assert len(files) == 20  # Nothing that was begun is left.
    assert all(file.read_bytes() == content for file in files)


def test_a_writer_that_fails_leaves_nothing(folder):
    def write(path):
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        work_folder.written_once("a" * 64, "film.mp4", write)
    assert everything(folder) == []


def test_archives_of_the_same_recipes_and_other_files_are_two(drawn, folder):
    files = [file for file, _ in pictures.captioned(drawn.images, drawn.recipes)]
    first = pictures.zipped(files, drawn.recipes)
    assert re.fullmatch(rf"{MODEL}-3-pictures.zip", Path(first).name)
    before = Path(first).stat().st_ino
    assert pictures.zipped(files, drawn.recipes) == first
    assert Path(first).stat().st_ino == before
    assert pictures.zipped([files[1], files[0], files[2]], drawn.recipes) != first


YEARS = detail_panel.Sweep("Years", models.Span(1990, 2012, True))
EYES = detail_panel.Sweep("Eyes", models.Span(0.0, 1.0, False))


@pytest.mark.parametrize("sweeps", [{}, {"year": YEARS}, {"year": YEARS, "eye_openness": EYES}])
def test_a_picture_has_a_film_for_each_condition_of_numbers(drawn, folder, sweeps):
    page, _, clicked = looking(sweeps)
    labels = {block.label for block in page.blocks.values() if isinstance(block, gr.Tab)}
    assert labels == {"Variations", "Film"} | {sweep.title for sweep in sweeps.values()}
    shown = pictures.captioned(drawn.images, drawn.recipes)
    updates = clicked.fn(shown, drawn.recipes, gr.SelectData(None, {"index": 1, "value": 1}))
    assert len(updates) == len(clicked.outputs)
    assert updates[4] == drawn.recipes[1]


def looking(sweeps=()):
    """A page with a detail panel, its gallery, and the function of a click on a picture."""
    with gr.Blocks() as page:
        switch, gallery, told = gr.Radio(["as drawn"]), gr.Gallery(), gr.JSON()
        panel = detail_panel.build(models.load, "faces", switch, dict(sweeps))
        panel.follow(gallery, told)
    (clicked,) = (fn for fn in page.fns.values() if ("select", gallery) in events(page, fn))
    return page, gallery, clicked


def events(page, fn):
    return {(event, page.blocks[owner]) for owner, event in fn.targets if owner is not None}
