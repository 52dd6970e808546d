"""What holds of every pipeline alike: they are ordinary PyTorch objects, and draw what they name.

`tests/support/families.py` lists the pipelines.
"""

import copy
import json
import multiprocessing
import pickle
import warnings

import diffusers
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms
from torch import nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel

import genmodels
from genmodels import zoo
from genmodels.data import images
from genmodels.hub import loading, modeling, pipelines, recipe
from genmodels.nn.ema import EMA
from tests.support.families import FAMILIES, WITH_NETWORK, WITH_PICTURE, fresh, photo

every_family = pytest.mark.parametrize("name", FAMILIES)
every_network = pytest.mark.parametrize("name", WITH_NETWORK)


def test_every_pipeline_is_tested_here():
    assert set(FAMILIES) == {
        *loading.PIPELINES,
        *(name for name, _ in zoo.ENGINES.values()),
    }


# What draws is what the recipe names.


def first_weight(network):
    return next(p for p in network.parameters() if p.ndim == 4)


def load_others(pipe, name):
    pipe.generator.load_state_dict(FAMILIES[name].make(seed=1).generator.state_dict())


def edit_in_place(pipe, name):
    with torch.no_grad():
        first_weight(pipe.generator).mul_(1.5)


def edit_data(pipe, name):
    first_weight(pipe.generator).data.mul_(1.5)


def edit_through_numpy(pipe, name):
    first_weight(pipe.generator).detach().numpy()[...] *= 1.5


def swap_two_channels(pipe, name):
    weight = first_weight(pipe.generator)
    weight.data.copy_(weight.data.flip(0).flip(1))


def replace_data(pipe, name):
    weight = first_weight(pipe.generator)
    weight.data = weight.data * 1.5


def learn(pipe, name):
    optimizer = torch.optim.SGD(pipe.generator.parameters(), lr=0.5)
    sum(p.sum() for p in pipe.generator.parameters()).backward()
    optimizer.step()


def go_through_half(pipe, name):
    pipe.to(torch.bfloat16).to(torch.float32)


def swap_in_an_average(pipe, name):
    ema = EMA(FAMILIES[name].make(seed=2).generator, halflife_images=10)
    pipe.generator = ema.model


CHANGES = [
    load_others,
    edit_in_place,
    edit_data,
    edit_through_numpy,
    swap_two_channels,
    replace_data,
    learn,
    go_through_half,
    swap_in_an_average,
]


@every_network
@pytest.mark.parametrize("change", CHANGES)
def test_what_draws_is_what_the_recipe_names_however_weights_were_changed(name, change):
    family = FAMILIES[name]
    pipe = family.make()
    before = family.draw(pipe)  # Whatever there is to remember is remembered.
    change(pipe, name)
    after, expected = (family.draw(one) for one in (pipe, fresh(name, pipe)))
    assert after.images[0].tobytes() == expected.images[0].tobytes()
    assert after.recipes == expected.recipes
    assert after.recipes[0]["weights_sha256"] != before.recipes[0]["weights_sha256"]
    assert after.images[0].tobytes() != before.images[0].tobytes()


@every_network
def test_a_copy_has_weights_of_its_own(name):
    family = FAMILIES[name]
    pipe = family.make()
    before = family.pixels(pipe)
    twin = copy.deepcopy(pipe)
    assert family.pixels(twin) == before
    edit_data(twin, name)
    assert family.pixels(pipe) == before
    assert family.pixels(twin) == family.pixels(fresh(name, twin)) != before


