"""The folder of a run: who may use it, what is in the way, and that nothing in it is lost."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genmodels.data import pixel_cache
from genmodels.data.file_list import write_files
from genmodels.data.image_files import list_folder
from tests.support import tiny_training
from training import train_dcgan
from training.runs import checkpoint
from training.runs.disk import whole_file
from training.runs.launching import mixed_precision
from training.runs.lock import lock
from training.runs.stopping import StopSignals, print_line

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    return {
        "data": str(tiny_training.photographs(root / "train", 40)),
        "held_out": str(tiny_training.photographs(root / "held_out", 16, seed=1)),
    }


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


def train(photos, out, **changes):
    train_dcgan.train(train_dcgan.Config(out=out, **(photos | tiny_training.DCGAN | changes)))


@pytest.fixture(scope="module")
def two_steps(photos, tmp_path_factory, quick_on_the_cpu):
    out = tmp_path_factory.mktemp("runs") / "two"
    train(photos, out, steps=2)
    return out


@pytest.fixture
def run(two_steps, tmp_path):
    """A copy of a run of two steps, for one test to spoil."""
    return Path(shutil.copytree(two_steps, tmp_path / "run"))


def contents(folder):
    """Of all files, but for those that say who holds a run."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if not path.name.startswith(".lock")}


# Where it lies.


@pytest.mark.parametrize("place", ["", "run", "deep/er/run"])
@pytest.mark.parametrize("flag", ["data", "held_out"])
def test_a_run_inside_of_its_images_is_refused_before_anything_is_written(
    photos, tmp_path, place, flag
):
    shutil.copytree(photos[flag], tmp_path / "photos")
    before = contents(tmp_path / "photos")
    changes = photos | {flag: str(tmp_path / "photos")}
    with pytest.raises(ValueError, match="lie in each other"):
        train(changes, tmp_path / "photos" / place)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(ValueError, match="lie in each other"):
        train(changes, tmp_path / "link" / place)
    assert contents(tmp_path / "photos") == before


def test_a_run_that_would_learn_from_its_sheets_is_refused(photos, run):
    with pytest.raises(ValueError, match="lie in each other"):
        train(photos | {"data": str(run / "samples")}, run)


def test_a_list_of_files_chooses_what_is_trained_on(photos, tmp_path):
    names = sorted(item.name for item in list_folder(Path(photos["data"]))[0])
    write_files(names[:30], tmp_path / "clean.txt")
    train(photos, tmp_path / "run", steps=1, files=tmp_path / "clean.txt")
    write_files(reversed(names[:30]), tmp_path / "same.txt")
    train(photos, tmp_path / "run", steps=2, files=tmp_path / "same.txt")
    with pytest.raises(ValueError, match="was trained on other images"):
        train(photos, tmp_path / "run", steps=3)


def test_images_that_are_held_out_are_not_trained_on_as_well(photos, tmp_path):
    shutil.copytree(photos["data"], tmp_path / "photos")
    (tmp_path / "photos" / "metadata.jsonl").unlink()
    shutil.copytree(photos["held_out"], tmp_path / "photos" / "mine")
    inside = {"data": str(tmp_path / "photos"), "held_out": str(tmp_path / "photos" / "mine")}
    with pytest.raises(ValueError, match="16 images that are to be held out would be trained on"):
        train(inside, tmp_path / "run")
    (tmp_path / "photos" / "mine").rename(tmp_path / "photos" / "test")
    train(inside | {"held_out": str(tmp_path / "photos" / "test")}, tmp_path / "run", steps=1)


def test_a_path_with_blanks_and_a_folder_that_cannot_be_written_to_are_fine(photos, tmp_path):
    data = shutil.copytree(photos["data"], tmp_path / "my photos, all")
    for path in (*data.iterdir(), data):
        path.chmod(0o555 if path.is_dir() else 0o444)
    train(photos | {"data": str(data)}, tmp_path / "a run", steps=1)
    assert (tmp_path / "a run" / "model" / "run.json").is_file()


# Who uses it.


