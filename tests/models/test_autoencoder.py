"""The autoencoder: its published table of parameters, and how far a pixel reaches."""

import pytest
import torch
from torch import nn
from torch.optim import Adam

from genmodels.models import autoencoder
from genmodels.nn.threads import threads_for


@pytest.fixture(autouse=True)
def same_start_and_one_thread():
    torch.manual_seed(0)
    with threads_for(0):
        yield


@pytest.fixture(scope="module")
def network():
    """One network with what training would move moved, in eval mode."""
    torch.manual_seed(0)
    G = autoencoder.Generator()
    for module in G.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor += 0.3 * torch.randn_like(tensor)
    return G.eval()


def size(module):
    """Parameters and running statistics, as Keras counts them."""
    counted = [t for key, t in module.state_dict().items() if "num_batches" not in key]
    return sum(tensor.numel() for tensor in counted)


def test_every_layer_has_the_published_number_of_parameters():
    with torch.device("meta"):
        G = autoencoder.Generator()
    layers = [*G.downs, *G.ups, G.last_up, G.to_image]
    assert [size(layer) for layer in layers] == [
        *(3_584, 147_584, 296_192, 1_182_208, 2_361_856),
        *(2_359_808, 2_359_552, 589_952, 295_040, 6_915, 75),
    ]
    assert size(G) == 9_602_766
    assert sum(parameter.numel() for parameter in G.parameters()) == 9_600_206


def test_half_the_width_has_a_quarter_of_the_parameters():
    with torch.device("meta"):
        G = autoencoder.Generator(base_channels=64)
    assert 0.25 < size(G) / 9_602_766 < 0.255
    with pytest.raises(ValueError, match="base_channels must be a whole number from 8 to 256"):
        autoencoder.Generator(base_channels=4)


def test_a_translation_has_the_size_of_its_source_at_any_aspect():
    with torch.device("meta"):
        G = autoencoder.Generator(1, 2)
        for height, width in ((32, 32), (32, 96), (256, 128)):
            assert G(torch.zeros(2, 1, height, width)).shape == (2, 2, height, width)
    assert G.multiple == 32


def test_the_details_are_those_of_keras():
    with torch.device("meta"):
        G = autoencoder.Generator()
    norms = [module for module in G.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [(norm.num_features, norm.eps, norm.momentum) for norm in norms] == [
        (channels, 1e-3, 0.01) for channels in (256, 512, 512)
    ]
    slopes = [m.negative_slope for m in G.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.3] * 10
    assert all(module.p == 0 for module in G.modules() if isinstance(module, nn.Dropout))


def test_a_layer_is_padded_at_the_right_and_the_bottom_as_in_keras():
    down, up = autoencoder.Down(1, 1, False), autoencoder.Up(1, 1, dropout=0.0)
    for layer in (down[0], up[0]):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 0] = 1  # Only the first window has it: none begins before the picture.
    assert down(corner)[0, 0].tolist() == [[1, 0], [0, 0]]
    corner = torch.zeros(1, 1, 2, 2)
    corner[..., 1, 1] = 1  # Of its three rows and columns the last ones are cut off.
    expected = torch.zeros(4, 4)
    expected[2:, 2:] = 1
    assert up(corner)[0, 0].equal(expected)


def test_weights_start_uniform_as_glorot_has_them():
    for module in autoencoder.Generator().modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            a, b, height, width = module.weight.shape
            bound = (6 / ((a + b) * height * width)) ** 0.5
            assert 0.8 * bound < module.weight.abs().max() <= bound
            assert module.bias.eq(0).all()


def test_the_output_is_linear(network):
    with torch.no_grad():
        assert network(3 * torch.randn(1, 3, 32, 32)).abs().max() > 1


@torch.no_grad()
def test_a_pixel_reaches_as_far_as_the_network_says_and_no_farther(network):
    row = 96
    image = torch.randn(1, 3, 192, 32)
    whole = network(image)
    farthest = []
    for shift in (0, 30):  # In its 32 pixels: the first reaches farthest down, this one up.
        changed = image.clone()
        changed[:, :, row + shift] += 100
        difference = (network(changed) - whole).abs().amax((0, 1, 3))
        rows = (difference > 1e-4).nonzero().flatten().tolist()
        farthest.append((row + shift - rows[0], rows[-1] - row - shift))
        outside = (torch.arange(192) - row - shift).abs() > network.reach
        assert difference[outside].max() <= 1e-6
    up, down = (max(side) for side in zip(*farthest, strict=True))
    assert (up, down) == (63, 62)
    assert network.reach == 64


@torch.no_grad()
def test_a_tile_comes_out_as_in_the_whole_picture(network):
    image = torch.rand(1, 3, 192, 32) * 2 - 1
    whole = network(image)
    tile = network(image[:, :, 32:])  # The last 96 rows are beyond the reach of what is missing.
    torch.testing.assert_close(tile[:, :, 64:], whole[:, :, 96:], rtol=0, atol=1e-5)


def test_only_the_inner_doublings_drop_out_and_only_while_training():
    G = autoencoder.Generator(dropout=0.2).eval()
    rates = [module.p for module in G.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.2, 0.2, 0.2, 0.2, 0]
    image = torch.randn(1, 3, 32, 32)
    assert G(image).equal(G(image))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "in_channels must be a whole number from 1 to 8, got 0"),
        ({"out_channels": True}, "out_channels must be a whole number from 1 to 8, got True"),
        ({"dropout": -0.1}, "dropout must be a number from 0 to 0.9, got -0.1"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        autoencoder.Generator(**arguments)


def test_wrong_inputs_are_refused_in_words(network):
    with pytest.raises(ValueError, match=r"image must be \[N, 3, H, W\], got \[3, 32, 32\]"):
        network(torch.zeros(3, 32, 32))
    with pytest.raises(ValueError, match="multiples of 32, got 40 x 64: 64 x 64 would do"):
        network(torch.zeros(1, 3, 40, 64))


def test_two_steps_change_every_parameter():
    G = autoencoder.Generator()
    before = [parameter.detach().clone() for parameter in G.parameters()]
    optimizer = Adam(G.parameters(), 2e-4, betas=(0.5, 0.999))
    source, target = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    for _ in range(2):
        optimizer.zero_grad()
        (G(source) - target).square().mean().backward()
        optimizer.step()
    assert all(parameter.isfinite().all() for parameter in G.parameters())
    assert not any(p.equal(old) for p, old in zip(G.parameters(), before, strict=True))


def test_saved_weights_come_back_equal_and_ready_to_translate(tmp_path):
    G = autoencoder.Generator(1, 2)
    image = torch.randn(2, 1, 32, 32)
    G(image)  # Moves the running statistics off their start.
    G.save_pretrained(tmp_path)
    loaded = autoencoder.Generator.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded(image).equal(G.eval()(image))
