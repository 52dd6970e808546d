"""The training scripts, run in this process on a few tiny pictures."""

import json
import math
import resource
import shutil

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support import tiny_training
from training import train_dcgan, train_stylegan2
from training.publish.facts import CAPTION
from training.runs import checkpoint
from training.runs.run import mix

SCRIPTS = {
    "dcgan": (train_dcgan, tiny_training.DCGAN),
    "stylegan2": (train_stylegan2, tiny_training.STYLEGAN2),
}
BOTH = pytest.mark.parametrize("family", SCRIPTS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    return {
        "data": str(tiny_training.photographs(root / "train", 40)),
        "held_out": str(tiny_training.photographs(root / "held_out", 4, seed=1)),
    }


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


def train(family, photos, out, **changes):
    """Run the script as its command would; what its newest checkpoint holds."""
    script, settings = SCRIPTS[family]
    script.train(script.Config(out=out, **(photos | settings | changes)))
    return tiny_training.state(out)


@pytest.fixture(scope="module")
def four_steps(photos, tmp_path_factory, quick_on_the_cpu):
    """One uninterrupted run of each family: its folder and its final state."""
    root = tmp_path_factory.mktemp("runs")
    return {
        family: (root / family, train(family, photos, root / family, steps=4, keep_checkpoints=4))
        for family in SCRIPTS
    }


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@BOTH
def test_two_steps_and_two_more_equal_four(family, photos, four_steps, tmp_path):
    train(family, photos, tmp_path, steps=2)
    assert_equal(train(family, photos, tmp_path, steps=4), four_steps[family][1])


def test_a_run_goes_on_with_the_threads_that_it_began_with(photos, tmp_path):
    torch.set_num_threads(2)
    train("dcgan", photos, tmp_path, steps=2, threads=None)
    begun = torch.get_num_threads()
    torch.set_num_threads(3 - begun)
    train("dcgan", photos, tmp_path, steps=4, threads=None)
    assert torch.get_num_threads() == begun


@BOTH
def test_checkpoints_have_the_names_that_older_runs_wrote(family, four_steps):
    tiny_training.assert_is_named_as_before(four_steps[family][0], family)


@BOTH
def test_two_steps_change_every_parameter_and_stay_finite(family, four_steps):
    out, end = four_steps[family]
    start = tiny_training.load_file(out / "checkpoints" / "step_00000002" / checkpoint.TENSORS)
    learnt = [key for key in end if key[:2] in ("G.", "D.") and "noise_const" not in key]
    learnt += [key.replace("G.", "ema.", 1) for key in learnt if key[:2] == "G."]
    assert len(learnt) > 30
    assert [key for key in learnt if torch.equal(start[key], end[key])] == []
    assert [key for key in end if not end[key].isfinite().all()] == []


def test_the_state_holds_all_that_is_random_or_remembered(four_steps):
    state = four_steps["stylegan2"][1]
    assert {key.split(".")[0] for key in state} == {
        "G", "D", "ema", "ada", "path_mean", "opt_G", "opt_D"
    }  # fmt: skip
    assert state["ada.adjusted_at_images"] == 24  # Before the fourth step.
    assert state["path_mean.mean"] > 0
    updates = {key: float(state[key]) for key in state if key.endswith(".step")}
    # Four steps and two penalties, which some biases have no part in.
    assert set(updates.values()) == {4.0, 6.0}
    assert four_steps["dcgan"][1]["ema.trunk.1.num_batches_tracked"] == 8  # For D and for G.


def test_a_damaged_newest_checkpoint_ends_in_the_same_weights(photos, four_steps, tmp_path, capsys):
    train("stylegan2", photos, tmp_path, steps=3)
    newest = checkpoint.newest(tmp_path / "checkpoints") / checkpoint.TENSORS
    newest.write_bytes(newest.read_bytes()[:-1])
    again = train("stylegan2", photos, tmp_path, steps=4)
    assert "resumed at step 2" in capsys.readouterr().out
    assert_equal(again, four_steps["stylegan2"][1])


def test_a_full_disk_stops_the_run_and_more_room_completes_it(photos, four_steps, tmp_path):
    train("dcgan", photos, tmp_path, steps=2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"step 3 could not be written .*step_00000002"):
            train("dcgan", photos, tmp_path, steps=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_equal(train("dcgan", photos, tmp_path, steps=4), four_steps["dcgan"][1])


def test_accumulated_gradients_equal_the_whole_batch(photos, tmp_path):
    # With beta1 = 0 Adam's moments after one step are the gradient and its square. Without R1's
    # weight D learns once; at this rate G meets the same D either way. The strength of the noise,
    # which each part draws for itself, is the one parameter whose gradient may differ.
    settings = {"augment": "none", "mixing_probability": 0.0, "r1_gamma": 0.0, "lr": 1e-7}
    settings |= {"conditions_from_images": -1, "conditions_full_images": 0, "steps": 1}
    settings |= {"path_length_weight": 0.0}
    whole = train("stylegan2", photos, tmp_path / "1", **settings)
    parts = train("stylegan2", photos, tmp_path / "2", accumulate=2, **settings)
    moments = [f"opt_G.{i}.exp_avg" for i in range(99)] + [
        f"opt_D.{i}.exp_avg_sq" for i in range(99)
    ]
    moments = [key for key in moments if key in whole and whole[key].ndim]
    assert len(moments) > 40
    for key in moments:
        one, two = whole[key], parts[key]
        assert one.abs().max() > 0, key
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


def test_no_two_purposes_share_their_random_numbers():
    keys = [(0, step, *rest) for step in range(3) for rest in (("D",), ("D", 1), ("G",), ("G", 1))]
    assert len({mix(*key) for key in [*keys, (0, "fixed"), (1, 0, "D")]}) == len(keys) + 2


def test_mixing_gives_the_discriminator_other_fakes(photos, four_steps, tmp_path):
    mixed = tiny_training.load_file(
        four_steps["stylegan2"][0] / "checkpoints" / "step_00000001" / checkpoint.TENSORS
    )
    plain = train("stylegan2", photos, tmp_path, steps=1, mixing_probability=0.0)
    # At the first step neither noise nor ADA has any strength: only the styles can differ.
    assert not torch.allclose(mixed["opt_D.0.exp_avg_sq"], plain["opt_D.0.exp_avg_sq"], rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"seed": 1}, "--seed 0, this command has 1"),
        ({"base_channels": 8}, "--base-channels 4"),
    ],
)
def test_a_folder_goes_on_with_its_own_flags_only(photos, four_steps, changes, flag):
    out = four_steps["dcgan"][0]
    before = (out / "config.json").read_bytes()
    with pytest.raises(ValueError, match=flag):
        train("dcgan", photos, out, steps=4, **changes)
    assert (out / "config.json").read_bytes() == before


