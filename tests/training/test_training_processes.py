"""The training commands as processes: killed, stopped, and several for one run.

Starting Python and torch costs ten seconds, so most commands are forked from one server that has
both: each is the script itself, run as `__main__` with its own flags, in a process of its own.
"""

import json
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import genmodels
from tests.conftest import free_port
from tests.support import tiny_training
from training.runs import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("launching")]

SCRIPTS = Path(__file__).parents[2] / "training"
SETTINGS = {
    "train_dcgan": tiny_training.DCGAN,
    "train_stylegan2": tiny_training.STYLEGAN2,
    "train_nvae": tiny_training.NVAE,
}
# Nothing shortens the judges of fresh processes; the longest is of how conditions are followed.
UNCONDITIONAL = {"conditions": ()}
ENDLESS = 20_000  # Steps: minutes, for what is to be stopped after seconds.
CPU = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
SERVER = multiprocessing.get_context("forkserver")


def command(script, argv, variables, output):
    """What a forked process does, as in a terminal of its own, even where these tests run under
    nohup or in the background. What takes seconds and is not the matter is cut short.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    os.environ.update(CPU | variables)
    for module, name, value in tiny_training.SHORTENED:
        setattr(module, name, value)
    sys.argv = [script, *argv]
    runpy.run_path(script, run_name="__main__")


class Command:
    """One training command under way; `wait_for` reads its output line by line."""

    def __init__(self, script, photos, out, *, variables=None, **changes):
        settings = photos | SETTINGS[script] | changes
        argv = tiny_training.flags(out=out, **settings)
        reader, writer = SERVER.Pipe(duplex=False)
        path = str(SCRIPTS / f"{script}.py")
        self.process = SERVER.Process(target=command, args=(path, argv, variables or {}, writer))
        self.process.start()
        writer.close()
        self.lines = []
        self.output = os.fdopen(os.dup(reader.fileno()))

    def wait_for(self, text):
        """Read on until a line holds `text`; whether one did before the process ended."""
        for line in self.output:
            self.lines.append(line)
            if text in line:
                return True
        return False

    def end(self):
        """The exit code, once the process has ended by itself or by a signal."""
        self.wait_for("\0")
        self.output.close()
        self.process.join()
        return self.process.exitcode

    @property
    def said(self):
        return "".join(self.lines)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    SERVER.set_forkserver_preload(["training.train_dcgan", "training.train_stylegan2"])
    root = tmp_path_factory.mktemp("photos")
    return {
        "data": tiny_training.photographs(root / "train", 40),
        "held_out": tiny_training.photographs(root / "held_out", 4, seed=1),
    }


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def pixels(out):
    return [image.tobytes() for image in genmodels.load(out / "model")(num_images=2, seed=7).images]


def test_a_run_killed_again_and_again_ends_in_the_same_weights(photos, tmp_path):
    script = "train_stylegan2"  # What keeps a state of any kind; test_training.py stops them all.
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = Command(script, photos, whole, steps=12)
    rng = random.Random(script)
    exits = []
    for blow in ("kill", "kill", "kill", "terminate"):
        attempt = Command(script, photos, killed, steps=12)
        first = attempt.wait_for("images/s  ")  # The first step of this attempt is logged.
        for _ in range(rng.randrange(3)):
            attempt.wait_for("saved step")
        # Anywhere in the 30 ms or so of a step and its checkpoint.
        threading.Event().wait(rng.uniform(0, 0.04))
        getattr(attempt.process, blow)()
        exits.append(attempt.end())
        assert first, attempt.said
    last = Command(script, photos, killed, steps=12)
    assert last.end() == 0, last.said
    assert exits == [-signal.SIGKILL] * 3 + [0]
    assert "resumed at step" in last.said
    assert uninterrupted.end() == 0, uninterrupted.said
    assert_equal(tiny_training.state(killed), tiny_training.state(whole))
    assert pixels(killed) == pixels(whole)
    assert {line["step"] for line in tiny_training.log(killed)} == set(range(1, 13))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_stops_the_run(photos, tmp_path, number):
    run = Command("train_dcgan", photos, tmp_path, steps=ENDLESS, save_every=ENDLESS)
    assert run.wait_for("step 2/"), run.said
    os.kill(run.process.pid, number)
    assert run.end() == 0, run.said
    assert f"{number.name}: saving, then stopping" in run.said
    (step,) = checkpoint.steps(tmp_path / "checkpoints")
    assert f"saved step {step}" in run.said
    assert not (tmp_path / "model").exists()  # Interrupted is not finished.
    again = Command("train_dcgan", photos, tmp_path, steps=step + 1)
    assert again.end() == 0, again.said
    assert f"resumed at step {step}" in again.said


def test_accelerates_own_precision_counts_and_a_change_is_said(photos, tmp_path):
    configured = {"ACCELERATE_MIXED_PRECISION": "bf16"}  # As `accelerate launch` hands it on.
    run = Command("train_dcgan", photos, tmp_path, steps=1, variables=configured)
    assert run.end() == 0, run.said
    assert json.loads((tmp_path / "config.json").read_text())["mixed_precision"] == "bf16"
    again = Command("train_dcgan", photos, tmp_path, steps=2)
    assert again.end() == 0, again.said
    assert "--mixed-precision is no from here on, it was bf16" in again.said


def test_two_commands_for_one_folder_do_not_spoil_it(photos, tmp_path):
    run = Command("train_dcgan", photos, tmp_path, steps=ENDLESS, save_every=ENDLESS)
    assert run.wait_for("step 2/"), run.said
    other = Command("train_dcgan", photos, tmp_path, steps=ENDLESS, save_every=ENDLESS)
    assert other.end() == 1
    assert f"is in use by process {run.process.pid} on " in other.said
    run.process.terminate()
    assert run.end() == 0, run.said
    steps = [line["step"] for line in tiny_training.log(tmp_path)]
    assert steps == list(range(1, len(steps) + 1))


def test_a_kill_while_publishing_costs_only_the_publishing(photos, tmp_path):
    run = Command("train_dcgan", photos, tmp_path, steps=2)
    assert run.wait_for("measuring"), run.said
    run.process.kill()
    run.end()
    again = Command("train_dcgan", photos, tmp_path, steps=2)
    assert again.end() == 0, again.said
    assert "step 2/2" not in again.said
    assert len(pixels(tmp_path)) == 2


def two(script, photos, out, **changes):
    """Both processes of one run, told of each other as torch.distributed.run does."""
    port = str(free_port())
    return [
        Command(
            script,
            photos,
            out,
            variables={
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
                **{"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            },
            **changes,
        )
        for rank in range(2)
    ]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_either_process_stops_both(photos, tmp_path, rank):
    pair = two("train_dcgan", photos, tmp_path, steps=ENDLESS, save_every=ENDLESS)
    assert pair[0].wait_for("step 2/"), pair[0].said
    pair[rank].process.terminate()
    assert [run.end() for run in pair] == [0, 0], pair[0].said + pair[1].said
    assert "saved step" in pair[0].said
    assert "saved step" not in pair[1].said
    assert not (tmp_path / "model").exists()


LAUNCHERS = {
    "one": ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"],
    "two": ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1"],
}
PARTS = {"one": 2, "two": 1}  # Micro-batches per process: the same parts of the same batch.


@pytest.fixture(scope="module")
def launching(photos, tmp_path_factory):
    """One run by one process and by two, under way: their folder and their commands.

    The README's own commands, in fresh processes; they start while other tests wait.
    """
    root, runs = tmp_path_factory.mktemp("launched"), {}
    for name, launcher in LAUNCHERS.items():
        settings = photos | tiny_training.STYLEGAN2 | UNCONDITIONAL
        settings |= {"steps": 5, "accumulate": PARTS[name]}
        port = ["--master_port", str(free_port())] if name == "two" else []
        runs[name] = subprocess.Popen(
            [
                *(sys.executable, *launcher, *port, str(SCRIPTS / "train_stylegan2.py")),
                *tiny_training.flags(out=root / name, **settings),
            ],
            env=os.environ | CPU,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield root, runs
    for run in runs.values():
        run.kill()
        run.wait()


@pytest.fixture(scope="module")
def launched(launching):
    """The folder of both runs, once they have ended, and what they printed."""
    root, runs = launching
    said = {name: run.communicate()[0] for name, run in runs.items()}
    assert [run.returncode for run in runs.values()] == [0, 0], "\n".join(said.values())
    return root, said


def test_two_processes_equal_one_with_the_same_batch(launched):
    root, said = launched
    one, two = (tiny_training.state(root / name) for name in ("one", "two"))
    assert "2 x CPU" in (root / "two" / "model" / "README.md").read_text()
    assert said["two"].count("step 5/5") == 1  # One of them prints.
    assert one.keys() == two.keys()
    assert one["path_mean.mean"] > 0
    far = [key for key in one if not torch.allclose(two[key], one[key], rtol=1e-3, atol=1e-4)]
    assert far == []


def test_the_launched_command_equals_the_script(launched, photos, tmp_path):
    root, _ = launched
    run = Command("train_stylegan2", photos, tmp_path, steps=5, accumulate=2, **UNCONDITIONAL)
    assert run.end() == 0, run.said
    assert_equal(tiny_training.state(tmp_path), tiny_training.state(root / "one"))


def test_two_processes_killed_and_resumed_end_in_the_same_weights(launched, photos, tmp_path):
    root, _ = launched
    killed = two("train_stylegan2", photos, tmp_path, steps=5, **UNCONDITIONAL)
    assert killed[0].wait_for("saved step 2"), killed[0].said
    for run in killed:
        run.process.kill()
        run.end()
    again = two("train_stylegan2", photos, tmp_path, steps=5, **UNCONDITIONAL)
    assert [run.end() for run in again] == [0, 0], again[0].said + again[1].said
    assert "resumed at step" in again[0].said
    assert_equal(tiny_training.state(tmp_path), tiny_training.state(root / "two"))


def test_two_processes_train_with_both_critics_as_one_does(photos, tmp_path):
    both = {"critic": "both", "feature_resolution": 64, "heads_min_coverage": 0.1}
    both |= {"snapshot_images": 8, "steps": 4}
    # Coverage is not to be had of fewer.
    both |= {"held_out": tiny_training.photographs(tmp_path / "held_out", 16, seed=1)}
    runs = two("train_stylegan2", photos, tmp_path / "two", **both)
    run = Command("train_stylegan2", photos, tmp_path / "one", accumulate=2, **both)
    assert run.end() == 0, run.said
    assert [each.end() for each in runs] == [0, 0], runs[0].said + runs[1].said
    one, other = (tiny_training.state(tmp_path / name) for name in ("one", "two"))
    assert one.keys() == other.keys()
    assert [key for key in one if key.startswith("opt_heads.")]
    # Spectral norms are iterated once per forward pass, so a split batch has them a little nearer.
    far = [key for key in one if not torch.allclose(other[key], one[key], rtol=0.02, atol=0.02)]
    assert [key for key in far if not key.endswith(("_u", "_v"))] == []


def test_two_processes_train_nvae_as_one_does(photos, tmp_path):
    settings = {"steps": 1, "spectral_weight": 0.0}  # Its vectors move once for each part.
    runs = two("train_nvae", photos, tmp_path / "two", **settings)
    run = Command("train_nvae", photos, tmp_path / "one", accumulate=2, **settings)
    assert run.end() == 0, run.said
    assert [each.end() for each in runs] == [0, 0], runs[0].said + runs[1].said
    one, other = (tiny_training.state(tmp_path / name) for name in ("one", "two"))
    gradients = [key for key in one if key.endswith("exp_avg")]
    assert len(gradients) > 100
    for key in gradients:
        size = float(one[key].abs().max())
        torch.testing.assert_close(other[key], one[key], rtol=1e-3, atol=1e-3 * size + 1e-9)