HOLD = """
import sys
from pathlib import Path
from training.runs.lock import lock

held = lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def another(out):
    """A process that has the folder's lock, until its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_command_is_told_which_process_holds_the_folder(photos, run):
    with another(run) as other:
        before = contents(run)
        with pytest.raises(ValueError, match=rf"in use by process {other.pid} on .*another --out"):
            train(photos, run, steps=3)
        assert contents(run) == before
        other.kill()  # It leaves its lock behind.
    assert (run / ".lock").exists()
    train(photos, run, steps=3)
    assert checkpoint.steps(run / "checkpoints")[-1] == 3


def test_one_process_may_run_a_folder_again_and_lets_go_of_it(tmp_path):
    first = lock(tmp_path / "run")
    is_same = lock(tmp_path / "run") is first
    assert is_same
    del first
    with another(tmp_path / "run") as other:
        other.stdin.close()


# What is damaged.


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'"text"', b"[" * 100_000])
def test_a_damaged_config_is_named_and_nothing_is_lost(photos, run, content):
    (run / "config.json").write_bytes(content)
    before = contents(run)
    with pytest.raises(ValueError, match=r"config\.json is damaged .*: restore it, or delete it"):
        train(photos, run, steps=3)
    assert {path: content for path, content in contents(run).items() if path in before} == before
    (run / "config.json").unlink()
    train(photos, run, steps=3)
    assert checkpoint.steps(run / "checkpoints")[-1] == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "no numbers", "no tensors"])
def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_again(photos, run, damage):
    for path in (run / "checkpoints").glob("step_*"):
        if damage == "cut":
            tensors = path / checkpoint.TENSORS
            tensors.write_bytes(tensors.read_bytes()[:-9])
        elif damage == "empty":
            (path / checkpoint.NUMBERS).write_text("")
        else:
            (path / getattr(checkpoint, damage.removeprefix("no ").upper())).unlink()
    before = contents(run / "checkpoints")
    with pytest.raises(ValueError, match=r"all checkpoints in .* are damaged .*move them away"):
        train(photos, run, steps=3)
    assert contents(run / "checkpoints") == before
    (run / "checkpoints").rename(run / "damaged")
    train(photos, run, steps=1)
    assert checkpoint.steps(run / "checkpoints") == [1]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{"])
def test_a_finished_run_is_published_again_whatever_became_of_its_facts(photos, run, content):
    (run / "model" / "run.json").write_bytes(content)
    for path in (run / "samples").iterdir():
        path.write_bytes(b"no picture")
    train(photos, run, steps=2)
    facts = json.loads((run / "model" / "run.json").read_text())
    assert facts["metrics"]["swd"]["value"] > 0
    shutil.rmtree(run / "samples")
    shutil.rmtree(run / "model")
    train(photos, run, steps=2)
    assert json.loads((run / "model" / "run.json").read_text())["metrics"] == facts["metrics"]


def test_what_a_kill_leaves_of_a_checkpoint_is_swept(photos, run):
    (run / "checkpoints" / ".step_00000077.partial").mkdir()
    train(photos, run, steps=3)
    assert list((run / "checkpoints").glob(".*")) == []


# Disks.


@pytest.fixture
def small_files():
    """Files cannot grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(num_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_while_images_are_decoded(photos, tmp_path, small_files):
    small_files(60_000)
    with pytest.raises(OSError, match=r"decoded images, .* could not be written .*Make room"):
        train(photos, tmp_path / "run", steps=1)
    assert [path.name for path in (tmp_path / "run" / "cache").iterdir()] == []
    small_files(resource.RLIM_INFINITY)
    train(photos, tmp_path / "run", steps=1)


def test_a_log_that_cannot_be_written_costs_no_steps(photos, run, capsys):
    (run / "log.jsonl").unlink()
    (run / "log.jsonl").mkdir()
    train(photos, run, steps=4)
    assert "the log could not be written" in capsys.readouterr().out
    assert checkpoint.steps(run / "checkpoints")[-1] == 4


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path, small_files):
    path = tmp_path / "a.json"
    path.write_text("before")
    small_files(100)
    with pytest.raises(OSError, match=r"a\.json could not be written .*make room"):
        with whole_file(path) as partial:
            partial.write_text("x" * 1000)
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "before"


def test_an_out_that_is_no_folder_is_told(photos, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OSError, match=r"--out .* cannot be written to .*make room"):
            train(photos, out)


def test_the_cache_is_written_before_it_is_mapped(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_cache, "MAX_RAM_BYTES", 1000)
    items, _ = list_folder(Path(photos["data"]))
    decoded = pixel_cache.load(items, 32, tmp_path, 1)
    (path,) = tmp_path.glob("*.npy")
    assert np.array_equal(np.load(path), decoded.array)
    assert path.stat().st_blocks * 512 >= decoded.array.nbytes


# Signals and what is said.


@pytest.fixture
def terminal():
    """One that can be closed, even where these tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_asks_to_stop_and_asks_as_often_as_it_likes(terminal):
    with StopSignals(is_loud=False) as signals:
        assert not signals.has_come
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signals.has_come
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_under_nohup_a_closed_terminal_is_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(is_loud=False) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.has_come
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_line_is_printed_whatever_it_holds_and_lost_where_nobody_listens(monkeypatch):
    reader, writer = os.pipe()
    stdout = os.fdopen(writer, "w", encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    print_line("caf\udce9 é")
    assert os.read(reader, 100) == b"caf\\udce9 \\xe9\n"
    os.close(reader)
    print_line("nobody")
    print_line("is there")
    with contextlib.suppress(BrokenPipeError):
        stdout.close()


# What accelerate is configured to do.


@pytest.mark.parametrize(
    ("asked", "flag", "used", "said"),
    [
        (None, None, "no", ""),
        ("no", None, "no", ""),
        ("bf16", None, "bf16", ""),
        ("bf16", "bf16", "bf16", ""),
        ("no", "bf16", "bf16", ""),
        ("bf16", "no", "no", "--mixed-precision no counts, not bf16"),
        ("fp16", "no", "no", "--mixed-precision no counts, not fp16"),
    ],
)
def test_accelerates_mixed_precision_counts_or_is_contradicted_aloud(
    monkeypatch, asked, flag, used, said
):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    if asked is not None:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
    lines = []
    assert mixed_precision(flag, lines.append) == used
    assert [line.startswith(said) for line in lines] == [True] * bool(said)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ACCELERATE_MIXED_PRECISION", "fp16", "asks for mixed_precision fp16"),
        ("ACCELERATE_MIXED_PRECISION", "fp8", "asks for mixed_precision fp8"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "asks for DeepSpeed"),
        ("ACCELERATE_USE_FSDP", "true", "asks for FSDP"),
    ],
)
def test_what_the_loops_cannot_do_is_refused(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=message):
        mixed_precision(None, print)


