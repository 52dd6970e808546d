"""The training doctor on logs and snapshots: sick ones alarm, healthy ones do not."""

import json
import math

import numpy as np
import pytest

from genmodels.doctor import training as doctor

CHANCE = 2 * math.log(2)
HEALTHY = {
    "images_seen": 30_000,
    "coverage": 0.85,
    "sameness": 0.17,
    "real_sameness": 0.10,
    "held_out_gap": 0.1,
}


def log(count=30, **figures):
    """A line each 800 images, with the noise of a real log."""
    rng = np.random.default_rng(0)
    healthy = {"r_t": 0.45, "loss_D": 1.1, "loss_G": 1.15}
    return [
        {"images_seen": 20_000 + 800 * row}
        | {name: value + rng.normal(0, 0.05) for name, value in healthy.items()}
        | figures
        for row in range(count)
    ]


def told(lines):
    """All alarms of a log, as they come."""
    return [alarm for end in range(1, len(lines) + 1) for alarm in doctor.of_log(lines[:end])]


def test_a_healthy_log_has_no_alarm():
    assert told(log()) == []
    assert told([{"images_seen": 40_000, "loss_D": 0.4}]) == []
    assert told([]) == []


def test_a_discriminator_that_is_sure_of_the_training_images_is_told_once():
    (alarm,) = told(log(r_t=0.99))
    assert alarm.kind == "overfitting"
    assert alarm.evidence == {"r_t": pytest.approx(0.99)}
    assert str(alarm).startswith(
        "ALARM: the discriminator is sure of the training images (r_t 0.99)"
    )
    assert "--augment diffaugment" in alarm.advice


def test_what_comes_back_is_told_again_and_one_high_line_is_nothing():
    assert [a.kind for a in told(log(15, r_t=0.99) + shifted(log(15)))] == ["overfitting"]
    again = log(15, r_t=0.99) + shifted(log(15)) + shifted(log(15, r_t=0.99), 30)
    assert len(told(again)) == 2
    assert told(log(20) + shifted(log(1, r_t=1.0), 20) + shifted(log(9), 21)) == []


def shifted(lines, rows=15):
    return [line | {"images_seen": line["images_seen"] + 800 * rows} for line in lines]


@pytest.mark.parametrize(
    "figures", [{"loss_D": CHANCE, "r_t": 0.01}, {"loss_G": math.log(2), "r_t": 1.0, "loss_D": 1.0}]
)
def test_a_dead_discriminator_is_told(figures):
    assert "dead_discriminator" in {alarm.kind for alarm in told(log(**figures))}


def test_a_young_run_is_given_time():
    assert told(log(5, r_t=0.99)) == []  # Less than a window.
    assert told(shifted(log(24, r_t=0.99), -25)) == []
    young = HEALTHY | {"images_seen": 10_000, "sameness": 0.6}
    assert doctor.of_snapshot(young, []) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"coverage": 0.4}, "collapse"),
        ({"sameness": 0.3}, "collapse"),
        ({"held_out_gap": 0.9}, "overfitting"),
        ({"leak": 0.95}, "augmentation_leak"),
    ],
)
def test_each_fault_of_a_snapshot_is_told(changes, kind):
    assert doctor.of_snapshot(HEALTHY, [HEALTHY]) == []
    (alarm,) = doctor.of_snapshot(HEALTHY | changes, [HEALTHY])
    assert alarm.kind == kind
    name, value = next(iter(changes.items()))
    assert alarm.evidence[name] == value
    assert json.loads(json.dumps(alarm.evidence)) == alarm.evidence


def test_figures_that_were_not_measured_are_no_alarm():
    assert doctor.of_snapshot({"coverage": 0.8, "held_out_gap": None, "leak": None}, []) == []
    assert doctor.of_snapshot(HEALTHY | {"leak": 2.0, "coverage": 0.1}, []) == []  # Noise as yet.
    assert doctor.of_snapshot({"coverage": 0.5}, [{"coverage": 0.8}]) == []


def test_heads_that_tell_all_from_real_are_saturated():
    assert doctor.of_heads(0.5) == []
    (alarm,) = doctor.of_heads(0.05)
    assert alarm.kind == "saturated_heads"
    assert "hinge loss 0.05" in alarm.message


def test_every_kind_has_advice_and_every_threshold_a_reason():
    assert set(doctor.ADVICE) == set(doctor.KINDS)
    assert all(advice.endswith(".") for advice in doctor.ADVICE.values())
    assert all(len(threshold.reason) > 20 for threshold in doctor.THRESHOLDS.values())
    assert doctor.not_finite(["loss_D"], 7).evidence == {"step": 7}
