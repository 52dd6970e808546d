"""Snapshots of a run: their order, what they warn of, and that the best one is published."""

import json
import shutil

import pytest
import torch

from genmodels.hub import repo
from genmodels.models import stylegan2
from tests.support import tiny_training
from training import train_stylegan2
from training.runs.snapshots import Snapshot


def snapshot(**changes):
    figures = {"images_seen": 8, "swd": 20.0, "random_kid": 0.5, "coverage": 0.8}
    return Snapshot(**(figures | {"sameness": 0.2, "real_sameness": 0.1} | changes))


@pytest.mark.parametrize(
    "worse", [{"swd": 21.0}, {"random_kid": 0.6}, {"coverage": 0.7}, {"coverage": 0.0}]
)
def test_worse_in_one_figure_is_worse(worse):
    assert snapshot(**worse).score > snapshot().score


def test_sharper_pictures_do_not_make_up_for_a_collapse():
    assert snapshot(swd=12.0, random_kid=0.3, coverage=0.03).score > snapshot().score


def test_images_of_one_flat_colour_are_ordered_without_their_texture():
    assert snapshot(swd=None, random_kid=0.6).score > snapshot(swd=None).score


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    return {
        "data": str(tiny_training.photographs(root / "train", 40)),
        "held_out": str(tiny_training.photographs(root / "held_out", 16, seed=1)),
    }


def plant(finished, out, **changes):
    """A copy of a run whose second step was far better than what came later."""
    shutil.copytree(finished, out)
    best = json.loads((out / "best/snapshot.json").read_text())
    perfect = best | {"images_seen": 16, "random_kid": 0.0, "swd": 0.1, "coverage": 1.0} | changes
    (out / "snapshots.jsonl").write_text(json.dumps(perfect) + "\n")
    (out / "best/snapshot.json").write_text(json.dumps(perfect) + "\n")
    return perfect


def train(photos, out, **changes):
    settings = tiny_training.STYLEGAN2 | {"snapshot_images": 16} | changes
    train_stylegan2.train(train_stylegan2.Config(out=out, **photos, **settings))


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory, quick_on_the_cpu):
    out = tmp_path_factory.mktemp("runs") / "run"
    train(photos, out, steps=5)
    return out


def lines(out):
    return [json.loads(line) for line in (out / "snapshots.jsonl").read_text().splitlines()]


def generator(folder):
    return stylegan2.Generator.from_pretrained(folder, subfolder="generator").state_dict()


def test_one_is_judged_every_so_many_images_and_at_the_end(finished):
    assert [line["images_seen"] for line in lines(finished)] == [16, 32, 40]


def test_the_best_one_is_published_and_the_card_says_which(finished):
    best = min((Snapshot(**line) for line in lines(finished)), key=lambda each: each.score)
    facts = json.loads((finished / "model" / "run.json").read_text())
    assert facts["snapshot"]["images_seen"] == best.images_seen
    assert f"after {best.images_seen:,} images" in (finished / "model/README.md").read_text()
    state, published = tiny_training.state(finished), generator(finished / "model")
    kept = generator(finished / "best")
    for name, value in published.items():
        torch.testing.assert_close(value, kept[name], atol=2e-3, rtol=2e-3)
    is_last = all(torch.equal(state[f"ema.{name}"], value) for name, value in kept.items())
    assert is_last == (best.images_seen == 40)


def test_a_better_earlier_state_stays_the_published_one(photos, finished, tmp_path):
    out = tmp_path / "run"
    perfect = plant(finished, out)
    before = generator(out / "best")
    train(photos, out, steps=6)
    assert [line["images_seen"] for line in lines(out)] == [16, 48]
    assert json.loads((out / "model/run.json").read_text())["snapshot"] == perfect
    after = generator(out / "best")
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_resumed_run_judges_anew_what_lies_ahead(photos, finished, tmp_path):
    whole, resumed = lines(finished), tmp_path / "resumed"
    train(photos, resumed, steps=3)
    assert [line["images_seen"] for line in lines(resumed)] == [16, 24]
    tiny_training.forget(resumed, 3)
    train(photos, resumed, steps=5)
    assert lines(resumed) == whole


def test_a_short_run_publishes_its_end_without_any(photos, tmp_path):
    train(photos, tmp_path, steps=1)
    assert json.loads((tmp_path / "model/run.json").read_text())["snapshot"] is None
    assert not (tmp_path / "snapshots.jsonl").exists()


def test_what_a_run_starts_from_is_the_first_to_beat(photos, finished, tmp_path):
    train(photos, tmp_path, steps=2, init_from=str(finished / "model"))
    assert [line["images_seen"] for line in lines(tmp_path)] == [0, 16]
    assert repo.resolve(tmp_path / "best").is_dir()


def test_on_alarm_stop_ends_at_a_worse_snapshot_and_publishes_the_best(photos, finished, tmp_path):
    out = tmp_path / "run"
    perfect = plant(finished, out)
    best = generator(out / "best")
    train(photos, out, steps=20, on_alarm="stop")
    facts = json.loads((out / "model/run.json").read_text())
    assert facts["steps"] == 6  # The first snapshot from here on: 48 images.
    assert facts["snapshot"] == perfect
    assert "collapse" in {alarm["kind"] for alarm in facts["alarms"]}
    for name, value in generator(out / "model").items():
        torch.testing.assert_close(value, best[name], atol=2e-3, rtol=2e-3)
    shutil.rmtree(out / "model")  # A kill while publishing; the same command publishes again.
    train(photos, out, steps=20, on_alarm="stop")
    assert json.loads((out / "model/run.json").read_text())["steps"] == 6
    train(photos, out, steps=8, on_alarm="warn")
    assert json.loads((out / "model/run.json").read_text())["steps"] == 8


def test_on_alarm_stop_goes_on_while_snapshots_get_better(photos, finished, tmp_path):
    out = tmp_path / "run"
    plant(finished, out, swd=1e6, random_kid=1e6)  # Its coverage is an alarm for all later ones.
    train(photos, out, steps=7, on_alarm="stop")
    facts = json.loads((out / "model/run.json").read_text())
    assert facts["steps"] == 7
    assert "collapse" in {alarm["kind"] for alarm in facts["alarms"]}