def test_what_does_not_count_is_said(monkeypatch):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    lines = []
    assert mixed_precision(None, lines.append) == "no"
    assert "gradient_accumulation_steps 4 does not count: say --accumulate" in lines[0]
    assert "dynamo_backend INDUCTOR does not count" in lines[1]


def test_a_run_of_before_the_flag_was_optional_goes_on(photos, run, capsys):
    config = json.loads((run / "config.json").read_text())
    assert config["mixed_precision"] == "no"
    del config["mixed_precision"]
    (run / "config.json").write_text(json.dumps(config))
    train(photos, run, steps=3)
    assert "--mixed-precision" not in capsys.readouterr().out


def test_images_that_changed_since_are_told(photos, run, tmp_path):
    data = shutil.copytree(photos["data"], tmp_path / "photos")
    (data / "000.png").unlink()
    before = contents(run / "checkpoints")
    with pytest.raises(ValueError, match="was trained on other images"):
        train(photos | {"data": str(data)}, run, steps=3)
    assert contents(run / "checkpoints") == before


def test_what_is_skipped_is_said_by_reason(photos, tmp_path, capsys):
    data = shutil.copytree(photos["data"], tmp_path / "photos")
    for index in range(5):
        (data / f"note{index}.txt").touch()
    Image.new("RGB", (9, 9)).save(os.fsencode(data) + b"/.caf\xe9.png")
    train(photos | {"data": str(data)}, tmp_path / "run", steps=1)
    said = capsys.readouterr().out
    assert "skipped note0.txt, note1.txt, note2.txt and 2 more: its name does not end" in said
    assert "skipped .caf\\udce9.png: hidden" in said
