"""StyleGAN2: each identity it is built on against brute force, then the networks and sampling."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.optim import Adam

import genmodels
from genmodels.data import images
from genmodels.models import stylegan2
from genmodels.nn import losses
from genmodels.nn.threads import threads_for
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline
from tests import golden

TINY = {"resolution": 16, "base_channels": 4, "max_channels": 8}
SCHEMA = {
    "body": {"values": ["suv", "van"], "counts": [3, 1]},
    "year": {"mean": 2000.0, "std": 5.0, "min": 1990, "max": 2010},
}


@pytest.fixture(autouse=True)
def same_start_and_one_thread():
    torch.manual_seed(0)
    with threads_for(0):
        yield


def tiny(c_dim=0):
    G = stylegan2.Generator(z_dim=8, w_dim=8, c_dim=c_dim, **TINY)
    D = stylegan2.Discriminator(c_dim=c_dim, **TINY)
    golden.stir(G)
    golden.stir(D)
    return G, D


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def grouped(x, weights):
    """One convolution per image: x [N, C, H, W], weights [N, O, C, k, k] -> [N, O, H, W]."""
    n, c, h, w = x.shape
    weights = weights.flatten(0, 1)  # [N * O, C, k, k]
    y = F.conv2d(x.reshape(1, n * c, h, w), weights, padding=weights.shape[-1] // 2, groups=n)
    return y.reshape(n, -1, h, w)


def filtered(x, before, after):
    """The kernel [1, 3, 3, 1] at every place of x, padded with zeros."""
    x = F.pad(x, (before, after, before, after))
    taps = torch.tensor([1, 3, 3, 1], dtype=x.dtype) / 8
    rows = sum(t * x[:, :, i : x.shape[2] - 3 + i] for i, t in enumerate(taps))
    return sum(t * rows[..., i : x.shape[3] - 3 + i] for i, t in enumerate(taps))


def upsampled(x):
    stuffed = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    stuffed[:, :, ::2, ::2] = x
    return 4 * filtered(stuffed, before=2, after=1)


def activated(x):
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def modulated(conv, w, demodulate=True):
    """The per-image weights of the paper's equations 1 and 3."""
    to_style = conv.to_style
    style = w @ to_style.weight.t() / math.sqrt(w.shape[1]) + to_style.bias
    fan_in = conv.weight[0].numel()
    weights = style[:, None, :, None, None] * conv.weight[None] / math.sqrt(fan_in)
    if demodulate:
        weights = weights / (weights.square().sum(dim=[2, 3, 4], keepdim=True) + 1e-8).sqrt()
    return weights


def exact(came, expected):
    torch.testing.assert_close(came, expected, rtol=0, atol=1e-12)


def test_modulating_input_and_output_equals_modulating_each_images_weights():
    conv = stylegan2.ModulatedConv(5, 7, w_dim=4).double()
    golden.stir(conv)
    x, w = torch.randn(3, 5, 6, 4).double(), torch.randn(3, 4).double()
    y, factor = conv(x, w)
    exact(y * factor, grouped(x, modulated(conv, w)))


def test_colours_by_matrix_product_equal_a_1x1_convolution_with_each_images_weights():
    to_image = stylegan2.ToImage(5, 3, w_dim=4).double()
    golden.stir(to_image)
    x, w = torch.randn(3, 5, 6, 4).double(), torch.randn(3, 4).double()
    exact(to_image(x, w), grouped(x, modulated(to_image, w, demodulate=False)))


@pytest.mark.parametrize("noise_mode", ["const", "none"])
@pytest.mark.parametrize("up", [True, False])
def test_a_styled_layer_is_convolution_filter_noise_bias_and_activation(up, noise_mode):
    layer = stylegan2.StyledLayer(5, 7, resolution=8, w_dim=4, up=up).double()
    golden.stir(layer)
    side = 4 if up else 8
    x, w = torch.randn(3, 5, side, side).double(), torch.randn(3, 4).double()
    expected = grouped(x, modulated(layer.conv, w))
    if up:
        expected = upsampled(expected)
    if noise_mode == "const":
        expected = expected + layer.noise_const * layer.noise_strength
    expected = activated(expected + layer.bias[:, None, None])
    exact(layer(x, w, noise_mode), expected)


