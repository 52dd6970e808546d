"""NVAE: its bound, its noise, its conditions, its statistics."""

import math

import pytest
import torch
from torch.optim import Adamax

from genmodels.data import images
from genmodels.models import nvae
from genmodels.nn import logistic, losses
from genmodels.nn.threads import threads_for

TINY = {"resolution": 16, "latents": "4:2x3 8:1x2", "base_channels": 4, "max_channels": 8}
Z_DIM = 2 * 3 * 16 + 2 * 64


@pytest.fixture(autouse=True)
def same_start_and_one_thread():
    torch.manual_seed(0)
    with threads_for(0):
        yield


def tiny(**changes):
    return nvae.NVAE(**(TINY | {"c_dim": 5} | changes))


def photos(count=4, side=16):
    return images.to_float(torch.randint(256, (count, 3, side, side), dtype=torch.uint8))


def learnt(network, steps=2):
    """The network after a few steps on random pictures."""
    optimizer = Adamax(network.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        log_likelihood, kl, _ = network.train().elbo(photos(), torch.randn(4, network.c_dim))
        (kl.sum(1) - log_likelihood).mean().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("resolution", [16, 32, 64])
@pytest.mark.parametrize("latents", ["1:1x8", "4:1x2 8:2x3", "8:1x1 16:1x1"])
def test_an_image_has_the_asked_side_and_each_group_a_kl(resolution, latents):
    size = {"resolution": resolution, "latents": latents, "base_channels": 4, "max_channels": 8}
    with torch.device("meta"):
        network = nvae.NVAE(c_dim=2, **size).eval()
        noise, c = torch.zeros(2, network.z_dim), torch.zeros(2, 2)
        assert network(noise, c, 0.65).shape == (2, 3, resolution, resolution)
        image = torch.zeros(2, 3, resolution, resolution)
        log_likelihood, kl, _ = network.elbo(image, c)
        assert log_likelihood.shape == (2,)
        assert kl.shape == (2, network.num_groups)
        assert network.encode(image, c).shape == noise.shape
    assert sum(network.level_sizes.values()) == network.z_dim


def test_two_steps_change_every_parameter():
    network = learnt(tiny(), steps=1)
    before = {name: value.clone() for name, value in network.named_parameters()}
    learnt(network, steps=2)
    assert [n for n, value in network.named_parameters() if torch.equal(value, before[n])] == []


def test_the_kl_is_zero_where_the_posterior_is_the_prior():
    network = learnt(tiny())
    image, c = photos(), torch.randn(4, 5)
    assert (network.elbo(image, c)[1] > 0).all()
    with torch.no_grad():
        for level in network.levels:
            for group in level.groups:
                group.to_posterior.weight.zero_()
                group.to_posterior.bias.zero_()
    assert network.elbo(image, c)[1].abs().max() < 1e-5


def test_the_kl_is_that_of_two_normal_distributions():
    group = tiny().levels[0].groups[0]
    h, features = torch.randn(2, 1, 8, 4, 4)
    mu, log_sigma = group.prior(h, torch.randn(1, 64))
    shift, log_ratio = group.posterior(h, features)
    prior = torch.distributions.Normal(mu, log_sigma.exp())
    posterior = torch.distributions.Normal(mu + shift, (log_sigma + log_ratio).exp())
    expected = torch.distributions.kl_divergence(posterior, prior)
    found = losses.kl_divergence(shift * (-log_sigma).exp(), log_ratio)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_noise_of_an_image_draws_what_its_posterior_does():
    network = learnt(tiny()).eval()
    image, c = photos(), torch.randn(4, 5)
    parameters, _, noise = network._inferred(image, c, torch.zeros_like)
    torch.testing.assert_close(network(noise, c), logistic.mode(parameters), rtol=0, atol=1e-5)


def test_conditions_reach_the_priors_the_decoder_and_the_encoder():
    network = learnt(tiny()).eval()
    e, other = network.embed(torch.eye(5)[:2]).split(1)
    h, image = torch.randn(1, 8, 4, 4), photos(1)
    group = network.levels[0].groups[0]
    assert not torch.allclose(group.prior(h, e)[0], group.prior(h, other)[0])
    assert not torch.allclose(group.cell(h, e, None), group.cell(h, other, None))
    one, two = (network.encoder(image, x)[4] for x in (e, other))
    assert not torch.allclose(one, two)


def test_without_conditions_none_is_asked_for():
    network = tiny(c_dim=0).eval()
    assert network(torch.randn(2, Z_DIM)).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"c must be \[2, 5\], got None"):
        tiny()(torch.randn(2, Z_DIM))


