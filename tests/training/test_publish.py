"""What a finished run publishes: the folder, its card, its weights, and the way to the Hub."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import genmodels
from genmodels import metrics
from genmodels.data import images
from genmodels.metrics.registry import METRICS
from genmodels.models import dcgan, stylegan2
from tests.support import tiny_training
from tests.support.hub_server import HubServer
from training import train_dcgan, train_stylegan2
from training.judges import condition_accuracy
from training.publish.facts import CAPTION, film, storage_dtype
from training.publish.hub_repo import recard

FILES = {
    "README.md",
    "model_index.json",
    "run.json",
    "samples.png",
    "worst.png",
    "progress.webp",
    *(
        f"{network}/{name}"
        for network in ("generator", "discriminator")
        for name in ("config.json", "diffusion_pytorch_model.safetensors")
    ),
}
ONLY = {"dcgan": set(), "stylegan2": {"truncation.png"}}  # What a family has besides.
SCRIPTS = {
    "dcgan": (train_dcgan, tiny_training.DCGAN),
    "stylegan2": (train_stylegan2, tiny_training.STYLEGAN2 | {"augment": "diffaugment"}),
}
BOTH = pytest.mark.parametrize("family", SCRIPTS)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("publish")


@pytest.fixture(scope="module")
def photos(root):
    return {
        "data": str(tiny_training.photographs(root / "train", 40)),
        "held_out": str(tiny_training.photographs(root / "held_out", 16, seed=1)),
    }


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


def train(family, photos, out, **changes):
    """Run the script as its command would; the folder that it published."""
    script, settings = SCRIPTS[family]
    script.train(script.Config(out=out, **(photos | settings | changes)))
    return out / "model"


@pytest.fixture(scope="module")
def published(root, photos, quick_on_the_cpu):
    """A published folder of each family."""
    return {
        family: train(family, photos, root / f"tiny-{family}", steps=2, licence="CC0 1.0")
        for family in SCRIPTS
    }


def facts(folder):
    return json.loads((folder / "run.json").read_text())


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pixels(pipe):
    return [image.tobytes() for image in pipe(num_images=2, seed=7).images]


@BOTH
def test_the_folder_holds_weights_card_facts_and_pictures(family, published):
    assert set(contents(published[family])) == FILES | ONLY[family]
    for name in ("samples.png", "worst.png", "progress.webp", *ONLY[family]):
        with Image.open(published[family] / name) as picture:
            picture.load()


def test_the_film_shows_the_corner_of_some_sheets_in_their_order_and_counts(tmp_path):
    (tmp_path / "sheets").mkdir()
    for number in range(9):  # Grows brighter; what is not shown is red.
        sheet = Image.new("RGB", (400, 80), "red")
        sheet.paste((28 * number,) * 3, (0, 0, 200, 40))
        sheet.save(tmp_path / "sheets" / f"{100 * number:09d}.png")
    shares = {"width": 0.5, "height": 0.5}
    film(tmp_path / "sheets", tmp_path / "film.webp", num_train=10, frames=5, **shares)
    shown, texts = [], set()
    with Image.open(tmp_path / "film.webp") as made:
        assert made.size == (200, 40 + CAPTION)
        for index in range(made.n_frames):
            made.seek(index)
            pixels = np.asarray(made.convert("RGB"), dtype=float)
            shown.append(pixels[:40])
            assert pixels[40:].mean() > 200 > 120 > pixels[40:].min()  # A text on white.
            texts.add((pixels[40:] < 128).tobytes())
    assert [frame.mean() for frame in shown] == pytest.approx([0, 56, 112, 168, 224], abs=3)
    assert max(frame.std() for frame in shown) < 3
    assert len(texts) == 5


@BOTH
def test_the_loaded_model_draws_what_the_average_of_the_run_draws(family, published):
    folder = published[family]
    pipe = genmodels.load(folder)
    assert pixels(pipe) == pixels(genmodels.load(folder))
    sheet = images.grid(pipe(32, seed=0).images, 8)
    with Image.open(folder / "samples.png") as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(sheet))
    ema = {
        key.removeprefix("ema."): value
        for key, value in tiny_training.state(folder.parent).items()
        if key.startswith("ema.")
    }
    loaded = pipe.generator.state_dict()
    assert loaded.keys() == ema.keys()
    for key, value in ema.items():
        rounded = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded[key], rounded), key


@BOTH
def test_the_card_prints_the_measured_figures(family, published):
    readme, measured = (published[family] / "README.md").read_text(), facts(published[family])
    rows = [line.strip("| ").split(" | ") for line in readme.splitlines() if line.startswith("| ")]
    titles = {metric.heading: key for key, metric in METRICS.items()}
    shown = {titles[row[0]]: row[1:] for row in rows if row[0] in titles}
    assert shown.keys() == {key for key in metrics.FIGURES if METRICS[key].on_cards}
    for key, (value, interval, real) in shown.items():
        figure = measured["metrics"][key]
        if key == "open_nsfw_kid":  # These are too few images for it.
            assert value == "none"
            assert figure["value"] is None
            continue
        low, high = interval.split(" to ")
        for text, name in ((value, "value"), (low, "low"), (high, "high"), (real, "real_vs_real")):
            assert float(text) == pytest.approx(figure[name], rel=0.01), (key, name)
    assert f'genmodels.load("{measured["name"]}")' in readme
    assert "CC0 1.0" in readme
    assert measured["data"]["fingerprint"][:16] in readme
    assert "40 images to train on, 16 held out" in readme


@BOTH
def test_the_facts_are_the_runs(family, published):
    told = facts(published[family])
    assert (told["name"], told["steps"], told["images_seen"]) == (f"tiny-{family}", 2, 16)
    assert told["weights_sha256"] == genmodels.load(published[family]).weights_sha256
    assert (told["data"]["num_train"], told["data"]["num_held_out"]) == (40, 16)
    assert told["config"]["z_dim"] == 8
    assert told["parent"] is None
    assert told["metrics"]["n"] == 16


def test_conditions_are_published_with_the_model(published):
    pipe = genmodels.load(published["stylegan2"])
    assert set(pipe.schema) == {"body", "year"}
    suv, van = (pipe(seed=1, condition={"body": b, "year": 2010}) for b in ("suv", "van"))
    assert suv.recipes[0]["settings"]["condition"]["body"] == "suv"
    assert suv.images[0].size == van.images[0].size == (32, 32)


def test_how_well_conditions_are_followed_stands_on_the_card_of_a_model_that_has_any(published):
    plain, told = (facts(published[family]) for family in ("dcgan", "stylegan2"))
    assert plain["conditions_followed"] is None
    assert "Condition accuracy" not in (published["dcgan"] / "README.md").read_text()
    followed = told["conditions_followed"]["conditions"]
    assert followed["body"]["evenly"]["chance"] == pytest.approx(1 / 3)
    figure = followed["year"]["spearman"]
    shown = f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"
    rows = (published["stylegan2"] / "README.md").read_text().splitlines()
    (row,) = (line for line in rows if line.startswith("| year: rank correlation"))
    assert shown in row


def test_the_sheet_of_truncations_shows_the_same_seeds_in_three_bands(published):
    pipe = genmodels.load(published["stylegan2"])
    assert facts(published["stylegan2"])["truncation_sheet"] == [0.5, 0.7, 1.0]
    bands = [
        each for psi in (0.5, 0.7, 1.0) for each in pipe(16, seed=0, truncation_psi=psi).images
    ]
    with Image.open(published["stylegan2"] / "truncation.png") as sheet:
        assert np.array_equal(np.asarray(sheet), np.asarray(images.grid(bands, 8)))
    assert "truncation.png" in (published["stylegan2"] / "README.md").read_text()


def test_notes_are_appended_to_the_card_and_their_path_is_nobodys_business(photos, tmp_path):
    note = tmp_path / "notes" / "table.md"
    note.parent.mkdir()
    note.write_text("## What was tried\n\nThis and that.\n")
    folder = train("dcgan", photos, tmp_path / "run", steps=1, card_notes=(note,))
    text = (folder / "README.md").read_text()
    assert text.endswith("\n## What was tried\n\nThis and that.\n")
    assert "card_notes" not in facts(folder)["config"]
    again = train("dcgan", photos, tmp_path / "run", steps=1)  # Without: the run may change it.
    assert "What was tried" not in (again / "README.md").read_text()


def test_a_run_begun_before_there_were_notes_goes_on(photos, tmp_path):
    train("dcgan", photos, tmp_path, steps=1)
    path = tmp_path / "config.json"
    flags = json.loads(path.read_text())
    del flags["card_notes"]
    path.write_text(json.dumps(flags))
    assert facts(train("dcgan", photos, tmp_path, steps=2))["steps"] == 2


def test_a_note_that_is_not_there_is_refused_before_training(photos, tmp_path):
    with pytest.raises(ValueError, match=r"there is no .*lost\.md"):
        train("dcgan", photos, tmp_path / "run", steps=1, card_notes=(tmp_path / "lost.md",))


@BOTH
def test_weights_take_half_the_disk(family, published):
    for network in ("generator", "discriminator"):
        weights = load_file(published[family] / network / "diffusion_pytorch_model.safetensors")
        kinds = {value.dtype for value in weights.values() if value.is_floating_point()}
        assert kinds == {torch.float16}


def test_weights_that_half_precision_would_spoil_keep_all_bits():
    torch.manual_seed(0)
    generator = dcgan.Generator(32, z_dim=8, base_channels=4, max_channels=8)
    pipe = genmodels.DCGANPipeline(generator)

    def draw(pipeline):
        return pipeline(4, seed=0).images

    assert storage_dtype(pipe, draw) == torch.float16
    for parameter in generator.parameters():  # Of such a gain that small errors show.
        torch.nn.init.normal_(parameter)
    assert storage_dtype(pipe, draw) is None


def test_fine_tuning_starts_from_the_published_weights(root, photos, published):
    networks = {
        "dcgan": (dcgan.Generator, dcgan.Discriminator),
        "stylegan2": (stylegan2.Generator, stylegan2.Discriminator),
    }
    for family, classes in networks.items():
        out = root / f"tuned-{family}"
        # At a learning rate of 0 the first checkpoint still holds what the run started from.
        folder = train(
            family, photos, out, steps=1, seed=5, lr=0.0, init_from=str(published[family])
        )
        state = tiny_training.state(out)
        for cls, prefix, name in zip(
            classes, ("G.", "D."), ("generator", "discriminator"), strict=True
        ):
            parent = cls.from_pretrained(published[family], subfolder=name)
            for key, value in parent.named_parameters():
                assert torch.equal(state[prefix + key], value), key
                if prefix == "G.":
                    assert torch.equal(state["ema." + key], value), key
        assert facts(folder)["parent"] == f"tiny-{family}"
        assert f"Fine-tuned from `tiny-{family}`" in (folder / "README.md").read_text()


def test_a_model_of_more_pixels_grows_from_a_smaller_one(photos, published, tmp_path):
    parent = published["stylegan2"]
    width = facts(parent)["config"]["base_channels"] // 2
    settings = {"resolution": 64, "base_channels": width, "steps": 1, "lr": 0.0}
    folder = train("stylegan2", photos, tmp_path, init_from=str(parent), **settings)
    assert facts(folder)["parent"] == "tiny-stylegan2"
    small = stylegan2.Generator.from_pretrained(parent, subfolder="generator").state_dict()
    grown = tiny_training.state(tmp_path)
    assert all(torch.equal(grown["G." + name], value) for name, value in small.items())
    with pytest.raises(ValueError, match="has another generator than asked"):
        train("stylegan2", photos, tmp_path / "wide", init_from=str(parent), resolution=64)
    with pytest.raises(ValueError, match="has another generator than asked"):  # DCGAN does not.
        other = str(published["dcgan"])
        train("dcgan", photos, tmp_path / "dcgan", init_from=other, resolution=64)


@BOTH
def test_a_card_is_written_anew_from_what_is_known_and_what_an_older_version_lacked(
    family, photos, published, tmp_path
):
    folder = tmp_path / "model"
    shutil.copytree(published[family], folder)
    told = facts(folder)
    is_conditional = told["conditions_followed"] is not None
    for key in ("conditions_followed", "layer_shares", "truncation_sheet"):
        del told[key]
    (folder / "run.json").write_text(json.dumps(told))
    (tmp_path / "note.md").write_text("## A note\n\nOf tables.\n")
    paths = [Path(photos[key]) for key in ("data", "held_out")]
    recard(folder, [tmp_path / "note.md"], *paths)
    anew = facts(folder)
    assert {key: anew[key] for key in told} == told
    assert (anew["conditions_followed"] is not None) == is_conditional
    assert (anew["layer_shares"] is not None) == (family == "stylegan2")
    text = (folder / "README.md").read_text()
    assert "## A note\n\nOf tables." in text
    assert ("## Condition accuracy" in text) == is_conditional
    assert genmodels.load(folder).weights_sha256 == told["weights_sha256"]


def test_what_the_parent_had_seen_of_the_same_images_is_added(photos, published, tmp_path):
    parent = str(published["dcgan"])
    child = train("dcgan", photos, tmp_path / "child", steps=1, init_from=parent)
    assert facts(child)["images_seen_by_parent"] == 16
    assert "8 images seen, after 16 by its parent `tiny-dcgan`" in (child / "README.md").read_text()
    grandchild = train("dcgan", photos, tmp_path / "grandchild", steps=1, init_from=str(child))
    assert facts(grandchild)["images_seen_by_parent"] == 24
    others = str(tiny_training.photographs(tmp_path / "others", 40, seed=5))
    stranger = train("dcgan", photos, tmp_path / "s", steps=1, init_from=parent, data=others)
    assert facts(stranger)["images_seen_by_parent"] is None
    assert "by its parent" not in (stranger / "README.md").read_text()


def test_a_run_remembers_its_parent_when_its_own_model_takes_that_ones_place(
    photos, published, tmp_path
):
    place = tmp_path / "zoo"
    shutil.copytree(published["dcgan"], place)
    settings = {"init_from": str(place), "out": tmp_path / "run"}
    own = train("dcgan", photos, steps=1, **settings)
    shutil.copytree(own, place, dirs_exist_ok=True)
    told = facts(train("dcgan", photos, steps=2, **settings))
    assert (told["parent"], told["images_seen_by_parent"]) == ("tiny-dcgan", 16)


def test_a_parent_of_another_size_is_refused(photos, published, tmp_path):
    with pytest.raises(ValueError, match="has another generator than asked"):
        train("dcgan", photos, tmp_path, steps=1, z_dim=9, init_from=str(published["dcgan"]))


def test_no_path_of_the_machine_is_published(root, photos, published, tmp_path):
    tuned = train("dcgan", photos, tmp_path / "tuned", steps=1, init_from=str(published["dcgan"]))
    places = [str(root), str(tmp_path), str(Path(__file__).parents[2]), str(Path.home())]
    for folder in (*published.values(), tuned):
        for name, content in contents(folder).items():
            text = content.decode("latin-1")
            if name.endswith((".png", ".webp")):
                with Image.open(folder / name) as picture:
                    text += repr(picture.info)
            found = [place for place in places if f"{place}/" in text]
            assert found == [], name


def test_a_finished_run_is_not_measured_twice(photos, published, capsys):
    folder = published["dcgan"]
    before = contents(folder)
    capsys.readouterr()
    train("dcgan", photos, folder.parent, steps=2, licence="CC BY 4.0")
    said = capsys.readouterr().out
    assert "measuring" not in said
    assert "step 2/2" not in said
    after = contents(folder)
    assert "CC BY 4.0" in after["README.md"].decode()
    changed = {name for name in FILES if before[name] != after[name]}
    assert changed == {"README.md", "run.json"}
    train("dcgan", photos, folder.parent, steps=2, licence="CC0 1.0")


def test_a_new_condition_classifier_is_used_and_nothing_else_is_measured_again(
    photos, published, capsys, monkeypatch
):
    folder = published["stylegan2"]
    before = facts(folder)
    settings = {"steps": 2, "licence": "CC0 1.0"}
    capsys.readouterr()
    train("stylegan2", photos, folder.parent, **settings)
    assert "training a classifier" not in capsys.readouterr().out
    assert facts(folder)["conditions_followed"] == before["conditions_followed"]
    monkeypatch.setattr(
        condition_accuracy, "CLASSIFIER_VERSION", condition_accuracy.CLASSIFIER_VERSION + 1
    )
    train("stylegan2", photos, folder.parent, **settings)
    said = capsys.readouterr().out
    assert "training a classifier" in said
    assert "measuring" not in said
    assert facts(folder)["metrics"] == before["metrics"]


def test_more_training_is_measured_anew(photos, tmp_path, capsys):
    first = facts(train("dcgan", photos, tmp_path, steps=1))
    second = facts(train("dcgan", photos, tmp_path, steps=2))
    assert capsys.readouterr().out.count("measuring") == 2
    assert first["weights_sha256"] != second["weights_sha256"]
    assert first["metrics"] != second["metrics"]


PUSH = """
import contextlib, hashlib, io, json, os, pathlib, sys
import genmodels
from training import train_dcgan
from training.runs import forecast

