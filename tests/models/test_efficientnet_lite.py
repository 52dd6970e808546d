"""The pretrained features: the numbers of the original file, and what they are good for."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import genmodels
from genmodels import zoo
from genmodels.data import images
from genmodels.hub import modeling, repo
from genmodels.models import efficientnet_lite
from genmodels.models.efficientnet_lite import EfficientNetLite0
from genmodels.ui.assets import ASSETS
from tests import golden
from training.prepare import convert_efficientnet_lite

RECORDED = golden.FOLDER / "efficientnet_lite.safetensors"


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite0.from_pretrained("efficientnet-lite0")


def picture(height=70, width=96):
    """A picture of soft colours, [1, 3, H, W], whose sides are odd somewhere on the way down."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(x / a + y / b) for a, b in ((7, 5), (3, -11), (-9, 2))]
    return torch.stack(waves)[None].float() * 0.8


@torch.no_grad()
def test_the_maps_are_those_of_the_original_file(network):
    # Recorded from the .pth with its BatchNorms unfolded, in float64, every eighth channel.
    recorded = load_file(RECORDED)
    came = {f"map_{i}": x[:, ::8] for i, x in enumerate(network.features(picture()))}
    came["pooled"] = network(picture())
    assert came.keys() == recorded.keys()
    for name, wanted in recorded.items():
        error = (came[name] - wanted).norm() / wanted.norm()
        assert error < 0.01, name  # Half precision's rounding.


@torch.no_grad()
def test_four_maps_of_the_stated_channels_and_strides(network):
    for height, width in ((32, 32), (64, 96), (70, 33)):
        maps = network.features(torch.zeros(2, 3, height, width))
        wanted = zip(
            efficientnet_lite.FEATURE_CHANNELS, efficientnet_lite.FEATURE_STRIDES, strict=True
        )
        assert [tuple(x.shape) for x in maps] == [
            (2, channels, math.ceil(height / stride), math.ceil(width / stride))
            for channels, stride in wanted
        ]
        assert all(x.is_contiguous(memory_format=torch.channels_last) for x in maps)


def test_the_network_leads_gradients_to_the_image_and_learns_nothing_itself(network):
    image = picture().requires_grad_()
    network.features(image)[-1].square().mean().backward()
    assert image.grad.abs().min() > 0
    assert not network.training


@torch.no_grad()
def test_it_still_tells_our_pictures_apart(network):
    """Crops of one picture are nearest to crops of the same kind of picture: a face or a ruin."""
    crops, kinds = [], []
    for kind in ("faces", "scenes"):
        for path in sorted((ASSETS / kind).glob("*.jpg")):
            image = images.open_rgb(path)
            side = min(image.size) * 2 // 3
            for x, y in product((0, 0.5, 1), (0, 1)):
                left, top = x * (image.width - side), y * (image.height - side)
                crop = image.crop((left, top, left + side, top + side)).resize((96, 96))
                crops.append(images.from_pil([crop])[0])
                kinds.append(f"{kind}/{path.name}")
    pooled = F.normalize(network(images.to_float(torch.stack(crops))), dim=1)
    nearest = (pooled @ pooled.T).fill_diagonal_(-1).argmax(dim=1).tolist()
    same_picture = [kinds[i] == kinds[j] for i, j in enumerate(nearest)]
    same_kind = [kinds[i].split("/")[0] == kinds[j].split("/")[0] for i, j in enumerate(nearest)]
    assert sum(same_kind) == len(kinds) == 36
    assert sum(same_picture) >= 30


@pytest.mark.parametrize("shape", [(1, 3, 31, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_other_than_pictures_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"image must be \[N, 3, H, W\] with sides of 32 or more"):
        network.features(torch.zeros(shape))


def test_it_is_embedded_but_nobody_is_offered_to_draw_with_it():
    assert zoo.networks() == ["efficientnet-lite0"]
    assert "efficientnet-lite0" not in genmodels.list_models()
    with pytest.raises(ValueError, match=r"must hold model_index\.json"):
        genmodels.load("efficientnet-lite0")
    folder = repo.resolve("efficientnet-lite0")
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "apache-2.0" in (folder / "README.md").read_text()
    assert (folder / modeling.WEIGHTS).stat().st_size < 7e6


def test_the_converter_reads_only_the_one_file_it_knows(tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(b"anything")
    config = convert_efficientnet_lite.Config(weights=other, out=tmp_path / "out")
    with pytest.raises(ValueError, match="must have the SHA-256 57934424"):
        convert_efficientnet_lite.convert(config)
    assert not (tmp_path / "out").exists()


def test_folding_keeps_what_a_convolution_and_its_norm_compute():
    torch.manual_seed(0)
    state = {}
    ours = EfficientNetLite0().state_dict()
    theirs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i in range(len(efficientnet_lite.FEATURE_BLOCKS) * 4):
        norm = iter(("_bn0", "_bn1", "_bn2"))
        for part in ("expand", "depthwise", "project"):
            name = next(norm)
            if f"blocks.{i}.{part}.weight" in ours:
                theirs[f"blocks.{i}.{part}"] = (f"_blocks.{i}._{part}_conv", f"_blocks.{i}.{name}")
    for name, (conv, norm) in theirs.items():
        weight = ours[f"{name}.weight"]
        state[f"{conv}.weight"] = weight
        for key in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{key}"] = torch.rand(len(weight)) + 0.5
    folded = convert_efficientnet_lite.folded(state)
    assert folded.keys() == ours.keys()
    x = torch.randn(2, 3, 8, 8)
    plain = F.batch_norm(
        F.conv2d(x, state["_conv_stem.weight"]),
        *(state[f"_bn0.{key}"] for key in ("running_mean", "running_var", "weight", "bias")),
        eps=convert_efficientnet_lite.EPSILON,
    )
    torch.testing.assert_close(F.conv2d(x, folded["stem.weight"], folded["stem.bias"]), plain)
