"""Recipes: kept in files and links, replayed to the same pixels, and refused when damaged."""

import base64
import json
import math
import tracemalloc
import warnings
import zlib
from xml.etree import ElementTree

import pytest
import torch
from PIL import ExifTags, Image, PngImagePlugin

import genmodels
from genmodels.data import images
from genmodels.hub import recipe
from genmodels.models import stylegan2
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline

TINY = {"resolution": 16, "z_dim": 8, "w_dim": 8, "base_channels": 4, "max_channels": 8}
SCHEMA = {"body": {"values": ["suv", "van"], "counts": [3, 1]}}


def save_toy(folder, seed=0, dtype=None):
    torch.manual_seed(seed)
    StyleGAN2Pipeline(stylegan2.Generator(**TINY, c_dim=2), SCHEMA).save_pretrained(
        folder, dtype=dtype
    )
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(autouse=True)
def _where_the_folder_is(folder, monkeypatch):
    """Recipes hold a folder's name alone, which is looked for where one is."""
    monkeypatch.chdir(folder.parent)


@pytest.fixture(scope="module")
def made(folder):
    """Three pictures and their recipes."""
    return genmodels.load(folder)(3, seed=5, truncation_psi=0.9, noise_mode="none")


@pytest.fixture
def told(made):
    """A recipe that a test may change."""
    return json.loads(json.dumps(made.recipes[1]))


def replayed(source, model=None):
    """The replay's pixels; a warning that they differ would be an error."""
    with warnings.catch_warnings(action="error"):
        return genmodels.replay(source, model=model).tobytes()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_a_saved_picture_keeps_its_recipe_and_replays(made, suffix, tmp_path):
    path = tmp_path / f"picture.{suffix}"
    made.images[1].save(path)
    assert recipe.read(path) == made.recipes[1]
    with Image.open(path) as image:
        assert recipe.read(image) == made.recipes[1]
    assert replayed(path) == replayed(str(path)) == made.images[1].tobytes()


def test_a_recipe_replays_from_an_open_image_and_from_itself(made):
    assert replayed(made.images[2]) == replayed(made.recipes[2]) == made.images[2].tobytes()


def test_a_recipe_says_all_that_the_picture_depends_on(made, folder):
    told = made.recipes[1]
    assert told["pipeline"] == "StyleGAN2Pipeline"
    assert told["model"] == folder.name
    assert told["weights_sha256"] == genmodels.load(folder).weights_sha256
    assert told["seed"] == 6
    assert told["settings"].keys() == {"truncation_psi", "condition", "noise_mode"}
    assert told["settings"]["condition"]["body"] in ("suv", "van")
    assert told["versions"] == {"genmodels": genmodels.__version__, "torch": torch.__version__}


def test_a_replay_carries_the_same_recipe(made):
    assert recipe.read(genmodels.replay(made.images[0])) == made.recipes[0]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_file_says_in_the_words_of_iptc_that_it_is_generated(made, tmp_path, ending):
    made.images[0].save(tmp_path / f"picture.{ending}")
    with Image.open(tmp_path / f"picture.{ending}") as image:
        packet = ElementTree.fromstring(image.info["xmp"])
    (description,) = packet.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    term = description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert term.endswith("/trainedAlgorithmicMedia")