forecast.PROBE_SECONDS = 0.0
settings = json.loads(sys.argv[1])
config = train_dcgan.Config(**settings | {"out": pathlib.Path(settings["out"])})

def command(token):
    os.environ.pop("HF_TOKEN", None)
    if token:
        os.environ["HF_TOKEN"] = token
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            train_dcgan.train(config)
        error = None
    except (ValueError, OSError) as caught:
        error = [type(caught).__name__, str(caught)]
    files = sorted(os.listdir(settings["out"] + "/model"))
    return {"said": said.getvalue(), "error": error, "files": files}

def pixels(source):
    images = genmodels.load(source)(num_images=2, seed=7).images
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()

told = {token: command(token) for token in ("hf_wrong", "", "hf_user")}
told["local"], told["hub"] = pixels(settings["out"] + "/model"), pixels("user/tiny")
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def story(photos, tmp_path_factory):
    """One command with a wrong token, then without any, then with the right one."""
    root = tmp_path_factory.mktemp("push")
    settings = photos | tiny_training.DCGAN | {"steps": 2, "out": str(root / "run")}
    settings["push_to_hub"] = "user/tiny"
    with HubServer() as hub:
        home = root / "home"
        told = json.loads(hub.run(PUSH, home, json.dumps(settings), ACCELERATE_USE_CPU="true"))
        yield hub, root / "run", told


@pytest.mark.slow
@pytest.mark.parametrize(("token", "advice"), [("hf_wrong", "token"), ("", "hf auth login")])
def test_a_refused_push_keeps_the_folder_and_says_so(story, token, advice):
    _, out, told = story
    kind, words = told[token]["error"]
    assert kind == "ValueError"
    assert advice in words
    assert str(out / "model") in words
    assert {Path(name).parts[0] for name in FILES} == set(told[token]["files"])


@pytest.mark.slow
def test_the_same_command_again_publishes_without_training_again(story):
    hub, out, told = story
    assert "step 2/2" in told["hf_wrong"]["said"]
    assert "measuring" in told["hf_wrong"]["said"]
    again = told["hf_user"]
    assert again["error"] is None
    assert "published: " in again["said"]
    assert "step 2/2" not in again["said"]
    assert "measuring" not in again["said"]
    assert hub.files("user/tiny") == contents(out / "model")


@pytest.mark.slow
def test_a_stranger_samples_from_the_published_repo(story):
    hub, _, told = story
    assert told["hub"] == told["local"]
    assert hub.seen("GET /user/tiny/resolve/*.safetensors")
    assert 'genmodels.load("user/tiny")' in hub.files("user/tiny")["README.md"].decode()