class Scaled(nn.Module):
    """A parametrization that changes what the weights are."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, weight):
        return weight * self.factor


def named(network, weight):
    """The module and the attribute of a weight."""
    path = next(key for key, value in network.named_parameters() if value is weight)
    module, _, attribute = path.rpartition(".")
    return network.get_submodule(module), attribute


def compiled(network):
    return torch.compile(network, backend="eager")


def parametrized(network):
    parametrize.register_parametrization(*named(network, first_weight(network)), Scaled(1.0))
    return network


WRAPPERS = [compiled, nn.DataParallel, AveragedModel, parametrized]


@every_network
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_what_is_wrapped_around_a_network_changes_no_picture_hash_or_file(name, wrap, tmp_path):
    family = FAMILIES[name]
    pipe = family.make()
    expected = family.draw(pipe)
    pipe.generator = wrap(pipe.generator)
    drawn = family.draw(pipe)
    assert drawn.images[0].tobytes() == expected.images[0].tobytes()
    assert drawn.recipes == expected.recipes
    pipe.save_pretrained(tmp_path / "toy")
    assert family.pixels(genmodels.load(tmp_path / "toy")) == family.pixels(family.make())


@every_network
def test_the_hash_is_of_the_weights_that_a_parametrization_gives(name, tmp_path):
    family = FAMILIES[name]
    pipe, edited = family.make(), family.make()
    before = pipe.weights_sha256
    network = pipe.generator
    parametrize.register_parametrization(*named(network, first_weight(network)), Scaled(1.5))
    edit_data(edited, name)
    assert pipe.weights_sha256 == edited.weights_sha256 != before
    assert family.pixels(pipe) == family.pixels(edited)
    pipe.save_pretrained(tmp_path)
    assert family.pixels(genmodels.load(tmp_path)) == family.pixels(edited)


@every_network
def test_a_network_of_another_kind_is_refused_in_a_sentence(name):
    family = FAMILIES[name]
    pipe = family.make()
    for other in (nn.Linear(2, 2), None, "generator"):
        pipe.generator = other
        with pytest.raises(ValueError, match=r"generator must be a genmodels\.models"):
            family.draw(pipe)


@every_network
def test_a_network_that_is_no_longer_what_its_config_says_is_not_saved(name, tmp_path):
    pipe = FAMILIES[name].make()
    pipe.generator.more = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"unexpected more\.bias"):
        pipe.save_pretrained(tmp_path)


# Drawing changes nothing.


@every_network
def test_drawing_leaves_network_and_caller_as_they_were(name):
    family = FAMILIES[name]
    pipe = family.make()
    expected = family.pixels(pipe)
    network = pipe.generator.train()
    network.requires_grad_(True)
    first_weight(network).requires_grad_(False)

    def everything():
        return {
            "state": {key: value.clone() for key, value in network.state_dict().items()},
            "modes": [module.training for module in network.modules()],
            "gradients": [(p.requires_grad, p.grad) for p in network.parameters()],
            "config": dict(pipe.config),
            "random": torch.get_rng_state(),
            "caller": (
                torch.get_default_dtype(),
                torch.get_num_threads(),
                torch.is_grad_enabled(),
                torch.is_inference_mode_enabled(),
            ),
        }

    before = everything()
    assert family.pixels(pipe) == expected
    after = everything()
    assert before["random"].equal(after["random"])
    for key, value in before.pop("state").items():
        assert value.equal(after["state"][key])
    assert all(before[key] == after[key] for key in before if key != "random")


@every_network
def test_making_and_loading_a_pipeline_leaves_the_network_and_the_caller_alone(name, tmp_path):
    family = FAMILIES[name]
    pipe = family.make()
    pipe.save_pretrained(tmp_path)
    before = torch.get_rng_state()
    genmodels.load(tmp_path)
    assert before.equal(torch.get_rng_state())
    network = pipe.generator.train()
    settings = {key: value for key, value in pipe.config.items() if key in ("conditions",)}
    type(pipe)(network, **settings)
    assert network.training


# Number types, devices and what else a caller has set.


@every_network
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_types_draw_nearly_the_same_and_their_recipes_replay(name, dtype, tmp_path):
    family = FAMILIES[name]
    whole = np.asarray(family.draw(family.make()).images[0], dtype=np.float32)
    family.make().save_pretrained(tmp_path / "toy")
    pipe = genmodels.load(tmp_path / "toy").to(dtype)
    assert pipe.dtype == dtype
    drawn = family.draw(pipe)
    difference = np.abs(np.asarray(drawn.images[0], dtype=np.float32) - whole)
    assert difference.mean() < 5
    assert drawn.recipes[0]["dtype"] == str(dtype).removeprefix("torch.")
    given = {"image": photo()} if family.takes_picture else {}
    with warnings.catch_warnings(action="error"):
        again = genmodels.replay(drawn.images[0], model=tmp_path / "toy", **given)
    assert again.tobytes() == drawn.images[0].tobytes()


@every_network
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64])
def test_number_types_that_nothing_computes_in_are_refused_in_a_sentence(name, dtype):
    family = FAMILIES[name]
    pipe = family.make()
    with warnings.catch_warnings(action="ignore"):  # Torch's, of complex modules.
        pipe.generator.to(dtype)
    with pytest.raises(ValueError, match="generator must be of type float32, float16, bfloat16"):
        family.draw(pipe)


@every_network
def test_weights_of_two_types_or_of_none_are_refused_in_a_sentence(name):
    family = FAMILIES[name]
    pipe = family.make()
    weight = first_weight(pipe.generator)
    weight.data = weight.data.half()
    with pytest.raises(ValueError, match=r"must have all its weights of one type.*\.to\("):
        family.draw(pipe)
    with pytest.raises(ValueError, match="it is on the meta device"):
        family.draw(family.make().to("meta"))


class DefaultType:
    """Another default number type than float32 while it lasts."""

    def __enter__(self):
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *error):
        torch.set_default_dtype(torch.float32)


AROUND = {
    "default dtype": DefaultType,
    "default device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
}


@every_family
@pytest.mark.parametrize("around", AROUND)
def test_what_the_caller_has_set_changes_no_picture(name, around, tmp_path):
    family = FAMILIES[name]
    pipe = family.make()
    expected = family.pixels(pipe)
    given = {"image": photo()} if family.takes_picture else {}
    if family.has_network:
        pipe.save_pretrained(tmp_path)
    with AROUND[around]():
        if name == "PatchPipeline" and around == "default dtype":
            with pytest.raises(ValueError, match="patches are put together in float32"):
                family.draw(pipe, **given)
            return
        assert family.pixels(pipe, **given) == expected
        if family.has_network:
            loaded = genmodels.load(tmp_path)
            assert (loaded.dtype, loaded.device.type) == (torch.float32, "cpu")
            assert family.pixels(loaded, **given) == expected


# What is handed to a call.


def as_numpy(value):
    if isinstance(value, dict):
        return {key: as_numpy(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(as_numpy(inner) for inner in value)
    return {int: np.int64, float: np.float64, str: np.str_}[type(value)](value)


@every_family
def test_numbers_may_be_numpys_and_recipes_are_json_all_the_same(name):
    family = FAMILIES[name]
    pipe = family.make()
    expected = family.draw(pipe)
    settings = as_numpy(family.settings)
    drawn = family.draw(pipe, seed=np.uint32(5), **settings)
    assert drawn.images[0].tobytes() == expected.images[0].tobytes()
    assert json.loads(json.dumps(drawn.recipes)) == json.loads(json.dumps(expected.recipes))
    drawn = family.draw(pipe, seed=torch.tensor(5), **settings)
    assert drawn.images[0].tobytes() == expected.images[0].tobytes()


@every_family
@pytest.mark.parametrize("seed", [5.0, True, "5", [5], np.float64(5), np.bool_(1), -1, 2**63])
def test_what_is_no_seed_is_refused_in_a_sentence(name, seed):
    family = FAMILIES[name]
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        family.draw(family.make(), seed=seed)


def in_mode(mode):
    """The photo in any of Pillow's modes."""
    picture, grey = photo(), photo().convert("L")
    if mode.startswith("I;16"):
        wide = Image.fromarray(np.asarray(grey, dtype=np.uint16) * 257)
        return wide if mode == "I;16" else wide.convert("I").convert(mode)
    if mode == "I":
        return Image.fromarray(np.asarray(grey, dtype=np.int32) * 257)
    if mode == "F":
        return Image.fromarray(np.asarray(grey, dtype=np.float32) / 255)
    if mode in ("LA", "RGBA"):
        picture.putalpha(grey)
        return picture.convert(mode)
    if mode in ("La", "RGBa"):
        return in_mode(mode.upper()).convert(mode)
    if mode == "PA":
        return picture.convert("P").convert("PA")
    if mode == "LAB":
        srgb, lab = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
        return ImageCms.profileToProfile(picture, srgb, lab, outputMode="LAB")
    return picture.convert(mode)