def test_colours_are_added_to_the_up_sampled_image():
    block = stylegan2.SynthesisBlock(5, 7, resolution=8, w_dim=4, image_channels=3)
    golden.stir(block)
    x, image, ws = torch.randn(2, 5, 4, 4), torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4)
    y, came = block(x, image, ws, "const")
    expected = block.layer(block.up(x, ws[:, 0], "const"), ws[:, 1], "const")
    torch.testing.assert_close(y, expected)
    rgb = (
        grouped(y, modulated(block.to_rgb, ws[:, 2], demodulate=False))
        + block.rgb_bias[:, None, None]
    )
    torch.testing.assert_close(came, upsampled(image) + rgb, rtol=0, atol=1e-5)


def test_a_discriminator_block_is_the_residual_of_filtered_convolutions():
    block = stylegan2.DiscriminatorBlock(5, 7).double()
    golden.stir(block)
    x = torch.randn(2, 5, 8, 8).double()

    def halved(x):
        return filtered(x, before=1, after=1)[:, :, ::2, ::2]

    def conv(layer, x):
        weight = layer.weight / math.sqrt(layer.weight[0].numel())
        return F.conv2d(x, weight, layer.bias, padding=layer.weight.shape[-1] // 2)

    main = activated(conv(block.down, halved(activated(conv(block.conv, x)))))
    shortcut = conv(block.skip, halved(x))
    exact(block(x), (main + shortcut) / math.sqrt(2))


@pytest.mark.parametrize(("batch", "group_size", "group"), [(8, 4, 4), (6, 4, 2), (5, 4, 1)])
def test_minibatch_deviation_is_each_groups_mean_deviation(batch, group_size, group):
    x = torch.randn(batch, 3, 4, 4).double()
    came = stylegan2._minibatch_deviation(x, group_size)
    assert came.shape == (batch, 1, 4, 4)
    for start in range(0, batch, group):
        members = range(start, start + group)
        mean = sum(x[i] for i in members) / group
        deviation = (sum((x[i] - mean) ** 2 for i in members) / group + 1e-8).sqrt().mean()
        exact(came[start : start + group], deviation.expand(group, 1, 4, 4))


def test_logits_do_not_depend_on_how_whole_groups_come_in_batches():
    _, D = tiny()
    image = torch.randn(8, 3, 16, 16)
    torch.testing.assert_close(D(image), torch.cat([D(image[:4]), D(image[4:])]))
    assert not D(image).allclose(torch.cat([D(image[:2]), D(image[2:])]))


def test_equalised_layers_start_with_unit_variance():
    w = torch.randn(64, 128)
    assert stylegan2.Linear(128, 256)(w).std().item() == pytest.approx(1, rel=0.05)
    slow = stylegan2.Linear(128, 256, lr_multiplier=0.01)
    assert slow(w).std().item() == pytest.approx(1, rel=0.05)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.05)
    x = torch.randn(8, 32, 16, 16)
    inside = stylegan2.Conv(32, 64, 3)(x)[..., 1:-1, 1:-1]
    assert inside.std().item() == pytest.approx(1, rel=0.05)
    y, factor = stylegan2.ModulatedConv(32, 64, w_dim=128)(x, w[:8])
    assert (y * factor)[..., 1:-1, 1:-1].std().item() == pytest.approx(1, rel=0.05)


def test_fresh_networks_keep_the_size_of_their_signal():
    G = stylegan2.Generator(resolution=32, base_channels=16, max_channels=32)
    D = stylegan2.Discriminator(resolution=32, base_channels=16, max_channels=32)
    w = G.mapping(torch.randn(256, 128))
    assert 0.5 < w.std().item() < 1.5
    image = G.synthesis(G.broadcast(w[:32]))
    assert 0.5 < image.std().item() < 5
    assert D(torch.randn(32, 3, 32, 32)).abs().mean().item() < 5