def test_a_png_names_the_software_that_made_it(made, tmp_path):
    made.images[0].save(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as image:
        assert image.info["Software"] == f"genmodels {genmodels.__version__}"
    assert made.recipes[0]["generated"] is True


def test_a_jpeg_says_that_it_is_generated(made, tmp_path):
    made.images[0].save(tmp_path / "picture.jpg")
    with Image.open(tmp_path / "picture.jpg") as image:
        assert image.getexif()[ExifTags.Base.Software] == f"genmodels {genmodels.__version__}"
        assert json.loads(image.getexif()[ExifTags.Base.ImageDescription])["generated"] is True


def test_a_link_carries_the_recipe(made):
    query = recipe.to_query(made.recipes[1])
    assert recipe.from_query(query) == made.recipes[1]
    assert query.replace("-", "").replace("_", "").isalnum()
    assert len(query) < 1000


def test_weights_that_were_halved_on_disk_have_a_hash_of_their_own(folder, tmp_path):
    halved = genmodels.load(save_toy(tmp_path / "halved", dtype=torch.float16))
    assert halved.weights_sha256 != genmodels.load(folder).weights_sha256
    out = halved(1, seed=3)
    assert replayed(out.recipes[0], tmp_path / "halved") == out.images[0].tobytes()
    # The hash is of the weights as they compute: storing them otherwise does not change it.
    halved.save_pretrained(tmp_path / "full")
    assert genmodels.load(tmp_path / "full").weights_sha256 == halved.weights_sha256


def test_other_weights_are_refused(told, tmp_path):
    told["model"] = str(save_toy(tmp_path, seed=1))
    with pytest.raises(ValueError, match=r"holds other weights .* than the picture was"):
        genmodels.replay(told)


def test_a_model_that_was_never_saved_cannot_be_replayed():
    out = StyleGAN2Pipeline(stylegan2.Generator(**TINY))(1, seed=0)
    with pytest.raises(ValueError, match="had not been saved when the picture was made"):
        genmodels.replay(out.images[0])


def test_other_pixels_are_told(told):
    told["pixels_sha256"] = "0" * 64
    with pytest.warns(UserWarning, match="the pixels differ"):
        genmodels.replay(told)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", "7", "the recipe's seed must be int, got '7'"),
        ("seed", True, "the recipe's seed must be int, got True"),
        ("seed", None, "the recipe's seed must be int, got None"),
        ("seed", -1, "seed must be a whole number from 0"),
        ("seed", 10**40, "seed must be a whole number from 0"),
        ("settings", [], r"the recipe's settings must be dict, got \[\]"),
        ("versions", "1", "the recipe's versions must be dict, got '1'"),
        ("weights_sha256", 5, "the recipe's weights_sha256 must be str, got 5"),
        ("model", ["x"], r"the recipe's model must be a name, got \['x'\]"),
        ("model", "../../x", "a model is an embedded one"),
        ("model", "nonsense", "a model is an embedded one"),
        ("model", "x" * 5000, "a model is an embedded one"),
        ("model", "nul\0", "a model is an embedded one"),
    ],
)
def test_a_recipe_of_wrong_types_is_refused(told, key, value, message):
    with pytest.raises(ValueError, match=message):
        genmodels.replay(told | {key: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unheard_of": 1}, r"knows no settings \['unheard_of'\]"),
        ({"seed": 1}, r"knows no settings \['seed'\]"),
        ({"num_images": 9, "self": 1}, r"knows no settings \['num_images', 'self'\]"),
        ({"truncation_psi": "x"}, "truncation_psi must be a number from -1 to 2, got 'x'"),
        ({"truncation_psi": math.nan}, "truncation_psi must be a number .* got nan"),
        ({"truncation_psi": None}, "truncation_psi must be a number .* got None"),
        ({"noise_mode": ["const"]}, "noise_mode must be"),
        ({"condition": [1]}, r"condition must be a dict .* got \[1\]"),
        ({"condition": {"body": ["suv"]}}, r"'body' must be one of .* got \['suv'\]"),
    ],
)
def test_settings_that_the_pipeline_does_not_know_are_refused(told, settings, message):
    with pytest.raises(ValueError, match=message):
        genmodels.replay(told | {"settings": settings})


def packed(text):
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "a",
        "Ünsinn",
        "not packed",
        packed("not JSON"),
        packed("[1, 2]"),
        packed("{}"),
        packed("[" * 60_000),
        packed('{"seed": ' + "9" * 5000 + "}"),
        base64.urlsafe_b64encode(zlib.compress(b"\xff\xfe")).decode(),
    ],
)
def test_a_damaged_link_is_refused(query):
    with pytest.raises(ValueError, match=r"recipe|digits"):
        recipe.from_query(query)


def test_a_link_that_was_cut_is_refused(made):
    query = recipe.to_query(made.recipes[0])
    for length in range(len(query)):
        with pytest.raises(ValueError, match="recipe"):
            recipe.from_query(query[:length])


def test_a_link_that_would_swell_is_refused_and_stays_small():
    bomb = packed('{"seed": 1, "padding": "' + " " * 50_000_000 + '"}')
    assert len(bomb) < 70_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="recipe"):
        recipe.from_query(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def png_with(text, path):
    info = PngImagePlugin.PngInfo()
    info.add_itxt(recipe.KEY, text, zip=True)
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("text", ["", "x", "{}", "[]", "null", "[" * 5000, " " * 70_000])
def test_a_damaged_recipe_in_a_file_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match="recipe"):
        recipe.read(png_with(text, tmp_path / "picture.png"))


@pytest.mark.parametrize(
    "settings", ["[" * 60 + "]" * 60, '{"a": ' * 60 + "1" + "}" * 60, '"\\ud800"', '{"\\ud800": 1}']
)
def test_a_recipe_that_no_answer_could_hold_is_refused(settings, tmp_path):
    known = {"weights_sha256": "0", "seed": 1, "settings": {}, "versions": {}}
    text = json.dumps(known).replace('"settings": {}', f'"settings": {{"x": {settings}}}')
    with pytest.raises(ValueError, match="recipe"):
        recipe.read(png_with(text, tmp_path / "picture.png"))


