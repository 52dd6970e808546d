"""SinGAN: training on one photo."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from genmodels.data import images
from genmodels.models.singan import full as singan_full
from genmodels.models.singan import networks
from genmodels.models.singan import settings as singan_settings
from genmodels.models.singan import training as singan_training
from genmodels.models.singan.settings import OPTIMIZERS
from genmodels.pipelines.pipeline_singan import SinGANPipeline
from tests.support.one_photo import fit, photo, same, tiny_mode
from training import train_singan


@pytest.fixture(autouse=True)
def a_tiny_mode():
    torch.manual_seed(0)
    with tiny_mode():
        yield


@pytest.fixture(scope="module")
def fitted():
    with tiny_mode():
        return fit()


def test_events_tell_where_the_training_is_and_the_last_one_carries_the_pipeline():
    events = list(SinGANPipeline.fit_steps(photo(), mode="tiny", max_size=64))
    sizes = networks.pyramid_sizes(48, 64, max_size=64)
    *going, last = events
    steps = [(event.scale, event.step) for event in going]
    assert steps == sorted(steps)
    assert set(steps) >= {(scale, step) for scale in range(len(sizes)) for step in (1, 2, 3)}
    for event in events:
        assert event.num_scales == len(sizes)
        assert event.steps == 3
        assert all(np.isfinite(value) for value in event.losses.values())
    assert {event.scale for event in going if event.preview} == set(range(len(sizes)))
    assert all(event.preview.size == (64, 48) for event in events if event.preview)
    assert any(event.eta_seconds for event in going)
    assert all(event.pipeline is None for event in going)
    assert last.eta_seconds == 0
    assert last.pipeline.generator.sizes == [tuple(size) for size in sizes]
    assert not last.pipeline.generator.training
    assert last.preview.size == (64, 48)


def test_two_steps_change_every_parameter_of_the_scale_and_none_below():
    photo_01 = singan_training.check_photo(photo())
    training = singan_full.FullTraining(photo_01, singan_settings.Settings(mode="tiny"))
    assert train_scale(training)
    frozen = {k: v.clone() for k, v in training.model.generators[0].state_dict().items()}
    started = training.model.generators[1].state_dict()
    assert all(started[key].equal(value) for key, value in frozen.items())  # The paper's start.
    # All but the offset of the scores, which a difference of scores does not have.
    after = [*training.G.parameters(), *list(training.D.parameters())[:-1]]
    before = [parameter.detach().clone() for parameter in after]
    for _ in range(2):
        list(training.iterate())
        training.end_iteration()
    assert not any(new.equal(old) for new, old in zip(after, before, strict=True))
    kept = training.model.generators[0].state_dict()
    assert all(kept[key].equal(value) for key, value in frozen.items())


def train_scale(training):
    while True:
        list(training.iterate())
        if training.end_iteration():
            training.end_scale()
            return True


def test_every_update_sees_a_picture_of_its_own():
    photo_01 = singan_training.check_photo(photo())
    training = singan_full.FullTraining(photo_01, singan_settings.Settings(mode="tiny"))
    train_scale(training)
    inputs = training._inputs(6, torch.Generator().manual_seed(0))
    assert len(inputs) == 6
    for i, (below, noise) in enumerate(inputs):
        for other_below, other_noise in inputs[:i]:
            assert not torch.allclose(below, other_below, atol=1e-3)
            assert not torch.allclose(noise, other_noise, atol=1e-3)


def test_the_noise_is_a_tenth_of_what_the_reconstruction_from_below_misses(fitted):
    pyramid = fitted.generator
    real = images.to_float(images.from_pil([photo()]))
    assert pyramid.noise_amps[0] == 1
    for scale in range(1, len(pyramid.channels)):
        size = pyramid.sizes[scale]
        missed = pyramid.reconstruct(scale, size) - networks.resize(real, size)
        expected = 0.1 * missed.square().mean().sqrt().item()
        assert pyramid.noise_amps[scale].item() == pytest.approx(expected, rel=1e-4)


def test_training_learns_the_photo():
    start, end = (
        list(SinGANPipeline.fit_steps(photo(32, 25), mode="tiny", max_size=32, epochs=epochs))[-1]
        for epochs in (1, 40)
    )
    assert end.losses["reconstruction"] < start.losses["reconstruction"] / 2


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(fitted):
    torch.manual_seed(9)  # torch's own source has no say.
    assert same(fit(), fitted)
    assert not same(fit(seed=1), fitted)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "asgd"])
def test_stopped_and_resumed_is_the_same_as_never_stopped(optimizer, tmp_path):
    settings = {"mode": "tiny", "max_size": 40, "optimizer": optimizer, "epochs": 4}
    whole = SinGANPipeline.fit(photo(40, 30), **settings)
    for stop in ((0, 2), (1, 1), (1, 3)):
        events = SinGANPipeline.fit_steps(photo(40, 30), **settings, out=tmp_path)
        for event in events:
            if (event.scale, event.step) >= stop:
                break
        events.close()
    resumed = list(SinGANPipeline.fit_steps(photo(40, 30), **settings, out=tmp_path))
    assert min((event.scale, event.step) for event in resumed) >= (1, 3)
    assert same(resumed[-1].pipeline, whole)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]
    (again,) = SinGANPipeline.fit_steps(photo(40, 30), **settings, out=tmp_path)
    assert same(again.pipeline, whole)


def test_closed_in_the_middle_of_an_iteration_it_goes_on_from_the_last_state(tmp_path, monkeypatch):
    monkeypatch.setattr(singan_training, "EVENT_SECONDS", 0)  # An event after every update.
    monkeypatch.setattr(singan_training, "SAVE_SECONDS", 0)
    settings = {"mode": "tiny", "max_size": 32, "epochs": 3}
    whole = SinGANPipeline.fit(photo(32, 25), **settings)
    events = SinGANPipeline.fit_steps(photo(32, 25), **settings, out=tmp_path)
    for _ in range(10):  # One iteration is seven events.
        assert next(events).step <= 1
    events.close()
    assert same(SinGANPipeline.fit(photo(32, 25), **settings, out=tmp_path), whole)


def test_a_folder_of_another_training_or_a_damaged_one_is_refused(tmp_path):
    settings = {"mode": "tiny", "max_size": 32, "epochs": 1}
    SinGANPipeline.fit(photo(32, 25), **settings, out=tmp_path)
    with pytest.raises(ValueError, match="holds another training"):
        SinGANPipeline.fit_steps(photo(32, 25, seed=1), **settings, out=tmp_path)
    with pytest.raises(ValueError, match="holds another training"):
        SinGANPipeline.fit_steps(photo(32, 25), **settings | {"epochs": 2}, out=tmp_path)
    (tensors,) = tmp_path.glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="is damaged"):
        SinGANPipeline.fit_steps(photo(32, 25), **settings, out=tmp_path)


def test_asgd_keeps_the_average_of_the_second_half(tmp_path):
    photo_01 = singan_training.check_photo(photo(32, 25))
    settings = singan_settings.Settings(mode="tiny", optimizer="asgd", max_size=32, epochs=4)
    training = singan_full.FullTraining(photo_01, settings)
    weight = training.G[0].weight
    seen = []
    for _ in range(4):
        list(training.iterate())
        seen.append(weight.detach().clone())
        is_last = training.end_iteration()
    assert is_last
    average = training.opt_G.state[weight]["ax"].clone()
    assert not average.equal(weight)
    assert min(old.min() for old in seen[1:]) <= average.min()
    training.end_scale()
    assert weight.equal(average)
    assert training.G[1].num_batches_tracked == singan_full.NORM_PASSES


def test_the_rate_drops_at_four_fifths():
    photo_01 = singan_training.check_photo(photo(32, 25))
    settings = singan_settings.Settings(mode="tiny", max_size=32, epochs=10)
    training = singan_full.FullTraining(photo_01, settings)
    rates = []
    for step in range(10):
        training.step = step
        training._set_rates()
        rates.append(training.opt_G.param_groups[0]["lr"])
    assert rates == pytest.approx([5e-4] * 8 + [5e-5] * 2)


def test_a_budget_ends_the_training_with_all_scales_in_it():
    events = list(
        SinGANPipeline.fit_steps(
            photo(), mode="tiny", max_size=64, epochs=10_000, budget_seconds=1.5
        )
    )
    model = events[-1].pipeline.generator
    assert len(model.channels) == len(model.sizes)
    assert 4 <= max(event.step for event in events) < 10_000


def test_finished_early_it_publishes_what_it_has_at_full_size():
    finish = threading.Event()
    events = SinGANPipeline.fit_steps(photo(100, 75), mode="tiny", max_size=100, finish=finish)
    for event in events:
        if (event.scale, event.step) == (1, 2):
            finish.set()
    assert event.scale == 1
    pyramid = event.pipeline.generator
    assert 1 <= len(pyramid.channels) <= 2
    assert len(pyramid.sizes) == 5
    assert event.pipeline(1, seed=0).images[0].size == (100, 75)


def test_a_training_that_diverges_says_so(monkeypatch):
    kind, arguments = OPTIMIZERS["sgd"]
    monkeypatch.setitem(OPTIMIZERS, "sgd", (kind, arguments | {"lr": 1e30}))
    with pytest.raises(FloatingPointError, match=r"diverged at scale 0, iteration .*: try adam"):
        fit(optimizer="sgd")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (photo(24, 60), "sides of 25 pixels or more and at most .* got 24x60"),
        (Image.new("RGB", (1, 1)), "sides of 25 pixels or more"),
        (Image.new("RGB", (10_000, 1)), "sides of 25 pixels or more"),
        (Image.new("RGB", (60, 60), (9, 9, 9)), "got a single colour"),
        (Image.new("RGBA", (60, 60)), "got a single colour"),
        (Image.new("L", (60, 60)), "got a single colour"),
        ("photo.jpg", "image must be a PIL image or a uint8 array, got str"),
        (photo(640, 60), "the shorter side must have 25 pixels or more, got 6"),
    ],
)
def test_a_bad_photo_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        SinGANPipeline.fit_steps(image, mode="tiny", max_size=64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "slow"}, "mode must be one of fast, full, .*got 'slow'"),
        ({"optimizer": "rms"}, "optimizer must be one of adam, adamax, .* got 'rms'"),
        ({"max_size": 24}, "max_size must be a whole number from 25 to 400, got 24"),
        ({"max_size": 401}, "max_size must be a whole number from 25 to 400, got 401"),
        ({"max_size": float("nan")}, "max_size must be a whole number from 25 to 400, got nan"),
        ({"epochs": 0}, "epochs must be a whole number from 1 to 10000, got 0"),
        ({"budget_seconds": float("nan")}, "budget_seconds must be a number from 1 to .* got nan"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SinGANPipeline.fit_steps(photo(), **settings)


def test_the_script_trains_saves_and_the_same_command_again_only_reads(tmp_path, capsys):
    photo(40, 30).save(tmp_path / "photo.png")
    config = train_singan.Config(
        data=tmp_path / "photo.png",
        out=tmp_path / "run",
        mode="tiny",
        max_size=40,
        epochs=1,
        num_samples=2,
    )
    first = train_singan.train(config)
    assert "scale 2/2  step 1/1" in capsys.readouterr().out
    assert same(genmodels.load(tmp_path / "run" / "model"), first)
    assert (tmp_path / "run" / "model" / "samples.png").is_file()
    assert same(train_singan.train(config), first)
