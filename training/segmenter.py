"""Where the car is in a photograph, by a segmentation network from the Hub.

    mask = Segmenter("openmmlab/upernet-convnext-tiny").segment(photo)

Any network that transformers loads by `AutoModelForSemanticSegmentation` will do, if it has
safetensors and knows a word for a car. Nothing of the repository is run.
"""

import re

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

from genmodels import images
from training import cutouts

WORDS = {"car", "automobile", "truck", "van", "bus", "minivan", "suv"}


class Segmenter:
    """A network of the Hub or of a local folder; `ValueError` if it cannot be had or has no car."""

    def __init__(self, name: str) -> None:
        try:
            # The PIL backend, for torchvision is not a dependency of ours.
            self.processor = AutoImageProcessor.from_pretrained(name, backend="pil")
            self.model, loaded = AutoModelForSemanticSegmentation.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
        except (OSError, SafetensorError) as error:  # All errors of the Hub's client are OSErrors.
            raise ValueError(f"no segmentation model {name!r} could be read: {error}") from error
        if loaded["missing_keys"]:  # transformers would draw them at random.
            raise ValueError(f"{name} lacks the weights {sorted(loaded['missing_keys'])}")
        labels: dict[int, str] = self.model.config.id2label
        named = {index: set(re.findall("[a-z]+", label.lower())) for index, label in labels.items()}
        self.car_labels = [index for index, names in named.items() if names & WORDS]
        if not self.car_labels:
            raise ValueError(
                f"{name} must have a label among {sorted(WORDS)}, it has {sorted(labels.values())}"
            )
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model.to(self.device).eval()

    @torch.inference_mode()
    def segment(self, photo: Image.Image) -> np.ndarray:
        """Where an RGB picture's centre square shows a car: bool [cutouts.SIDE, cutouts.SIDE]."""
        side = min(photo.size)
        square = images.fit_square(photo, side)
        inputs = self.processor(images=square, return_tensors="pt").to(self.device)
        logits = self.model(**inputs).logits  # [1, labels, h, w]
        logits = F.interpolate(logits, (cutouts.SIDE,) * 2, mode="bilinear", align_corners=False)
        found = torch.isin(logits.argmax(1)[0], torch.tensor(self.car_labels, device=self.device))
        return found.cpu().numpy()
