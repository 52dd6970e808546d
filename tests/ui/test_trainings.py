"""Training on the page, without a browser: found again by its token, stopped, sampled, left."""

import contextlib
import shutil
from pathlib import Path

import pytest
from PIL import Image

import genmodels
from genmodels.ui.components import singan_trainer
from genmodels.ui.services import workers
from genmodels.ui.services.jobs import Line
from tests.ui.test_panoramas import scene

ASKED = {"max_size": 100, "budget_seconds": 300, "epochs": 1000, "optimizer": "adam"}
SHORT = {**ASKED, "epochs": 5}


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    line = Line()
    monkeypatch.setattr(singan_trainer, "TRAININGS", line)
    yield line
    for job in list(line._jobs.values()):
        line.finish(job.token)
    for token in list(line._jobs):
        with contextlib.suppress(ValueError):
            list(line.follow(token))


@pytest.fixture
def photo(tmp_path):
    scene(40, 28).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def seen_at_work(line, token):
    """What is told once there is a preview; who looked has left again."""
    for news in line.follow(token):
        if news.picture is not None:
            return news
    raise AssertionError(news)


def test_a_training_is_left_found_again_and_stopped_with_what_it_has(line, photo):
    token = singan_trainer.start(photo, ASKED)
    first = seen_at_work(line, token)
    assert first.words.startswith("Size 1 of")
    assert Image.open(first.picture).width <= 100
    assert next(line.follow(token)).picture is not None
    line.finish(token)
    *_, last = line.follow(token)
    assert last.words.startswith("Stopped at size ")
    assert " of " in last.words
    assert line.result(token) == last.result
    assert genmodels.load(last.result)(1, seed=0).images[0].size == (40, 28)


def test_a_trained_network_is_sampled_downloaded_and_there_for_the_next(line, photo, tmp_path):
    token = singan_trainer.start(photo, SHORT)
    *_, last = line.follow(token)
    assert last.words.startswith("Trained in ")
    asked = (last.result, 2.0, 1.0, False, 3)
    files = workers.result(singan_trainer._sample, *asked, megabytes=singan_trainer.MEGABYTES)
    assert [Image.open(file).size for file in files] == [(80, 28)] * 4
    shutil.unpack_archive(f"{last.result}.zip", tmp_path)
    assert genmodels.load(tmp_path / Path(last.result).name)(1, seed=0).images
    *_, again = line.follow(singan_trainer.start(photo, SHORT))
    assert (again.words, again.result) == ("This network is there already.", last.result)
    left = {path.name for path in Path(last.result).parent.iterdir() if "singan" in path.name}
    assert left == {Path(last.result).name, f"{Path(last.result).name}.zip"}


def test_a_network_that_was_swept_away_is_trained_again(line, photo):
    token = singan_trainer.start(photo, SHORT)
    *_, last = line.follow(token)
    Path(f"{last.result}.zip").unlink()
    with pytest.raises(ValueError, match="gone: train it again"):
        singan_trainer._trained(token)
    *_, again = line.follow(singan_trainer.start(photo, SHORT))
    assert again.words.startswith("Trained in ")
    assert singan_trainer._trained(token) == again.result


def test_a_photo_that_is_none_is_refused_before_it_stands_in_line(line, tmp_path):
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7")
    with pytest.raises(ValueError, match=r"paper\.jpg: not a readable"):
        singan_trainer.start(str(tmp_path / "paper.jpg"), ASKED)
    assert not line._jobs


def test_settings_that_cannot_be_end_the_job_in_words(line, photo):
    token = singan_trainer.start(photo, {**ASKED, "optimizer": "magic"})
    with pytest.raises(ValueError, match="optimizer must be"):
        list(line.follow(token))


def test_without_a_network_there_is_nothing_to_draw_from(line):
    with pytest.raises(ValueError, match="train a network first"):
        singan_trainer._trained(None)
    with pytest.raises(ValueError, match="not known here"):
        singan_trainer._trained("/etc")
