"""The registry of metrics: whatever is measured has a title there, and a function that works."""

import dataclasses
import math

import pytest
import torch

from genmodels import metrics
from genmodels.metrics import registry
from genmodels.metrics.registry import METRICS, Metric
from training.publish import paired_figures, unpaired_figures

NUM_SETS = {"pair": 2, "pairs": 2, "sets": 2, "set": 1, "memory": 3}


@pytest.fixture(scope="module")
def three_sets():
    rng = torch.Generator().manual_seed(0)
    sets = torch.randint(0, 256, (3, 16, 3, 32, 32), generator=rng, dtype=torch.uint8)
    return list(sets)


def test_every_figure_that_is_measured_is_in_the_registry(three_sets):
    assert set(metrics.FIGURES) <= METRICS.keys()
    paired = paired_figures.figures(*three_sets)
    unpaired = unpaired_figures.figures(*three_sets)
    assert {*paired, *unpaired} - {"n", "n_targets"} <= METRICS.keys()


@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"open_nsfw_kid"}))  # Of an extra.
def test_its_function_gives_a_number_for_what_it_says_it_takes(name, three_sets):
    metric = METRICS[name]
    result = metric.function(*three_sets[: NUM_SETS[metric.takes]])
    assert math.isfinite(float(result))
    if metric.takes == "pair":
        assert result.values.shape == (16,)


def test_headings_say_unit_and_direction():
    assert METRICS["psnr"].heading == "PSNR, mean over pictures, dB (higher)"
    assert METRICS["mse"].heading == "mean squared error, grey levels squared (lower)"
    assert METRICS["density"].heading == "density among held-out images (near 1)"
    assert registry.columns("psnr", "swd") == {
        "psnr": "PSNR, dB (higher)",
        "swd": "texture (SWD), x1000",
    }


def test_a_metric_of_pairs_is_added_in_one_place(three_sets, monkeypatch):
    """It is then measured, with an interval, and has a row on cards and a column in tables."""
    brightness = Metric(
        "brightness_error",
        "pair",
        lambda a, b: metrics.Mean((a.float() - b.float()).mean((1, 2, 3)).abs().numpy()),
        title="error of the mean brightness",
        short="brightness",
        better="lower",
        unit="levels",
    )
    monkeypatch.setitem(METRICS, brightness.name, brightness)
    panel = paired_figures.figures(*three_sets)
    assert panel[brightness.name]["low"] <= panel[brightness.name]["value"]
    assert registry.headings()[brightness.name] == "error of the mean brightness, levels (lower)"
    assert registry.columns(*registry.paired_metrics())[brightness.name] == "brightness, levels"


def test_no_two_metrics_share_a_heading():
    headings = [metric.heading for metric in METRICS.values()]
    assert len(set(headings)) == len(headings)
    assert all(
        getattr(metric, field.name) is not None
        for metric in METRICS.values()
        for field in dataclasses.fields(metric)
    )