def test_a_folder_from_before_a_flag_goes_on_with_its_default(photos, four_steps, tmp_path):
    out = tmp_path / "older"
    shutil.copytree(four_steps["dcgan"][0], out)
    config = json.loads((out / "config.json").read_text())
    del config["x_flip"], config["seed"]
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="--x-flip True, this command has False"):
        train("dcgan", photos, out, steps=5, x_flip=False)
    train("dcgan", photos, out, steps=5)


def test_a_tuned_flag_is_said_and_recorded(photos, four_steps, tmp_path, capsys):
    out = tmp_path / "tuned"
    shutil.copytree(four_steps["dcgan"][0], out)
    train("dcgan", photos, out, steps=5, lr=1e-4)
    assert "--lr is 0.0001 from here on, it was 0.0002" in capsys.readouterr().out
    train("dcgan", photos, out, steps=6, lr=1e-4)
    config = json.loads((out / "config.json").read_text())
    assert config["lr"] == 1e-4
    assert config["changes"] == [{"step": 4, "lr": [0.0002, 0.0001]}]


def test_changed_images_are_refused(photos, four_steps, tmp_path):
    other = str(tiny_training.photographs(tmp_path / "other", 40, seed=2))
    with pytest.raises(ValueError, match="was trained on other images"):
        train("dcgan", photos | {"data": other}, four_steps["dcgan"][0], steps=4)