def test_each_row_of_ws_styles_its_own_layer_and_what_follows():
    G, _ = tiny()
    layers = [m for block in G.blocks for m in (block.up, block.layer) if m is not None]
    colours = [block.to_rgb for block in G.blocks]
    seen = {}
    for module in [*layers, *colours]:
        module.register_forward_hook(lambda m, _, out: seen.__setitem__(m, out))
    ws = torch.randn(1, G.num_ws, 8)
    assert G.num_ws == 2 * math.log2(16) - 2 == len(layers) + 1

    def run(ws):
        G.synthesis(ws)
        return [seen[m] for m in layers], [seen[m][0] for m in colours]

    plain, plain_rgb = run(ws)
    for k in range(G.num_ws):
        changed = ws.clone()
        changed[:, k] += 1
        came, came_rgb = run(changed)
        same = [a.equal(b) for a, b in zip(came, plain, strict=True)]
        assert same == [layer < k for layer in range(len(layers))]
        # The colours of block i share row 2i + 1 with the next block's first layer.
        same_rgb = [a.equal(b) for a, b in zip(came_rgb, plain_rgb, strict=True)]
        assert same_rgb == [2 * i + 1 < k for i in range(len(colours))]


def test_mapping_ignores_the_length_of_z_and_heeds_the_condition():
    G, _ = tiny(c_dim=3)
    z, c = torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 0]]
    torch.testing.assert_close(G.mapping(z, c), G.mapping(5 * z, c))
    assert not G(z, c).allclose(G(z, c.roll(1, dims=0)))


def test_the_mean_style_is_the_mean_and_each_conditions_own():
    G, _ = tiny(c_dim=3)
    c = torch.eye(3)
    averages = G.w_avg(c)
    assert averages.shape == (3, 8)
    assert averages[1:2].equal(G.w_avg(c[1:2]))
    w = G.mapping(torch.randn(20_000, 8), c[1:2].expand(20_000, -1))
    assert (averages[1] - w.mean(0)).abs().max() < 5 * w.std(0).max() / math.sqrt(1024)
    assert not averages[0].allclose(averages[1])
    assert tiny()[0].w_avg().shape == (1, 8)


def test_the_condition_weight_fades_the_condition_into_the_logit():
    _, D = tiny(c_dim=3)
    image, c = torch.randn(4, 3, 16, 16), torch.eye(3)[[0, 1, 2, 0]]
    other = c.roll(1, dims=0)
    assert not D(image, c).allclose(D(image, other))
    assert D(image, c, c_weight=0).equal(D(image, other, c_weight=0))
    halfway = (D(image, c) + D(image, c, c_weight=0)) / 2
    torch.testing.assert_close(D(image, c, c_weight=0.5), halfway)


def test_noise_modes_do_what_they_say():
    G, _ = tiny()
    z = torch.randn(2, 8)
    assert G(z, noise_mode="const").equal(G(z, noise_mode="const"))
    assert not G(z, noise_mode="random").allclose(G(z, noise_mode="random"))
    none = G(z, noise_mode="none")
    assert not none.allclose(G(z, noise_mode="const"))
    for name, buffer in G.named_buffers():
        assert name.endswith("noise_const")
        buffer.zero_()
    torch.testing.assert_close(G(z, noise_mode="const"), none)


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512])
def test_an_image_has_the_asked_side_and_one_logit(resolution):
    size = {"resolution": resolution, "base_channels": 1, "max_channels": 4, "c_dim": 5}
    G, D = stylegan2.Generator(z_dim=8, w_dim=8, **size), stylegan2.Discriminator(**size)
    c = torch.zeros(2, 5)
    with torch.no_grad():
        image = G(torch.randn(2, 8), c)
        assert image.shape == (2, 3, resolution, resolution)
        assert D(image, c).shape == (2,)
    assert G.num_ws == 2 * math.log2(resolution) - 2


