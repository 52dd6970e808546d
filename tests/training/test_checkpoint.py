"""Checkpoints: what they give back, what they survive, and what they refuse."""

import json
import re
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Adam

from genmodels.nn.augment import AdaptiveAugment
from training.runs import checkpoint


def objects(seed, width=6):
    """A network with buffers in channels_last, its Adam and an ADA, all after a few updates."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
    network.to(memory_format=torch.channels_last)
    ada, adam = AdaptiveAugment(speed_images=100), Adam(network.parameters(), 0.01)
    return {"G": network, "ada": ada, "opt_G": adam}


def advance(things):
    """One update that depends on everything a checkpoint holds."""
    things["opt_G"].zero_grad()
    output = things["G"](torch.randn(4, 3, 8, 8))
    output.square().mean().backward()
    things["opt_G"].step()
    things["ada"].update(output)
    things["ada"].adjust(int(things["ada"].adjusted_at_images) + 4)


def tensors(things):
    return {
        f"{name}.{key}": value.clone()
        for name, thing in things.items()
        for key, value in checkpoint._flat_state(thing).items()
    }


def write(folder, *steps, keep=2):
    """Checkpoints of these steps; the tensors of each."""
    things, written = objects(0), {}
    for step in steps:
        advance(things)
        checkpoint.save(folder, step, things, {"seconds": step / 3}, keep=keep)
        written[step] = tensors(things)
    return written


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_everything_comes_back_bit_for_bit(tmp_path):
    written = write(tmp_path, 1, 2)
    again = objects(seed=1)
    assert checkpoint.load(tmp_path, again) == {"step": 2, "seconds": 2 / 3}
    assert_equal(tensors(again), written[2])


def test_what_comes_back_goes_on_as_if_nothing_had_happened(tmp_path):
    things, again = objects(0), objects(1)
    advance(things)
    checkpoint.save(tmp_path, 1, things, {}, keep=1)
    checkpoint.load(tmp_path, again)
    for running in (things, again):
        torch.manual_seed(7)
        advance(running)
        advance(running)
    assert_equal(tensors(things), tensors(again))


def test_moments_keep_the_layout_of_their_weights(tmp_path):
    write(tmp_path, 1)
    again = objects(1)
    checkpoint.load(tmp_path, again)
    weight = again["G"][0].weight
    assert again["opt_G"].state[weight]["exp_avg"].stride() == weight.stride()


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    things = objects(0)
    before = tensors(things)
    assert checkpoint.load(tmp_path / "none", things) is None
    assert checkpoint.newest(tmp_path / "none") is None
    assert_equal(tensors(things), before)


def test_the_newest_few_stay(tmp_path):
    write(tmp_path, 1, 2, 3, 10, keep=3)
    assert checkpoint.steps(tmp_path) == [2, 3, 10]
    assert checkpoint.newest(tmp_path) == tmp_path / "step_00000010"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (checkpoint.TENSORS, truncate),
        (checkpoint.TENSORS, flip_a_bit),
        (checkpoint.TENSORS, empty),
        (checkpoint.TENSORS, Path.unlink),
        (checkpoint.NUMBERS, truncate),
        (checkpoint.NUMBERS, empty),
        (checkpoint.NUMBERS, Path.unlink),
    ],
)
def test_a_damaged_newest_checkpoint_falls_back_aloud(tmp_path, capsys, name, damage):
    written = write(tmp_path, 1, 2)
    damage(tmp_path / "step_00000002" / name)
    again = objects(1)
    assert checkpoint.load(tmp_path, again)["step"] == 1
    assert_equal(tensors(again), written[1])
    said = capsys.readouterr().out
    assert "step_00000002 is damaged" in said
    assert "falling back" in said


@pytest.mark.parametrize("text", ["[]", "{}", '{"step": 3}', "\0"])
def test_numbers_that_are_not_its_own_are_damage(tmp_path, text):
    write(tmp_path, 1, 2)
    (tmp_path / "step_00000002" / checkpoint.NUMBERS).write_text(text)
    assert checkpoint.load(tmp_path, objects(1))["step"] == 1


def test_another_step_in_the_numbers_is_damage(tmp_path):
    write(tmp_path, 1, 2)
    path = tmp_path / "step_00000002" / checkpoint.NUMBERS
    path.write_text(path.read_text().replace('"step": 2', '"step": 6'))
    assert checkpoint.load(tmp_path, objects(1))["step"] == 1


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_anew(tmp_path, capsys):
    write(tmp_path, 1, 2)
    for path in tmp_path.glob(f"*/{checkpoint.TENSORS}"):
        truncate(path)
    with pytest.raises(
        ValueError, match=r"all checkpoints in .* are damaged .*nothing was changed"
    ):
        checkpoint.load(tmp_path, objects(1))
    assert capsys.readouterr().out.count("is damaged") == 2
    assert checkpoint.steps(tmp_path) == [1, 2]


def test_damaged_checkpoints_do_not_push_out_good_ones(tmp_path):
    write(tmp_path, 1, 5, 6, keep=3)
    for step in (5, 6):
        truncate(tmp_path / f"step_{step:08d}" / checkpoint.TENSORS)
    things = objects(1)
    assert checkpoint.load(tmp_path, things)["step"] == 1
    checkpoint.save(tmp_path, 2, things, {}, keep=1)
    assert checkpoint.load(tmp_path, objects(2))["step"] == 2


def test_half_written_and_foreign_folders_are_ignored(tmp_path):
    write(tmp_path, 1)
    for name in (".step_00000002.partial", "step_00000003 copy", "step_final"):
        (tmp_path / name).mkdir()
    assert checkpoint.steps(tmp_path) == [1]
    assert checkpoint.load(tmp_path, objects(1))["step"] == 1
    write(tmp_path, 2)  # What a kill left half-written is no obstacle.
    assert checkpoint.load(tmp_path, objects(1))["step"] == 2


@contextmanager
def largest_file(num_bytes):
    """The disk is full for any file that would grow beyond this; Python ignores SIGXFSZ."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("num_bytes", [0, 2000])
