"""The NVAE script, run in this process on a few tiny pictures, some of which lack labels."""

import csv
import json
import math
import re

import pytest
import torch
from torch import nn

import genmodels
from genmodels.data import conditions
from tests.support import tiny_training
from training import train_nvae
from training.critics.frozen_features import FeatureDistance, FeatureMoments
from training.runs import variational
from training.runs.variational import SafeStep

SCHEMA = {
    "body": {"values": ["suv", "van"], "counts": [1, 1]},
    "year": {"mean": 2000.0, "std": 5.0, "min": 1990, "max": 2010},
}


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Every fifth one's year is not known."""
    root = tmp_path_factory.mktemp("photos")
    for seed, (part, count) in enumerate({"train": 24, "held_out": 9}.items()):
        folder = tiny_training.photographs(root / part, count, seed)
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        (folder / "metadata.jsonl").unlink()
        with (folder / "metadata.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["file_name", "body", "year"])
            table.writeheader()
            table.writerows(row | ({} if i % 5 else {"year": ""}) for i, row in enumerate(rows))
    return {"data": str(root / "train"), "held_out": str(root / "held_out")}


def train(photos, out, **changes):
    """Run the script as its command would; what its newest checkpoint holds."""
    train_nvae.train(train_nvae.Config(out=out, **(photos | tiny_training.NVAE | changes)))
    return tiny_training.state(out)


@pytest.fixture(scope="module")
def four_steps(photos, tmp_path_factory, quick_on_the_cpu):
    out = tmp_path_factory.mktemp("runs") / "four"
    return out, train(photos, out, steps=4, keep_checkpoints=4)


def test_two_steps_and_two_more_equal_four(photos, four_steps, tmp_path):
    train(photos, tmp_path, steps=2)
    found, expected = train(photos, tmp_path, steps=4), four_steps[1]
    assert found.keys() == expected.keys()
    assert [key for key in found if not torch.equal(found[key], expected[key])] == []


def test_two_steps_change_every_parameter_and_stay_finite(four_steps):
    out, end = four_steps
    start = tiny_training.load_file(
        out / "checkpoints" / "step_00000002" / tiny_training.checkpoint.TENSORS
    )
    learnt = [key for key in end if key.startswith(("G.", "ema.")) and "at_temperature" not in key]
    learnt = [key for key in learnt if "num_batches" not in key]
    assert len(learnt) > 100
    assert [key for key in learnt if torch.equal(start[key], end[key])] == []
    assert [key for key in end if not end[key].isfinite().all()] == []
    assert end["safe.skipped"] == 0


def test_the_log_has_bits_per_dimension_of_both_sets(four_steps):
    lines = tiny_training.log(four_steps[0])
    names = {"bpd", "kl_bpd", "nll_bpd", "train_bpd", "held_out_bpd", "skipped", "used_groups"}
    for line in lines:
        assert names <= set(line)
        assert all(math.isfinite(value) for value in line.values())
        assert 0 < line["held_out_bpd"] < 20
        assert line["bpd"] == pytest.approx(line["kl_bpd"] + line["nll_bpd"], rel=1e-4)


def test_the_finished_model_is_loaded_by_its_folder(four_steps):
    pipe = genmodels.load(four_steps[0] / "model")
    assert list(pipe.schema) == ["body", "year"]
    drawn = pipe(2, seed=1, temperature=0.65, condition={"body": "suv", "year": None})
    assert [image.size for image in drawn.images] == [(32, 32)] * 2
    card = (four_steps[0] / "model" / "README.md").read_text()
    assert re.search(r"The bound is \d\.\d{3} on training images and \d\.\d{3} on held-out", card)
    assert "temperature\n0.7." in card
    statistics = pipe.generator.to_image.norm.at_temperature_running_var
    assert len(statistics.unique(dim=0)) == len(statistics)


def test_features_join_in_from_their_step_on(photos, four_steps, tmp_path):
    settings = {"feature_weight": 1.0, "features_from": 0.5, "feature_resolution": 64}
    found = train(photos, tmp_path, steps=2, **settings)
    assert ["feature_distance" in line for line in tiny_training.log(tmp_path)] == [False, True]
    expected = tiny_training.load_file(
        four_steps[0] / "checkpoints" / "step_00000002" / tiny_training.checkpoint.TENSORS
    )
    assert not torch.equal(found["G.start"], expected["G.start"])
    assert found["safe.skipped"] == 0


def test_a_tail_learns_from_samples_while_all_else_stays(photos, four_steps, tmp_path):
    parent = four_steps[0] / "model"
    settings = {"only_tail": True, "init_from": str(parent), "feature_resolution": 64}
    found = train(photos, tmp_path, steps=2, **settings)
    before = genmodels.load(parent).generator
    changed = {
        key for key, value in before.state_dict().items() if not found[f"G.{key}"].equal(value)
    }
    tail = (
        "to_image",
        "levels.1.groups.0.from_latent",
        "levels.1.groups.0.cell",
        "levels.2",
        "levels.3",
    )
    expected = {key for key, _ in before.named_parameters() if key.startswith(tail)}
    assert changed == expected
    assert found["moments.batches"] == 2
    assert tiny_training.log(tmp_path)[-1]["feature_gap"] > 0


def test_moments_that_agree_pull_nowhere_and_others_towards_the_real_ones():
    torch.manual_seed(0)
    moments, real = FeatureMoments(3), torch.randn(64, 3)
    drawn = real.clone().requires_grad_()
    loss, gap = moments(drawn, real)
    (slope,) = torch.autograd.grad(loss, drawn)
    assert gap == 0
    assert slope.abs().max() < 1e-6
    drawn = (real + 2).requires_grad_()
    loss, gap = moments(drawn, real)
    (slope,) = torch.autograd.grad(loss, drawn)
    assert gap > 0
    assert (slope.mean(0) > 0).all()  # Downhill is down.


def test_a_balanced_loss_pulls_its_own_way_as_strongly_as_the_other():
    at = torch.tensor([1.0, 2.0], requires_grad=True)
    loss, other = (at[0] * 1000).square(), at.sum() * 3
    (slope,) = torch.autograd.grad(variational.balanced(loss, other, at), at)
    assert slope.tolist() == [pytest.approx(3 * math.sqrt(2)), 0]


def test_pictures_are_further_apart_the_more_is_wrong_with_them():
    torch.manual_seed(0)
    distance = FeatureDistance(64)
    picture = torch.rand(2, 3, 64, 64) * 2 - 1
    noise = torch.randn_like(picture)
    far = [distance(picture + strength * noise, picture) for strength in (0, 0.1, 0.5)]
    assert far[0].tolist() == [0, 0]
    assert (far[0] < far[1]).all()
    assert (far[1] < far[2]).all()
    with pytest.raises(ValueError, match="feature_resolution must be 64 or more"):
        FeatureDistance(32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.75}, "temperature must be one of"),
        ({"only_tail": True}, "only_tail is for a network that has learnt"),
        ({"beta": -1.0}, "beta must be from 0 to 100"),
        ({"feature_weight": -1.0}, "feature_weight must be from 0 to 100"),
        ({"condition_dropout": 0.9}, "condition_dropout must be from 0 to 0.5"),
    ],
)
def test_flags_that_cannot_be_are_refused_in_a_sentence(photos, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(photos, tmp_path, steps=1, **changes)


def test_accumulated_parts_are_shown_the_same_conditions(photos, tmp_path):
    seen = []
    for accumulate in (1, 2):
        config = train_nvae.Config(
            out=tmp_path / str(accumulate), accumulate=accumulate, **photos, **tiny_training.NVAE
        )
        run = variational.VariationalRun(config, conditions=config.conditions)
        parts = list(run.micro_batches(3, "posterior"))
        seen.append([torch.cat([getattr(part, key) for part in parts]) for key in ("real", "c")])
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)