@pytest.mark.parametrize(
    ("resolution", "channels"),
    [
        (32, [256, 128, 64, 32]),
        (128, [256, 256, 256, 128, 64, 32]),
        (512, [256, 256, 256, 256, 256, 128, 64, 32]),
    ],
)
def test_channels_double_at_every_halving_up_to_the_ceiling(resolution, channels):
    with torch.device("meta"):
        G, D = stylegan2.Generator(resolution), stylegan2.Discriminator(resolution)
    assert [block.layer.bias.numel() for block in G.blocks] == channels
    assert [block.conv.bias.numel() for block in D.blocks] == channels[:0:-1]


def test_bfloat16_stays_close_to_float32():
    G, D = tiny(c_dim=3)
    z, c = torch.randn(8, 8), torch.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]]
    image, logits = G(z, c), D(G(z, c), c)
    with torch.autocast("cpu", torch.bfloat16):
        image_16 = G(z, c)
        logits_16 = D(image, c)
    assert image_16.dtype == logits_16.dtype == torch.float32
    assert not image_16.equal(image)
    assert (image_16 - image).std() < 0.02 * image.std()
    assert (logits_16 - logits).std() < 0.05 * logits.std()


def test_golden_images_and_logits():
    G, D = tiny(c_dim=3)
    assert num_parameters(G) + num_parameters(D) < 20_000
    z, c = torch.randn(4, 8), torch.randn(4, 3)
    image = G(z, c)
    tensors = {"image": image, "logits": D(image, c), "w_avg": G.w_avg(c)}
    golden.check("stylegan2", tensors)


def test_two_steps_change_every_parameter():
    G, D = tiny(c_dim=3)
    before = [p.detach().clone() for p in [*G.parameters(), *D.parameters()]]
    opt_G, opt_D = (Adam(net.parameters(), 2e-3, betas=(0.0, 0.99)) for net in (G, D))
    c = torch.eye(3)[[0, 1, 2, 0]]
    for _ in range(2):
        real = (torch.rand(4, 3, 16, 16) * 2 - 1).requires_grad_()
        fake = G(torch.randn(4, 8), c, noise_mode="random")
        real_logits = D(real, c)
        loss_D = losses.bce_d(real_logits, D(fake.detach(), c))
        opt_D.zero_grad()
        (loss_D + losses.r1_penalty(real_logits, real)).backward()
        opt_D.step()
        opt_G.zero_grad()
        losses.non_saturating_g(D(fake, c)).backward()
        opt_G.step()
    after = [*G.parameters(), *D.parameters()]
    assert all(p.isfinite().all() for p in after)
    assert not any(p.equal(old) for p, old in zip(after, before, strict=True))


