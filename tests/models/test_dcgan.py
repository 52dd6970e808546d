"""DCGAN: the networks, their published figures, and sampling."""

import pytest
import torch
from torch import nn
from torch.optim import Adam

import genmodels
from genmodels.data import images
from genmodels.models import dcgan
from genmodels.nn import losses
from genmodels.nn.threads import threads_for
from genmodels.pipelines import sampling
from genmodels.pipelines.pipeline_dcgan import DCGANPipeline
from tests import golden

TINY = {"resolution": 16, "base_channels": 4, "max_channels": 8}


@pytest.fixture(autouse=True)
def same_start_and_one_thread():
    torch.manual_seed(0)
    with threads_for(0):
        yield


def tiny():
    return dcgan.Generator(z_dim=8, **TINY), dcgan.Discriminator(**TINY)


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256, 512])
@pytest.mark.parametrize("image_channels", [1, 3])
def test_an_image_has_the_asked_side_and_one_logit(resolution, image_channels):
    size = {"resolution": resolution, "image_channels": image_channels, "base_channels": 8}
    with torch.device("meta"):
        G, D = dcgan.Generator(z_dim=5, **size), dcgan.Discriminator(**size)
        image = G(torch.zeros(2, 5))
        assert image.shape == (2, image_channels, resolution, resolution)
        assert D(image).shape == (2,)


def test_the_64_px_networks_have_the_published_number_of_parameters():
    with torch.device("meta"):
        G, D = dcgan.Generator(), dcgan.Discriminator()
    # 3.58 M and 2.77 M. Theirs without the biases that we keep: 3 colours; 64 channels, 1 logit.
    assert num_parameters(G) == 3_576_704 + 3
    assert num_parameters(D) == 2_765_568 + 64 + 1


def test_the_64_px_channels_are_the_published_ones():
    with torch.device("meta"):
        G = dcgan.Generator()
    convolutions = [m for m in G.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.in_channels for m in convolutions] == [100, 512, 256, 128, 64]


def test_a_ceiling_holds_the_channels_of_large_images():
    with torch.device("meta"):
        D = dcgan.Discriminator(resolution=256, base_channels=32, max_channels=128)
    convolutions = [m for m in D.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [32, 64, 128, 128, 128, 128, 1]


def test_weights_start_as_in_the_paper():
    G, D = dcgan.Generator(), dcgan.Discriminator()
    for module in [*G.modules(), *D.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.weight.mean().item() == pytest.approx(0, abs=3e-3)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert module.bias is None or module.bias.eq(0).all()
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.35)
            assert module.bias.eq(0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 48}, "resolution must be a power of two, 16 to 512, got 48"),
        ({"resolution": 8}, "resolution must be a power of two, 16 to 512, got 8"),
        ({"resolution": 64.0}, "resolution must be a power of two, 16 to 512, got 64.0"),
        ({"image_channels": 0}, "image_channels must be a whole number from 1 to 4, got 0"),
        ({"base_channels": 10**9}, "base_channels must be a whole number from 1 to 512"),
        ({"max_channels": 32}, "max_channels must be a whole number from 64 to 4096, got 32"),
    ],
)
@pytest.mark.parametrize("network", [dcgan.Generator, dcgan.Discriminator])
def test_impossible_sizes_are_refused(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(**arguments)


def test_wrong_inputs_are_refused_in_words():
    G, D = tiny()
    with pytest.raises(ValueError, match=r"z must be \[N, 8\], got \[2, 7\]"):
        G(torch.zeros(2, 7))
    with pytest.raises(ValueError, match=r"image must be \[N, \*\(3, 16, 16\)\], got \[2, 3, 8, 8"):
        D(torch.zeros(2, 3, 8, 8))


def test_golden_images_and_logits():
    G, D = tiny()
    assert num_parameters(G) + num_parameters(D) < 20_000
    golden.stir(G)
    golden.stir(D)
    z = torch.randn(3, 8)
    image = G(z)  # In training mode, by the batch's own statistics ...
    tensors = {"image": image, "logits": D(image)}
    tensors["image_eval"] = G.eval()(z)  # ... and by the running ones.
    golden.check("dcgan", tensors)


def test_two_steps_change_every_parameter():
    G, D = tiny()
    before = [p.detach().clone() for p in [*G.parameters(), *D.parameters()]]
    opt_G, opt_D = (Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (G, D))
    real = torch.rand(4, 3, 16, 16) * 2 - 1
    for _ in range(2):
        fake = G(torch.randn(4, 8))
        opt_D.zero_grad()
        losses.bce_d(D(real), D(fake.detach())).backward()
        opt_D.step()
        opt_G.zero_grad()
        losses.non_saturating_g(D(fake)).backward()
        opt_G.step()
    after = [*G.parameters(), *D.parameters()]
    assert all(p.isfinite().all() for p in after)
    assert not any(p.equal(old) for p, old in zip(after, before, strict=True))


def test_saved_weights_come_back_equal_and_ready_to_sample(tmp_path):
    G, _ = tiny()
    G(torch.randn(8, 8))  # Moves the running statistics off their start.
    DCGANPipeline(G).save_pretrained(tmp_path)
    loaded = genmodels.load(tmp_path)
    assert isinstance(loaded, DCGANPipeline)
    assert not loaded.generator.training
    state = loaded.generator.state_dict()
    assert state.keys() == G.state_dict().keys()
    assert all(state[key].equal(tensor) for key, tensor in G.state_dict().items())


def test_a_seed_gives_the_same_picture_whatever_its_batch():
    pipeline = DCGANPipeline(tiny()[0])
    many = pipeline(4, seed=7).images
    assert [image.tobytes() for image in many] == [
        pipeline(1, seed=7 + i).images[0].tobytes() for i in range(4)
    ]
    assert len({image.tobytes() for image in many}) == 4


def test_a_picture_is_the_generators_output():
    G, _ = tiny()
    G(torch.randn(8, 8))  # Moves the running statistics off their start.
    assert G.training
    (image,) = DCGANPipeline(G)(1, seed=3).images
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(3))
    (expected,) = images.to_pil(G.eval()(z).detach())
    assert image.size == (16, 16)
    assert image.tobytes() == expected.tobytes()


