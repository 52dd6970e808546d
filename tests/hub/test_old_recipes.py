"""Pictures that version 0.4 drew, one or more of every family, are drawn again to the pixel."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from genmodels.data import images
from genmodels.hub import recipe
from tests import golden

FOLDER = golden.FOLDER / "recipes"
PICTURES = sorted(path.stem for path in FOLDER.glob("*.png") if path.stem != "photo")
PROCESSOR = "AVX2"  # Of the machine that drew them; another may round one level otherwise.


@pytest.mark.parametrize("name", PICTURES)
def test_a_recipe_of_version_0_4_draws_the_same_pixels(name):
    path = FOLDER / f"{name}.png"
    told = recipe.read(path)
    assert told["versions"]["genmodels"] == "0.4.0"
    photo = images.open_rgb(FOLDER / "photo.png") if "image" in told else None
    folder = FOLDER / "toy-singan" if name == "singan" else None
    again = genmodels.replay(path, photo, model=folder)
    with Image.open(path) as drawn:
        apart = np.abs(np.asarray(again, dtype=int) - np.asarray(drawn, dtype=int))
    here = torch.backends.cpu.get_cpu_capability(), torch.__version__
    is_exact = here == (PROCESSOR, told["versions"]["torch"])
    assert apart.max() <= (0 if is_exact else 1)


def test_a_path_of_another_machine_is_no_folder_here():
    with pytest.raises(ValueError, match=re.escape("got '/home/somebody/models/toy-singan'")):
        genmodels.replay(FOLDER / "singan.png")