def test_path_length_has_gradients_in_every_synthesis_weight():
    G, _ = tiny()
    ws = G.broadcast(G.mapping(torch.randn(2, 8)))
    image = G.synthesis(ws)
    losses.path_length(image, ws, torch.randn_like(image)).square().mean().backward()
    assert all(block.layer.conv.weight.grad.ne(0).any() for block in G.blocks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 48}, "resolution must be a power of two, 8 to 512, got 48"),
        ({"resolution": 1024}, "resolution must be a power of two, 8 to 512, got 1024"),
        ({"c_dim": -1}, "c_dim must be a whole number from 0 to 1024, got -1"),
        ({"image_channels": 5}, "image_channels must be a whole number from 1 to 4, got 5"),
        ({"base_channels": 0}, "base_channels must be a whole number from 1 to 512, got 0"),
        ({"max_channels": 16}, "max_channels must be a whole number from 32 to 1024, got 16"),
    ],
)
@pytest.mark.parametrize("network", [stylegan2.Generator, stylegan2.Discriminator])
def test_impossible_sizes_are_refused(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(**arguments)


@pytest.mark.parametrize("name", ["z_dim", "w_dim", "mapping_layers"])
def test_impossible_latents_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 to .*, got 0"):
        stylegan2.Generator(**{name: 0})


def test_wrong_inputs_are_refused_in_words():
    G, D = tiny(c_dim=3)
    z, c, image = torch.zeros(2, 8), torch.zeros(2, 3), torch.zeros(2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"z must be \[N, 8\], got \[2, 7\]"):
        G(z[:, 1:], c)
    with pytest.raises(ValueError, match=r"c must be \[2, 3\], got \[2, 0\]"):
        G(z)
    with pytest.raises(ValueError, match=r"ws must be \[N, 6, 8\], got \[2, 8\]"):
        G.synthesis(z)
    with pytest.raises(ValueError, match='noise_mode must be "const", "random" or "none", got 0'):
        G(z, c, noise_mode=0)
    with pytest.raises(ValueError, match=r"image must be \[N, \*\(3, 16, 16\)\], got \[2, 3, 15"):
        D(image[:, :, 1:], c)
    with pytest.raises(ValueError, match=r"c must be \[2, 3\], got None"):
        D(image)
    with pytest.raises(ValueError, match=r"c must be \[2, 3\], got \[2, 2\]"):
        D(image, c[:, 1:])


def drawn(pipeline, **arguments):
    return [image.tobytes() for image in pipeline(**arguments).images]


def test_a_seed_gives_the_same_picture_whatever_its_batch():
    pipeline = StyleGAN2Pipeline(tiny(c_dim=3)[0], SCHEMA)
    many = drawn(pipeline, num_images=4, seed=7)
    assert many == [drawn(pipeline, num_images=1, seed=7 + i)[0] for i in range(4)]
    assert len(set(many)) == 4


def test_full_truncation_gives_one_picture_per_condition_and_none_the_plain_network():
    G = tiny(c_dim=3)[0]
    pipeline = StyleGAN2Pipeline(G, SCHEMA)
    suv, van = ({"body": body, "year": 2005} for body in ("suv", "van"))
    average = drawn(pipeline, num_images=3, seed=1, truncation_psi=0, condition=suv)
    assert len(set(average)) == 1
    assert average[:1] != drawn(pipeline, seed=1, truncation_psi=0, condition=van)
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    (plain,) = images.to_pil(G(z, torch.tensor([[1.0, 0.0, 1.0]])).detach())
    assert drawn(pipeline, seed=1, truncation_psi=1, condition=suv) == [plain.tobytes()]


def test_a_condition_is_heeded_and_the_rest_of_it_drawn_and_told():
    pipeline = StyleGAN2Pipeline(tiny(c_dim=3)[0], SCHEMA)
    out = pipeline(8, seed=0, condition={"body": "van"})
    told = [recipe["settings"]["condition"] for recipe in out.recipes]
    assert {condition["body"] for condition in told} == {"van"}
    assert len({condition["year"] for condition in told}) == 8
    again = pipeline(1, seed=3, condition=told[3]).images[0]
    assert again.tobytes() == out.images[3].tobytes()


def test_saved_weights_and_conditions_come_back_equal(tmp_path):
    G, _ = tiny(c_dim=3)
    pipeline = StyleGAN2Pipeline(G, SCHEMA)
    pipeline.save_pretrained(tmp_path)
    loaded = genmodels.load(tmp_path)
    assert isinstance(loaded, StyleGAN2Pipeline)
    assert loaded.schema == SCHEMA
    assert loaded.generator.config.items() <= G.config.items()
    assert loaded.generator.num_ws == G.num_ws
    state = loaded.generator.state_dict()
    assert state.keys() == G.state_dict().keys()
    assert all(state[key].equal(tensor) for key, tensor in G.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "num_images must be a whole number from 1 to 256, got 0"),
        ({"seed": 2**63}, "seed must be a whole number from 0 to"),
        ({"truncation_psi": 3}, "truncation_psi must be a number from -1 to 2, got 3"),
        ({"truncation_psi": math.nan}, "truncation_psi must be a number from -1 to 2, got nan"),
        ({"noise_mode": "random"}, 'noise_mode must be "const" or "none", got \'random\''),
        ({"condition": {"colour": "red"}}, r"unknown condition \['colour'\]"),
        ({"condition": {"body": "boat"}}, "'body' must be one of 'suv', 'van', got 'boat'"),
        ({"condition": ["van"]}, r"condition must be a dict .* got \['van'\]"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StyleGAN2Pipeline(tiny(c_dim=3)[0], SCHEMA)(**arguments)


def test_conditions_must_describe_the_networks_condition():
    with pytest.raises(ValueError, match="conditions must describe c_dim = 3 numbers, got 0"):
        StyleGAN2Pipeline(tiny(c_dim=3)[0])
    with pytest.raises(ValueError, match="conditions must describe c_dim = 0 numbers, got 3"):
        StyleGAN2Pipeline(tiny()[0], SCHEMA)


def test_a_grown_network_draws_what_the_smaller_one_did_enlarged():
    torch.manual_seed(0)
    small = stylegan2.Generator(16, 8, 8, c_dim=2, base_channels=4, max_channels=8)
    large = stylegan2.Generator(32, 8, 8, c_dim=2, base_channels=2, max_channels=8)
    large.start_from(small)
    z, c = torch.randn(3, 8), torch.randn(3, 2)
    torch.testing.assert_close(
        large(z, c, "none"), stylegan2.upsample2x(small(z, c, "none")), rtol=0, atol=1e-6
    )
    loss = large(z, c).square().sum()
    loss.backward()
    assert large.blocks[-1].to_rgb.weight.grad.abs().max() > 0  # It can learn to add its own.


@pytest.mark.parametrize(("before", "after"), [(2, 5), (0, 3), (3, 0)])
def test_a_network_with_other_conditions_draws_the_same_without_any(before, after):
    torch.manual_seed(0)
    parent = stylegan2.Generator(16, 8, 8, c_dim=before, base_channels=4, max_channels=8)
    child = stylegan2.Generator(16, 8, 8, c_dim=after, base_channels=4, max_channels=8)
    if before and after:  # What it has learnt to add where nothing is asked.
        parent.mapping_network.embed.bias.data.normal_()
    child.start_from(parent)
    z = torch.randn(3, 8)
    if not after:  # What meets its condition is lost with it.
        first = parent.mapping_network.layers[0].weight.data[:, :8]
        assert torch.allclose(child.mapping_network.layers[0].weight, first / 2**0.5)
        return
    images = [net(z, torch.zeros(3, net.config.c_dim), "none") for net in (parent, child)]
    torch.testing.assert_close(*images, rtol=0, atol=1e-5)
    other = child(z, torch.ones(3, after), "none")
    assert (other - images[1]).abs().max() > 1e-3  # And it hears its own condition.


def test_a_discriminator_with_other_conditions_keeps_all_that_sees_the_image():
    torch.manual_seed(0)
    parent = stylegan2.Discriminator(16, 2, base_channels=4, max_channels=8)
    child = stylegan2.Discriminator(16, 5, base_channels=4, max_channels=8)
    child.start_from(parent)
    x = torch.randn(2, 3, 16, 16)
    plain = [net(x, torch.zeros(2, net.config.c_dim), 0.0) for net in (parent, child)]
    torch.testing.assert_close(*plain)


def test_a_grown_discriminator_keeps_all_but_its_first_layers():
    torch.manual_seed(0)
    small = stylegan2.Discriminator(16, 2, base_channels=4, max_channels=8)
    large = stylegan2.Discriminator(32, 2, base_channels=2, max_channels=8)
    large.start_from(small)
    x = torch.randn(2, 4, 16, 16)
    assert torch.equal(large.blocks[1](x), small.blocks[0](x))
    assert torch.equal(large.linear.weight, small.linear.weight)
    with pytest.raises(ValueError, match="must be"):
        stylegan2.Discriminator(32, 2, base_channels=8, max_channels=64).start_from(small)