def test_a_moved_data_set_is_the_same(photos, four_steps, tmp_path):
    moved = str(tiny_training.photographs(tmp_path / "moved", 40))
    train("dcgan", photos | {"data": moved}, four_steps["dcgan"][0], steps=4, keep_checkpoints=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 3}, "batch_size must be a multiple of processes x accumulate = 3, got 8"),
        ({"conditions": ("colour",)}, "colour"),
        ({"data": "nowhere"}, "'nowhere'"),
        ({"resolution": 16}, "resolution must be 32 or more, got 16"),
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be 1 or more, got 0"),
    ],
)
def test_a_refused_first_command_leaves_the_folder_free(photos, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train("stylegan2", photos, tmp_path / "out", **changes)
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_small_set_holds_out_enough_to_measure(photos, tmp_path, capsys):
    train("dcgan", {"data": photos["data"]}, tmp_path, steps=1)
    numbers = [int(word) for word in capsys.readouterr().out.split() if word.isdigit()]
    train_count, held_out_count = numbers[:2]
    assert train_count + held_out_count == 40
    assert held_out_count >= 16


def test_divergence_names_the_last_good_checkpoint(photos, tmp_path):
    with pytest.raises(FloatingPointError, match=r"not finite at step .*step_0000000") as raised:
        train("dcgan", photos, tmp_path, steps=50, lr=1e13, keep_checkpoints=50)
    newest = checkpoint.newest(tmp_path / "checkpoints")
    assert str(newest) in str(raised.value)
    sheet = tiny_training.state(tmp_path)
    assert all(value.isfinite().all() for key, value in sheet.items() if key[:4] == "ema.")


def test_the_budget_ends_a_run_as_finished(photos, tmp_path):
    train("dcgan", photos, tmp_path, steps=10**6, budget_seconds=1.0)
    steps = checkpoint.steps(tmp_path / "checkpoints")
    assert (tmp_path / "model" / "run.json").exists()
    # Nothing more is trained when the budget is 0.
    train("dcgan", photos, tmp_path, steps=10**6, budget_seconds=0)
    assert checkpoint.steps(tmp_path / "checkpoints") == steps


@BOTH
def test_the_log_the_curves_the_sheets_and_the_film_are_there(family, four_steps):
    out, _ = four_steps[family]
    lines = tiny_training.log(out)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["images_seen"] for line in lines] == [8, 16, 24, 32]
    names = {"loss_D", "loss_G", "r_t", "images_per_second", "memory_gib"}
    for line in lines:
        assert names <= set(line)
        assert all(math.isfinite(value) for value in line.values())
        assert line["memory_gib"] > 0 < line["images_per_second"]
        assert -1 <= line["r_t"] <= 1
    curves = EventAccumulator(str(out / "tensorboard")).Reload()
    assert names <= set(curves.Tags()["scalars"])
    assert [event.step for event in curves.Scalars("loss_D")] == [8, 16, 24, 32]
    sheets = sorted(path.name for path in (out / "samples").iterdir())
    assert sheets == ["000000008.png", "000000016.png", "000000024.png", "000000032.png"]
    with Image.open(out / "samples" / sheets[0]) as sheet:
        assert sheet.size[0] >= 8 * 32 <= sheet.size[1]
    with Image.open(out / "model" / "progress.webp") as film:  # Its test is in test_publish.py.
        assert film.size == (135, 135 + CAPTION)


def test_a_run_writes_no_pickle(four_steps):
    for out, _ in four_steps.values():
        files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
        suffixes = {path.suffix for path in files}
        known = {".safetensors", ".json", ".jsonl", ".png", ".webp", ".md", ".npy"}
        assert suffixes - known == {p.suffix for p in (out / "tensorboard").iterdir()}
        assert json.loads((out / "config.json").read_text())["steps"] == 4
