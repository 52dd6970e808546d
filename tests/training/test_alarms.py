"""Alarms of a run: where they are told, and that a resumed run tells the same."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genmodels.doctor import training as doctor
from tests.support import tiny_training
from training import train_dcgan, train_stylegan2
from training.runs import gan
from training.runs.alarms import AlarmRecord
from training.runs.run import read_log

SCRIPTS = {
    "dcgan": (train_dcgan, tiny_training.DCGAN),
    "stylegan2": (train_stylegan2, tiny_training.STYLEGAN2),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    return {
        "data": str(tiny_training.photographs(root / "train", 40)),
        "held_out": str(tiny_training.photographs(root / "held_out", 32, seed=1)),
    }


@pytest.fixture(autouse=True)
def quick_on_the_cpu(monkeypatch):
    """Anything is an alarm: a window of two lines, and thresholds that all figures are beyond."""
    low = dict.fromkeys(("r_t", "held_out_gap", "leak", "leak_coverage"), -10.0) | {
        "window_images": 16.0,
        "young_images": 0.0,
    }
    for name, value in low.items():
        monkeypatch.setitem(doctor.THRESHOLDS, name, doctor.Threshold(value, "for this test"))
    with tiny_training.quick_on_the_cpu():
        yield


def train(family, photos, out, **changes):
    script, settings = SCRIPTS[family]
    script.train(script.Config(out=out, **(photos | settings | {"snapshot_images": 16} | changes)))


def alarms(out):
    return [json.loads(line) for line in (out / "alarms.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("family", SCRIPTS)
def test_alarms_are_in_the_output_the_log_the_folder_tensorboard_and_the_card(
    family, photos, tmp_path, capsys
):
    train(family, photos, tmp_path, steps=4)
    found = alarms(tmp_path)
    assert {"overfitting", "augmentation_leak"} <= {alarm["kind"] for alarm in found}
    assert {"r_t"} in [set(alarm["evidence"]) for alarm in found]
    assert {"held_out_gap"} in [set(alarm["evidence"]) for alarm in found]
    assert capsys.readouterr().out.count("ALARM: ") >= len(found)
    log = tiny_training.log(tmp_path)
    assert "alarms/overfitting" not in log[1]
    assert log[2]["alarms/overfitting"] >= 1
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert "alarms/overfitting" in events.Tags()["scalars"]
    facts = json.loads((tmp_path / "model/run.json").read_text())
    assert facts["alarms"] == found
    card = (tmp_path / "model/README.md").read_text()
    assert "## Alarms during training" in card
    assert "- `augmentation_leak`" in card


def test_a_resumed_run_has_the_alarms_of_one_that_never_stopped(photos, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train("stylegan2", photos, whole, steps=5)
    train("stylegan2", photos, resumed, steps=5, keep_checkpoints=9)
    tiny_training.forget(resumed, 4, 5)
    train("stylegan2", photos, resumed, steps=5)
    assert alarms(resumed) == alarms(whole)
    state = tiny_training.state(resumed)
    for name, value in tiny_training.state(whole).items():
        assert torch.equal(state[name], value), name


def test_a_healthy_run_has_no_alarms_on_its_card(photos, tmp_path, monkeypatch):
    for name in ("r_t", "held_out_gap", "leak", "sameness_margin"):
        monkeypatch.setitem(doctor.THRESHOLDS, name, doctor.Threshold(10.0, "for this test"))
    train("dcgan", photos, tmp_path, steps=1)
    assert not (tmp_path / "alarms.jsonl").exists()
    assert "Alarms" not in (tmp_path / "model/README.md").read_text()


def test_a_run_that_diverges_has_it_on_record(photos, tmp_path):
    with pytest.raises(FloatingPointError, match="not finite at step"):
        train("dcgan", photos, tmp_path, steps=50, lr=1e13)
    assert alarms(tmp_path)[-1]["kind"] == "not_finite"


def test_the_gap_is_that_of_a_discriminator_that_has_learnt_by_heart(photos, tmp_path):
    script, settings = SCRIPTS["dcgan"]
    run = gan.Run(script.Config(out=tmp_path, **(photos | settings)))
    known = {image.numpy().tobytes() for image in run.data.images}

    def by_heart(images):
        pixels = ((images + 1) * 127.5).round().to(torch.uint8)
        return torch.tensor([1.0 if x.numpy().tobytes() in known else -1.0 for x in pixels])

    assert gan.held_out_gap(run, by_heart) == 2
    assert gan.held_out_gap(run, lambda images: torch.ones(len(images))) == 0
    run.held_out = run.held_out.only(range(8))
    assert gan.held_out_gap(run, by_heart) is None


def test_later_alarms_and_log_lines_are_forgotten_by_a_run_that_goes_back(tmp_path):
    record = AlarmRecord(tmp_path)
    for images_seen in (8, 16, 16, 24):
        record.add(doctor.not_finite(["loss_D"], 1), images_seen)
    assert record.counts == {"alarms/not_finite": 3}
    again = AlarmRecord(tmp_path)
    again.resume(16)
    assert [line["images_seen"] for line in again.lines] == [8, 16]
    assert again.since(8)
    assert not again.since(16)
    log = tmp_path / "log.jsonl"
    log.write_text('{"images_seen": 8, "r_t": 0.1}\n{"images_seen": 16, "r_t": 0.2}\n{"images_s')
    assert [line["r_t"] for line in read_log(log, 8)] == [0.1]
