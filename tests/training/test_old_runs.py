"""Runs of version 0.4, stopped after two of four steps, end in the weights that it had."""

import hashlib
import json
import shutil

import pytest
import torch

from tests import golden
from tests.support import tiny_training
from training import (
    train_autoencoder,
    train_dcgan,
    train_pix2pix,
    train_stylegan2,
    train_unpaired,
)

FOLDER = golden.FOLDER / "runs"
WRITTEN_WITH = ("AVX2", "2.13.0+cpu")  # Another processor or torch may round otherwise.


def labelled(root):
    tiny_training.photographs(root / "train", 40)
    tiny_training.photographs(root / "held_out", 4, seed=1)
    return {"data": str(root / "train"), "held_out": str(root / "held_out")}


SCRIPTS = {
    "dcgan": (train_dcgan, labelled),
    "stylegan2": (train_stylegan2, labelled),
    "pix2pix": (train_pix2pix, tiny_training.pairs),
    "autoencoder": (train_autoencoder, tiny_training.pairs),
    "unpaired": (train_unpaired, tiny_training.two_sets),
}


def test_every_script_of_0_4_has_a_run_here():
    assert {path.name for path in FOLDER.iterdir()} == set(SCRIPTS)


@pytest.mark.parametrize("family", SCRIPTS)
def test_a_run_of_0_4_goes_on_bit_for_bit(family, tmp_path):
    script, data = SCRIPTS[family]
    out = tmp_path / "run"
    shutil.copytree(FOLDER / family, out)
    flags = json.loads((out / "config.json").read_text())
    flags = {
        key: tuple(value) if isinstance(value, list) else value for key, value in flags.items()
    }
    with tiny_training.quick_on_the_cpu():
        script.train(script.Config(**flags | data(tmp_path / "data") | {"out": out}))
    end = tiny_training.state(out)
    hashes = {
        name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in end.items()
    }
    expected = json.loads((FOLDER / family / "end.json").read_text())
    assert hashes.keys() == expected.keys()
    if (torch.backends.cpu.get_cpu_capability(), torch.__version__) == WRITTEN_WITH:
        assert [name for name in hashes if hashes[name] != expected[name]] == []
