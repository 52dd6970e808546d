"""StyleGAN2Pipeline.blend: layers of two relatives in one model."""

import numpy as np
import pytest
import torch

import genmodels
from genmodels.data import conditions
from genmodels.models import stylegan2
from genmodels.pipelines import blending

SCHEMA = conditions.infer([{"kind": "fire"}, {"kind": "flood"}], ["kind"])
SIZE = {"base_channels": 4, "max_channels": 8}


def network(seed, c_dim=0, resolution=32):
    torch.manual_seed(seed)
    return stylegan2.Generator(resolution, 4, 4, c_dim, **SIZE)


@pytest.fixture
def family():
    """A model, and one that was fine-tuned from it under conditions of its own."""
    parent, child = network(0), network(1, c_dim=2)
    child.start_from(parent)
    with torch.no_grad():
        for parameter in child.blocks.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return genmodels.StyleGAN2Pipeline(parent), genmodels.StyleGAN2Pipeline(child, SCHEMA)


def pixels(pipe, **settings):
    return np.float32(pipe(1, seed=3, truncation_psi=1.0, **settings).images[0])


def test_the_layers_up_to_a_side_are_one_models_and_the_rest_the_others(family):
    parent, child = family
    blend = parent.blend(child, 8)
    state = blend.networks["generator"].state_dict()
    ours, theirs = (pipe.networks["generator"].state_dict() for pipe in family)
    for name, value in state.items():
        from_other = name.startswith(("blocks.2.", "blocks.3."))  # 16 and 32 px.
        assert torch.equal(value, (theirs if from_other else ours)[name])
    assert blend.schema == {}
    back = child.blend(parent, 8)  # The other direction: the child's seed and conditions.
    assert back.schema == SCHEMA
    assert np.abs(pixels(back, condition={"kind": "fire"}) - pixels(blend)).mean() > 1


def test_shares_go_from_one_model_to_the_other(family):
    parent, child = family
    sides = (4, 8, 16, 32)
    none, all_of_it = (dict.fromkeys(sides, share) for share in (0.0, 1.0))
    assert np.array_equal(pixels(parent.blend(child, shares=none)), pixels(parent))
    far = np.abs(pixels(parent.blend(child, shares=all_of_it)) - pixels(parent)).mean()
    half = np.abs(pixels(parent.blend(child, shares={16: 0.5})) - pixels(parent)).mean()
    assert 0 < half < far


def test_a_blend_is_saved_and_loaded_with_its_parents(family, tmp_path):
    parent, child = family
    blend = parent.blend(child, 16)
    blend.save_pretrained(tmp_path / "blend")
    again = genmodels.load(tmp_path / "blend")
    assert np.array_equal(pixels(again), pixels(blend))
    first, second = again.config.parents
    assert first["weights_sha256"] == parent.weights_sha256
    assert second == {"name": None, "weights_sha256": child.weights_sha256, "shares": {"32": 1.0}}


def test_models_that_were_trained_apart_are_refused_in_words(family):
    stranger = genmodels.StyleGAN2Pipeline(network(7))
    with pytest.raises(ValueError, match="these two were trained apart"):
        family[0].blend(stranger)
    larger = genmodels.StyleGAN2Pipeline(network(0, resolution=64))
    with pytest.raises(ValueError, match="both must have the same resolution"):
        family[0].blend(larger)
    assert blending.similarity(network(0), network(7)) < 0.1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"swap_resolution": 32}, r"swap_resolution must be among \[4, 8, 16\], got 32"),
        ({"shares": {12: 1.0}}, "shares must be by side"),
        ({"shares": {16: 1.5}}, "the share at 16 px must be"),
    ],
)
def test_impossible_blends_are_refused(family, asked, message):
    with pytest.raises(ValueError, match=message):
        family[0].blend(family[1], **asked)
