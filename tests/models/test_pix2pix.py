"""pix2pix: the U-Net and the PatchGAN, their published figures, and how far a pixel reaches."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam

from genmodels.models import pix2pix
from genmodels.nn.threads import threads_for
from tests import golden

TINY = {"levels": 3, "base_channels": 4, "max_channels": 8}
PAPER = {"levels": 8, "base_channels": 64, "max_channels": 512, "up": "transposed", "dropout": 0.5}


@pytest.fixture(autouse=True)
def same_start_and_one_thread():
    torch.manual_seed(0)
    with threads_for(0):
        yield


def tiny(**arguments):
    return pix2pix.Generator(**TINY | arguments)


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("levels", range(2, 9))
@pytest.mark.parametrize("up", pix2pix.UPS)
def test_a_translation_has_the_size_of_its_source_at_any_aspect(levels, up):
    side = 2**levels
    with torch.device("meta"):
        G = pix2pix.Generator(2, 5, levels=levels, base_channels=4, max_channels=8, up=up)
        for height, width in ((side, side), (side, 3 * side), (2 * side, side)):
            assert G(torch.zeros(2, 2, height, width)).shape == (2, 5, height, width)
    assert G.multiple == side


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_papers_generator_has_its_54_million_parameters(norm):
    with torch.device("meta"):
        G = pix2pix.Generator(norm=norm, **PAPER)
    # A 4x4 convolution from a to b channels has 16 a b weights, and 2 b scales and shifts follow
    # where it is normalised, b biases where it is not (the first, the innermost and the last).
    # 3 > 64                       3,136      512 > 512                  4,195,328
    # 64 > 128                   131,328      1024 > 512, 3 times       25,168,896
    # 128 > 256                  524,800      1024 > 256                 4,194,816
    # 256 > 512                2,098,176      512 > 128                  1,048,832
    # 512 > 512, 3 times      12,585,984      256 > 64                     262,272
    # 512 > 512, innermost     4,194,816      128 > 3                        6,147
    assert num_parameters(G) == 19_538_240 + 34_876_291 == 54_414_531


def test_the_default_generator_has_three_million_parameters():
    with torch.device("meta"):
        default, transposed = pix2pix.Generator(), pix2pix.Generator(up="transposed")
    # Down as above, with 32, 64, 128, 192, 192, 192 channels: 1,739,616. Up by 9 weights instead of
    # 16: 332,160 + 663,936 + 442,624 + 147,584 + 36,928 + 1,731.
    assert num_parameters(default) == 1_739_616 + 1_624_963
    assert num_parameters(transposed) == 1_739_616 + 2_887_875


def test_the_papers_discriminator_has_its_parameters():
    with torch.device("meta"):
        D = pix2pix.Discriminator(receptive_field=70)
    # 6 > 64: 6,208; 64 > 128: 131,328; 128 > 256: 524,800; 256 > 512: 2,098,176; 512 > 1: 8,193.
    assert num_parameters(D) == 2_768_705


def test_only_the_three_deepest_doublings_drop_out():
    with torch.device("meta"):
        G = pix2pix.Generator(**PAPER)
    rates = [module.p for module in G.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.5, 0.5, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize("norm", pix2pix.NORMS)
def test_the_first_and_the_innermost_layer_are_not_normalised(norm):
    G = tiny(norm=norm)
    assert [len(down) for down in G.downs] == [2, 3, 2]
    assert [len(up) for up in G.ups] == [3, 3]


@pytest.mark.parametrize("norm", ["layer", "instance"])
@pytest.mark.parametrize("up", pix2pix.UPS)
def test_training_and_eval_mode_give_the_same_picture_bit_for_bit(norm, up):
    G = tiny(norm=norm, up=up)
    golden.stir(G)
    image = torch.randn(3, 3, 16, 24)
    assert G.train()(image).equal(G.eval()(image))


@pytest.mark.parametrize("norm", ["layer", "instance"])
def test_a_picture_does_not_depend_on_its_batch(norm):
    G = tiny(norm=norm)
    image = torch.randn(3, 3, 16, 24)
    torch.testing.assert_close(G(image)[1:2], G(image[1:2]), rtol=0, atol=1e-6)


def test_instance_norm_gives_a_picture_at_one_innermost_pixel():
    G = tiny(norm="instance")
    image = torch.randn(1, 3, 8, 8)
    assert G(image).isfinite().all()
    assert G.downs[-1](torch.randn(1, 8, 2, 2)).count_nonzero() > 0


def test_dropout_is_for_training_only():
    G = tiny(dropout=0.5)
    image = torch.randn(1, 3, 16, 16)
    assert not G.train()(image).equal(G(image))
    assert G.eval()(image).equal(G(image))


@pytest.mark.parametrize("channels", [3, 9])  # As an image's, or as a layer's.
def test_doubling_is_what_its_name_says(channels):
    x = torch.randn(2, 5, 6, 4)
    resize = pix2pix.ResizeConv(5, channels, bias=True)
    nn.init.normal_(resize.weight)
    nn.init.normal_(resize.bias)
    repeated = F.interpolate(x, scale_factor=2, mode="nearest")
    expected = F.conv2d(repeated, resize.weight, resize.bias, padding=1)
    torch.testing.assert_close(resize(x), expected, rtol=0, atol=2e-5)
    transposed = pix2pix.TransposedConv(5, channels, bias=True)
    nn.init.normal_(transposed.weight)
    nn.init.normal_(transposed.bias)
    expected = F.conv_transpose2d(x, transposed.weight, transposed.bias, stride=2, padding=1)
    torch.testing.assert_close(transposed(x), expected, rtol=0, atol=2e-5)


def test_layer_norm_is_over_the_channels_of_each_pixel():
    x = 3 + 2 * torch.randn(2, 64, 3, 5)
    y = pix2pix.PixelNorm(64)(x)
    assert y.mean(1).abs().max() < 1e-5
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 3, 5), rtol=0, atol=1e-4)


def test_instance_norm_is_over_the_pixels_of_each_channel_and_image():
    norm = pix2pix.InstanceNorm(4)
    golden.stir(norm)
    x = 3 + 2 * torch.randn(3, 4, 5, 7)
    expected = F.instance_norm(x, weight=norm.weight, bias=norm.bias)
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-5)


def reached(network, image, row, column):
    """Bounds of what one input pixel changes: the most (up, down, left, right), in pixels."""
    changed = image.clone()
    changed[:, :, row, column] += 3
    difference = (network(changed) - network(image)).abs().amax((0, 1)) > 1e-6
    rows, columns = (difference.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    return row - rows[0], rows[-1] - row, column - columns[0], columns[-1] - column


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("up", pix2pix.UPS)
def test_a_pixel_reaches_as_far_as_the_network_says_and_no_farther(norm, up):
    G = pix2pix.Generator(levels=2, base_channels=8, max_channels=16, norm=norm, up=up).eval()
    for parameter in G.parameters():  # Large enough weights for a far pixel to be felt.
        nn.init.normal_(parameter, 0.0, 0.3)
    image = torch.randn(1, 3, 40, 48).double()
    G = G.double()
    farthest = [reached(G, image, row, col) for row in range(18, 22) for col in range(22, 26)]
    assert [max(side) for side in zip(*farthest, strict=True)] == [9, 9, 9, 9]  # 3 * 4 - 3.
    assert G.reach == 12


def test_with_instance_norm_a_pixel_reaches_everywhere():
    G = tiny(norm="instance").eval()
    golden.stir(G)
    assert G.reach is None
    image = torch.randn(1, 3, 8, 128)
    changed = image.clone()
    changed[..., 0] += 3
    assert (G(changed) - G(image))[..., 100:].abs().max() > 1e-6


@pytest.mark.parametrize("up", pix2pix.UPS)
def test_a_tile_comes_out_as_in_the_whole_picture(up):
    G = tiny(up=up).eval()
    golden.stir(G)
    image = torch.rand(1, 3, 96, 112) * 2 - 1
    whole = G(image)
    reach = G.reach
    tile = G(image[:, :, 16:80, 24:96])
    inner = tile[:, :, reach:-reach, reach:-reach]
    expected = whole[:, :, 16 + reach : 80 - reach, 24 + reach : 96 - reach]
    assert inner.shape == (1, 3, 16, 24)
    torch.testing.assert_close(inner, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("receptive_field", pix2pix.RECEPTIVE_FIELDS)
def test_a_logit_judges_a_patch_of_exactly_the_asked_side(receptive_field):
    D = pix2pix.Discriminator(
        base_channels=4, max_channels=8, receptive_field=receptive_field, norm="none"
    ).double()
    for parameter in D.parameters():
        nn.init.normal_(parameter, 0.0, 0.5)
    side = 2 * receptive_field
    side += -side % 64  # What is halved has a middle.
    source, image = torch.randn(2, 1, 3, side, side, requires_grad=True, dtype=torch.double)
    logits = D(source, image)
    halvings = pix2pix.RECEPTIVE_FIELDS.index(receptive_field) + 1
    middle = side // 2**halvings - 2
    assert logits.shape == (1, 1, middle, middle)
    for slope in torch.autograd.grad(logits[0, 0, middle // 2, middle // 2], (source, image)):
        for axis in (2, 3):
            seen = slope.abs().sum([i for i in range(4) if i != axis]).nonzero().flatten()
            assert seen[-1] - seen[0] + 1 == receptive_field


@pytest.mark.parametrize("norm", ["layer", "instance", "none"])
def test_a_pair_is_judged_alike_alone_and_in_a_batch(norm):
    D = pix2pix.Discriminator(base_channels=8, receptive_field=16, norm=norm)
    source, image = torch.randn(2, 3, 3, 16, 24)
    torch.testing.assert_close(D(source, image)[1:2], D(source[1:2], image[1:2]))


def test_the_smallest_judged_picture_has_one_logit():
    D = pix2pix.Discriminator(base_channels=4)
    assert D(torch.randn(1, 3, 12, 12), torch.randn(1, 3, 12, 12)).shape == (1, 1, 1, 1)


@pytest.mark.parametrize("up", pix2pix.UPS)
@pytest.mark.parametrize("norm", pix2pix.NORMS)
def test_weights_start_as_in_the_paper_or_by_their_fan_in(norm, up):
    for layer in tiny(norm=norm, up=up, max_channels=64, levels=6).modules():
        weight = getattr(layer, "weight", torch.zeros(0))
        if weight.ndim == 4:
            assert layer.bias is None or layer.bias.eq(0).all()
            if weight.numel() > 4000:
                fan_in = weight[:, 0] if isinstance(layer, pix2pix.TransposedConv) else weight[0]
                expected = (3 * fan_in.numel()) ** -0.5 if norm == "layer" else 0.02
                assert weight.std().item() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "in_channels must be a whole number from 1 to 8, got 0"),
        ({"out_channels": 9}, "out_channels must be a whole number from 1 to 8, got 9"),
        ({"levels": 1}, "levels must be a whole number from 2 to 8, got 1"),
        ({"levels": 6.0}, "levels must be a whole number from 2 to 8, got 6.0"),
        ({"base_channels": 3}, "base_channels must be a whole number from 4 to 256, got 3"),
        ({"max_channels": 16}, "max_channels must be a whole number from 32 to 1024, got 16"),
        ({"norm": "none"}, "norm must be one of layer, instance, batch, got 'none'"),
        ({"up": ["resize"]}, r"up must be one of resize, transposed, got \['resize'\]"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to 0.9, got 1.0"),
        ({"dropout": float("nan")}, "dropout must be a number from 0 to 0.9, got nan"),
    ],
)
def test_impossible_generators_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        pix2pix.Generator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 1}, "in_channels must be a whole number from 2 to 16, got 1"),
        ({"base_channels": 512}, "base_channels must be a whole number from 4 to 256, got 512"),
        ({"receptive_field": 35}, "receptive_field must be one of 16, 34, 70, 142, 286, got 35"),
        ({"receptive_field": 70.0}, "receptive_field must be one of 16, .* got 70.0"),
        ({"norm": "None"}, "norm must be one of layer, instance, batch, none, got 'None'"),
    ],
)
def test_impossible_discriminators_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        pix2pix.Discriminator(**arguments)


def test_wrong_inputs_are_refused_in_words():
    G, D = tiny(), pix2pix.Discriminator(base_channels=4)
    with pytest.raises(ValueError, match=r"image must be \[N, 3, H, W\], got \[1, 1, 8, 8\]"):
        G(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="multiples of 8, got 12 x 17: 16 x 24 would do"):
        G(torch.zeros(1, 3, 12, 17))
    with pytest.raises(ValueError, match="multiples of 8, got 0 x 8: 8 x 8 would do"):
        G(torch.zeros(1, 3, 0, 8))
    ones = torch.ones(2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"of one size, got \[\[2, 3, 16, 16\], \[2, 3, 8, 16\]\]"):
        D(ones, ones[:, :, :8])
    with pytest.raises(ValueError, match=r"have 6 channels together, got"):
        D(ones[:, :1], ones)
    with pytest.raises(ValueError, match=r"be as many and .* got"):
        D(ones[:1], ones)
    with pytest.raises(ValueError, match="at least 12 pixels a side, got"):
        D(ones[..., :11], ones[..., :11])


@pytest.mark.parametrize("norm", pix2pix.NORMS)
def test_two_steps_change_every_parameter(norm):
    G = tiny(norm=norm)
    D = pix2pix.Discriminator(base_channels=4, receptive_field=16, norm=norm)
    before = [p.detach().clone() for p in [*G.parameters(), *D.parameters()]]
    opt_G, opt_D = (Adam(net.parameters(), 2e-3, betas=(0.5, 0.999)) for net in (G, D))
    source, target = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    for _ in range(2):
        fake = G(source)
        opt_D.zero_grad()
        on_real, on_fake = D(source, target), D(source, fake.detach())
        ((on_real - 1).square().mean() + on_fake.square().mean()).backward()
        opt_D.step()
        opt_G.zero_grad()
        ((D(source, fake) - 1).square().mean() + 100 * F.l1_loss(fake, target)).backward()
        opt_G.step()
    after = [*G.parameters(), *D.parameters()]
    assert all(p.isfinite().all() for p in after)
    assert not any(p.equal(old) for p, old in zip(after, before, strict=True))


@pytest.mark.parametrize("up", pix2pix.UPS)
def test_saved_weights_come_back_equal_and_ready_to_translate(tmp_path, up):
    G = tiny(norm="batch", up=up, dropout=0.25)
    image = torch.randn(2, 3, 16, 16)
    G(image)  # Moves the running statistics off their start.
    G.save_pretrained(tmp_path)
    loaded = pix2pix.Generator.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.config.items() >= {"norm": "batch", "up": up, "dropout": 0.25}.items()
    assert loaded.state_dict().keys() == G.state_dict().keys()
    assert loaded(image).equal(G.eval()(image))


def test_a_training_step_turns_no_large_weight_about():
    size = {"levels": 4, "base_channels": 64, "max_channels": 512}
    G = pix2pix.Generator(norm="instance", up="transposed", **size)
    optimizer = torch.optim.Adam(G.parameters(), fused=True)
    image = torch.rand(1, 3, 32, 32)
    with torch.profiler.profile(record_shapes=True) as profile:
        G(image).square().mean().backward()
        optimizer.step()
    copies = [
        event.input_shapes[0]
        for event in profile.events()
        if event.name == "aten::copy_" and math.prod(event.input_shapes[0]) >= pix2pix.LARGE
    ]
    assert max(weight.numel() for weight in G.parameters()) >= pix2pix.LARGE
    assert copies == []
