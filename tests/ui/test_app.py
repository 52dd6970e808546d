"""app.py and genmodels/ui: the page without a browser, on models that the test makes."""

import dataclasses
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

import app
import genmodels
from genmodels import zoo
from genmodels.data import conditions
from genmodels.hub import recipe
from genmodels.models import dcgan, pix2pix, stylegan2
from genmodels.ui.components import about, layers, theme, widgets
from genmodels.ui.services import models, pictures
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
ROWS = [{"body": "suv", "year": 2000}, {"body": "van", "year": 2004}, {"body": "van", "year": 2008}]
FACES = [
    {"gender": "female", "eye_openness": 0.1}, {"gender": "male", "eye_openness": 0.4},
    {"gender": "male", "eye_openness": 0.9},
]  # fmt: skip
DISASTERS = [{"disaster": "flood"}, {"disaster": "wildfire"}]
ASKED = {
    "model": "cars-stylegan2-toy", "num_images": 2, "seed": 7, "truncation_psi": 0.7,
    "body": "any", "any_year": True, "year": 2008,
}  # fmt: skip


def add_to_zoo(folder, pipeline, resolution):
    pipeline.save_pretrained(folder)
    run = {"summary": "A toy.", "resolution": resolution, "images_seen": 0}
    run["predicts"] = getattr(pipeline.config, "predicts", None)
    data = {"num_train": 3, "name": "toys"}
    (folder / "run.json").write_text(json.dumps({**run, "data": data}))
    Image.new("RGB", (8, 8)).save(folder / "progress.webp")
    (folder / "README.md").write_text("# Toy\n\n## Figures\n\nIts figures.\n\n## More\n\nElse.\n")


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """A zoo of untrained networks: StyleGAN2 with conditions, DCGAN, and three that translate."""
    folder = tmp_path_factory.mktemp("zoo")
    torch.manual_seed(0)
    for use, rows in (("cars", ROWS), ("faces", FACES), ("disasters", DISASTERS)):
        schema = conditions.infer(rows, list(rows[0]))
        c_dim = conditions.size(schema)
        G = stylegan2.Generator(16, 4, 4, c_dim, base_channels=4, max_channels=8)
        add_to_zoo(folder / f"{use}-stylegan2-toy", genmodels.StyleGAN2Pipeline(G, schema), 16)
    G = dcgan.Generator(16, z_dim=4, base_channels=4)
    for parameter in G.parameters():  # Freshly initialised, it draws plain grey.
        torch.nn.init.normal_(parameter)
    add_to_zoo(folder / "cars-dcgan-toy", genmodels.DCGANPipeline(G), 16)
    for name, channels, predicts in (
        ("comic-pix2pix-toy", (3, 3), "rgb"),
        ("comic-pix2pix-other-toy", (3, 3), "rgb"),
        ("colorize-pix2pix-toy", (4, 2), "chroma"),
    ):
        G = pix2pix.Generator(*channels, levels=3, base_channels=4, max_channels=8)
        add_to_zoo(folder / name, genmodels.Pix2PixPipeline(G, predicts), 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "FOLDER", folder)
        yield folder