def test_a_condition_that_is_hidden_is_unknown():
    condition = {"body": "van", "year": 2005}
    c = torch.tensor([conditions.encode_known(SCHEMA, condition)] * 4)
    is_known = torch.tensor([[True, True], [False, True], [True, False], [False, False]])
    kept = [{k: v for k, v, use in zip(condition, condition.values(), row, strict=True) if use}
            for row in is_known.tolist()]  # fmt: skip
    expected = torch.tensor([conditions.encode_known(SCHEMA, one) for one in kept])
    assert torch.equal(variational.hidden(SCHEMA, c, is_known), expected)


def test_dropout_hides_its_share_and_every_subset():
    rng = torch.Generator().manual_seed(0)
    is_known = variational.known_after(20_000, 3, 0.1, rng)
    assert (~is_known).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert len(is_known.unique(dim=0)) == 8
    assert variational.known_after(500, 3, 0.0, rng).all()


def step_with(gradient):
    """A safe step with this gradient: whether it was taken, the weight's change, the buffers."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    safe, optimizer = SafeStep(1.0, 10.0), torch.optim.SGD(net.parameters(), 1.0)
    before = net[0].weight.item()
    safe.begin(net)
    net(torch.randn(8, 1))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    net[0].weight.grad.fill_(gradient)
    taken, _ = safe.end(net, optimizer)
    changed = net[0].weight.item() - before
    return taken, changed, net[1].running_mean.item(), safe.skipped.item()


@pytest.mark.parametrize("gradient", [math.nan, math.inf, -math.inf, 11.0])
def test_a_step_that_is_not_safe_leaves_everything_as_it_was_and_is_counted(gradient):
    assert step_with(gradient) == (False, 0.0, 0.0, 1.0)


def test_a_large_gradient_is_shortened_and_a_small_one_is_not():
    assert step_with(9.0)[:2] == (True, pytest.approx(-1.0, abs=1e-3))
    assert step_with(0.5)[:2] == (True, pytest.approx(-0.5, abs=1e-3))


def test_groups_in_use_weigh_more_while_warming_up_and_the_same_afterwards():
    kl, sizes = torch.tensor([[1.0, 4.0], [3.0, 0.0]]), torch.tensor([10.0, 30.0])
    weights = variational.kl_weights(kl, sizes, 0.5)
    assert weights.mean().item() == pytest.approx(1)
    assert (weights[1] / weights[0]).item() == pytest.approx(3)
    assert variational.kl_weights(kl, sizes, 1.0).tolist() == [1, 1]


def test_the_rate_rises_stays_and_falls():
    rates = [variational.rate(step, 100, 2.0, 10, 0.5) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9:50] == [pytest.approx(2.0)] * 41
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[-1] == pytest.approx(0.05, abs=0.01)