def test_each_temperature_has_statistics_of_its_own_and_those_between_are_between():
    network = learnt(tiny(), steps=6)
    norm = network.levels[0].groups[0].cell.norm_3
    before = norm.running_var.clone()
    network.calibrate(lambda n, rng: torch.randn(n, 5, generator=rng), passes=4, batch_size=4)
    assert torch.equal(norm.running_var, before)
    variances = norm.at_temperature_running_var
    assert len(variances.unique(dim=0)) == len(nvae.TEMPERATURES)
    network.eval()
    noise, c = 0.7 * torch.randn(1, Z_DIM), torch.randn(1, 5)
    cold, between, hot = (network.decode(noise, c, t) for t in (0.7, 0.75, 0.8))
    assert not torch.allclose(cold, hot)
    assert (between - cold).abs().mean() < (hot - cold).abs().mean()
    alone = tiny()
    alone.load_state_dict(network.state_dict())
    alone.calibrate(lambda n, rng: torch.randn(n, 5, generator=rng), (0.7,), passes=4, batch_size=4)
    assert torch.equal(alone.eval().decode(noise, c, 0.7), cold)


def test_samples_have_about_the_statistics_that_were_found_for_them():
    network = learnt(tiny(), steps=6)
    network.calibrate(lambda n, rng: torch.randn(n, 5, generator=rng), passes=30, batch_size=16)
    seen = []
    norm = network.eval().to_image.norm
    norm.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.no_grad():
        network(0.6 * torch.randn(128, Z_DIM), torch.randn(128, 5), 0.6)
    standard = (seen[0] - norm.bias[:, None, None]) / norm.weight[:, None, None]
    assert standard.mean((0, 2, 3)).abs().max() < 0.2
    assert (standard.std((0, 2, 3)) - 1).abs().max() < 0.2


def test_the_bound_gets_better_on_what_is_learnt():
    network, image, c = tiny(), photos(8), torch.randn(8, 5)
    optimizer = Adamax(network.parameters(), 2e-2)
    bits = []
    for _ in range(40):
        optimizer.zero_grad()
        log_likelihood, kl, _ = network.elbo(image, c)
        loss = logistic.bits_per_dim(kl.sum(1) - log_likelihood, (3, 16, 16)).mean()
        loss.backward()
        optimizer.step()
        bits.append(loss.item())
    assert bits[-1] < bits[0] - 1
    assert all(map(math.isfinite, bits))


@pytest.mark.parametrize(
    "latents",
    ["", "4x2", "8:1x2 4:1x2", "3:1x2", "32:1x2", "4:0x2", "4:99x2", "4:1x2 4:1x2", "4", 4, None],
)
def test_latents_that_cannot_be_are_refused_in_a_sentence(latents):
    with pytest.raises(ValueError, match=r"latents must be like .* got "):
        tiny(latents=latents)


def test_noise_and_images_of_another_shape_are_refused_in_a_sentence():
    network = tiny()
    with pytest.raises(ValueError, match=rf"noise must be \[N, {Z_DIM}\]"):
        network(torch.zeros(2, 3), torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"image must be \[N, \*\(3, 16, 16\)\]"):
        network.elbo(torch.zeros(2, 3, 8, 8), torch.zeros(2, 5))