def test_a_full_disk_is_told_and_costs_no_checkpoint(tmp_path, num_bytes):
    written = write(tmp_path, 1, 2)
    before = sorted(tmp_path.rglob("*"))
    things = objects(1)
    advance(things)
    with largest_file(num_bytes), pytest.raises(OSError, match="could not be written") as raised:
        checkpoint.save(tmp_path, 3, things, {}, keep=1)
    assert "step_00000002" in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before
    again = objects(2)
    assert checkpoint.load(tmp_path, again)["step"] == 2
    assert_equal(tensors(again), written[2])


@pytest.mark.parametrize(
    ("other", "name"), [({"width": 8}, "G"), ({"extra": nn.Linear(2, 2)}, "extra")]
)
def test_a_checkpoint_of_another_architecture_is_refused_by_name(tmp_path, other, name):
    write(tmp_path, 1)
    extra = {key: value for key, value in other.items() if key == "extra"}
    things = objects(1, **{k: v for k, v in other.items() if k == "width"}) | extra
    with pytest.raises(ValueError, match=rf"step_00000001 does not fit this command's {name}: "):
        checkpoint.load(tmp_path, things)


def test_a_checkpoint_is_safetensors_and_json_only(tmp_path):
    write(tmp_path, 1)
    folder = tmp_path / "step_00000001"
    assert {path.name for path in folder.iterdir()} == {checkpoint.TENSORS, checkpoint.NUMBERS}
    assert set(json.loads((folder / checkpoint.NUMBERS).read_text())) == {
        "step", "sha256", "counters", "numbers"
    }  # fmt: skip
    content = (folder / checkpoint.TENSORS).read_bytes()
    header = int.from_bytes(content[:8], "little")
    assert "G.0.weight" in json.loads(content[8 : 8 + header])
    assert not re.match(rb"\x80[\x02-\x05]|PK\x03\x04", content)  # Neither a pickle nor its zip.
