"""The script that learns without pairs, run in this process on a few tiny pictures."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from genmodels.models import pix2pix
from tests.support import tiny_training
from tests.support.tiny_training import load_file, state
from training import train_unpaired
from training.critics.patch_nce import PatchNCE
from training.publish import unpaired_figures
from training.runs import checkpoint
from training.runs.unpaired import UnpairedRun

TINY = {"resolution": 32, "steps": 4, "batch_size": 4, "levels": 3, "receptive_field": 16}
TINY |= {"base_channels": 4, "max_channels": 8, "d_base_channels": 4} | tiny_training.QUIET
HELD_OUT = ("held_out", "targets_held_out")


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory):
    """Two sets to learn from; of each too few apart to measure with, which would take long."""
    root = tmp_path_factory.mktemp("unpaired")
    apart = {
        name: str(tiny_training.photographs(root / name, 4, seed=seed))
        for seed, name in enumerate(HELD_OUT, 3)
    }
    for folder in apart.values():
        (Path(folder) / "metadata.jsonl").unlink()
    return tiny_training.two_sets(root) | apart


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


def train(two_sets, out, **changes):
    """Run the script as its command would; what its newest checkpoint holds."""
    train_unpaired.train(train_unpaired.Config(out=out, **(two_sets | TINY | changes)))
    return state(out)


@pytest.fixture(scope="module")
def four_steps(two_sets, tmp_path_factory, quick_on_the_cpu):
    out = tmp_path_factory.mktemp("runs") / "four"
    return out, train(two_sets, out, keep_checkpoints=4)


@pytest.fixture(scope="module")
def warmed(two_sets, tmp_path_factory, quick_on_the_cpu):
    """What is published of a run that has learnt something, and measured it on half of each set."""
    out = tmp_path_factory.mktemp("runs") / "warmed"
    flags = {"steps": 150, "save_every": 75, "log_every": 50, "lr": 2e-3, "jitter": 0.0}
    flags |= {"ema_halflife_images": 40.0, "r1_gamma": 1.0}
    train(two_sets, out, **flags, **dict.fromkeys(HELD_OUT))
    return out / "model"


def test_a_resumed_run_ends_in_the_same_weights(two_sets, four_steps, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(four_steps[0], out)
    tiny_training.forget(out, 3, 4)  # As if it had been killed after the second.
    again = train(two_sets, out)
    assert [key for key in again if not torch.equal(again[key], four_steps[1][key])] == []


def test_checkpoints_have_the_names_that_older_runs_wrote(four_steps):
    tiny_training.assert_is_named_as_before(four_steps[0], "unpaired")


def test_two_steps_change_every_parameter_and_stay_finite(four_steps):
    out, end = four_steps
    start = load_file(out / "checkpoints" / "step_00000002" / checkpoint.TENSORS)
    learnt = [key for key in end if key.startswith(("G.", "D.", "nce.", "ema."))]
    assert len(learnt) > 30
    assert [key for key in learnt if torch.equal(start[key], end[key])] == []
    assert [key for key in end if not end[key].isfinite().all()] == []


def test_what_is_published_translates_and_says_what_it_was_measured_on(warmed):
    (made,) = genmodels.load(warmed)(Image.new("RGB", (50, 33), "#406080")).images
    assert made.size == (50, 33)
    facts = json.loads((warmed / "run.json").read_text())
    assert {"data", "targets", "held_out", "out"} & set(facts["config"]) == set()
    assert facts["data"]["num_train"] + facts["data"]["num_held_out"] == 70
    panel = facts["metrics"]
    assert panel["nothing_done"]["kept"]["value"] == 1
    assert panel["nothing_done"]["colour"]["value"] > 3 * panel["real"]["colour"]["value"]
    card = (warmed / "README.md").read_text()
    assert f"and {facts['num_targets']} pictures of the wanted kind to train on" in card
    assert f"| {panel['made']['swd']['value']:.3g} |" in card
    for name in ("samples.png", "progress.webp"):
        assert (warmed / name).is_file()


def test_it_learns_the_colours_of_the_other_set(warmed):
    panel = json.loads((warmed / "run.json").read_text())["metrics"]
    assert panel["made"]["colour"]["high"] < panel["nothing_done"]["colour"]["value"]


def test_a_model_taught_by_pairs_starts_it(two_sets, four_steps, tmp_path):
    parent = four_steps[0] / "model"
    weights = train(two_sets, tmp_path / "child", init_from=str(parent), steps=1, lr=1e-9)
    generator = genmodels.load(parent).generator.state_dict()
    assert all(torch.allclose(weights[f"G.{key}"], generator[key], atol=1e-4) for key in generator)


def test_grain_is_learnt_with_and_published(two_sets, four_steps, tmp_path):
    grained = train(two_sets, tmp_path / "grained", grain=0.3)
    assert not torch.equal(grained["G.to_image.weight"], four_steps[1]["G.to_image.weight"])
    assert genmodels.load(tmp_path / "grained" / "model").config.grain == 0.3


def test_a_batch_in_two_parts_holds_the_same_pictures(two_sets, tmp_path):
    source, target, grain = {}, {}, {}
    for parts in (1, 2):
        flags = two_sets | TINY | {"out": tmp_path / str(parts), "accumulate": parts, "grain": 0.3}
        batches = list(UnpairedRun(train_unpaired.Config(**flags)).batches(step=1))
        assert len(batches) == parts
        source[parts] = torch.cat([batch.source for batch in batches])
        target[parts] = torch.cat([batch.target for batch in batches])
        taken = zip(*[batch.taken.chunk(2) for batch in batches], strict=True)
        seen = torch.cat([torch.cat(half) for half in taken])
        grain[parts] = seen - torch.cat([source[parts], target[parts]])
    assert torch.equal(source[1], source[2])
    assert torch.equal(target[1], target[2])
    assert torch.equal(grain[1], grain[2])
    # Eight pictures, each with grain of its own.
    assert torch.corrcoef(grain[1].flatten(1)).triu(1).abs().max() < 0.1


def test_flags_out_of_range_are_refused(two_sets, tmp_path):
    for flag in ("content_weight", "identity_weight", "r1_gamma"):
        with pytest.raises(ValueError, match=f"{flag} must be 0 or more, got -1"):
            train(two_sets, tmp_path / "run", **{flag: -1.0})
    with pytest.raises(ValueError, match="r1_every must be 1 or more, got 0"):
        train(two_sets, tmp_path / "run", r1_every=0)
    with pytest.raises(ValueError, match="grain must be from 0 to 1"):
        train(two_sets, tmp_path / "run", grain=1.5)


def test_other_targets_are_another_run(two_sets, tmp_path):
    train(two_sets, tmp_path / "run", steps=1)
    swapped = two_sets | {"targets": two_sets["data"]}
    with pytest.raises(ValueError, match="trained on other images"):
        train(swapped, tmp_path / "run", steps=2)


def test_too_few_targets_to_measure_with_are_told_before_training(two_sets, tmp_path, capsys):
    few = tiny_training.photographs(tmp_path / "few", 20)
    few_apart = two_sets | {"targets": str(few)} | dict.fromkeys(HELD_OUT)
    train(few_apart, tmp_path / "run", steps=1)
    said = capsys.readouterr().out
    assert (
        "figures that need 16 will be none; name a folder of more with --targets-held-out" in said
    )
    assert said.index("--targets-held-out") < said.index("step 1/1")


def test_a_picture_is_found_again_in_itself_and_not_in_another():
    torch.manual_seed(0)
    G = pix2pix.Generator(levels=3, base_channels=8, max_channels=16)
    nce = PatchNCE(G)
    one, other = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    assert nce(G, one, one) < nce(G, one, 0.8 * one) < nce(G, one, other)


def test_the_loss_teaches_the_translation_and_the_heads_but_not_the_picture():
    torch.manual_seed(0)
    G = pix2pix.Generator(levels=3, base_channels=8, max_channels=16)
    nce = PatchNCE(G)
    one, other = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    nce(G, one, other).backward()
    assert one.grad is None
    assert other.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in nce.parameters())


def test_sets_are_alike_when_they_are_equal():
    rng = np.random.default_rng(0)
    one = torch.from_numpy(rng.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8))
    panel = unpaired_figures.figures(one, one, one)
    assert (panel["swd"]["value"], panel["colour"]["value"], panel["kept"]["value"]) == (0, 0, 1)
    assert (panel["n"], panel["n_targets"]) == (40, 40)
    other = (one.float() * 0.5).to(torch.uint8)
    worse = unpaired_figures.figures(other, one, one)
    assert worse["colour"]["value"] > worse["colour"]["low"] > 5
    assert worse["kept"]["high"] < 1
