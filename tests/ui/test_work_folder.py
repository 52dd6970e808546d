"""The one folder that the page writes to stays within its limits, and what is used stays."""

import os
import subprocess
import sys
import time

import pytest

from genmodels.ui.server import work_folder

HOUR = 3600


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def make(path, age=0.0, size=10):
    """A file that was used so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - age
    for place in (path, path.parent):
        os.utime(place, (then, then))
    return path


def test_what_was_not_used_for_long_goes_with_its_folder_and_the_rest_stays(folder):
    old = make(folder / ("a" * 64) / "photo.jpg", work_folder.MAX_AGE + HOUR)
    network = make(folder / "singan-0123456789ab" / "generator" / "x.safetensors", 99 * HOUR)
    os.utime(network.parent.parent, (0, 0))
    new = make(folder / ("b" * 64) / "photo.jpg", work_folder.MAX_AGE - HOUR)
    gone = work_folder.sweep()
    assert set(gone) == {old.parent, network.parent.parent}
    assert new.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["b" * 64]


def test_what_is_used_again_stays(folder):
    file = make(folder / ("a" * 64) / "photo.jpg", 99 * HOUR)
    changed = file.stat().st_mtime
    assert work_folder.own(str(file)) == file
    assert file.stat().st_mtime == changed  # Browsers' copies are still good.
    assert work_folder.sweep() == []
    made = work_folder.written_once("a" * 64, "photo.jpg", lambda path: path.write_bytes(b"other"))
    assert made == str(file)
    assert file.read_bytes() == b"x" * 10


def test_a_network_of_many_files_is_swept_as_one_and_used_as_one(folder):
    files = [make(folder / "singan-0123456789ab" / f"{i}.json", 99 * HOUR) for i in range(3)]
    work_folder.is_kept(files[1])
    assert work_folder.sweep() == []
    assert all(file.exists() for file in files)


def test_uploads_that_broke_off_and_empty_files_go_soon_but_not_while_they_come(folder):
    broken = make(folder / "tmpabcdef12", work_folder.MIN_AGE + 60, size=0)
    coming = make(folder / "tmpabcdef34", 5)
    assert work_folder.sweep() == [broken]
    assert coming.exists()


def test_the_longest_unused_go_when_there_is_too_much_and_what_is_new_never(folder, monkeypatch):
    monkeypatch.setattr(work_folder, "MAX_BYTES", 100_000)
    files = [
        make(folder / f"{i:064x}" / "x", (10 - i) * HOUR / 10 + HOUR, 20_000) for i in range(8)
    ]
    gone = work_folder.sweep()
    assert gone == [file.parent for file in files[: len(gone)]]
    assert 3 <= len(gone) <= 6
    assert not work_folder.is_full()
    for i in range(8, 20):
        make(folder / f"{i:064x}" / "x", 5, 20_000)
    work_folder.sweep()
    assert len(list(folder.iterdir())) == 12
    assert work_folder.is_full()


def test_too_many_entries_go_like_too_many_bytes(folder, monkeypatch):
    monkeypatch.setattr(work_folder, "MAX_ENTRIES", 3)
    files = [make(folder / f"tmp{i}", work_folder.MIN_AGE + 100 - i) for i in range(2)]
    files += [make(folder / f"{i:064x}" / "x", 2000 - i) for i in range(5)]
    work_folder.sweep()
    assert [file.exists() for file in files] == [False] * 6 + [True]


def test_what_the_page_shows_for_ever_stays(folder):
    scene = make(folder / ("a" * 64) / "scene.jpg", 99 * HOUR)
    other = make(folder / ("b" * 64) / "photo.jpg", 99 * HOUR)
    assert work_folder.sweep({str(scene)}) == [other.parent]


@pytest.mark.parametrize("path", ["/etc/passwd", "x", "../x", "\0", "x" * 10**5, "", None, 7, []])
def test_a_path_from_outside_names_a_file_of_the_folder_or_nothing(folder, path):
    assert work_folder.own(path) is None


def test_a_link_out_of_the_folder_names_nothing(folder):
    (folder / "link").symlink_to("/etc/passwd")
    assert work_folder.own(str(folder / "link")) is None


def test_a_process_has_a_folder_of_its_own_and_clears_away_that_of_a_dead_one(tmp_path):
    code = (
        "import os; from genmodels.ui.server import work_folder; "
        "print(work_folder.begin(), flush=True); input()"
    )
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return process, process.stdout.readline().strip()

    (first, one), (second, other) = start(), start()
    assert sorted(map(str, tmp_path.iterdir())) == sorted([one, other])
    first.kill()
    first.wait()
    third, new = start()
    assert sorted(map(str, tmp_path.iterdir())) == sorted([other, new])
    for process in (second, third):
        process.communicate("\n")
    assert list(tmp_path.iterdir()) == []
