"""The linear generator: trained, published, loaded, drawn and replayed."""

import torch

import genmodels
from tests.support.tiny_training import QUIET, photographs, quick_on_the_cpu, state
from training import train_linear


def run(out, photos, steps):
    settings = QUIET | {"steps": steps, "batch_size": 8, "resolution": 32}
    train_linear.train(train_linear.Config(data=str(photos), out=out, **settings))


def test_it_is_trained_resumed_published_and_drawn_again(tmp_path):
    photos = photographs(tmp_path / "photos", 24)
    with quick_on_the_cpu():
        run(tmp_path / "once", photos, 2)
        run(tmp_path / "twice", photos, 1)
        run(tmp_path / "twice", photos, 2)
    once, twice = state(tmp_path / "once"), state(tmp_path / "twice")
    assert all(torch.equal(once[name], twice[name]) for name in once)
    folder = tmp_path / "once" / "model"
    pipe = genmodels.load(folder)
    assert type(pipe) is genmodels.LinearPipeline
    drawn = pipe(2, seed=3)
    drawn.images[1].save(tmp_path / "drawn.png")
    again = genmodels.replay(tmp_path / "drawn.png", model=folder)
    assert again.tobytes() == drawn.images[1].tobytes()
    assert "- linear" in (folder / "README.md").read_text()  # The card's tags.