MODES = [
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "I",
    "I;16",
    "I;16B",
    "F",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "HSV",
    "LAB",
]


@pytest.mark.parametrize("name", WITH_PICTURE)
@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_any_mode_are_taken_for_what_they_show(name, mode):
    family = FAMILIES[name]
    pipe, given = family.make(), in_mode(mode)
    shown = images.to_rgb(given, keep_alpha=True)
    drawn = family.draw(pipe, image=given)
    assert drawn.images[0].tobytes() == family.pixels(pipe, image=shown)[0]
    picture = images.to_rgb(given)
    apart = np.abs(np.asarray(picture.convert("L"), float) - np.asarray(photo().convert("L")))
    assert mode in ("1", "P", "PA", "LA", "La", "RGBA", "RGBa") or apart.mean() < 3


@pytest.mark.parametrize("name", WITH_PICTURE)
def test_a_picture_that_lies_on_its_side_is_drawn_upright(name, tmp_path):
    family = FAMILIES[name]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # To be turned by a quarter.
    photo().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.png", exif=exif)
    pipe = family.make()
    with Image.open(tmp_path / "photo.png") as lying:
        assert lying.size == (20, 24)
        drawn = family.draw(pipe, image=lying)
        assert drawn.images[0].tobytes() == family.pixels(pipe)[0]
        again = recipe._image_of(drawn.recipes[0], lying)
    assert again[0].tobytes() == photo().tobytes()


