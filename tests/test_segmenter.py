"""segmenter.py: cars found by a network of the Hub; here both are small and local."""

import json

import pytest
import torch
from PIL import Image
from transformers import SegformerConfig, SegformerForSemanticSegmentation
from transformers.models.segformer import SegformerImageProcessorPil

from tests.hub_server import HubServer
from training import cutouts, segmenter
from training.segmenter import Segmenter

TINY = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "sr_ratios": [2, 1],
    "hidden_sizes": [4, 8],
    "patch_sizes": [3, 3],
    "strides": [2, 2],
    "num_attention_heads": [1, 1],
    "mlp_ratios": [1, 1],
    "decoder_hidden_size": 8,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network whose scores are random, as the Hub would hold it."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    labels = {0: "wall", 1: "Car;auto", 2: "cargo"}
    config = SegformerConfig(**TINY, id2label=labels)
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def always(model, label):
    """Make the network see the label everywhere."""
    head = model.decode_head.classifier
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.nn.functional.one_hot(torch.tensor(label), 3).float()


def test_a_car_is_what_one_of_the_car_labels_says(folder):
    seen = Segmenter(str(folder))
    assert seen.car_labels == [1]  # By whole words: cargo is none.
    photo = Image.new("RGB", (90, 70), "red")
    for label in range(3):
        always(seen.model, label)
        mask = seen.segment(photo)
        assert mask.shape == (cutouts.SIDE, cutouts.SIDE)
        assert (mask == (label == 1)).all()


def test_photographs_without_a_fitting_mask_are_left_out_with_a_reason(folder, tmp_path):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    seen = Segmenter(str(folder))
    always(seen.model, 1)
    masks, reasons = cutouts.find_masks(tmp_path, ["a.png", "missing.png"], seen.segment)
    assert masks == {}
    assert "of the square" in reasons["a.png"]
    assert "no such file" in reasons["missing.png"]


def test_a_network_without_a_car_is_refused(folder, monkeypatch):
    monkeypatch.setattr(segmenter, "WORDS", {"zebra"})
    with pytest.raises(ValueError, match=r"must have a label among \['zebra'\].*cargo"):
        Segmenter(str(folder))


def test_a_network_without_a_trained_head_is_refused(folder, tmp_path):
    model = SegformerForSemanticSegmentation.from_pretrained(folder)
    model.segformer.save_pretrained(tmp_path)
    SegformerImageProcessorPil().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks the weights.*classifier"):
        Segmenter(str(tmp_path))


def test_a_folder_that_is_missing_or_damaged_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no segmentation model .* could be read"):
        Segmenter(str(tmp_path / "nowhere"))
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"no segmentation model .* could be read"):
        Segmenter(str(tmp_path))


ON_THE_HUB = """
import json, sys
from PIL import Image
from training.segmenter import Segmenter

told = {}
for name in sys.argv[1:]:
    try:
        told[name] = int(Segmenter(name).segment(Image.new("RGB", (64, 64), "red")).sum())
    except ValueError as error:
        told[name] = str(error)
print(json.dumps(told))
"""


@pytest.mark.slow
def test_a_network_comes_from_the_hub_without_its_code_and_pickles(folder, tmp_path):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    weights = files["model.safetensors"]
    pickled = {name: files[name] for name in files if name != "model.safetensors"}
    with HubServer() as hub:
        hub.add("other/cars", files | {"code.py": b"raise SystemExit", "pytorch_model.bin": b"0"})
        hub.add("other/pickle", pickled | {"pytorch_model.bin": weights})
        told = json.loads(hub.run(ON_THE_HUB, tmp_path, "other/cars", "other/pickle", "other/no"))
        assert hub.seen("GET */other/cars/resolve/*.safetensors")
        assert not hub.seen("GET *.bin")
        assert not hub.seen("GET *.py")
        dead = hub.run(ON_THE_HUB, tmp_path, "other/new", HF_HUB_OFFLINE="1")
    local = Segmenter(str(folder)).segment(Image.new("RGB", (64, 64), "red"))
    assert told["other/cars"] == local.sum()
    assert "no segmentation model 'other/pickle'" in told["other/pickle"]
    assert "no segmentation model 'other/no'" in told["other/no"]
    assert "no segmentation model 'other/new'" in json.loads(dead)["other/new"]