def test_without_a_seed_one_is_drawn_and_told():
    pipeline = DCGANPipeline(tiny()[0])
    out = pipeline(2)
    first, second = (recipe["seed"] for recipe in out.recipes)
    assert second == first + 1
    assert pipeline(1, seed=first).images[0].tobytes() == out.images[0].tobytes()


def test_a_variation_starts_at_the_picture_and_ends_at_the_other():
    pipeline = DCGANPipeline(tiny()[0])
    (one,), (other,) = pipeline(1, seed=4).images, pipeline(1, seed=9).images
    for strength, expected in ((0, one), (1, other)):
        (varied,) = pipeline(1, seed=4, variation_seed=9, variation_strength=strength).images
        assert varied.tobytes() == expected.tobytes()
    (between,) = pipeline(1, seed=4, variation_seed=9, variation_strength=0.5).images
    assert between.tobytes() not in (one.tobytes(), other.tobytes())


def test_variations_differ_from_each_other_and_are_the_same_next_time():
    pipeline = DCGANPipeline(tiny()[0])
    varied = [image.tobytes() for image in pipeline.vary(seed=4, strength=0.5, num_images=3).images]
    assert len(set(varied)) == 3
    again = pipeline.vary(seed=4, strength=0.5, num_images=3).images
    assert [image.tobytes() for image in again] == varied


def test_an_interpolation_passes_through_its_pictures():
    pipeline = DCGANPipeline(tiny()[0])
    film = pipeline.interpolate(seeds=[1, 2, 3], frames=4).images
    assert len(film) == 9
    for frame, seed in ((0, 1), (4, 2), (8, 3)):
        assert film[frame].tobytes() == pipeline(1, seed=seed).images[0].tobytes()


def test_a_film_passes_through_any_pictures(tmp_path):
    DCGANPipeline(tiny()[0]).save_pretrained(tmp_path)
    pipeline = genmodels.load(tmp_path)
    stops = [pipeline.vary(seed=1, num_images=1), pipeline(1, seed=2)]
    film = pipeline.interpolate(recipes=[stop.recipes[0] for stop in stops], frames=4).images
    for frame, stop in zip((film[0], film[4]), stops, strict=True):
        assert frame.tobytes() == stop.images[0].tobytes()
    assert len({frame.tobytes() for frame in film}) == 5


def test_latents_on_the_way_are_as_long_as_others():
    a, b = sampling.draw(1, 512), sampling.draw(2, 512)
    for strength in (0, 0.25, 0.5, 0.75, 1):
        assert sampling.walk(a, b, strength).norm() == pytest.approx(512**0.5, rel=0.1)


def test_a_picture_on_the_way_has_a_recipe_that_replays_and_a_plain_one_no_more_than_before(
    tmp_path,
):
    DCGANPipeline(tiny()[0]).save_pretrained(tmp_path)
    pipeline = genmodels.load(tmp_path)
    film = pipeline.interpolate(seeds=[1, 2], frames=3)
    assert genmodels.replay(film.recipes[1], model=tmp_path).tobytes() == film.images[1].tobytes()
    assert film.recipes[1]["settings"] == {"variation_seed": 2, "variation_strength": 1 / 3}
    assert pipeline(1, seed=1).recipes[0]["settings"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "num_images must be a whole number from 1 to 256, got 0"),
        ({"num_images": 257}, "num_images must be a whole number from 1 to 256, got 257"),
        ({"num_images": 2.0}, "num_images must be a whole number from 1 to 256, got 2.0"),
        ({"seed": -1}, "seed must be a whole number from 0 to .*, got -1"),
        ({"seed": True}, "seed must be a whole number from 0 to .*, got True"),
        ({"variation_seed": -1}, "variation_seed must be a whole number from 0 to .*, got -1"),
        ({"variation_strength": 1.1}, "variation_strength must be a number from 0 to 1, got 1.1"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DCGANPipeline(tiny()[0])(**arguments)


def test_diverged_weights_give_an_error_and_no_picture():
    G, _ = tiny()
    nn.init.constant_(G.to_image.weight, torch.nan)
    with pytest.raises(ValueError, match="the network that made them diverged"):
        DCGANPipeline(G)(1, seed=0)