@pytest.mark.parametrize("name", WITH_PICTURE)
def test_arrays_of_pixels_are_pictures(name):
    family = FAMILIES[name]
    pipe, pixels = family.make(), np.asarray(photo())
    assert family.pixels(pipe, image=pixels) == family.pixels(pipe)
    turned = np.asfortranarray(pixels)
    assert family.pixels(pipe, image=turned) == family.pixels(pipe)
    grey = np.asarray(photo().convert("L"))
    assert family.pixels(pipe, image=grey) == family.pixels(pipe, image=grey[:, :, None])


@pytest.mark.parametrize("name", WITH_PICTURE)
@pytest.mark.parametrize(
    "given",
    [
        None,
        "photo.png",
        b"photo",
        5,
        torch.zeros(3, 20, 24),
        np.zeros((20, 24, 3)),
        np.zeros((2, 20, 24, 3), np.uint8),
        np.zeros((20, 24, 5), np.uint8),
        np.zeros((0, 24, 3), np.uint8),
        Image.new("F", (24, 20), -3.0),
        Image.new("RGB", (0, 0)),
    ],
    ids=[
        "nothing",
        "text",
        "bytes",
        "number",
        "tensor",
        "float array",
        "two pictures",
        "five channels",
        "empty array",
        "negative floats",
        "empty picture",
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(name, given):
    family = FAMILIES[name]
    with pytest.raises(ValueError, match=r"image|array|values|picture"):
        family.make()(given, seed=1)


@pytest.mark.parametrize("name", WITH_PICTURE)
def test_a_file_that_turns_out_to_be_cut_off_is_refused_in_a_sentence(name, tmp_path):
    photo().resize((240, 200)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    with (
        Image.open(tmp_path / "cut.png") as image,
        pytest.raises(ValueError, match="image cannot be read"),
    ):
        FAMILIES[name].make()(image, seed=1)


# How many at a time, and where.


@every_family
def test_a_picture_is_the_same_alone_and_among_others(name):
    family = FAMILIES[name]
    if family.inputs is None or not family.takes_picture:
        pipe = family.make()
        most = max(family.counts)
        alone = [family.pixels(pipe, seed=5 + i)[0] for i in range(most)]
        for number in family.counts:
            assert family.pixels(pipe, num_images=number) == alone[:number]
        assert family.pixels(pipe, seed=6, num_images=most - 1) == alone[1:]
    else:
        pipe, given = family.make(), [photo(), photo().rotate(180), photo().resize((40, 30))]
        alone = [family.pixels(pipe, image=one, seed=5 + i)[0] for i, one in enumerate(given)]
        assert family.pixels(pipe, image=given) == alone


def drawn_elsewhere(pipes):
    """What another process draws of the pipelines that it was sent."""
    torch.set_num_threads(1)
    return {name: FAMILIES[name].pixels(pipe) for name, pipe in pipes.items()}


@every_family
def test_a_pipeline_survives_being_pickled(name):
    family = FAMILIES[name]
    pipe = family.make()
    expected = family.pixels(pipe)
    assert family.pixels(pickle.loads(pickle.dumps(pipe))) == expected


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_worker_processes_draw_the_same(method):
    pipes = {name: family.make() for name, family in FAMILIES.items()}
    expected = {name: FAMILIES[name].pixels(pipe) for name, pipe in pipes.items()}
    torch.ones(1 << 22).mul_(2).sum()  # Threads have been at work before the fork.
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply_async(drawn_elsewhere, (pipes,)).get(120) == expected


@every_network
def test_networks_can_be_traced_and_exported(name):
    family = FAMILIES[name]
    torch.manual_seed(0)
    network, given = family.make().generator, family.inputs()
    with torch.no_grad():
        expected = network(*given)
        with warnings.catch_warnings(action="ignore"):  # Checks of shapes are no part of a trace.
            traced = torch.jit.trace(network, given, check_trace=False)
        torch.testing.assert_close(traced(*given), expected)
        exported = torch.export.export(network, given)
        torch.testing.assert_close(exported.module()(*given), expected)


# What a recipe and a folder say of where they come from.


@every_network
def test_a_recipe_names_a_folder_and_not_where_it_lies(name, tmp_path, monkeypatch):
    family = FAMILIES[name]
    folder = tmp_path / "somebody" / "toy"
    family.make().save_pretrained(folder)
    drawn = family.draw(genmodels.load(folder))
    assert drawn.recipes[0]["model"] == "toy"
    assert "somebody" not in json.dumps(drawn.recipes)
    given = {"image": photo()} if family.takes_picture else {}
    with pytest.raises(ValueError, match=r"name of a folder, say where it is with `model`"):
        genmodels.replay(drawn.images[0], **given)
    with warnings.catch_warnings(action="error"):
        again = genmodels.replay(drawn.images[0], model=folder, **given)
    assert again.tobytes() == drawn.images[0].tobytes()
    family.make(seed=1).save_pretrained(folder)
    with pytest.raises(ValueError, match="holds other weights"):
        genmodels.replay(drawn.images[0], model=folder, **given)


@every_network
def test_plain_diffusers_says_whose_pipeline_it_is(name, tmp_path):
    FAMILIES[name].make().save_pretrained(tmp_path)
    with pytest.raises(AttributeError, match=f"genmodels.{name}"):
        diffusers.DiffusionPipeline.from_pretrained(tmp_path)
    index = json.loads((tmp_path / pipelines.INDEX).read_text())
    index["_class_name"] = name  # As version 0.4 wrote it.
    (tmp_path / pipelines.INDEX).write_text(json.dumps(index))
    assert type(genmodels.load(tmp_path)).__name__ == name


@every_network
@pytest.mark.parametrize("file", ["weights", "config", "index"])
def test_a_git_lfs_pointer_is_called_one(name, file, tmp_path):
    FAMILIES[name].make().save_pretrained(tmp_path)
    parts = {"weights": f"generator/{modeling.WEIGHTS}", "config": f"generator/{modeling.CONFIG}"}
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n"
    (tmp_path / parts.get(file, pipelines.INDEX)).write_text(pointer)
    with pytest.raises(ValueError, match=r"is a Git LFS pointer.*git lfs pull"):
        genmodels.load(tmp_path)


@pytest.mark.parametrize("name", ["StyleGAN2Pipeline", "NVAEPipeline"])
def test_conditions_keep_their_order_when_saved_since_the_network_counts_on_it(name, tmp_path):
    pipe = FAMILIES[name].make(seed=9)
    (network,) = pipe.networks.values()
    schema = dict(reversed(pipe.schema.items()))  # Not as the alphabet has them.
    trained = type(pipe)(network, conditions=schema)
    trained.save_pretrained(tmp_path)
    loaded = genmodels.load(tmp_path)
    assert list(loaded.schema) == list(schema)
    asked = {"seed": 3, "condition": {"body": "suv", "year": 2011}}
    first, second = (np.asarray(each(1, **asked).images[0]) for each in (trained, loaded))
    assert np.array_equal(first, second)