def test_a_text_that_would_swell_is_refused(tmp_path):
    with pytest.raises(ValueError, match="too large"):
        recipe.read(png_with(" " * 50_000_000, tmp_path / "picture.png"))


def test_a_description_that_is_no_text_is_refused(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = 7
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.jpg", exif=exif)
    with pytest.raises(ValueError, match="recipe"):
        recipe.read(tmp_path / "picture.jpg")


def test_a_picture_from_elsewhere_holds_no_recipe(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png")
    with pytest.raises(ValueError, match="the image holds no recipe"):
        genmodels.replay(tmp_path / "picture.png")


def test_what_is_no_image_is_refused_by_name(tmp_path):
    (tmp_path / "letter.png").write_text("Dear reader")
    for name in ("letter.png", "missing.png"):
        with pytest.raises(ValueError, match=f"{name}: not an image that can be read"):
            genmodels.replay(tmp_path / name)


def test_an_edited_picture_does_not_write_the_recipe_of_another(made, tmp_path):
    made.images[0].resize((8, 8)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match="holds no recipe"):
        recipe.read(tmp_path / "small.png")


def test_a_film_says_what_it_is_and_how_it_was_made(made):
    told = json.loads(recipe.film(made.recipes, "interpolate", seeds=[5, 7], frames=1))
    assert told["generated"] is True
    assert told["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert (told["verb"], told["arguments"]) == ("interpolate", {"seeds": [5, 7], "frames": 1})
    for key in ("pipeline", "model", "weights_sha256", "versions"):
        assert told[key] == made.recipes[0][key]
    assert told["frames"] == 3
    assert replayed(told["first"]) == made.images[0].tobytes()
    assert replayed(told["last"]) == made.images[2].tobytes()
    assert "verb" not in json.loads(recipe.film(made.recipes))


def test_a_film_of_nothing_or_of_two_models_is_refused(made):
    with pytest.raises(ValueError, match="at least one frame"):
        recipe.film([])
    with pytest.raises(ValueError, match="of one model"):
        recipe.film([made.recipes[0], made.recipes[1] | {"weights_sha256": "0"}])


@pytest.mark.parametrize(
    ("ending", "words"),
    [("gif", "film holds no recipe"), ("webp", "film holds no recipe"), ("mp4", "not an image")],
)
def test_a_film_is_no_picture_to_replay(made, tmp_path, ending, words):
    path = tmp_path / f"film.{ending}"
    frames = [image.resize((32, 32)) for image in made.images]
    comment = recipe.film(made.recipes)
    images.encode_animation(frames, path, fps=5, comment=comment, xmp=recipe.XMP)
    with pytest.raises(ValueError, match=words):
        recipe.read(path)


@pytest.fixture(scope="module")
def photo():
    """What pictures are made from: 24 x 20 pixels of noise."""
    pixels = torch.randint(256, (1, 3, 20, 24), generator=torch.Generator().manual_seed(0))
    (picture,) = images.to_pil(images.to_float(pixels.to(torch.uint8)))
    return picture


@pytest.fixture(scope="module")
def widened(photo):
    """Two pictures made from it, and their recipes."""
    return genmodels.load("patches")(photo, 2, seed=5, width=30, left=2, variety=0.1)


def replayed_from(source, image):
    with warnings.catch_warnings(action="error"):
        return genmodels.replay(source, image=image).tobytes()


def test_a_recipe_names_what_its_picture_was_made_from(widened, photo):
    told = widened.recipes[1]
    assert told["image"] == {"sha256": recipe.pixels_sha256(photo), "width": 24, "height": 20}
    assert (told["pipeline"], told["model"], told["seed"]) == ("PatchPipeline", "patches", 6)
    place = {"mode": "extend", "width": 30, "height": 20, "left": 2, "top": 0}
    assert told["settings"] == place | {"mirror": False, "variety": 0.1, "uniqueness": 0.4}


@pytest.mark.parametrize("mode", ["extend", "resample", "retarget", "wrap"])
def test_a_picture_made_from_another_replays_with_that(photo, mode):
    (picture,) = genmodels.load("patches")(photo, mode=mode, seed=3, width=27).images
    assert replayed_from(picture, photo) == picture.tobytes()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_made_from_another_replays_with_that(widened, photo, suffix, tmp_path):
    widened.images[1].save(tmp_path / f"picture.{suffix}")
    photo.save(tmp_path / "photo.png")
    given = images.open_rgb(tmp_path / "photo.png")
    expected = widened.images[1].tobytes()
    assert replayed_from(tmp_path / f"picture.{suffix}", given) == expected


def test_a_picture_may_be_made_from_one_that_was_made_here(widened):
    source = widened.images[0]
    (picture,) = genmodels.load("patches")(source, seed=1, width=36).images
    assert replayed_from(picture, source) == picture.tobytes()


def test_a_link_carries_what_the_picture_was_made_from(widened):
    query = recipe.to_query(widened.recipes[0])
    assert recipe.from_query(query) == widened.recipes[0]
    assert len(query) < 1000


def test_only_the_very_image_will_do(widened, photo):
    changed = photo.copy()
    changed.putpixel((3, 4), (0, 0, 0))
    others = (changed, photo.rotate(180), photo.resize((12, 10)))
    for other in (*others, widened.images[0]):
        with pytest.raises(ValueError, match="that is not the image that the picture was made"):
            genmodels.replay(widened.images[0], image=other)


@pytest.mark.parametrize("given", ["photo.png", [1, 2], 5])
def test_an_image_to_replay_from_must_be_an_image(widened, given):
    with pytest.raises(ValueError, match="image"):
        genmodels.replay(widened.images[0], image=given)


def test_a_missing_image_is_asked_for_with_its_size(widened):
    with pytest.raises(ValueError, match=r"made from another one, of 24 x 20 pixels: give that"):
        genmodels.replay(widened.images[0])


def test_a_picture_made_from_no_other_takes_none(made, photo):
    with pytest.raises(ValueError, match="leave `image` out"):
        genmodels.replay(made.images[0], image=photo)


def test_a_recipe_that_hides_its_image_is_refused(widened):
    told = {key: value for key, value in widened.recipes[0].items() if key != "image"}
    with pytest.raises(ValueError, match="image"):
        genmodels.replay(told)


def test_an_image_that_the_model_has_no_use_for_is_refused(told, photo, widened):
    with pytest.raises(ValueError, match=r"image|num_images"):
        genmodels.replay(told | {"image": widened.recipes[0]["image"]}, image=photo)


@pytest.mark.parametrize(
    "field",
    [
        "x",
        [],
        {},
        False,
        0,
        {"sha256": "0"},
        {"sha256": 5, "width": 24, "height": 20},
        {"sha256": "0", "width": "24", "height": 20},
        {"sha256": "0", "width": True, "height": 20},
        {"sha256": ["0"], "width": 24, "height": 20},
    ],
)
def test_a_hostile_image_field_is_refused(widened, photo, field):
    hostile = widened.recipes[0] | {"image": field}
    with pytest.raises(ValueError, match="the recipe's image must be sha256, width and height"):
        genmodels.replay(hostile, image=photo)
    with pytest.raises(ValueError, match="the recipe's image must be sha256, width and height"):
        recipe.from_query(packed(json.dumps(hostile)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": "x"}, r"patches knows no settings \['image'\]"),
        ({"seed": 1, "self": 1}, r"patches knows no settings \['seed', 'self'\]"),
        ({"mode": ["extend"]}, "mode must be one of"),
        ({"width": 99999}, "width must be a whole number from 24 to 192, got 99999"),
        ({"left": "0"}, "left must be a whole number"),
        ({"variety": math.nan}, "variety must be a number .* got nan"),
    ],
)
def test_settings_that_the_engine_does_not_know_are_refused(widened, photo, settings, message):
    with pytest.raises(ValueError, match=message):
        genmodels.replay(widened.recipes[0] | {"settings": settings}, image=photo)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_file_says_in_the_words_of_iptc_that_it_is_partly_synthetic(widened, tmp_path, ending):
    widened.images[0].save(tmp_path / f"picture.{ending}")
    with Image.open(tmp_path / f"picture.{ending}") as image:
        packet = ElementTree.fromstring(image.info["xmp"])
    (description,) = packet.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    term = description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert term == recipe.COMPOSITE
    assert term.endswith("/compositeSynthetic")
    assert widened.recipes[0]["generated"] is True


def test_a_hash_of_pixels_knows_size_and_mode(photo):
    turned = photo.transpose(Image.Transpose.TRANSPOSE)
    flat = Image.new("RGB", (4, 6)), Image.new("RGB", (6, 4))
    told = [recipe.pixels_sha256(one) for one in (photo, turned, photo.convert("RGBA"), *flat)]
    assert len(set(told)) == 5
    assert recipe.pixels_sha256(photo.copy()) == told[0]