@pytest.fixture(scope="module")
def client(toys, tmp_path_factory):
    """The page's API with the toys behind it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        page = app.build()
        _, address, _ = page.launch(
            server_port=free_port(), prevent_thread_lock=True, quiet=True, ssr_mode=False
        )
        downloads = str(tmp_path_factory.mktemp("downloads"))
        yield Client(address, verbose=False, download_files=downloads)
        page.close()


def draw(client, **changed):
    shown, recipes = client.predict(**{**ASKED, **changed}, api_name="/cars_sample")
    return [Path(one["image"]) for one in shown], recipes


def test_the_page_is_built_without_torch_and_without_diffusers():
    code = "import sys, app; app.build(); print({'torch', 'diffusers'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_event_is_private_or_has_a_name_and_a_docstring(toys):
    public = {
        event.api_name: event.fn.__doc__
        for event in app.build().fns.values()
        if event.api_visibility != "private"
    }
    samples = ["cars_sample", "faces_sample", "disasters_sample"]
    assert list(public) == [*samples, "style_mix", "translate", "panorama", "check_images"]
    assert all(public.values())


def test_a_tab_is_there_only_if_the_zoo_has_a_model_for_it(toys, tmp_path, monkeypatch):
    for name in zoo.names():
        if not name.startswith("faces-"):
            (tmp_path / name).symlink_to(toys / name)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    titles = [block.label for block in app.build().blocks.values() if isinstance(block, gr.Tab)]
    assert "Disasters" in titles
    assert "Faces" not in titles


def test_the_api_draws_pictures_whose_files_hold_their_recipes(client):
    files, recipes = draw(client, body="suv", any_year=False, year=2004)
    assert [one["seed"] for one in recipes] == [7, 8]
    for file, told in zip(files, recipes, strict=True):
        assert told["settings"]["condition"] == {"body": "suv", "year": 2004}
        assert recipe.read(file) == told
        with Image.open(file) as picture:
            assert picture.size == (16, 16)
            assert np.asarray(picture).std() > 1
    assert [file.name for file in files] == [f"cars-stylegan2-toy-seed-{s}.png" for s in (7, 8)]


def test_the_api_of_a_tab_has_the_conditions_of_its_models(client):
    asked = {"model": "faces-stylegan2-toy", "num_images": 2, "seed": 7, "gender": "male"}
    _, recipes = client.predict(
        **asked, any_eye_openness=False, eye_openness=0.25, api_name="/faces_sample"
    )
    for told in recipes:
        assert told["settings"]["condition"] == {"gender": "male", "eye_openness": 0.25}
    shown, recipes = client.predict(**asked, api_name="/faces_sample")
    assert len({told["settings"]["condition"]["eye_openness"] for told in recipes}) == 2
    assert re.fullmatch(r"male, eye openness 0\.\d\d", shown[0]["caption"])
    for wrong, message in (
        ({"gender": "none"}, "Gender must be one of any, female, male"),
        (
            {"any_eye_openness": False, "eye_openness": 99.0},
            "Eye openness must be a number from 0.1 to 0.9",
        ),
        ({"model": "cars-stylegan2-toy"}, "Model must be one of faces-stylegan2-toy"),
    ):
        with pytest.raises(AppError, match=message):
            client.predict(**{**asked, **wrong}, api_name="/faces_sample")
    disasters = {"model": "disasters-stylegan2-toy", "num_images": 1, "seed": 7}
    _, (told,) = client.predict(**disasters, disaster="flood", api_name="/disasters_sample")
    assert told["settings"]["condition"] == {"disaster": "flood"}


def test_the_same_request_gives_the_same_pixels_and_the_pipeline_gives_them_too(client):
    (first, second), (again, _) = draw(client)[0], draw(client)[0]
    assert first.read_bytes() == again.read_bytes() != second.read_bytes()
    here = genmodels.load("cars-stylegan2-toy")(1, seed=7, truncation_psi=0.7).images[0]
    assert np.array_equal(np.asarray(here), np.asarray(Image.open(first)))


def test_a_model_without_conditions_draws_and_refuses_them_in_words(client):
    files, recipes = draw(client, model="cars-dcgan-toy", num_images=3)
    assert len(files) == 3
    assert recipes[0]["settings"] == {}
    for asked, name in (({"body": "suv"}, "body"), ({"any_year": False}, "year")):
        with pytest.raises(AppError, match=f"DCGAN, 16 px takes no {name}: leave it at any"):
            draw(client, model="cars-dcgan-toy", **asked)


def test_years_past_the_data_are_drawn_and_called_a_guess(client):
    shown, recipes = client.predict(
        **{**ASKED, "any_year": False, "year": 2016}, api_name="/cars_sample"
    )
    assert [one["settings"]["condition"]["year"] for one in recipes] == [2016, 2016]
    assert all(one["caption"].endswith("2016 (a guess)") for one in shown)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": "someone/model"}, "someone/model"),
        ({"model": "../cars-dcgan-toy"}, "cars-dcgan-toy"),
        ({"num_images": 1000}, "1000"),
        ({"num_images": 0}, "0"),
        ({"seed": -1}, "-1"),
        ({"truncation_psi": 5}, "5"),
        ({"body": "spaceship"}, "spaceship"),
        ({"any_year": False, "year": 1066}, "1066"),
        ({"any_year": False, "year": 2017}, "2017"),
    ],
)
def test_bad_input_to_the_api_is_named(client, changed, told):
    with pytest.raises(AppError, match=re.escape(told)):
        draw(client, **changed)


def test_models_are_listed_by_what_they_can_do_and_quote_their_cards(toys):
    first, second = models.cards("cars")
    assert (first.name, first.label) == ("cars-stylegan2-toy", "StyleGAN2, 16 px")
    assert first.has_truncation
    assert not second.has_truncation
    assert first.sections["Figures"] == "Its figures."
    assert (first.num_layers, second.num_layers) == (6, 0)
    assert models.span([first, second], "year") == (2000, 2008, True)
    assert models.span([first, second], "body") is None
    assert models.choices([first, second], "body") == ["suv", "van"]
    assert models.choices([first, second], "year") == []
    assert models.condition_names([second, first]) == ["body", "year"]
    with pytest.raises(ValueError, match="name starts with boats-"):
        models.cards("boats")


MIX = {
    "model": "cars-stylegan2-toy", "row_seeds": "1, 2", "column_seeds": "3, 4, 5",
    "layers_taken": "coarse", "first": 0, "last": 2, "truncation_psi": 0.7,
}  # fmt: skip


def mix(client, **changed):
    update, recipes = client.predict(**{**MIX, **changed}, api_name="/style_mix")
    return [Path(one["image"]) for one in update["value"]], recipes


def test_a_table_of_mixes_has_its_sources_around_it_and_an_empty_corner(client):
    files, recipes = mix(client, layers_taken="coarse")
    assert len(files) == len(recipes) == 3 * 4
    assert recipes[0] is None
    heads = [(one["seed"], one["settings"].get("mix_seed")) for one in recipes[1:5]]
    assert heads == [(3, None), (4, None), (5, None), (1, None)]
    for row, seed in ((1, 1), (2, 2)):
        for column, other in ((1, 3), (2, 4), (3, 5)):
            told = recipes[4 * row + column]
            assert (told["seed"], told["settings"]["mix_seed"]) == (seed, other)
            assert told["settings"]["mix_layers"] == [0, 2]
            assert recipe.read(files[4 * row + column]) == told


def test_free_layers_may_be_given_either_way_round_and_all_of_them_give_the_column(client):
    files, recipes = mix(client, layers_taken="free", first=5, last=0)
    assert recipes[5]["settings"]["mix_layers"] == [0, 5]
    for column in (1, 2, 3):
        one, other = (np.asarray(Image.open(files[i])) for i in (column, 4 + column))
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"row_seeds": ""}, "rows need seeds"),
        ({"column_seeds": "1; 2"}, "columns need seeds"),
        ({"row_seeds": "1,2,3,4,5,6,7"}, "6 rows at most"),
        ({"row_seeds": "9" * 30}, "Seed must be"),
        ({"layers_taken": "rough"}, "rough"),
        ({"layers_taken": "free", "last": 6}, "Last layer must be a number from 0 to 5, got 6"),
        ({"truncation_psi": 9}, "9"),
        ({"model": "cars-dcgan-toy"}, "cars-dcgan-toy"),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_words(client, changed, told):
    with pytest.raises(AppError, match=re.escape(told)):
        mix(client, **changed)


def test_the_ranges_of_the_diagram_are_those_of_the_network(toys):
    card = models.card("cars-stylegan2-toy")
    pipe = genmodels.load("cars-stylegan2-toy")
    for name in layers.NAMED:
        if name != "fine":  # At 16 px there are no such layers.
            first, last = layers.span(card, name, 0, 0)
            assert (first, min(last, card.num_layers - 1)) == pipe.layers(name)
    assert card.num_layers == pipe.generator.num_ws
    drawn = layers.diagram(card, "free", 1, 2)
    assert drawn.count('class="taken"') == 2


def test_a_zip_holds_every_picture_and_all_recipes(client, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    files, recipes = draw(client, num_images=3)
    with zipfile.ZipFile(pictures.zipped([str(file) for file in files], recipes)) as archive:
        assert json.loads(archive.read("recipes.json")) == recipes
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert [archive.read(name) for name in names] == [file.read_bytes() for file in files]


def test_a_model_is_loaded_once_whoever_asks_and_only_from_the_zoo(toys):
    with ThreadPoolExecutor(4) as visitors:
        loaded = list(visitors.map(models.load, ["cars-stylegan2-toy"] * 4))
    assert all(pipeline is loaded[0] for pipeline in loaded)
    for outsider in ("someone/model", str(toys / "cars-dcgan-toy"), ""):
        with pytest.raises(ValueError, match="model must be one of cars-dcgan-toy"):
            models.load(outsider)


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)],
    ids=["empty", "text", "broken"],
)
def test_a_dropped_file_that_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "dropped.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a PNG that was saved here"):
        pictures.recipe_of_file(str(path))


def test_a_dropped_bomb_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match="smaller than"):
        pictures.recipe_of_file(str(tmp_path / "bomb.png"))


def test_a_strangers_recipe_loads_no_other_model_and_breaks_nothing(toys):
    made = genmodels.load("cars-stylegan2-toy")(1, seed=7).recipes[0]
    allowed = ["cars-stylegan2-toy"]
    for model in ("someone/model", str(toys / "cars-dcgan-toy"), "cars-dcgan-toy", None):
        with pytest.raises(ValueError, match="not on this page"):
            pictures.again(models.load, {**made, "model": model}, allowed)
    for settings in ({"num_images": 256}, {"unknown": 1}, {"truncation_psi": "much"}):
        with pytest.raises(ValueError, match=r"fit|settings|must"):
            pictures.again(models.load, {**made, "settings": settings}, allowed)
    with pytest.raises(ValueError, match="the link holds no recipe"):
        pictures.recipe_of_link("nonsense")


def test_a_value_error_is_told_to_the_visitor_and_other_errors_stay_loud():
    @widgets.show_errors
    def fail(error):
        raise error

    with pytest.raises(gr.Error, match="Psi must be small"):
        fail(ValueError("psi must be small"))
    with pytest.raises(KeyError):
        fail(KeyError("ours"))


def test_the_theme_fetches_nothing_and_its_fonts_have_letters():
    made = theme.make()
    assert made._stylesheets == []
    files = re.findall(r"url\('(static/fonts/[^']+)'\)", "".join(made._font_css))
    frontend = Path(gr.__file__).parent / "templates" / "frontend"
    assert len(files) == 4
    for file in files:
        assert (frontend / file).stat().st_size > 20_000  # The faces without Latin are smaller.
    assert "http" not in re.sub(r"xmlns='[^']*'", "", theme.CSS.read_text())


def test_the_tab_explains_each_model_with_its_own_numbers(toys):
    for card in models.cards("cars"):
        told = about.text(card, "cars")
        assert "3 photographs" in told
        assert "### Figures\n\nIts figures." in told
        assert "which had learnt before" not in told
        grown = dataclasses.replace(card, facts=card.facts | {"parent": "another"})
        assert "It began as `another`" in about.text(grown, "cars")


def test_the_served_page_gives_away_neither_files_nor_traffic(app_address):
    for path in (
        "/monitoring",
        "/gradio_api/monitoring/summary",
        "/gradio_api/file=app.py",
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/runs",
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(app_address + path)
        assert refused.value.code in (403, 404), path
