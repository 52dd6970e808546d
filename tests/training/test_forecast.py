"""The forecast disturbs nothing and says something finite."""

import math
from functools import partial

import pytest
import torch

from genmodels.models import dcgan, stylegan2
from training.runs import forecast as module
from training.runs import gan
from training.runs.forecast import forecast, take_fastest_threads


@pytest.fixture(autouse=True)
def short_probe(monkeypatch):
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)


def networks(family):
    """G, D and one update of a tiny model in training mode."""
    torch.manual_seed(0)
    size = {"base_channels": 4, "max_channels": 8}
    z = torch.randn(4, 8)
    if family == "dcgan":
        update = partial(gan.update, (z,))
        return dcgan.Generator(16, 8, **size), dcgan.Discriminator(16, **size), update
    G = stylegan2.Generator(16, 8, 8, c_dim=2, **size)
    update = partial(gan.update, (z, torch.eye(2).repeat(2, 1)))
    return G, stylegan2.Discriminator(16, 2, **size), update


def estimated(family, **changes):
    G, D, update = networks(family)
    counts = {"images_per_update": 4, "images_left": 1000, "images_at_end": 1000} | changes
    return forecast(update, G, D, expectations=gan.EXPECTATIONS, **counts)


@pytest.mark.parametrize("family", ["dcgan", "stylegan2"])
def test_networks_and_random_numbers_are_as_before(family):
    G, D, update = networks(family)
    before = {
        k: v.clone() for n in (G, D) for k, v in n.state_dict(prefix=type(n).__name__).items()
    }
    rng = torch.get_rng_state()
    forecast(update, G, D, images_per_update=4, images_left=100, images_at_end=100)
    after = {k: v for n in (G, D) for k, v in n.state_dict(prefix=type(n).__name__).items()}
    assert [key for key in before if not torch.equal(before[key], after[key])] == []
    assert torch.equal(rng, torch.get_rng_state())
    assert all(p.grad is None and p.requires_grad for n in (G, D) for p in n.parameters())
    assert G.training and D.training


def test_figures_are_finite_and_scale_with_the_work():
    estimate = estimated("stylegan2", images_at_end=10_000)
    for figure in (estimate.images_per_second, estimate.seconds, estimate.memory_gib):
        assert math.isfinite(figure)
        assert figure > 0
    assert estimate.seconds == pytest.approx(1000 / estimate.images_per_second)
    assert estimate.memory_gib < 64


def test_processes_share_the_work():
    one, many = (estimated("dcgan", images_per_update=4 * n) for n in (1, 1000))
    assert many.images_per_second > 10 * one.images_per_second


def test_more_images_promise_more():
    limits = [limit for limit, _ in gan.EXPECTATIONS]
    assert limits == sorted(set(limits))
    assert limits[-1] == math.inf  # Every run lies in some band.
    counts = [0, *(limit for limit in limits[:-1]), 10**9]
    bands = [estimated("dcgan", images_left=1, images_at_end=n).expectation for n in counts]
    texts = [text for _, text in gan.EXPECTATIONS]
    assert bands[0] == texts[0]
    assert bands[1:-1] == texts[1:]  # A limit belongs to the next band.
    assert bands[-1] == texts[-1]


def test_the_line_gives_pace_time_memory_and_expectation():
    line = str(module.Forecast(12.4, 3 * 3600 + 90, 1.25, "silhouettes"))
    assert line == "forecast: 12 images/s, 3:02 h, 1.2 GiB per process; expect silhouettes"


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Slow(torch.nn.Linear):
    """Slower on so many threads than on any other number."""

    def __init__(self, threads):
        super().__init__(8, 8)
        self.threads = threads

    def forward(self, x):
        for _ in range(200 if torch.get_num_threads() == self.threads else 0):
            x = super().forward(x)
        return super().forward(x)


@pytest.mark.parametrize(("slow", "taken"), [(2, 1), (1, 2)])
def test_the_faster_number_of_threads_is_taken_and_told(two_threads, slow, taken):
    told = take_fastest_threads(Slow(slow), [torch.randn(4, 8)])
    assert torch.get_num_threads() == taken
    assert told.startswith(f"threads: {taken}, ")
    assert f"--threads {taken}" in told


def test_trying_threads_changes_nothing_of_the_run(two_threads):
    _, D, _ = networks("dcgan")
    D.add_module("extra", torch.nn.Dropout(0.5))
    before = {key: value.clone() for key, value in D.state_dict().items()}
    rng = torch.get_rng_state()
    take_fastest_threads(D, [torch.randn(4, 3, 16, 16, generator=torch.Generator())])
    assert all(torch.equal(value, before[key]) for key, value in D.state_dict().items())
    assert torch.equal(rng, torch.get_rng_state())
    assert all(p.grad is None for p in D.parameters())


class Regressor(torch.nn.Linear):
    """Neither a generator nor a discriminator."""

    def __init__(self):
        super().__init__(8, 1)


def test_a_family_of_one_network_without_latents_is_forecast_too():
    network, images = Regressor(), torch.randn(4, 8)
    estimate = forecast(
        lambda copied: copied(images).square().mean().backward(),
        network,
        images_per_update=4,
        images_left=1000,
        images_at_end=1000,
    )
    assert estimate.seconds == pytest.approx(1000 / estimate.images_per_second)
    assert "expect" not in str(estimate)
    assert network.weight.grad is None
